"""The lists of several models for the same users, merged into one."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from recsys.dtypes import Float64Array, Int32Array
from recsys.models.config import ModelConfig
from recsys.models.recommender import NO_ITEM, Recommendations, Recommender
from recsys.models.top_k import Block, best

Merge = Literal["ranks", "scores"]

DOUBLE = 2.0  # the weight of a member that counts more than the others
LEAST = 0.001  # what the last of a list is worth by its score, so that it still counts


@runtime_checkable
class ListMerger(Recommender, Protocol):
    """A model that merges the lists of others, its members."""

    @property
    def members(self) -> Sequence[Recommender]:
        """The models, in the order of the configuration."""

    def depth(self, k: int) -> int:
        """Length of the members' lists that are merged into one of k items."""

    def merge(self, lists: Sequence[Recommendations], k: int) -> Recommendations:
        """The k best items of one list of each member, in the order of the members."""

    def merging(self, config: Any) -> "ListMerger":
        """The same members, fitted as they are, whose lists are merged in another way."""


def ways_to_merge(config: ModelConfig) -> tuple[ModelConfig, ...]:
    """An ensemble by rank and by score, with equal weights and with each member counting double."""
    n = len(config.parts)
    weights = [(), *(tuple(DOUBLE if i == j else 1.0 for i in range(n)) for j in range(n))]
    return tuple(
        config.model_copy(update={"merge": merge, "weights": each})
        for merge in ("ranks", "scores")
        for each in weights
    )


def worth(recs: Recommendations, by: Merge, constant: float, depth: int) -> Float64Array:
    """What each place of each list is worth, between 0 and 1.

        ranks    1 / (constant + r) at rank r, from 1 (Cormack, Clarke and Buettcher 2009)
        scores   from LEAST for the lowest score of the first `depth` places to 1 for the highest
                 (min-max scaling of Lee 1997, for the CombSUM of Fox and Shaw 1994); below LEAST
                 and falling after them, so that a longer list changes no place before

    Args:
        recs: Lists, shape (m, k).
        by: What counts.
        constant: The higher, the less the first ranks count.
        depth: Places by which scores are scaled.

    Returns:
        float64, shape (m, k); 0 past the end of a list.
    """
    shown = recs.items != NO_ITEM
    if by == "ranks":
        ranks = np.arange(1, recs.items.shape[1] + 1)
        return np.where(shown, 1.0 / (constant + ranks), 0.0)
    scores = recs.scores.astype(np.float64)
    first, at = scores[:, :depth], shown[:, :depth]
    low = np.where(at, first, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    high = np.where(at, first, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    scaled = np.where(shown, scores - low, 0.0) / np.where(high > low, high - low, 1.0)
    inside = LEAST + (1 - LEAST) * np.where(high > low, scaled, 1.0)
    after = LEAST / (1 - np.minimum(scaled, 0.0))
    return np.where(shown, np.where(scaled < 0, after, inside), 0.0)


def merged(
    lists: Sequence[Recommendations], worths: Sequence[Float64Array], k: int
) -> Recommendations:
    """The k items of all lists whose worths add up to the most, of equal ones the lower number.

    Args:
        lists: Of one model each, all of the same m users.
        worths: Of the places of each, as `worth` gives them, float64, of the shape of its list.
        k: Length of the result.
    """
    items = np.concatenate([each.items for each in lists], axis=1)
    values = np.concatenate(worths, axis=1)
    order = np.argsort(items, axis=1, kind="stable")
    items, values = (np.take_along_axis(each, order, axis=1) for each in (items, values))
    m, width = items.shape
    begins = np.ones((m, width), np.bool_)
    begins[:, 1:] = items[:, 1:] != items[:, :-1]
    sums = np.full((m, width), -np.inf, np.float32)
    if m:
        sums[begins] = np.add.reduceat(values.ravel(), np.flatnonzero(begins))
    sums[items == NO_ITEM] = -np.inf
    found, scores = _of_items(items, best(sums, k))
    return Recommendations(lists[0].users.astype(np.int32), found, scores)


def _of_items(items: Int32Array, ranked: Block) -> Block:
    """The items at the columns that were ranked."""
    columns, scores = ranked
    at = np.where(columns == NO_ITEM, 0, columns)
    found = np.take_along_axis(items, at, axis=1).astype(np.int32)
    return np.where(columns == NO_ITEM, NO_ITEM, found).astype(np.int32), scores
