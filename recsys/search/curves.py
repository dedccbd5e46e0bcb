"""Loss and metrics along a training."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.evaluation.metrics import parsed
from recsys.evaluation.protocol import recommend
from recsys.evaluation.report import accuracy
from recsys.models.iterative import Iteration
from recsys.splitting.split import Fold


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One point of the curves along the training.

    Attributes:
        iteration: 1 for the first.
        loss: Training loss, see `recsys.models.iterative.Iteration`.
        metrics: By name, on the sample of validation users.
        fit_seconds: Of this iteration.
    """

    iteration: int
    loss: float
    metrics: dict[str, float]
    fit_seconds: float


class Curve:
    """Judges a model along its training on a fixed sample of the users of a fold.

    Attributes:
        points: One per iteration that was measured.
        seconds: What measuring them has cost.
    """

    def __init__(
        self,
        fold: Fold,
        metrics: Sequence[str],
        n_users: int,
        seed: int,
        points: Sequence[CurvePoint] = (),
    ) -> None:
        """Draw the sample: the same for every trial with the same fold and seed.

        Args:
            fold: Says who is judged on what.
            metrics: Names with cut-off, such as "ndcg@10".
            n_users: Size of the sample; all judged users where there are no more.
            seed: Of the sample.
            points: Of the part of the training that another has done.
        """
        self._fold = fold.sample(n_users, seed)
        self._metrics = tuple(metrics)
        self._k = max(parsed(metric)[1] for metric in metrics)
        self.points = list(points)
        self.seconds = 0.0

    def __call__(self, step: Iteration) -> None:
        """Measure the model as it is now."""
        start = time.perf_counter()
        recs = recommend(step.model, self._fold, self._fold.judged, self._k)
        values = accuracy(recs, self._fold.held_out, self._metrics)
        self.points.append(CurvePoint(step.number, step.loss, values, step.seconds))
        self.seconds += time.perf_counter() - start

    def values(self, metric: str) -> list[tuple[int, float]]:
        """(iteration, value) of one of the metrics, rising in iteration."""
        return [(point.iteration, point.metrics[metric]) for point in self.points]


class LossProbe:
    """Notes the loss after each iteration; for the final fit, whose fold nobody tunes on.

    Attributes:
        points: One per iteration so far.
        seconds: Nothing is measured, so 0.
    """

    def __init__(self) -> None:
        self.points: list[CurvePoint] = []
        self.seconds = 0.0

    def __call__(self, step: Iteration) -> None:
        """Note where the training stands."""
        self.points.append(CurvePoint(step.number, step.loss, {}, step.seconds))
