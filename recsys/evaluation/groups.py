"""Groups of users and of items, and the metrics within each.

Labels are arrays of group names, one per judged user or per item. Everyone has a group; missing
values form the group "unknown".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.data.ids import Strings
from recsys.data.interactions import Interactions
from recsys.dtypes import Float64Array, Int64Array
from recsys.evaluation.bootstrap import (
    LEVEL,
    N_RESAMPLES,
    Estimate,
    column_intervals,
    resampled_deviations,
)
from recsys.models.recommender import NO_ITEM, Recommendations
from recsys.progress import Progress, silent
from recsys.seeds import seed_for
from recsys.splitting.split import Fold

Labels = npt.NDArray[np.str_]

ACTIVITY = ("cold", "medium", "heavy")
POPULARITY = ("head", "middle", "tail")
AGES = ("0-17", "18-24", "25-34", "35-44", "45-54", "55+")
OTHER, UNKNOWN = "other", "unknown"
N_COUNTRIES = 10
_AGES_FROM = (18, 25, 35, 45, 55)


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A metric over one group of users.

    Attributes:
        group: Its name.
        n: Number of its judged users, > 0.
        estimate: Mean over them, with a 95 % interval.
    """

    group: str
    n: int
    estimate: Estimate


@dataclass(frozen=True, slots=True, eq=False)
class ItemGroupHits:
    """Held-out cells and hits, per user and group of items.

    Attributes:
        groups: Names of the groups, g of them.
        users: User numbers, int32, rising, shape (m,).
        held_out: Items held out, int64, shape (m, g).
        hits: Those of them within the first k of the list, int64, shape (m, g).
    """

    groups: tuple[str, ...]
    users: npt.NDArray[np.int32]
    held_out: Int64Array
    hits: Int64Array


@dataclass(frozen=True, slots=True)
class ItemGroupRow:
    """The recall of one group of items.

    Attributes:
        group: Its name.
        n_held_out: Cells held out in it, over all users, > 0.
        n_hits: Those of them that are hits.
        recall: n_hits / n_held_out, with a 95 % interval.
    """

    group: str
    n_held_out: int
    n_hits: int
    recall: Estimate


def user_groups(fold: Fold, n_countries: int = N_COUNTRIES) -> dict[str, Labels]:
    """The judged users by activity, and by gender, country and age where there are profiles.

    Args:
        fold: What is judged. Activity is that in its history, so what is known of a user.
        n_countries: As for `by_country`.

    Returns:
        "activity", "gender", "country", "age" to labels of `fold.judged`, shape (m,).
    """
    groups = {"activity": by_activity(fold.history.per_user()[fold.judged])}
    if fold.profiles is None:
        return groups
    return groups | {
        "gender": by_text(fold.profiles.gender.take(fold.judged)),
        "country": by_country(fold.profiles.country.take(fold.judged), n_countries),
        "age": by_age(fold.profiles.age[fold.judged]),
    }


