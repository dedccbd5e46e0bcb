"""What looks on while a trial trains: its curve, its best iteration, whether to stop it."""

import time
from collections.abc import Collection, Sequence

from recsys.config import ExperimentConfig
from recsys.models.als import Als, AlsConfig
from recsys.models.iterative import Iteration, State, StopTraining
from recsys.search.config import FOUND
from recsys.search.curves import Curve, CurvePoint
from recsys.search.pruning import best_point, hopeless, plateau
from recsys.seeds import seed_for
from recsys.splitting.split import Fold
from tasks.progress import report_progress
from tasks.study.checkpoints import Checkpoints
from tasks.study.study import Study, trial_params
from tasks.tuning import Search, Trial


class TrainingMonitor:
    """Looks on while a trial trains: its curve, its best iteration, whether to stop.

    Attributes:
        start: Where another training on the same path stood, if it is known.
        curve: So far.
        reached: Iterations so far, those before the start included.
        pruned: Whether the training was stopped as hopeless.
        seconds: What all of it has cost.
    """

    def __init__(self, study: Study, fold: Fold, trial: Trial, search: Search) -> None:
        """Prepare to watch one trial.

        Args:
            study: Shared by all trials.
            fold: That tuning sees.
            trial: The trial.
            search: Its curve goes there, and it knows the curves of the others.
        """
        self._config = study.config
        self._trial = trial
        self._search = search
        wanted = trial_params(study.config, trial)
        if not isinstance(wanted, AlsConfig):
            raise TypeError(f"{wanted.kind} tells nobody of its iterations")
        self._asked = wanted
        self._paths = Checkpoints(study.workspace.paths(study.name))
        self._path = study.key("path", self._asked.model_copy(update={FOUND: 1}))
        shared_iterations = search.shared_iterations(trial)
        self._kept = self._kept_at(shared_iterations)
        known = (
            self._paths.nearest(self._path, self._asked.iterations) if shared_iterations else None
        )
        self.start = None if known is None else known[0]
        self._others = search.curves() if study.config.pruner != "none" else {}
        self._best: State | None = None
        self.seconds = 0.0
        points = [] if known is None else known[1]
        given_up = self._given_up(points)
        self.pruned = given_up is not None
        self.curve = _curve(study.config, fold, points[:given_up])
        search.measured(trial, self.curve.values(study.config.study.metric))
        self.reached = 0 if self.start is None else self.start.iteration
        if self.pruned:
            self.reached = self.curve.points[-1].iteration

    def _given_up(self, points: Sequence[CurvePoint]) -> int | None:
        """After how many of the points that another has trained this trial would have stopped."""
        metric = self._config.study.metric
        values = [(point.iteration, point.metrics[metric]) for point in points]
        most = self._asked.iterations
        asked_at = (n for n in range(1, len(values) + 1) if values[n - 1][0] < most)
        return next((n for n in asked_at if self._is_hopeless(values[:n])), None)

    def _kept_at(self, shared_iterations: Collection[int]) -> set[int]:
        """Iterations at which the factors are kept: others need them, or go on from our end."""
        most = self._asked.iterations
        goes_on = {most} if any(n > most for n in shared_iterations) else set()
        return {n for n in shared_iterations if n < most} | goes_on

    @property
    def ran(self) -> int:
        """Iterations that were trained here."""
        return max(0, self.reached - (0 if self.start is None else self.start.iteration))

    def __call__(self, step: Iteration) -> None:
        """An iteration has ended.

        Raises:
            StopTraining: another would be a waste.
        """
        begin = time.perf_counter()
        self.reached = step.number
        report_progress(
            f"iterations of {self._asked.factors} factors", step.number, self._asked.iterations
        )
        try:
            self._look(step)
        finally:
            self.seconds += time.perf_counter() - begin

    def _look(self, step: Iteration) -> None:
        last = step.number == self._asked.iterations
        kept = step.number in self._kept
        # Also where others end: their curve is as far as this one, if they go on from here.
        if step.number % self._config.judge.curve_every == 0 or last or kept:
            self.curve(step)
            self._note(step)
        if kept:
            self._paths.save(self._path, step.model.state(step.number), self.curve.points)
        if self.curve.points and self.curve.points[-1].iteration == step.number and not last:
            self._stop_if_useless()

    def _note(self, step: Iteration) -> None:
        values = self.curve.values(self._config.study.metric)
        self._search.point(self._trial, *values[-1])
        found = self._config.found
        if found is not None and best_point(values, found.low)[0] == step.number:
            self._best = step.model.state(step.number, into=self._best)

    def _stop_if_useless(self) -> None:
        values = self.curve.values(self._config.study.metric)
        found = self._config.found
        if self._is_hopeless(values):
            self.pruned = True
            raise StopTraining
        if found is not None and self.reached >= found.low:
            judged_from = [point for point in values if point[0] >= found.low]
            if plateau(judged_from, self._config.study.patience):
                raise StopTraining

    def _is_hopeless(self, values: list[tuple[int, float]]) -> bool:
        found = self._config.found
        low = 1 if found is None else found.low
        return hopeless(
            self._config.pruner,
            self._trial.slot,
            values,
            self._others,
            low,
            self._asked.iterations,
            self._config.seed,
        )

    def settle(self, model: Als) -> int:
        """Turn the model back to its best iteration where that was to be found; which it is."""
        if self._best is not None:
            model.rewind(self._best)
            return self._best.iteration
        return self.reached


def _curve(config: ExperimentConfig, fold: Fold, points: list[CurvePoint]) -> Curve:
    metrics = dict.fromkeys([config.study.metric, *config.judge.curve_metrics])
    seed = seed_for(config.seed, "judge", "curve")
    return Curve(fold, list(metrics), config.judge.curve_users, seed, points)
