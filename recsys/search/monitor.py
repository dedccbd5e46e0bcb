"""The observer of a trial's training: its curve, its best iteration, whether to stop it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from recsys.models.iterative import Iteration, Iterative, State, StopTraining
from recsys.search.curves import Curve, CurvePoint
from recsys.search.pruning import (
    CurveValues,
    FinishedCurve,
    Pruner,
    best_point,
    hopeless,
    plateau,
)


class HopelessTraining(Exception):
    """The curve is behind those of other trials: the training ends and its model is not used."""


@dataclass(frozen=True, slots=True)
class StopRules:
    """When a training ends early, and whether its best iteration is kept.

    Attributes:
        metric: Whose curve decides.
        iterations: Of a complete training.
        found_from: The best iteration, from this one on, is kept; None: the last is.
        patience: Points without a new best after which a training ends; only where the best
            iteration is kept.
        pruner: What compares the curve with `others`.
        prunes_from: Its first iteration: curves that begin slowly may end well.
        slot: Of the trial.
        others: Curves of finished trials by slot.
        seed: Of the pruner.
    """

    metric: str
    iterations: int
    found_from: int | None = None
    patience: int | None = None
    pruner: Pruner = "none"
    prunes_from: int = 1
    slot: int = 0
    others: Mapping[int, FinishedCurve] | None = None
    seed: int = 0

    def hopeless(self, curve: CurveValues) -> bool:
        """Whether the pruner stops a training at the last point of its curve."""
        low = min(max(self.found_from or 1, self.prunes_from), self.iterations)
        others = self.others or {}
        return hopeless(self.pruner, self.slot, curve, others, low, self.iterations, self.seed)

    def hopeless_after(self, curve: CurveValues) -> int | None:
        """After how many points the pruner would have stopped a training; None: not at all."""
        early = [n for n in range(1, len(curve) + 1) if curve[n - 1][0] < self.iterations]
        return next((n for n in early if self.hopeless(curve[:n])), None)

    def waited_enough(self, curve: CurveValues) -> bool:
        """Whether patience is at its end."""
        low = self.found_from
        if low is None or not curve or curve[-1][0] < low:
            return False
        return plateau([point for point in curve if point[0] >= low], self.patience)


class TrainingMonitor:
    """Measures the curve of a training, keeps its best iteration and stops it early.

    Attributes:
        curve: Its points so far.
        iterations: Of a complete training.
        reached: Iterations that are done, those before the start included.
        fit_seconds: Of the iterations trained here.
    """

    def __init__(
        self,
        curve: Curve,
        rules: StopRules,
        every: int,
        on_point: Callable[[int, float], None],
        start: State | None = None,
        checkpoints: Collection[int] = (),
        on_checkpoint: Callable[[State, Sequence[CurvePoint]], None] | None = None,
        whole: Curve | None = None,
    ) -> None:
        """Report the points that a curve begins with.

        Args:
            curve: With the points of the training that left `start`, if there is one.
            rules: When to stop.
            every: Iterations from one point of the curve to the next.
            on_point: Takes iteration and value of each point.
            start: Where the training is resumed.
            checkpoints: Iterations whose state is passed on; they are points of the curve, too.
            on_checkpoint: Takes the state there and the curve up to it.
            whole: Measures on all users, where the curve has a sample of them.
        """
        self.curve = curve
        self._rules = rules
        self._every = every
        self._on_point = on_point
        self._start = start
        self._checkpoints = checkpoints
        self._on_checkpoint = on_checkpoint
        self._whole = whole
        self._best: State | None = None
        self.iterations = rules.iterations
        self.fit_seconds = 0.0
        ended = rules.hopeless_after(self._values)
        self._hopeless = ended is not None
        del curve.points[ended if ended is not None else len(curve.points) :]
        for point in self._values:
            on_point(*point)
        self.reached = 0 if start is None else start.iteration
        if self._hopeless:
            self.reached = curve.points[-1].iteration

    @property
    def _values(self) -> list[tuple[int, float]]:
        return self.curve.values(self._rules.metric)

    @property
    def ran(self) -> int:
        """Iterations that were trained here."""
        return max(0, self.reached - (0 if self._start is None else self._start.iteration))

    @property
    def kept(self) -> int:
        """The iteration that is judged."""
        return self.reached if self._best is None else self._best.iteration

    def begin(self) -> State | None:
        """The state to resume at.

        Raises:
            HopelessTraining: the curve up to there is behind others already.
        """
        if self._hopeless:
            raise HopelessTraining
        return self._start

    def __call__(self, step: Iteration) -> None:
        """Take an iteration.

        Raises:
            StopTraining: the last points brought nothing better.
            HopelessTraining: the curve is behind others.
        """
        self.reached = step.number
        self.fit_seconds += step.seconds
        is_last = step.number == self._rules.iterations
        is_checkpoint = step.number in self._checkpoints
        if not (step.number % self._every == 0 or is_last or is_checkpoint):
            return
        self.curve(step)
        values = self._values
        self._on_point(*values[-1])
        low = self._rules.found_from
        if low is not None and best_point(values, low)[0] == step.number:
            self._best = step.model.state(into=self._best)
        if is_checkpoint and self._on_checkpoint is not None:
            self._on_checkpoint(step.model.state(), self.curve.points)
        if not is_last:
            self._stop_if_useless(values)

    def _stop_if_useless(self, values: CurveValues) -> None:
        if self._rules.hopeless(values):
            raise HopelessTraining
        if self._rules.waited_enough(values):
            raise StopTraining

    def settle(self, model: Iterative) -> None:
        """Leave the model at its best iteration, where that is to be found.

        On a sample of users an early iteration can be the best of the curve by chance. So it is
        compared with the last one on all users.
        """
        if self._best is None or self._best.iteration == self.reached:
            return
        if self._whole is None:
            model.rewind(self._best)
            return
        metric, last = self._rules.metric, model.state()
        value = self._whole.measure(model)[metric]
        model.rewind(self._best)
        if value > self._whole.measure(model)[metric]:
            model.rewind(last)
            self._best = last
        self.curve.seconds += self._whole.seconds
