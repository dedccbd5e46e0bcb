"""Which user played which item: event by event, and summed into one cell per pair."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.data.ids import IdMap
from recsys.dtypes import BoolArray, Float64Array, Int32Array, Int64Array

Times = npt.NDArray[np.int64]


def _check(
    users: IdMap,
    items: IdMap,
    rows: Int32Array,
    cols: Int32Array,
    plays: Float64Array,
    *times: Times | None,
) -> None:
    lengths = [len(rows), len(cols), len(plays), *(len(t) for t in times if t is not None)]
    if len(set(lengths)) != 1:
        raise ValueError(f"columns differ in length: {lengths}")
    for name, numbers, ids in (("user", rows, users), ("item", cols, items)):
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(ids):
            raise ValueError(
                f"{name} numbers run {numbers.min()}..{numbers.max()}, map has {len(ids)} ids"
            )
    if len(plays) and not (np.isfinite(plays).all() and float(plays.min()) > 0):
        raise ValueError(f"plays must be finite and > 0, smallest is {plays.min()}")


def _ordered(
    rows: Int32Array,
    cols: Int32Array,
    shape: tuple[int, int],
    plays: Float64Array,
    times: Times | None,
) -> tuple[Int32Array, Int32Array, Int64Array]:
    """Rows and columns by (user, item, time, plays), and the permutation that sorts so.

    Most pairs have one event, so what is sorted is the items of each user; then the pairs with
    more.
    """
    by_user = np.arange(len(rows), dtype=np.int64)
    if (rows[1:] < rows[:-1]).any():
        by_user = np.argsort(rows, kind="stable")
        rows, cols = rows[by_user], cols[by_user]
    starts = np.append(0, np.cumsum(np.bincount(rows, minlength=shape[0])))
    sorting = csr_matrix((by_user, cols, starts), shape=shape, copy=True)
    sorting.sort_indices()
    order, cols = np.asarray(sorting.data), sorting.indices.astype(np.int32, copy=False)
    repeated = (cols[1:] == cols[:-1]) & (rows[1:] == rows[:-1])
    if repeated.any():
        some = np.flatnonzero(np.append(repeated, False) | np.append(False, repeated))
        at = order[some]
        ties = (plays[at],) if times is None else (plays[at], times[at])
        order[some] = at[np.lexsort((*ties, cols[some], rows[some]))]
    return rows.astype(np.int32, copy=False), cols, order


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """The rows of a log, one per line of the file that could be used.

    Held in the order (user, item, time, plays), so nothing depends on the order of the file.

    Attributes:
        users: External user ids, n_users of them; every one has at least one event.
        items: External item ids and names, n_items of them; every one has at least one event.
        rows: User number of each event, int32, shape (n,).
        cols: Item number of each event, int32, shape (n,).
        plays: How often (or how much) the event counts, float64 > 0, shape (n,).
        times: Whole seconds since 1970-01-01 UTC, int64, shape (n,); None without times.
    """

    users: IdMap
    items: IdMap
    rows: Int32Array
    cols: Int32Array
    plays: Float64Array
    times: Times | None = None

    def __post_init__(self) -> None:
        _check(self.users, self.items, self.rows, self.cols, self.plays, self.times)
        rows, cols = self.rows, self.cols
        back = (cols[1:] < cols[:-1]) & (rows[1:] == rows[:-1])
        if back.any() or (rows[1:] < rows[:-1]).any():
            raise ValueError("events must be ordered by user and item; use Events.of()")

    @classmethod
    def of(
        cls,
        users: IdMap,
        items: IdMap,
        rows: Int32Array,
        cols: Int32Array,
        plays: Float64Array,
        times: Times | None = None,
    ) -> Self:
        """Events from columns in any order."""
        rows, cols, order = _ordered(rows, cols, (len(users), len(items)), plays, times)
        return cls(
            users,
            items,
            rows,
            cols,
            plays[order].astype(np.float64, copy=False),
            None if times is None else times[order].astype(np.int64, copy=False),
        )

    def __repr__(self) -> str:
        sizes = f"{len(self.users):,} users, {len(self.items):,} items"
        return f"Events: {sizes}, {len(self):,} events"

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """One number per pair, user * n_items + item, int64, shape (n,)."""
        return self.rows.astype(np.int64) * len(self.items) + self.cols

    @property
    def begins(self) -> BoolArray:
        """Whether an event is the first of its pair, bool, shape (n,)."""
        rows, cols = self.rows, self.cols
        begins = np.ones(len(rows), dtype=np.bool_)
        begins[1:] = (rows[1:] != rows[:-1]) | (cols[1:] != cols[:-1])
        return begins

    def where(self, keep: BoolArray) -> Self:
        """The events where `keep` is true, over the same id maps."""
        return type(self)(
            self.users,
            self.items,
            self.rows[keep],
            self.cols[keep],
            self.plays[keep],
            None if self.times is None else self.times[keep],
        )

    def compact(self) -> Self:
        """The same events over id maps that hold only ids with an event."""
        user_kept = np.bincount(self.rows, minlength=len(self.users)) > 0
        item_kept = np.bincount(self.cols, minlength=len(self.items)) > 0
        if user_kept.all() and item_kept.all():
            return self
        return type(self)(
            self.users.where(user_kept),
            self.items.where(item_kept),
            (np.cumsum(user_kept, dtype=np.int32) - 1)[self.rows],
            (np.cumsum(item_kept, dtype=np.int32) - 1)[self.cols],
            self.plays,
            self.times,
        )

    def cells(self) -> "Interactions":
        """One cell per pair: plays summed, first and last time kept."""
        keys = self.keys
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        ends = np.append(starts[1:], len(keys)) - 1
        return Interactions(
            self.users,
            self.items,
            self.rows[starts],
            self.cols[starts],
            np.add.reduceat(self.plays, starts) if len(starts) else self.plays[:0],
            None if self.times is None else self.times[starts],
            None if self.times is None else self.times[ends[: len(starts)]],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """Distinct user-item pairs over fixed id maps, ordered by user, then item.

    Attributes:
        users: External user ids, n_users of them; a user may be without a cell.
        items: External item ids and names, n_items of them; an item may be without a cell.
        rows: User number of each cell, int32, shape (n,).
        cols: Item number of each cell, int32, shape (n,).
        plays: Strength of each cell, float64 > 0, shape (n,).
        first: When the pair was first seen, int64 seconds UTC, shape (n,); None without times.
        last: When the pair was last seen, int64 seconds UTC, shape (n,); None without times.
    """

    users: IdMap
    items: IdMap
    rows: Int32Array
    cols: Int32Array
    plays: Float64Array
    first: Times | None = None
    last: Times | None = None

    def __post_init__(self) -> None:
        _check(self.users, self.items, self.rows, self.cols, self.plays, self.first, self.last)
        if len(self) and (np.diff(self.keys) <= 0).any():
            raise ValueError("cells must be distinct and ordered by user and item")

    def __repr__(self) -> str:
        sizes = f"{len(self.users):,} users, {len(self.items):,} items"
        return f"Interactions: {sizes}, {len(self):,} pairs"

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of users, number of items."""
        return len(self.users), len(self.items)

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """One number per cell, user * n_items + item, int64, strictly rising, shape (n,)."""
        return self.rows.astype(np.int64) * len(self.items) + self.cols

    def where(self, keep: BoolArray) -> Self:
        """The cells where `keep`, bool of shape (n,), is true, over the same id maps."""
        return type(self)(
            self.users,
            self.items,
            self.rows[keep],
            self.cols[keep],
            self.plays[keep],
            None if self.first is None else self.first[keep],
            None if self.last is None else self.last[keep],
        )

    def merged(self, other: Self) -> Self:
        """The cells of both, which must have no pair in common and share their id maps."""
        order = np.argsort(np.concatenate([self.keys, other.keys]), kind="stable")

        def both(mine: Times | None, theirs: Times | None) -> Times | None:
            if mine is None or theirs is None:
                return None
            return np.concatenate([mine, theirs])[order]

        return type(self)(
            self.users,
            self.items,
            np.concatenate([self.rows, other.rows])[order],
            np.concatenate([self.cols, other.cols])[order],
            np.concatenate([self.plays, other.plays])[order],
            both(self.first, other.first),
            both(self.last, other.last),
        )

    def matrix(self) -> csr_matrix:
        """Plays, float32 CSR with sorted indices, shape (n_users, n_items).

        A csr_matrix and not a csr_array because implicit tests for that class.
        """
        indptr = np.searchsorted(self.rows, np.arange(len(self.users) + 1)).astype(np.int32)
        return csr_matrix(
            (self.plays.astype(np.float32), self.cols, indptr), shape=self.shape, copy=False
        )

    def users_with_cells(self) -> Int32Array:
        """Numbers of the users that have at least one cell, int32, rising."""
        first = np.diff(self.rows, prepend=-1) != 0
        return np.asarray(self.rows[first])

    def per_user(self) -> npt.NDArray[np.int64]:
        """Number of items of each user, int64, shape (n_users,)."""
        return np.bincount(self.rows, minlength=len(self.users))

    def per_item(self) -> npt.NDArray[np.int64]:
        """Number of users of each item, int64, shape (n_items,)."""
        return np.bincount(self.cols, minlength=len(self.items))
