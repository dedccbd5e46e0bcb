"""Metrics beyond accuracy: coverage, Gini, novelty, popularity and diversity of lists.

`ks` are the cut-offs, each from 1 to the width of the lists. NO_ITEM counts neither as
a shown item nor in the length of a list.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.data.interactions import Interactions
from recsys.evaluation.metrics import PerUser
from recsys.models.recommender import NO_ITEM, Recommendations

Exposure = npt.NDArray[np.int64]

_BLOCK_BYTES = 2**26


def exposure(recs: Recommendations, n_items: int, ks: Sequence[int]) -> dict[int, Exposure]:
    """How many of the lists cut at k show each item.

    Returns:
        By k, rising: counts of all items, zeros included, int64, shape (n_items,).
    """
    counts = np.zeros(n_items, dtype=np.int64)
    by_k: dict[int, Exposure] = {}
    start = 0
    for k in sorted(ks):
        added = recs.items[:, start:k]
        counts = counts + np.bincount(added[added != NO_ITEM], minlength=n_items)
        by_k[k], start = counts, k
    return by_k


def coverage(exposed: Exposure) -> float:
    """Distinct recommended items over the catalogue, from 0 to 1.

    Args:
        exposed: Exposure of every item of the catalogue, int64, shape (n_items,).
    """
    return float(np.count_nonzero(exposed) / len(exposed))


def gini(exposed: Exposure) -> float:
    """Gini coefficient of exposure over all items, zeros included.

    With x sorted rising and i from 1 to n: sum((2i - n - 1) x_i) / (n sum(x)), the form of
    Dixon et al. 1987 (Ecology 68, 1548-1551) without their small-sample factor n / (n - 1), that
    is, twice the area between the Lorenz curve and the diagonal. 0 where all items are shown
    equally often (also never), (n - 1) / n where all exposure goes to one. Numerator and
    denominator are summed in integers and are therefore exact.

    Args:
        exposed: Exposure of every item of the catalogue, int64, shape (n_items,).
    """
    n, total = len(exposed), int(exposed.sum())
    if total == 0:
        return 0.0
    weights = 2 * np.arange(1, n + 1, dtype=np.int64) - n - 1
    return int(weights @ np.sort(exposed)) / (n * total)


def _mean_of_shown(
    recs: Recommendations, values: npt.NDArray[np.float64], ks: Sequence[int]
) -> PerUser:
    """Mean of `values` (n_items,) over the items shown within k, 0 where there is none."""
    ends = np.asarray(ks) - 1
    # NO_ITEM is -1 and so picks the zero put last.
    picked = np.append(values, 0.0)[recs.items]
    shown = np.cumsum(recs.items != NO_ITEM, axis=1)[:, ends]
    means: PerUser = np.cumsum(picked, axis=1)[:, ends] / np.maximum(shown, 1)
    return means


def novelty(
    recs: Recommendations, users_per_item: Exposure, n_train_users: int, ks: Sequence[int]
) -> PerUser:
    """Mean of -log2(users of the item / all users, in train) over the shown items, in bits.

    The self-information of Zhou et al. 2010 (PNAS 107, 4511-4515). An item without users
    counts as having one. The divisor is the number of items shown within k, not k; a user
    without a list has 0.

    Args:
        recs: Ranked lists of m users.
        users_per_item: Training users of every item, int64, shape (n_items,).
        n_train_users: Number of users in train, > 0.
        ks: Cut-offs.

    Returns:
        float64, shape (m, len(ks)), each from 0 to log2(n_train_users).
    """
    # log2(n / users_per_item) and not -log2(users_per_item / n), which is -0.0 for all users.
    return _mean_of_shown(recs, np.log2(n_train_users / np.maximum(users_per_item, 1)), ks)


def popularity(recs: Recommendations, users_per_item: Exposure, ks: Sequence[int]) -> PerUser:
    """Mean number of training users of the items shown within k; 0 without a list.

    Args:
        recs: Ranked lists of m users.
        users_per_item: Training users of every item, int64, shape (n_items,).
        ks: Cut-offs.

    Returns:
        float64, shape (m, len(ks)).
    """
    return _mean_of_shown(recs, users_per_item.astype(np.float64), ks)


def diversity(
    recs: Recommendations,
    item_vectors: npt.NDArray[np.floating[Any]],
    k: int,
    block_bytes: int = _BLOCK_BYTES,
) -> npt.NDArray[np.float64]:
    """Mean of 1 - cosine over all pairs of items shown within k, 0 for fewer than two items.

    The intra-list distance of Zhang and Hurley 2008 (RecSys, 123-130) with the cosine of the
    vectors; Ziegler et al. 2005 (WWW, 22-32) sum similarities instead. An item whose vector is
    all zero has cosine 0 with every item. For n vectors of length 1 the
    cosines of all ordered pairs sum to |sum of the vectors|^2 - n, so no pairs are formed.

    Compare models on the same vectors only; the vectors of one model favour the other models.

    Args:
        recs: Ranked lists of m users.
        item_vectors: Finite, shape (n_items, d): factors, or weights of tags or genres.
        k: Cut-off.
        block_bytes: About how much memory the vectors of a block of users may take.

    Returns:
        float64, shape (m,), each from 0 to 2; up to 1 where no vector has a negative number.
    """
    items = recs.items[:, :k]
    values = np.zeros(len(items))
    block = max(1, block_bytes // max(1, 8 * items.shape[1] * item_vectors.shape[1]))
    for start in range(0, len(items), block):
        at = slice(start, start + block)
        values[at] = _mean_distance(item_vectors, items[at])
    return values


def _mean_distance(
    item_vectors: npt.NDArray[np.floating[Any]], items: npt.NDArray[np.int32]
) -> npt.NDArray[np.float64]:
    """Mean of 1 - cosine over the pairs of each row of `items`, float64, shape (len(items),)."""
    shown = items != NO_ITEM
    vectors = item_vectors[np.where(shown, items, 0)].astype(np.float64)
    length = np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors /= np.where(length > 0, length, 1.0)
    vectors[~shown] = 0.0
    n = shown.sum(axis=1)
    whole = np.square(vectors.sum(axis=1)).sum(axis=1)
    own = np.square(vectors).sum(axis=(1, 2))
    distance = 1.0 - (whole - own) / np.maximum(n * (n - 1), 1)
    return np.where(n < 2, 0.0, distance.clip(0.0, 2.0))


def popularity_lift(
    recs: Recommendations, history: Interactions, users_per_item: Exposure, k: int
) -> npt.NDArray[np.float64]:
    """How much more popular a list is than the history of its user: mean of list / of history - 1.

    Popularity lift of Abdollahpouri et al. 2020 (RecSys, 726-731), there for a group of users
    from means over the group; here user by user. 0 is as popular as the history, 1 twice as
    popular, -1 shows only items without training users. 0 also without a list, without a
    history, and for a history of items without training users.

    Args:
        recs: Ranked lists of m users.
        history: Their training cells, or the cells to fold in from.
        users_per_item: Training users of every item, int64, shape (n_items,).
        k: Cut-off.

    Returns:
        float64, shape (m,), each >= -1; skewed, for a history of the unpopular has no bound.
    """
    plays = np.bincount(history.rows, users_per_item[history.cols], len(history.users))[recs.users]
    known = plays / np.maximum(history.per_user()[recs.users], 1)
    there = (known > 0) & (recs.items[:, 0] != NO_ITEM)
    shown = popularity(recs, users_per_item, [k])[:, 0]
    return np.where(there, shown / np.where(there, known, 1.0) - 1.0, 0.0)
