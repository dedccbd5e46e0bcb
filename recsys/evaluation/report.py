"""The report of a model: one row per judged user, one column per metric.

Lists rank the whole catalogue, that is all items of the split. A held-out item that is unseen in
train stays relevant, though no model can find it (`Fold.unreachable` counts these). Means run over
the users with something held out; a user without a list scores 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.data.interactions import Interactions
from recsys.dtypes import Int64Array
from recsys.evaluation import beyond
from recsys.evaluation.metrics import METRICS, OFFERED, Hits, PerUser, column, parsed
from recsys.models.recommender import NO_ITEM, Recommendations

KS = (1, 5, 10, 15, 20)
_N_SHOWN = "n_shown"
_EXPOSURE = "exposure"


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The metrics of one model, user by user; summaries are computed from it, never stored.

    Attributes:
        per_user: One row per user with something held out, float64, no missing values. The index
            is the user number, int32, rising, named "user"; columns are metrics, `ndcg@10`.
        n_shown: Length of each user's list within the largest k, int32, shape (m,).
        exposure: By k, the number of lists with each item, int64, shape (n_items,).
    """

    per_user: pd.DataFrame
    n_shown: npt.NDArray[np.int32]
    exposure: Mapping[int, beyond.Exposure]

    def __post_init__(self) -> None:
        if len(self.per_user) == 0 or len(self.n_shown) != len(self.per_user):
            raise ValueError(f"{len(self.per_user)} users but {len(self.n_shown)} list lengths")
        if (np.diff(self.users) <= 0).any():
            raise ValueError("the users of a report must be distinct and rising")
        missing = self.per_user.isna().any()
        if missing.any():
            raise ValueError(f"missing values in {list(missing.index[missing])}")

    @classmethod
    def from_frames(cls, user_frame: pd.DataFrame, exposure_frame: pd.DataFrame) -> Self:
        """The report of a `user_frame()` and an `exposure_frame()`."""
        exposure = {
            int(str(name).removeprefix(f"{_EXPOSURE}@")): exposure_frame[name].to_numpy(np.int64)
            for name in exposure_frame.columns
        }
        n_shown = user_frame[_N_SHOWN].to_numpy(np.int32)
        return cls(user_frame.drop(columns=_N_SHOWN), n_shown, exposure)

    def __repr__(self) -> str:
        return f"Report: {len(self.users):,} users, {', '.join(self.per_user.columns)}"

    @property
    def users(self) -> npt.NDArray[np.int32]:
        """User numbers, int32, rising, shape (m,)."""
        return self.per_user.index.to_numpy(np.int32)

    def of_all_lists(self) -> dict[str, float]:
        """`coverage@k` and `gini@k`, which are properties of all lists together."""
        measures = {"coverage": beyond.coverage, "gini": beyond.gini}
        return {
            column(name, k): measure(counts)
            for name, measure in measures.items()
            for k, counts in self.exposure.items()
        }

    def summary(self) -> dict[str, float]:
        """The mean of every per-user column, then `coverage@k` and `gini@k`."""
        means = self.per_user.to_numpy().mean(axis=0).tolist()
        return dict(zip(self.per_user.columns, means, strict=True)) | self.of_all_lists()

    def user_frame(self) -> pd.DataFrame:
        """`per_user` with a last column `n_shown`, to be stored."""
        return self.per_user.assign(**{_N_SHOWN: self.n_shown})

    def exposure_frame(self) -> pd.DataFrame:
        """One row per item (index "item"), one int64 column per k, such as `exposure@10`."""
        columns = {column(_EXPOSURE, k): counts for k, counts in self.exposure.items()}
        return pd.DataFrame(columns).rename_axis(index="item")


def evaluate(
    recs: Recommendations,
    held_out: Interactions,
    users_per_item: npt.NDArray[np.int64],
    n_train_users: int,
    ks: Sequence[int] = KS,
    metrics: Sequence[str] = tuple(METRICS),
) -> Report:
    """Judge ranked lists by every metric at every cut-off.

    Args:
        recs: One list for each user with something held out, in any order, at least max(ks) wide.
        held_out: The held-out cells, over the id maps that number `recs`.
        users_per_item: Training users of every item, int64, shape (n_items,).
        n_train_users: Number of users in train.
        ks: Cut-offs.
        metrics: Names of accuracy metrics, of `recsys.evaluation.metrics.OFFERED`. Novelty and mean
            popularity come with every report.

    Raises:
        ValueError: users differ from those with something held out, a list is too short, shows
            an item twice or one outside the catalogue, or the training counts do not fit.
    """
    ks = sorted(set(ks))
    _check_train(users_per_item, n_train_users, held_out)
    recs = _checked(recs, held_out, ks)
    hits, n_relevant = _hits(recs, held_out)
    values: dict[str, PerUser] = {m: OFFERED[m](hits, n_relevant, ks) for m in metrics}
    values["novelty"] = beyond.novelty(recs, users_per_item, n_train_users, ks)
    values["popularity"] = beyond.popularity(recs, users_per_item, ks)
    per_user = pd.DataFrame(
        np.hstack(list(values.values())),
        index=pd.Index(recs.users, name="user"),
        columns=[column(name, k) for name in values for k in ks],
    )
    n_shown = np.count_nonzero(recs.items != NO_ITEM, axis=1).astype(np.int32)
    return Report(per_user, n_shown, beyond.exposure(recs, len(held_out.items), ks))


