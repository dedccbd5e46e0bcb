"""One attempt at a trial. Its writes are in an order in which any of them may be the last.

    claim in Optuna           RUNNING, names slot, point, worker, attempt (one write)
    run in MLflow             RUNNING, names worker and Optuna's number
    its id in Optuna
    training, judging         points of the curve in Optuna
    files, metrics in MLflow  on disk for good
    outcome in Optuna         COMPLETE or PRUNED: from here on it counts (one write)
    end in MLflow             FINISHED, or KILLED where it was pruned

What died before the outcome is cut off and repeated; what died after it has everything in MLflow
but its end, which `tidy` writes.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.config import FOUND, AlsConfig, ExperimentConfig
from recsys.models import build
from recsys.models.als import Als, Iteration, State, StopTraining
from recsys.protocol import Curve, CurvePoint
from recsys.pruning import best_point, hopeless, plateau
from recsys.seeds import seed_for
from recsys.split import Fold
from tasks import tracking, tuning
from tasks.locking import Locks
from tasks.paths import Paths
from tasks.telling import tell
from tasks.tracking import (
    MEASURED,
    Copied,
    Run,
    copy_run,
    find_measured,
    metric_name,
    running_children,
)
from tasks.training import (
    FACTORS,
    Measured,
    Study,
    fold_at,
    judged,
    keep,
    log_measured,
    remove_left_scratch,
    scratch,
    start_child,
    train_seed,
)
from tasks.tuning import Facts, Search, TakenOver, Trial

# What fails in them is the world around a trial, which will be repeated, not the trial.
OUTSIDE = (OSError, *tracking.ERRORS, *tuning.ERRORS)

_NUMBER, _STATE, _ERROR = "number", "state", "error"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        slot: Of the trial.
        state: "taken over": another worker repeats it, so it counts for nothing.
        fit_seconds: Training, without what watches it.
        judge_seconds: Recommending and scoring, curves included.
        error: Of a failed one.
    """

    slot: int
    state: Literal["measured", "reused", "pruned", "failed", "taken over"]
    fit_seconds: float = 0.0
    judge_seconds: float = 0.0
    error: str = ""


class TrialFailed(Exception):
    """Shows in Prefect that a trial failed; it is recorded already."""

    def __init__(self, outcome: Outcome) -> None:
        """Carry what the flow needs."""
        super().__init__(outcome.error)
        self.outcome = outcome


@task(task_run_name="trial {trial.slot}", cache_policy=NO_CACHE)
def run_trial(study: Study, validation: Path, trial: Trial, search: Search) -> Outcome:
    """`attempt`, as a task of Prefect."""
    outcome = attempt(study, validation, trial, search)
    if outcome.state == "failed":
        raise TrialFailed(outcome)
    return outcome


def attempt(study: Study, validation: Path, trial: Trial, search: Search) -> Outcome:
    """Fit the point of a trial, judge it on validation and record it on both sides.

    Args:
        study: Shared by all trials.
        validation: Folder of the validation fold: all the data that tuning sees.
        trial: Claimed; ended here, whatever happens.
        search: Where it was claimed.
    """
    run: Run | None = None
    try:
        key = measured_key(study, trial)
        run = _start(study, trial, key)
        search.started(trial, run.id)
        source = None if study.config.study.fresh else _source(study, key)
        if source is not None:
            return _reuse(study, trial, search, run, source)
        return _train(study, validation, trial, search, run)
    except TakenOver as error:
        _end(run, "KILLED", str(error))
        return Outcome(trial.slot, "taken over")
    except OUTSIDE as error:
        _cut_off(trial, search, run, f"{type(error).__name__}: {error}")
        raise
    except Exception as error:  # noqa: BLE001 - recorded on both sides; other points may do
        return _failed(trial, search, run, f"{type(error).__name__}: {error}"[:2000])
    except BaseException:
        _cut_off(trial, search, run, "interrupted")
        raise


def _cut_off(trial: Trial, search: Search, run: Run | None, why: str) -> None:
    """Let a trial be repeated; one whose outcome is told counts, and `tidy` ends its run."""
    if search.interrupt(trial):
        _end(run, "KILLED", why)


