"""The evaluation protocol: who is asked, how long the lists are, what is counted."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.evaluation.metrics import METRICS, parsed
from recsys.evaluation.report import Report, accuracy, evaluate
from recsys.models.als import Iteration
from recsys.models.recommender import Recommendations, Recommender
from recsys.progress import Progress, silent
from recsys.splitting.split import Fold

BATCH = 4096  # users per call; larger ones were not faster, and cancelling takes longer


def recommend(
    model: Recommender,
    fold: Fold,
    users: npt.NDArray[np.int32],
    k: int,
    progress: Progress = silent,
) -> Recommendations:
    """The k best items of each of `users`, who must be judged by `fold`, in batches.

    By the factors of training where the users were trained on, by fold-in where they were not.
    """
    parts = []
    for batch in _batches(users):
        parts.append(
            model.fold_in(fold.history, batch, k) if fold.folds_in else model.recommend(batch, k)
        )
        progress("judging users", min(len(parts) * BATCH, len(users)), len(users))
    return Recommendations.stack(parts)


def _batches(users: npt.NDArray[np.int32]) -> Iterator[npt.NDArray[np.int32]]:
    return (users[start : start + BATCH] for start in range(0, len(users), BATCH))


def judge(
    model: Recommender,
    fold: Fold,
    ks: Sequence[int],
    metrics: Sequence[str] = tuple(METRICS),
    progress: Progress = silent,
) -> Report:
    """Score a fitted model on every user of `fold` with something held out.

    Args:
        model: Fitted on `fold.train`.
        fold: Says who is judged on what.
        ks: Cut-offs.
        metrics: Names of accuracy metrics without cut-off.
        progress: Told after each batch of users.
    """
    recs = recommend(model, fold, fold.judged, max(ks), progress)
    return scored(recs, fold, ks, metrics)


def scored(
    recs: Recommendations,
    fold: Fold,
    ks: Sequence[int],
    metrics: Sequence[str] = tuple(METRICS),
) -> Report:
    """Score lists that were made for the judged users of `fold`, at least max(ks) long."""
    n_train_users = len(fold.train.users_with_cells())
    return evaluate(recs, fold.held_out, fold.train.per_item(), n_train_users, ks, metrics)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One point of the curves along the training.

    Attributes:
        iteration: 1 for the first.
        loss: Training loss, see `recsys.models.als.Iteration`.
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