def accuracy(
    recs: Recommendations, held_out: Interactions, names: Sequence[str]
) -> dict[str, float]:
    """Means over users of a few accuracy metrics, such as `ndcg@10`; for learning curves.

    Its time grows with `held_out`: for a sample of users, cut `held_out` to them once.

    Raises:
        ValueError: a name is not that of an offered metric, or as for `evaluate`.
    """
    columns = [(name, *parsed(name)) for name in names]
    recs = _checked(recs, held_out, [k for _, _, k in columns])
    hits, n_relevant = _hits(recs, held_out)
    return {
        name: float(OFFERED[metric](hits, n_relevant, [k]).mean()) for name, metric, k in columns
    }


def _hits(recs: Recommendations, held_out: Interactions) -> tuple[Hits, Int64Array]:
    """Mask of the hits, bool (m, k), and the number of held-out items, int64 (m,)."""
    known = held_out.keys
    keys = recs.users[:, None].astype(np.int64) * len(held_out.items) + recs.items
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    # The key of NO_ITEM is that of the last item of the user before.
    hits = (known[at] == keys) & (recs.items != NO_ITEM)
    return hits, held_out.per_user()[recs.users]


def _checked(recs: Recommendations, held_out: Interactions, ks: Sequence[int]) -> Recommendations:
    """`recs`, checked, ordered by user and cut at max(ks)."""
    if not ks or min(ks) < 1:
        raise ValueError(f"cut-offs must be whole numbers from 1, got {list(ks)}")
    width = max(ks)
    if recs.items.shape[1] < width:
        raise ValueError(f"lists are {recs.items.shape[1]} wide, the largest cut-off is {width}")
    order = np.argsort(recs.users, kind="stable")
    users, items = recs.users[order], recs.items[order, :width]
    _check_users(users, held_out)
    _check_lists(users, items, held_out)
    return Recommendations(users, items, recs.scores[order, :width])


def _check_train(
    users_per_item: npt.NDArray[np.int64], n_train_users: int, held_out: Interactions
) -> None:
    if len(users_per_item) != len(held_out.items):
        raise ValueError(
            f"numbers of users of {len(users_per_item)} items, catalogue of {len(held_out.items)}"
        )
    if not max(1, int(users_per_item.max(initial=0))) <= n_train_users:
        raise ValueError(
            f"an item has {users_per_item.max()} users, the training has {n_train_users}"
        )


def _check_users(users: npt.NDArray[np.int32], held_out: Interactions) -> None:
    """Refuse `users` (sorted) that are not exactly those with something held out."""
    wanted = held_out.users_with_cells()
    if not len(wanted):
        raise ValueError("nothing is held out, so nothing can be judged")
    if np.array_equal(users, wanted):  # the usual case, at a tenth of the time of what follows
        return
    twice = users[1:][np.diff(users) == 0]
    missing, needless = np.setdiff1d(wanted, users), np.setdiff1d(users, wanted)
    for faulty, fault in (
        (twice, "have more than one list"),
        (missing, "have something held out but no row of recommendations (an empty list is a row)"),
        (needless, "have recommendations but nothing held out"),
    ):
        if len(faulty):
            raise ValueError(f"{len(faulty)} users {fault}, the first is user number {faulty[0]}")


def _check_lists(
    users: npt.NDArray[np.int32], items: npt.NDArray[np.int32], held_out: Interactions
) -> None:
    ranked = np.sort(items, axis=1)
    twice = (np.diff(ranked, axis=1) == 0) & (ranked[:, 1:] != NO_ITEM)
    resumed = (items[:, :-1] == NO_ITEM) & (items[:, 1:] != NO_ITEM)
    outside = (items < NO_ITEM) | (items >= len(held_out.items))
    for faulty, fault in (
        (outside, f"show an item outside the catalogue of {len(held_out.items)}"),
        (twice, "show an item twice"),
        (resumed, "go on after their end (NO_ITEM)"),
    ):
        lists = np.flatnonzero(faulty.any(axis=1))
        if len(lists):
            first = users[lists[0]]
            raise ValueError(f"{len(lists)} lists {fault}, the first is of user number {first}")