def _failed(trial: Trial, search: Search, run: Run | None, text: str) -> Outcome:
    try:
        search.fail(trial, text)
    except TakenOver as error:
        _end(run, "KILLED", str(error))
        return Outcome(trial.slot, "taken over")
    _end(run, "FAILED", text)
    return Outcome(trial.slot, "failed", error=text)


def _end(run: Run | None, status: str, error: str) -> None:
    if run is not None:
        run.end(status, {_ERROR: error})


def _start(study: Study, trial: Trial, key: str) -> Run:
    """Open the MLflow run of an attempt; iterations that are to be found are not known yet."""
    tags = {
        "trial": str(trial.slot),
        "attempt": str(trial.attempt),
        _NUMBER: str(trial.number),
        MEASURED: key,
    }
    without = {FOUND} if study.config.found else set()
    return start_child(study, f"trial {trial.slot:03d}", asked(study.config, trial), tags, without)


def asked(config: ExperimentConfig, trial: Trial) -> AlsConfig:
    """What a trial trains: its point, with the most iterations where they are to be found."""
    most = {} if config.found is None else {FOUND: config.found.high}
    return AlsConfig.model_validate({**trial.params, **most})


def measured_key(study: Study, trial: Trial) -> str:
    """The hash of everything that the values of a trial depend on."""
    config = study.config
    judge = config.judge
    found = None if config.found is None else [config.found.low, config.found.high]
    return study.key(
        "validation",
        asked(config, trial),
        found=found,
        # What decides where a training is cut, if anything does.
        cut=None if found is None else [config.study.metric, config.study.patience],
        curve=[judge.curve_every, judge.curve_users, sorted(judge.curve_metrics)],
        users=judge.validation_users,
    )


def _source(study: Study, key: str) -> Run | None:
    """A run that measured the same before, with all that is asked of this one."""
    run = find_measured(study.workspace, study.experiment, key)
    if run is None or not run.has("per_user.parquet"):
        return None
    return None if study.config.study.keep_factors == "all" and not run.has(FACTORS) else run


def _reuse(study: Study, trial: Trial, search: Search, run: Run, source: Run) -> Outcome:
    with scratch(study) as folder:
        copied = copy_run(source, run, folder)
    if study.config.found is not None:
        run.params({FOUND: copied.params[FOUND]})
    curve = _copied_curve(copied, study.config.study.metric)
    search.measured(trial, curve)
    most = asked(study.config, trial).iterations
    facts = Facts(int(copied.params[FOUND]), ran=0, asked=most, source=source.id)
    values = [copied.metrics[metric_name(f"validation/{name}")] for name in study.config.objectives]
    search.tell(trial, values, facts)
    run.end("FINISHED")
    return Outcome(trial.slot, "reused")


def _copied_curve(copied: Copied, metric: str) -> list[tuple[int, float]]:
    return sorted(copied.curves.get(metric_name(f"curve/{metric}"), []))


def _train(study: Study, validation: Path, trial: Trial, search: Search, run: Run) -> Outcome:
    config = asked(study.config, trial)
    fold = tuning_fold(study.config, validation)
    watch = Watch(study, fold, trial, search)
    model = build(config, train_seed(study, config.kind), watch)
    assert isinstance(model, Als)
    begin = time.perf_counter()
    model.fit(fold.train, watch.start)
    fit_seconds = time.perf_counter() - begin - watch.seconds
    if watch.pruned:
        return _record_pruned(study, trial, search, run, watch, fit_seconds)
    iterations = watch.settle(model)
    report, judge_seconds = judged(model, fold, study.config)
    measured = Measured(run.id, report.summary(), fit_seconds, judge_seconds + watch.curve.seconds)
    with scratch(study) as folder:
        keep(report, model, folder, _keeps_factors(study, search, measured))
        run.files(folder)
    if study.config.found is not None:
        run.params({FOUND: iterations})
    log_measured(run, "validation", measured, watch.curve.points, study.config.objectives)
    values = [measured.summary[name] for name in study.config.objectives]
    search.tell(trial, values, Facts(iterations, watch.ran, config.iterations))
    run.end("FINISHED")
    return Outcome(trial.slot, "measured", measured.fit_seconds, measured.judge_seconds)


