"""Drift between two logs: the profile of a log, and the findings of one against another.

The plays of a row are compared by the Kolmogorov-Smirnov distance: the largest gap between the two
shares of rows with at most so many plays. It is measured at quarter powers of two, which the
profile stores, so neither log is read again; a gap between them can be missed, never overstated.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recsys.described import FORM

STEPS = 4  # bins for a doubling of plays


@dataclass(frozen=True, slots=True)
class LogProfile:
    """What is stored of a log, to compare the next one with.

    Attributes:
        rows: Rows that were read.
        rejected: Those of them that cannot be used.
        users: Distinct users of the usable rows.
        items: Distinct items of the usable rows.
        plays: Rows by floor(4 log2(plays)), the numbers as text as JSON has them.
    """

    rows: int
    rejected: int
    users: int
    items: int
    plays: Mapping[str, int]

    @classmethod
    def of(
        cls, rows: int, rejected: int, users: int, items: int, plays: npt.NDArray[np.float64]
    ) -> Self:
        """The profile of a log whose usable rows have `plays`, float64 > 0, shape (n,)."""
        bins, counts = np.unique(np.floor(STEPS * np.log2(plays)), return_counts=True)
        pairs = zip(bins.astype(int).tolist(), counts.tolist(), strict=True)
        return cls(rows, rejected, users, items, {str(each): n for each, n in pairs})

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Self:
        """The profile that `as_json` wrote."""
        return cls(**{each.name: table[each.name] for each in fields(cls)})

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return asdict(self)

    @classmethod
    def together(cls, parts: Sequence[Self], users: int, items: int) -> Self:
        """The profile of a log in several parts, with this many users and items in all."""
        plays: Counter[str] = Counter()
        for part in parts:
            plays.update(part.plays)
        rows, rejected = (sum(getattr(p, name) for p in parts) for name in ("rows", "rejected"))
        return cls(rows, rejected, users, items, dict(plays))

    @property
    def rejects(self) -> float:
        """Share of the rows that cannot be used; 0 without rows."""
        return self.rejected / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a log may differ from the one before it.

    Attributes:
        shrink: Least ratio, new to old, of the rows, of the users and of the items.
        grow: Largest ratio of them.
        rejects: Largest rise of the share of unusable rows.
        shift: Largest Kolmogorov-Smirnov distance of the plays.
    """

    __pydantic_config__ = FORM

    shrink: float = 0.5
    grow: float = 3.0
    rejects: float = 0.05
    shift: float = 0.1

    def __post_init__(self) -> None:
        for name, low, high in (
            ("shrink", 0, 1),
            ("grow", 1, np.inf),
            ("rejects", 0, 1),
            ("shift", 0, 1),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(
                    f"drift limit {name} is {getattr(self, name):g}: use {low} to {high}"
                )


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference beyond its limit.

    Attributes:
        what: "rows", "users", "items", "rejects" or "plays".
        value: How much it changed: a ratio, a rise of a share, or a distance.
        limit: The limit it exceeds.
        words: The finding as text.
    """

    what: str
    value: float
    limit: float
    words: str


def check(new: LogProfile, old: LogProfile, limits: Limits | None = None) -> list[Finding]:
    """The differences of a new log from the last one that are beyond the limits.

    Args:
        new: The new log.
        old: The last log that a model was trained on.
        limits: The limits; the defaults if None.
    """
    limits = limits or Limits()
    others = (_rejects(new, old, limits), _plays(new, old, limits))
    return [*_sizes(new, old, limits), *(each for each in others if each)]


def shrunk(new: LogProfile, old: LogProfile, limits: Limits) -> list[Finding]:
    """The losses of a log that should only grow: fewer rows, users or items."""
    return [each for each in _sizes(new, old, limits) if each.value < 1]


def _sizes(new: LogProfile, old: LogProfile, limits: Limits) -> list[Finding]:
    sizes = ("rows", "users", "items")
    findings = [_size(what, getattr(new, what), getattr(old, what), limits) for what in sizes]
    return [each for each in findings if each]


def _size(what: str, new: int, old: int, limits: Limits) -> Finding | None:
    ratio = new / old if old else np.inf
    if limits.shrink <= ratio <= limits.grow:
        return None
    limit, words = (limits.shrink, "fewer") if ratio < limits.shrink else (limits.grow, "more")
    return Finding(
        what,
        ratio,
        limit,
        f"{words} {what}: {new:,} after {old:,}, {ratio:.2f} times as many; {limit:g} is allowed",
    )


def _rejects(new: LogProfile, old: LogProfile, limits: Limits) -> Finding | None:
    rise = new.rejects - old.rejects
    if rise <= limits.rejects:
        return None
    return Finding(
        "rejects",
        rise,
        limits.rejects,
        f"more rows cannot be used: {new.rejects:.1%} ({new.rejected:,} of {new.rows:,}) after "
        f"{old.rejects:.1%}; a rise of {limits.rejects:.1%} is allowed",
    )


def _plays(new: LogProfile, old: LogProfile, limits: Limits) -> Finding | None:
    distance = shift(new, old)
    if distance <= limits.shift:
        return None
    return Finding(
        "plays",
        distance,
        limits.shift,
        f"plays have another distribution: Kolmogorov-Smirnov distance {distance:.3f}; "
        f"{limits.shift:g} is allowed",
    )


def shift(new: LogProfile, old: LogProfile) -> float:
    """Kolmogorov-Smirnov distance of the plays of a row, 0 to 1; 1 where one log has no rows."""
    bins = sorted({int(each) for each in (*new.plays, *old.plays)})
    below = []
    for profile in (new, old):
        counts = np.cumsum([profile.plays.get(str(each), 0) for each in bins])
        if not len(counts) or not counts[-1]:
            return 1.0
        below.append(counts / counts[-1])
    return float(np.abs(below[0] - below[1]).max())
