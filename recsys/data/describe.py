"""Figures of a log and of its matrix, to look at before modelling."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recsys.data.interactions import Events, Interactions, Times
from recsys.data.profiles import Profiles


@dataclass(frozen=True, slots=True)
class Summary:
    """Of some numbers; all 0 where there are none.

    Attributes:
        low: The smallest.
        q1: First quartile, interpolated linearly.
        median: Half are below it.
        mean: Their sum by their number.
        q3: Third quartile.
        high: The largest.
    """

    low: float
    q1: float
    median: float
    mean: float
    q3: float
    high: float

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Self:
        """The summary of `values`, any numeric dtype, shape (n,)."""
        if not len(values):
            return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        low, q1, median, q3, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist()
        return cls(low, q1, median, float(values.mean()), q3, high)


@dataclass(frozen=True, slots=True)
class PlayedItem:
    """An item and how much it is played.

    Attributes:
        id: External id.
        name: Display name.
        plays: Sum over all users.
        users: Who play it.
    """

    id: str
    name: str
    plays: float
    users: int


@dataclass(frozen=True, slots=True)
class MatrixStats:
    """How large and how full a matrix of users and items is.

    Attributes:
        users: Number of rows.
        items: Number of columns.
        nonzeros: Number of cells.
        memory: Bytes of the matrix as float32 CSR with int32 indices.
        idle_users: Users without a cell.
        idle_items: Items without a cell.
    """

    users: int
    items: int
    nonzeros: int
    memory: int
    idle_users: int
    idle_items: int

    @classmethod
    def of(cls, cells: Interactions) -> Self:
        """The statistics of `cells.matrix()`, which is not built."""
        users, items = cells.shape
        return cls(
            users=users,
            items=items,
            nonzeros=len(cells),
            memory=8 * len(cells) + 4 * (users + 1),
            idle_users=int((cells.per_user() == 0).sum()),
            idle_items=int((cells.per_item() == 0).sum()),
        )

    @property
    def density(self) -> float:
        """Share of pairs that have a cell, 0 for a matrix without pairs."""
        return self.nonzeros / (self.users * self.items) if self.users and self.items else 0.0

    @property
    def sparsity(self) -> float:
        """Share of pairs that have none."""
        return 1.0 - self.density

    def as_dict(self) -> dict[str, Any]:
        """Every figure by name, JSON-ready."""
        return {**asdict(self), "density": self.density, "sparsity": self.sparsity}


@dataclass(frozen=True, slots=True)
class Description:
    """What a log holds.

    Attributes:
        rows: Usable rows of the file.
        cells: Distinct user-item pairs among them.
        total_plays: Sum of the plays of all rows.
        plays: Summary of the plays per row.
        items_per_user: Summary of the number of distinct items per user.
        users_per_item: Summary of the number of distinct users per item.
        matrix: Shape, density and memory of the matrix of the cells.
        first: Time of the earliest row, seconds since 1970-01-01 UTC; None without times.
        last: Time of the latest row, likewise.
        missing: Users of the log that lack each profile field, by field; None without profiles.
    """

    rows: int
    cells: int
    total_plays: float
    plays: Summary
    items_per_user: Summary
    users_per_item: Summary
    matrix: MatrixStats
    first: int | None
    last: int | None
    missing: dict[str, int] | None

    @property
    def users(self) -> int:
        """Users in the log."""
        return self.matrix.users

    @property
    def items(self) -> int:
        """Items in the log."""
        return self.matrix.items

    def as_dict(self) -> dict[str, Any]:
        """Every figure by name, JSON-ready."""
        figures = {**asdict(self), "matrix": self.matrix.as_dict()}
        return {"users": self.users, "items": self.items, **figures}


def describe(events: Events, profiles: Profiles | None = None) -> Description:
    """The numbers of `events`; a user without an entry in `profiles` counts as lacking all."""
    cells = events.cells()
    first, last = _range(events.times)
    return Description(
        rows=len(events),
        cells=len(cells),
        total_plays=float(events.plays.sum()),
        plays=Summary.of(events.plays),
        items_per_user=Summary.of(cells.per_user()),
        users_per_item=Summary.of(cells.per_item()),
        matrix=MatrixStats.of(cells),
        first=first,
        last=last,
        missing=None if profiles is None else profiles.aligned(events.users).missing(),
    )


def most_played(cells: Interactions, n: int) -> list[PlayedItem]:
    """The n items with most plays, most first; of equals the first id first."""
    items = cells.items
    plays = np.bincount(cells.cols, cells.plays, len(items))
    users = cells.per_item()
    best = np.argsort(-plays, kind="stable")[:n].tolist()
    return [PlayedItem(items.id(i), items.name(i), float(plays[i]), int(users[i])) for i in best]


def favourites(cells: Interactions) -> npt.NDArray[np.int32]:
    """The item that each user plays most; of equals the first id.

    Returns:
        Numbers of items, int32, shape (n_users,); -1 for a user without a cell.
    """
    order = np.lexsort((cells.cols, -cells.plays, cells.rows))
    rows, first = np.unique(cells.rows[order], return_index=True)
    found = np.full(len(cells.users), -1, dtype=np.int32)
    found[rows] = cells.cols[order][first]
    return found


def _range(times: Times | None) -> tuple[int | None, int | None]:
    if times is None or not len(times):
        return None, None
    return int(times.min()), int(times.max())
