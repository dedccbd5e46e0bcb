"""Loss and metrics along a training."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.evaluation.metrics import parsed
from recsys.evaluation.protocol import recommend
from recsys.evaluation.report import accuracy
from recsys.models.iterative import Iteration, Iterative, State
from recsys.models.recommender import Recommender
from recsys.splitting.split import Fold


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One point of the curves along the training.

    Attributes:
        iteration: 1 for the first.
        loss: Training loss; the class of each model says which one.
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
        seconds: Of measuring them.
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
            points: Of a training that this one resumes.
        """
        self._fold = fold.sample(n_users, seed)
        self._metrics = tuple(metrics)
        self._k = max(parsed(metric)[1] for metric in metrics)
        self.points = list(points)
        self.seconds = 0.0

    def __call__(self, step: Iteration) -> None:
        """Measure the model as it is now, and add a point."""
        values = self.measure(step.model)
        self.points.append(CurvePoint(step.number, step.loss, values, step.seconds))

    def measure(self, model: Recommender) -> dict[str, float]:
        """The metrics of a model, by name."""
        start = time.perf_counter()
        recs = recommend(model, self._fold, self._fold.judged, self._k)
        values = accuracy(recs, self._fold.held_out, self._metrics)
        self.seconds += time.perf_counter() - start
        return values

    def values(self, metric: str) -> list[tuple[int, float]]:
        """(iteration, value) of one of the metrics, rising in iteration."""
        return [(point.iteration, point.metrics[metric]) for point in self.points]


class LossProbe:
    """Notes the loss after each iteration, for the final fit: nothing is tuned on its fold.

    Attributes:
        points: One per iteration so far.
    """

    def __init__(self) -> None:
        self.points: list[CurvePoint] = []

    def begin(self) -> State | None:
        """None: a final fit begins at the beginning."""
        return None

    def __call__(self, step: Iteration) -> None:
        """Note where the training stands."""
        self.points.append(CurvePoint(step.number, step.loss, {}, step.seconds))

    def settle(self, model: Iterative) -> None:
        """Leave the model as it is: the last iteration is judged."""


def spacing(every: int, iterations: int, most: int) -> int:
    """Iterations from one point of a curve to the next: `every`, or more for a long training.

    Args:
        every: Iterations at least.
        iterations: Of the longest training whose curve is compared.
        most: Points of a curve at most, so that measuring stays a small part of a training.
    """
    return max(every, -(-iterations // most))
