"""Accuracy metrics of ranked lists, per user and for many cut-offs at once.

Libraries differ in these definitions; each function states ours. All take

    hits: bool, shape (m, kmax): is the item at this rank (best first) one that was held out?
        False where the list has ended.
    n_relevant: int64 > 0, shape (m,): how many items were held out for the user, hit or not.
    ks: the cut-offs, each from 1 to kmax.

and return float64 of shape (m, len(ks)), each value from 0 to 1. A value at k depends on
the first k ranks only; a list shorter than k has no hits in the missing ranks, and k stays k.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.dtypes import Int64Array

Hits = npt.NDArray[np.bool_]
PerUser = npt.NDArray[np.float64]
Metric = Callable[[Hits, Int64Array, Sequence[int]], PerUser]


def _within(values: npt.NDArray[Any], ks: Sequence[int]) -> PerUser:
    """Sums of the first k columns for each k of `ks`, float64, shape (m, len(ks))."""
    return np.cumsum(values, axis=1, dtype=np.float64)[:, np.asarray(ks) - 1]


def _findable(n_relevant: Int64Array, ks: Sequence[int]) -> Int64Array:
    """Hits of a perfect list, min(k, relevant), int64, shape (m, len(ks))."""
    return np.minimum(n_relevant[:, None], np.asarray(ks, dtype=np.int64))


def precision(hits: Hits, n_relevant: Int64Array, ks: Sequence[int]) -> PerUser:
    """Hits within k, over k."""
    return _within(hits, ks) / np.asarray(ks, dtype=np.float64)


def recall(hits: Hits, n_relevant: Int64Array, ks: Sequence[int]) -> PerUser:
    """Hits within k, over all relevant items; a perfect list stays below 1 if these exceed k."""
    return _within(hits, ks) / n_relevant[:, None]


def capped_recall(hits: Hits, n_relevant: Int64Array, ks: Sequence[int]) -> PerUser:
    """Hits within k, over min(k, relevant), which many papers print as recall."""
    return _within(hits, ks) / _findable(n_relevant, ks)


def ndcg(hits: Hits, n_relevant: Int64Array, ks: Sequence[int]) -> PerUser:
    """Sum of 1/log2(rank + 1) over the hits within k, over the same sum for a perfect list.

    Järvelin and Kekäläinen 2002 with binary gains, and with a discount that leaves rank 1
    whole and reduces rank 2. The perfect list holds min(k, relevant) hits.
    """
    discount = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(discount)[_findable(n_relevant, ks) - 1]
    return _within(hits * discount, ks) / ideal


def average_precision(hits: Hits, n_relevant: Int64Array, ks: Sequence[int]) -> PerUser:
    """Precision at the rank of each hit within k, summed, over min(k, relevant); `map`.

    The mean of it over users is MAP@k. TREC divides by all relevant items instead; divided by
    what can be found, a perfect list scores 1 at every k.
    """
    ranks = np.arange(1, hits.shape[1] + 1)
    at_hits = hits * np.cumsum(hits, axis=1) / ranks
    return _within(at_hits, ks) / _findable(n_relevant, ks)


def mrr(hits: Hits, n_relevant: Int64Array, ks: Sequence[int]) -> PerUser:
    """1 / rank of the first hit within k, else 0 (reciprocal rank, Voorhees 1999)."""
    ranks = np.arange(1, hits.shape[1] + 1)
    is_first = hits & (np.cumsum(hits, axis=1) == 1)
    return _within(is_first / ranks, ks)


def hit_rate(hits: Hits, n_relevant: Int64Array, ks: Sequence[int]) -> PerUser:
    """1 if there is any hit within k, else 0."""
    return (_within(hits, ks) > 0).astype(np.float64)


METRICS: Mapping[str, Metric] = {
    "precision": precision,
    "recall": recall,
    "ndcg": ndcg,
    "map": average_precision,
    "mrr": mrr,
    "hit_rate": hit_rate,
}
"""The metrics of every report, in the order of tables."""

OFFERED: Mapping[str, Metric] = {**METRICS, "capped_recall": capped_recall}
"""All metrics that can be named."""


def column(metric: str, k: int) -> str:
    """The name of a metric at a cut-off, such as `ndcg@10`."""
    return f"{metric}@{k}"


def parsed(name: str) -> tuple[str, int]:
    """Metric and cut-off of an accuracy column: `ndcg@10` is ("ndcg", 10).

    Raises:
        ValueError: no such metric is offered, or the cut-off is not a whole number from 1.
    """
    metric, _, k = name.partition("@")
    if metric not in OFFERED:
        raise ValueError(f"unknown metric {name!r}; offered are {', '.join(OFFERED)}, each as @k")
    if not (k.isascii() and k.isdigit() and int(k) > 0):
        raise ValueError(f"metric {name!r} has no cut-off; write {metric}@10")
    return metric, int(k)
