"""Figures of a log and of its matrix, to look at before modelling."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recsys.data.interactions import Events, Interactions, Times
from recsys.data.profiles import Profiles


@dataclass(frozen=True, slots=True)
class Summary:
    """Smallest, median, mean and largest of some numbers; all 0 where there are none."""

    low: float
    median: float
    mean: float
    high: float

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Self:
        """The summary of `values`, any numeric dtype, shape (n,)."""
        if not len(values):
            return cls(0.0, 0.0, 0.0, 0.0)
        return cls(
            float(values.min()), float(np.median(values)), float(values.mean()), float(values.max())
        )


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


def _range(times: Times | None) -> tuple[int | None, int | None]:
    if times is None or not len(times):
        return None, None
    return int(times.min()), int(times.max())
