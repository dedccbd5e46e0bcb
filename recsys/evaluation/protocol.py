"""The evaluation protocol: which users are judged, on lists of which length, by which metrics."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from recsys.evaluation.metrics import METRICS
from recsys.evaluation.report import Report, evaluate
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
    """The k best items of each of `users`, judged users of `fold`, in batches.

    Users of the training side get `recommend`, others are folded in.
    """
    parts = []
    for batch in batches(users):
        parts.append(recommend_batch(model, fold, batch, k))
        progress("judging users", min(len(parts) * BATCH, len(users)), len(users))
    return Recommendations.stack(parts)


def recommend_batch(
    model: Recommender, fold: Fold, users: npt.NDArray[np.int32], k: int
) -> Recommendations:
    """As `recommend`, of so few users that their lists need no batches."""
    return model.fold_in(fold.history, users, k) if fold.folds_in else model.recommend(users, k)


def batches(users: npt.NDArray[np.int32]) -> Iterator[npt.NDArray[np.int32]]:
    """Users in their order, as many at once as are judged together."""
    return (users[start : start + BATCH] for start in range(0, len(users), BATCH))


def judge(
    model: Recommender,
    fold: Fold,
    ks: Sequence[int],
    metrics: Sequence[str] = tuple(METRICS),
    progress: Progress = silent,
) -> Report:
    """The report of a fitted model on every judged user of `fold`.

    Args:
        model: Fitted on `fold.train`.
        fold: The judged users and their held-out items.
        ks: Cut-offs.
        metrics: Names of accuracy metrics without cut-off.
        progress: Reports each batch of users.
    """
    recs = recommend(model, fold, fold.judged, max(ks), progress)
    return scored(recs, fold, ks, metrics)


def scored(
    recs: Recommendations,
    fold: Fold,
    ks: Sequence[int],
    metrics: Sequence[str] = tuple(METRICS),
) -> Report:
    """The report of lists of the judged users of `fold`, at least max(ks) long."""
    n_train_users = len(fold.train.users_with_cells())
    return evaluate(recs, fold.held_out, fold.train.per_item(), n_train_users, ks, metrics)
