"""What lists are like apart from hits: how varied, how even, how obscure.

`ks` are the cut-offs, each from 1 to the width of the lists. NO_ITEM is never counted, neither
as shown nor in the length of a list.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recsys.metrics import PerUser
from recsys.recommend import NO_ITEM, Recommendations

Exposure = npt.NDArray[np.int64]


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
    """Mean of `values` (n_items,) over the items shown within k, 0 where none is shown."""
    ends = np.asarray(ks) - 1
    # NO_ITEM is -1 and so picks the zero put last.
    picked = np.append(values, 0.0)[recs.items]
    shown = np.cumsum(recs.items != NO_ITEM, axis=1)[:, ends]
    means: PerUser = np.cumsum(picked, axis=1)[:, ends] / np.maximum(shown, 1)
    return means


def novelty(
    recs: Recommendations, listeners: Exposure, n_train_users: int, ks: Sequence[int]
) -> PerUser:
    """Mean of -log2(listeners of the item / users, in train) over what is shown, in bits.

    The self-information of Zhou et al. 2010 (PNAS 107, 4511-4515). An item without listeners
    counts as having one. Divided by what is shown within k and not by k; a user who is shown
    nothing gets 0.

    Args:
        recs: Ranked lists of m users.
        listeners: Training listeners of every item, int64, shape (n_items,).
        n_train_users: Number of users in train, > 0.
        ks: Cut-offs.

    Returns:
        float64, shape (m, len(ks)), each from 0 to log2(n_train_users).
    """
    # log2(users / listeners) and not -log2(listeners / users), which is -0.0 for all users.
    return _mean_of_shown(recs, np.log2(n_train_users / np.maximum(listeners, 1)), ks)


def popularity(recs: Recommendations, listeners: Exposure, ks: Sequence[int]) -> PerUser:
    """Mean number of training listeners of what is shown within k; 0 where nothing is.

    Args:
        recs: Ranked lists of m users.
        listeners: Training listeners of every item, int64, shape (n_items,).
        ks: Cut-offs.

    Returns:
        float64, shape (m, len(ks)).
    """
    return _mean_of_shown(recs, listeners.astype(np.float64), ks)
