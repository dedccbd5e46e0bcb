"""What a published protocol is: files, cut, metrics, counts and rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from recsys.data.interactions import Events
from recsys.errors import InputError
from recsys.evaluation.metrics import parsed
from recsys.progress import Progress, silent
from recsys.sources.detect import ENDINGS

LIGHT = ("popularity-users", "rp3beta", "ease", "gf-cf", "als")
"""Models that cost little; `ease` takes no part where its matrix does not fit into memory."""
LARGE = ("popularity-users", "rp3beta", "sparse-ease", "gf-cf", "als")
"""The same for large catalogues, where `ease` needs too much memory."""


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A published result of a model.

    Attributes:
        model: Its name there.
        values: Of the metrics of the protocol, in their order.
        source: Who measured it, and where it is printed.
    """

    model: str
    values: tuple[float, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Count:
    """A published number of rows, users, items or pairs.

    Attributes:
        published: The number.
        exact: Whether ours must be the same; not where it depends on a draw.
    """

    published: int
    exact: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The data of a protocol, read and filtered, and cut where the cut is part of the data.

    Attributes:
        log: What is learned from; also everything, where the cut is a setting.
        counts: What was counted on the way, in order.
        test: The test side, where it is not cut by a setting.
        validation: The validation side, where it is not cut by a setting.
    """

    log: Events
    counts: Mapping[str, int]
    test: Events | None = None
    validation: Events | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What a protocol reads.

    Attributes:
        files: Name in the list of the protocol to where the file is.
        held_out: Users on each held-out side, where the protocol has a number.
        seed: Of what we draw.
        progress: Takes rows that were read.
    """

    files: Mapping[str, Path]
    held_out: int | None = None
    seed: int = 0
    progress: Progress = silent


@dataclass(frozen=True, slots=True)
class Protocol:
    """A published protocol.

    Attributes:
        name: As it is typed.
        title: Of the data and the cut.
        paper: That defines the cut.
        files: Names of the files that are read.
        home: Where they are published.
        prepare: Reads and filters them.
        split: The table [split] of the experiment.
        metrics: Of the published table, in its order.
        objective: What is tuned on validation, and what rows are sorted by.
        counts: What was counted to what is published.
        published: Rows that others measured.
        models: Those that are run by default.
        held_out: Users on each held-out side, where the protocol has a number.
        validation_users: A sample of the users that trials are judged on; all by default.
        seeded: Whether `prepare` draws something with the seed of the user.
        notes: What a reader of the table has to know, in sentences.
    """

    name: str
    title: str
    paper: str
    files: tuple[str, ...]
    home: str
    prepare: Callable[[Task], Prepared]
    split: Mapping[str, Any]
    metrics: tuple[str, ...]
    objective: str
    counts: Mapping[str, Count]
    published: tuple[PublishedRow, ...] = ()
    models: tuple[str, ...] = LIGHT
    held_out: int | None = None
    validation_users: int | None = None
    seeded: bool = False
    notes: tuple[str, ...] = ()

    @property
    def ks(self) -> tuple[int, ...]:
        """The cut-offs of its metrics, rising."""
        return tuple(sorted({parsed(metric)[1] for metric in self.metrics}))

    @property
    def holds_users_out(self) -> bool:
        """Whether whole users are held out, so many on each side."""
        return bool(self.split["kind"] == "users")

    @property
    def reads(self) -> str:
        """Its files and where they are published, as advice at the end of a message."""
        return f"{self.name} reads {' and '.join(self.files)}, published at {self.home}"

    def with_held_out(self, n: int) -> Self:
        """The same with another number of held-out users, for data smaller than the published."""
        if self.held_out is None:
            raise ValueError(f"{self.name} has no number of held-out users")
        sizes = {"validation": n, "test": n} if self.holds_users_out else {}
        return replace(self, held_out=n, split={**self.split, **sizes})

    def found(self, place: Path) -> dict[str, Path]:
        """Where its files are: in a folder, plain or packed, or the only file itself.

        Raises:
            InputError: one is missing; the message says where it is published.
        """
        if place.is_file() and len(self.files) == 1:
            return {self.files[0]: place}
        return {name: self._file(place, name) for name in self.files}

    def _file(self, place: Path, name: str) -> Path:
        for ending in ENDINGS:
            if (path := place / f"{name}{ending}").is_file():
                return path
        what = f"{place / name} is missing" if place.is_dir() else f"{place} is no folder"
        raise InputError(f"{what}; {self.reads}")

    def check_users(self, n_users: int) -> None:
        """Refuse data with too few users to hold the number of the protocol out.

        Raises:
            InputError: as said.
        """
        if self.held_out is None or not self.holds_users_out or n_users > 2 * self.held_out:
            return
        n = f"{self.held_out:,}"
        raise InputError(
            f"{self.name} holds {n} + {n} users out, and after the filter there are "
            f"{n_users:,}; {self.reads}"
        )


def rows_of(source: str, rows: Mapping[str, Sequence[float]]) -> tuple[PublishedRow, ...]:
    """Rows of one source."""
    return tuple(PublishedRow(model, tuple(values), source) for model, values in rows.items())
