"""A log of who played what, from a file or a frame, to be filtered, split and looked at."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recsys import sources
from recsys.config import checked
from recsys.data.filtering import Step, apply_filters
from recsys.data.interactions import Events, Interactions
from recsys.data.profiles import Profiles
from recsys.errors import InputError
from recsys.sources.named import check_columns
from recsys.sources.rejects import Rejects
from recsys.sources.sample import make_sample, write_sample
from recsys.splitting.cutting import cut
from recsys.splitting.split import Split

Frame = Any  # of pandas, polars or pyarrow


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """Who played what, and the rows that cannot be used.

    Attributes:
        events: The rows that can be used, those that the filters left.
        rejects: The rows that cannot, with line numbers and reasons.
        profiles: Of users, in any order; None where none are known.
        columns: Which column was taken for what.
        notes: What was assumed, and what is odd about the data, in sentences.
        steps: What each filter left; nothing before the first.
    """

    events: Events
    rejects: Rejects
    profiles: Profiles | None = None
    columns: str = ""
    notes: tuple[str, ...] = ()
    steps: tuple[Step, ...] = field(default=(), kw_only=True)

    @property
    def cells(self) -> Interactions:
        """One cell for each pair of user and item: plays summed."""
        return self.events.cells()

    def filter(self, *, seed: int = 0, **settings: Any) -> Self:
        """The log of the users and items that stay.

        Args:
            seed: Draws the users where `fraction` is below 1.
            **settings: Those of the table [filter] of a configuration, such as min_items=5,
                min_users=5, top_users=1000, countries=["Sweden"]; both minimums are 0 if not given.

        Raises:
            InputError: no such setting, a wrong value, or nothing is left.
        """
        table = {"min_items": 0, "min_users": 0, **settings}
        config = checked({"filter": table}, "of filter()").filter
        events, steps = apply_filters(self.events, self.profiles, config, seed)
        return replace(self, events=events, steps=(*self.steps, *steps[bool(self.steps) :]))

    def split(self, kind: str = "random", *, seed: int = 0, **settings: Any) -> Split:
        """Training, validation and test; tuning sees validation only.

        Args:
            kind: "random" (a share of each user's items), "last", "time", "users", "cold-users"
                (users of whom only the profile is known) or "cold-items".
            seed: Of the draws.
            **settings: Those of the table [split] of a configuration, such as fraction=0.2.

        Raises:
            InputError: no such kind or setting, or the data cannot be split this way.
        """
        table = {"split": {"kind": kind, **settings}, "seed": seed}
        made = cut(self.events, checked(table, "of split()"))
        return made if self.profiles is None else made.with_profiles(self.profiles)

    @property
    def filtered(self) -> pd.DataFrame:
        """A row for each filter: the users, items, rows and pairs that it left."""
        steps = [(each.name, each.users, each.items, each.rows, each.cells) for each in self.steps]
        return pd.DataFrame(steps, columns=["filter", "users", "items", "rows", "pairs"])

    def users(self) -> pd.DataFrame:
        """A row for each user: user, items, plays and, where known, gender, age, country."""
        cells = self.cells
        table = {
            "user": cells.users.ids.to_pylist(),
            "items": cells.per_user(),
            "plays": np.bincount(cells.rows, cells.plays, len(cells.users)),
        }
        if self.profiles is not None:
            known = self.profiles.aligned(cells.users)
            table |= {
                "gender": known.gender.to_pylist(),
                "age": known.age,
                "country": known.country.to_pylist(),
            }
        return pd.DataFrame(table)

    def items(self) -> pd.DataFrame:
        """A row for each item, that of most users first: item, name, users, plays."""
        cells = self.cells
        table = {
            "item": cells.items.ids.to_pylist(),
            "name": cells.items.names.to_pylist(),
            "users": cells.per_item(),
            "plays": np.bincount(cells.cols, cells.plays, len(cells.items)),
        }
        found = pd.DataFrame(table)
        return found.sort_values(["users", "plays"], ascending=False, ignore_index=True)

    def to_pandas(self) -> pd.DataFrame:
        """A row for each event: user, item, name, plays and, where known, time (UTC)."""
        return to_pandas(self.events)

    def to_polars(self) -> Any:
        """As `to_pandas`, for polars.

        Raises:
            InputError: polars is not installed.
        """
        return to_polars(self.events)

    def __len__(self) -> int:
        """The number of events."""
        return len(self.events)

    def __repr__(self) -> str:
        return "Log: " + ", ".join(f"{value} {name}" for name, value in self._counts())

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{name}</th>" for name, _ in self._counts())
        cells = "".join(f"<td>{value}</td>" for _, value in self._counts())
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        shown = f"{escape(self.columns)}<ul>{notes}</ul>" if self.columns or notes else ""
        first = _table(self.events, 5).to_pandas().to_html(index=False, border=0)
        return f"<table><tr>{heads}</tr><tr>{cells}</tr></table>{shown}{first}"

    def _counts(self) -> list[tuple[str, str]]:
        events = self.events
        found = {
            "users": len(events.users),
            "items": len(events.items),
            "events": len(events),
            "rejected rows": len(self.rejects),
        }
        return [(name, f"{n:,}") for name, n in found.items()]


def read(
    source: str | Path | Frame,
    columns: Mapping[str, str | int] | None = None,
    profiles: str | Path | None = None,
    **options: Any,
) -> Log:
    """A log from a file or from a frame.

    Args:
        source: A file in one of the known formats, or a frame of pandas, polars or pyarrow.
        columns: Which column plays which role ("user", "item", "plays", "time", "name"). Without,
            the format of a file is detected, and a frame has to have columns called user and item.
        profiles: A file of profiles of the users.
        **options: More of `recsys.sources.read`, such as item_key="name" or strict=True.

    Raises:
        InputError: the file or the frame cannot be read as a log; the message says what to do.
    """
    if isinstance(source, str | Path):
        found = sources.read(Path(source), columns=columns, **options)
    else:
        found = _of_frame(source, columns, options)
    known = None if profiles is None else sources.read_profiles(Path(profiles)).profiles
    return Log(found.events, found.rejects, known, found.columns, found.notes)


def to_pandas(data: Events | Interactions) -> pd.DataFrame:
    """A row for each event: user, item, name, plays and, where known, time (UTC).

    Of cells, such as those of a side of a split: first and last in place of time.
    """
    frame: pd.DataFrame = _table(data).to_pandas()
    return frame


def to_polars(data: Events | Interactions) -> Any:
    """As `to_pandas`, for polars.

    Raises:
        InputError: polars is not installed.
    """
    try:
        import polars  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError as error:
        raise InputError(
            "to_polars() needs polars, which is not installed; install it, or use to_pandas()"
        ) from error
    return polars.from_arrow(_table(data))


def sample(users: int = 1000, items: int = 600, *, seed: int = 0) -> Log:
    """An invented log with profiles, read as the file that `recsys sample` writes.

    Args:
        users: How many.
        items: How many.
        seed: The same seed gives the same log.

    Raises:
        InputError: too few items, or too many of either.
    """
    with tempfile.TemporaryDirectory() as folder:
        plays, profiles = Path(folder) / "plays.tsv", Path(folder) / "profiles.tsv"
        write_sample(make_sample(users, items, seed), plays, profiles)
        return read(plays, profiles=profiles)


def _of_frame(frame: Frame, columns: Mapping[str, str | int] | None, options: Any) -> Any:
    """A frame is read as a Parquet file is, so that both have the same rules."""
    table = _arrow(frame)
    if columns is None:
        roles = ("user", "item", "plays", "time", "name")
        columns = {role: role for role in roles if role in table.column_names}
        if not {"user", "item"} <= columns.keys():
            raise InputError(
                f"the frame has the columns {', '.join(table.column_names)}; name those of user "
                'and item, as in columns={"user": "uid", "item": "track"}'
            )
    check_columns(columns, sources.named.LOG, "columns")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.parquet"
        pq.write_table(table, path)
        try:
            return sources.read(path, columns=columns, **options)
        except InputError as error:
            text = str(error).replace(f"{path}:1:", f"{path}:").replace(str(path), "the frame")
            raise InputError(text.replace("--columns", "columns")) from None


def _arrow(frame: Frame) -> Any:
    try:
        if isinstance(frame, pd.DataFrame):
            return pa.Table.from_pandas(frame, preserve_index=False)
        return pa.table(frame)
    except (TypeError, ValueError, pa.ArrowException) as error:
        kind = f"{type(frame).__module__}.{type(frame).__qualname__}"
        raise InputError(
            f"a {kind} cannot be read ({error}); pass a file, or a frame of pandas, polars or "
            "pyarrow with a column of users and one of items"
        ) from error


def _table(data: Events | Interactions, n: int | None = None) -> Any:
    rows, cols = (pa.array(numbers[:n]) for numbers in (data.rows, data.cols))
    table = {
        "user": data.users.ids.take(rows),
        "item": data.items.ids.take(cols),
        "name": data.items.names.take(cols),
        "plays": pa.array(data.plays[:n]),
    }
    times = {"time": data.times} if isinstance(data, Events) else _ends(data)
    for name, moments in times.items():
        if moments is not None:
            table[name] = pa.array(moments[:n]).cast(pa.timestamp("s", "UTC"))
    return pa.table(table)


def _ends(cells: Interactions) -> dict[str, Any]:
    return {"first": cells.first, "last": cells.last}