def _record_pruned(
    study: Study, trial: Trial, search: Search, run: Run, watch: "Watch", fit_seconds: float
) -> Outcome:
    curve = {
        f"curve/{name}": watch.curve.values(name) for name in watch.curve.points[0].metrics
    } | {"curve/loss": [(point.iteration, point.loss) for point in watch.curve.points]}
    run.log_curves({**curve, "seconds/fit": [(0, fit_seconds)]})
    if study.config.found is not None:
        run.params({FOUND: watch.reached})
    facts = Facts(watch.reached, watch.ran, asked(study.config, trial).iterations)
    search.prune(trial, facts)
    run.end("KILLED", {_STATE: "pruned"})
    return Outcome(trial.slot, "pruned", fit_seconds, watch.curve.seconds)


def _keeps_factors(study: Study, search: Search, measured: Measured) -> bool:
    asked_for = study.config.study.keep_factors
    best = max((done.value for done in search.done), default=None)
    wins = best is None or measured.summary[study.config.study.metric] > best
    return asked_for == "all" or (asked_for == "best" and wins)


def tuning_fold(config: ExperimentConfig, validation: Path) -> Fold:
    """The validation fold, judged on a sample of its users where that is asked for."""
    fold = fold_at(validation)
    n_users = config.judge.validation_users
    if n_users is None:
        return fold
    return fold.sample(n_users, seed_for(config.seed, "judge", "validation"))


class Watch:
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
        self._asked = asked(study.config, trial)
        self._paths = Paths(study.workspace.paths(study.name))
        curve = sorted(study.config.judge.curve_metrics)
        self._path = study.key("path", self._asked.model_copy(update={FOUND: 1}), curve=curve)
        waypoints = search.waypoints(trial)
        self._kept = self._kept_at(waypoints)
        known = self._paths.nearest(self._path, self._asked.iterations) if waypoints else None
        self.start = None if known is None else known[0]
        self.curve = _curve(study.config, fold, [] if known is None else known[1])
        search.measured(trial, self.curve.values(study.config.study.metric))
        self._others = search.curves() if study.config.pruner != "none" else {}
        self._best: State | None = None
        self.reached = 0 if self.start is None else self.start.iteration
        self.pruned = False
        self.seconds = 0.0

    def _kept_at(self, waypoints: Collection[int]) -> set[int]:
        """Iterations at which the factors are kept: others need them, or go on from our end."""
        most = self._asked.iterations
        goes_on = {most} if any(n > most for n in waypoints) else set()
        return {n for n in waypoints if n < most} | goes_on

    @property
    def ran(self) -> int:
        """Iterations that were trained here."""
        return self.reached - (0 if self.start is None else self.start.iteration)

    def __call__(self, step: Iteration) -> None:
        """An iteration has ended.

        Raises:
            StopTraining: another would be a waste.
        """
        begin = time.perf_counter()
        self.reached = step.number
        tell(f"iterations of {self._asked.factors} factors", step.number, self._asked.iterations)
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


def tidy(study: Study, search: Search, locks: Locks) -> None:
    """Close what workers that are gone left open, on both sides; and ours, who are at no trial."""
    search.free_the_dead(idle=study.worker)
    outcomes = search.outcomes()
    client = tracking.open_client(study.workspace)
    for run_id, tags in running_children(study.workspace, study.experiment, study.parent).items():
        ending = _ending(run_id, tags, outcomes, locks, study.worker)
        if ending is not None:
            Run(run_id, client).end(*ending)
    remove_left_scratch(study.workspace, locks)


def _ending(
    run_id: str,
    tags: Mapping[str, str],
    outcomes: Mapping[int, tuple[str, str | None]],
    locks: Locks,
    me: str,
) -> tuple[str, dict[str, str]] | None:
    """Status and tags of a run that was left open; None for one that somebody is at."""
    died = "KILLED", {_ERROR: "its process died"}
    if _NUMBER not in tags:
        maker = tags.get("worker", "")
        return None if maker != me and locks.lives(maker) else died
    state, counted = outcomes.get(int(tags[_NUMBER]), ("cut off", None))
    if state == "running":
        return None
    if counted != run_id:
        return died
    match state:
        case "complete":
            return "FINISHED", {}
        case "pruned":
            return "KILLED", {_STATE: "pruned"}
        case "failed":
            return "FAILED", {_ERROR: "the trial failed, and then its process died"}
        case _:
            return died