def by_activity(n_train_items: Int64Array) -> Labels:
    """Users as cold, medium or heavy, cut at the terciles of their numbers of items.

    Of m users, cold are those with fewer items than the one in place m // 3 (from 0) of the
    sorted, and heavy those with more than the one in the same place from the other end. A group
    depends on the number alone: users with as many as at a cut are all medium, so with ties
    cold and heavy hold less than a third each, and are empty where all have the same number.

    Args:
        n_train_items: Items of each judged user in training, int64, shape (m,).

    Returns:
        Shape (m,), of ACTIVITY.
    """
    if not len(n_train_items):
        return np.array([], dtype=np.str_)
    ordered = np.sort(n_train_items)
    low, high = ordered[len(ordered) // 3], ordered[-1 - len(ordered) // 3]
    place = 1 + (n_train_items > high).astype(np.int64) - (n_train_items < low)
    return _named(ACTIVITY, place)


def by_text(texts: Strings) -> Labels:
    """The texts as groups, such as gender; UNKNOWN where a text is null or empty.

    Args:
        texts: pyarrow strings, shape (m,).

    Returns:
        Shape (m,).
    """
    return np.array([text or UNKNOWN for text in texts.to_pylist()], dtype=np.str_)


def by_country(countries: Strings, n: int = N_COUNTRIES) -> Labels:
    """The n countries with most users, the others as OTHER, null or empty as UNKNOWN.

    Of countries with equally many users those first in the alphabet are kept.

    Args:
        countries: pyarrow strings, shape (m,).
        n: How many are kept, >= 0.

    Returns:
        Shape (m,).
    """
    labels = by_text(countries)
    names, counts = np.unique(labels[labels != UNKNOWN], return_counts=True)
    kept = names[np.argsort(-counts, kind="stable")[:n]]
    return np.where(np.isin(labels, [*kept, UNKNOWN]), labels, OTHER)


def by_age(years: npt.NDArray[np.float32]) -> Labels:
    """Users by band of age: a band holds its first year and ends before the next band.

    Args:
        years: float32, shape (m,), NaN where it is not known.

    Returns:
        Shape (m,), of AGES or UNKNOWN.
    """
    bands = _named(AGES, np.searchsorted(_AGES_FROM, years, side="right"))
    return np.where(np.isnan(years), UNKNOWN, bands)


def ordered(labels: Labels) -> tuple[str, ...]:
    """The groups that occur, in the order to show them.

    First groups with a fixed order, such as cold to heavy; then others, those with most members
    first and by name among equals; OTHER and UNKNOWN last.
    """
    names, counts = np.unique(labels, return_counts=True)
    size = dict(zip(names.tolist(), counts.tolist(), strict=True))
    known = (*ACTIVITY, *POPULARITY, *AGES)
    last = (OTHER, UNKNOWN)

    def place(name: str) -> tuple[int, int, str]:
        if name in known:
            return 0, known.index(name), name
        return (2, last.index(name), name) if name in last else (1, -size[name], name)

    return tuple(sorted(size, key=place))


def group_tables(
    values: Mapping[str, Float64Array],
    labels: Labels,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    progress: Progress = silent,
) -> dict[str, tuple[GroupRow, ...]]:
    """The mean of a metric within each group for each model, with 95 % intervals.

    Percentile bootstrap as in `recsys.evaluation.bootstrap`, over the users of a group, whose
    number is taken as given. Models share the resamples; the groups are resampled
    independently. The interval of a group of a few users is too narrow.

    Args:
        values: Model to a metric of each user, float64, shape (m,).
        labels: Group of each user, shape (m,).
        seed: The same seed gives the same numbers; a group does not depend on the other groups.
        n_resamples: Number of bootstrap resamples.
        progress: Reports "bootstrap resamples", group by group.

    Returns:
        For each model a row per group, ordered as by `ordered`.

    Raises:
        ValueError: the number of values of a model is not that of the labels.
    """
    if wrong := {name: len(v) for name, v in values.items() if len(v) != len(labels)}:
        raise ValueError(f"{len(labels)} labels but numbers of values {wrong}")
    tables: dict[str, list[GroupRow]] = {name: [] for name in values}
    for group in ordered(labels) if values else ():
        members = labels == group
        table = np.column_stack([v[members] for v in values.values()])
        estimates = column_intervals(table, seed_for(seed, group), n_resamples, progress)
        for rows, estimate in zip(tables.values(), estimates, strict=True):
            rows.append(GroupRow(group, len(table), estimate))
    return {name: tuple(rows) for name, rows in tables.items()}


def item_groups(n_users: Int64Array) -> Labels:
    """Items as head, middle and tail, which hold about a third of all cells each.

    With items sorted by users, most first, an item is of the head if less than a third of
    all cells belong to items with more users than it, of the middle if less than two thirds
    do, and else of the tail. The item at a cut belongs to the more popular group, with all that
    have as many users: a group depends on the number alone ("head: 800 users or more").
    Items without users belong to the tail. The three parts are those of Celma and Cano 2008
    (Netflix-KDD workshop), who cut by a fitted curve instead.

    Args:
        n_users: Training users of every item, int64, shape (n_items,).

    Returns:
        Shape (n_items,), of POPULARITY.
    """
    levels, level, sizes = np.unique(-n_users, return_inverse=True, return_counts=True)
    cells = -levels * sizes
    before = np.cumsum(cells) - cells
    place = (3 * before >= cells.sum()).astype(np.int64) + (3 * before >= 2 * cells.sum())
    return _named(POPULARITY, place[level])


def hits_by_item_group(
    recs: Recommendations, held_out: Interactions, item_labels: Labels, k: int
) -> ItemGroupHits:
    """For each group of items, how many cells of each user are held out and hit by the first k.

    Args:
        recs: One list for each user with something held out, in any order.
        held_out: The held-out cells.
        item_labels: Group of every item, shape (n_items,).
        k: Cut-off, from 1 to the width of the lists.

    Raises:
        ValueError: users differ from those with something held out, there are not as many labels
            as items, or k is not within the width.
    """
    _check(recs, held_out, item_labels, k)
    order = np.argsort(recs.users, kind="stable")
    users, items = recs.users[order], recs.items[order, :k]
    keys = users[:, None].astype(np.int64) * len(held_out.items) + items
    # The key of NO_ITEM is that of the last item of the user before.
    hits = np.isin(keys, held_out.keys) & (items != NO_ITEM)
    groups = ordered(item_labels)
    codes = _codes(item_labels, groups)
    return ItemGroupHits(
        groups,
        users,
        _table(np.searchsorted(users, held_out.rows), codes[held_out.cols], len(users), groups),
        _table(np.nonzero(hits)[0], codes[items[hits]], len(users), groups),
    )


def recall_by_item_group(
    counts: ItemGroupHits, seed: int, n_resamples: int = N_RESAMPLES, progress: Progress = silent
) -> tuple[ItemGroupRow, ...]:
    """Hits over held-out cells of each group, both summed over users, with 95 % intervals.

    Micro-averaged: each cell counts the same, because many users have no held-out cell in a group.
    Weighted by `n_held_out`, the recalls of the groups sum up to that of all cells. Both sums
    are taken over the same resampled users (percentile bootstrap of a ratio, Efron and
    Tibshirani 1993, chapter 13); resamples with nothing of a group held out are left out of its
    interval. A group with nothing held out has no row.

    Args:
        counts: Held-out cells and hits.
        seed: The same seed gives the same resamples as `recsys.evaluation.bootstrap`.
        n_resamples: Number of bootstrap resamples.
        progress: Reports "bootstrap resamples", block by block.
    """
    both = np.hstack([counts.hits, counts.held_out]).astype(np.float64)
    drawn = resampled_deviations(both, seed, n_resamples, progress)
    sums = np.rint(len(both) * drawn) + both.sum(axis=0)
    hits, held_out = np.hsplit(sums, 2)
    return tuple(
        _recall(group, counts.hits[:, n], counts.held_out[:, n], hits[:, n], held_out[:, n])
        for n, group in enumerate(counts.groups)
        if counts.held_out[:, n].any()
    )


def _named(names: tuple[str, ...], places: npt.NDArray[np.integer[Any]]) -> Labels:
    labels: Labels = np.array(names, dtype=np.str_)[places]
    return labels


def _recall(
    group: str,
    hits: Int64Array,
    held_out: Int64Array,
    drawn_hits: Float64Array,
    drawn_held_out: Float64Array,
) -> ItemGroupRow:
    n_hits, n_held_out = int(hits.sum()), int(held_out.sum())
    there = drawn_held_out > 0
    tail = (1 - LEVEL) / 2
    ends: list[float | None] = [None, None]
    if there.any():
        ends = np.quantile(drawn_hits[there] / drawn_held_out[there], [tail, 1 - tail]).tolist()
    return ItemGroupRow(group, n_held_out, n_hits, Estimate(n_hits / n_held_out, *ends))


def _check(recs: Recommendations, held_out: Interactions, item_labels: Labels, k: int) -> None:
    if len(item_labels) != len(held_out.items):
        raise ValueError(f"{len(item_labels)} labels, catalogue of {len(held_out.items)} items")
    if not 1 <= k <= recs.items.shape[1]:
        raise ValueError(f"k must be within 1 to {recs.items.shape[1]}, the width, got {k}")
    if not np.array_equal(np.sort(recs.users), held_out.users_with_cells()):
        raise ValueError("recommendations must be of each user with something held out, once")


def _codes(labels: Labels, groups: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Positions of `labels` in `groups`, int64, the shape of labels."""
    names, code = np.unique(labels, return_inverse=True)
    return np.array([groups.index(name) for name in names.tolist()], dtype=np.int64)[code]


def _table(
    rows: npt.NDArray[np.integer[Any]], codes: Int64Array, n_users: int, groups: tuple[str, ...]
) -> Int64Array:
    """How often each pair of row and code occurs, int64, shape (n_users, n_groups)."""
    size = n_users * len(groups)
    return np.bincount(rows * len(groups) + codes, minlength=size).reshape(n_users, -1)
