"""The numbers of a log and three plots of its distributions."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recsys import plots, sources
from recsys.data.describe import Description, PlayedItem, describe, favourites, most_played
from recsys.data.interactions import Events, Interactions
from recsys.data.profiles import Profiles
from recsys.evaluation import groups
from recsys.report.fold_tables import histograms_of
from recsys.report.tables import Histogram
from recsys.serving.names import Lookup
from recsys.sources.layout import nouns_of
from recsys.sources.merging import Merged
from tasks.progress import report_progress
from tasks.workspace.layout import Workspace

_ROWS, _ITEMS = 5, 10  # that are shown


@dataclass(frozen=True, slots=True)
class Favourite:
    """An item, and the users who play nothing more.

    Attributes:
        item: Its name.
        users: Ids.
    """

    item: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What `recsys inspect` shows.

    Attributes:
        file: The log.
        format: How it was read.
        n_rows: Rows read, usable or not.
        rejected: Rows that could not be used, by reason.
        rejects: Where they are, None without any.
        missing_values: Usable rows whose field is empty, by field; none of a format without such
            fields.
        described: The numbers.
        missing: Values of profiles made missing, by field and reason; None without profiles.
        plots: Where the plots are.
        columns: Which column was taken for what.
        notes: What was assumed, and what is odd about the data.
        profile_rows: Rows of profiles read, 0 without profiles.
        profile_rejected: Those that could not be used, by reason.
        profile_rejects: Where they are, None without any.
        first_rows: In the order of ids: id of the user, name of the item, plays.
        most_played: The items with most plays.
        profile_counts: Users of the log by group, by field; empty without profiles.
        favourite: Who plays a given item most; None where none is given.
        histograms: Plays per pair, items per user, users per item.
        merged: Spellings that were taken for one item; None where the log has no names.
    """

    file: Path
    format: str
    n_rows: int
    rejected: Mapping[str, int]
    rejects: Path | None
    missing_values: Mapping[str, int]
    described: Description
    missing: Mapping[str, Mapping[str, int]] | None
    plots: tuple[Path, ...]
    columns: str
    notes: tuple[str, ...]
    profile_rows: int
    profile_rejected: Mapping[str, int]
    profile_rejects: Path | None
    first_rows: tuple[tuple[str, str, float], ...] = ()
    most_played: tuple[PlayedItem, ...] = ()
    profile_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    favourite: Favourite | None = None
    histograms: tuple[Histogram, ...] = ()
    merged: Merged | None = None

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "file": str(self.file),
            "format": self.format,
            "columns": self.columns,
            "notes": list(self.notes),
            "rows_read": self.n_rows,
            "rejected": dict(self.rejected),
            "missing_values": dict(self.missing_values),
            "profile_rows": self.profile_rows,
            "profile_rejected": dict(self.profile_rejected),
            "made_missing": self.missing,
            "plots": [str(path) for path in self.plots],
            "first_rows": [list(row) for row in self.first_rows],
            "most_played": [asdict(each) for each in self.most_played],
            "merged": None if self.merged is None else asdict(self.merged),
            "users_by": {name: dict(counts) for name, counts in self.profile_counts.items()},
            "favourite": None if self.favourite is None else asdict(self.favourite),
            **self.described.as_dict(),
        }


def inspect(
    workspace: Workspace,
    file: Path,
    profiles: Path | None,
    options: Mapping[str, Any],
    favourite: str | None = None,
) -> Inspection:
    """Read a log, count, and draw.

    Args:
        workspace: Gets the plots and the rejected rows.
        file: The log.
        profiles: Of its users.
        options: Arguments of `recsys.sources.read`, and `profile_columns`.
        favourite: Name or id of an item; the users who play no other item more are listed.

    Raises:
        InputError: the log or the profiles cannot be read, or no item is called so.
    """
    options = dict(options)
    columns = options.pop("profile_columns", None)
    reading = sources.read(file, **options, progress=report_progress)
    known = None
    if profiles is not None:
        strict = options.get("strict", False)
        known = sources.read_profiles(
            profiles, columns=columns, strict=strict, progress=report_progress
        )
    folder = workspace.inspection(file)
    folder.mkdir(parents=True, exist_ok=True)
    rejects = _written(reading.rejects, folder / "rejects.tsv")
    profile_rejects = None
    if known is not None:
        profile_rejects = _written(known.rejects, folder / "profile-rejects.tsv")
    figures = {
        "plays.png": plots.plays_per_row,
        "items-per-user.png": plots.items_per_user,
        "users-per-item.png": plots.users_per_item,
    }
    for name, draw in figures.items():
        plots.save(draw(reading.events), folder / name)
    cells = reading.events.cells()
    return Inspection(
        file=file,
        format=reading.format,
        n_rows=reading.n_rows,
        rejected=reading.rejects.counts,
        rejects=rejects,
        missing_values=reading.missing,
        described=describe(reading.events, None if known is None else known.profiles),
        missing=None if known is None else known.missing,
        plots=tuple(folder / name for name in figures),
        columns=reading.columns,
        notes=reading.notes + (() if known is None else _profile_notes(known, reading)),
        profile_rows=0 if known is None else known.n_rows,
        profile_rejected={} if known is None else known.rejects.counts,
        profile_rejects=profile_rejects,
        first_rows=_first_rows(reading.events),
        most_played=tuple(most_played(cells, _ITEMS)),
        profile_counts={} if known is None else _by_profile(known.profiles, cells),
        favourite=None if favourite is None else _favourite(cells, favourite),
        histograms=tuple(histograms_of(cells, nouns_of(reading.format))),
        merged=reading.merged,
    )


def _first_rows(events: Events) -> tuple[tuple[str, str, float], ...]:
    return tuple(
        (events.users.id(row), events.items.name(col), float(plays))
        for row, col, plays in zip(
            events.rows[:_ROWS], events.cols[:_ROWS], events.plays[:_ROWS], strict=True
        )
    )


def _by_profile(profiles: Profiles, cells: Interactions) -> dict[str, dict[str, int]]:
    """The users of the log by gender, country and age."""
    known = profiles.aligned(cells.users)
    labels = {
        "gender": groups.by_text(known.gender),
        "country": groups.by_country(known.country),
        "age": groups.by_age(known.age),
    }
    return {
        name: {group: int((of == group).sum()) for group in groups.ordered(of)}
        for name, of in labels.items()
    }


def _favourite(cells: Interactions, item: str) -> Favourite:
    number = Lookup(cells.items, cells.per_item(), "item").number(item)
    users = np.flatnonzero(favourites(cells) == number)
    return Favourite(cells.items.name(number), tuple(cells.users.id(int(user)) for user in users))


def _profile_notes(known: sources.ProfilesReading, reading: sources.Reading) -> tuple[str, ...]:
    """What was assumed about the profiles, and whether most users have none."""
    users = reading.events.users
    n = int((known.profiles.users.find(users.ids) >= 0).sum())
    if 2 * n >= len(users):
        return known.notes
    return (*known.notes, f"only {n:,} of {len(users):,} users have a profile; compare the ids")


def _written(rejects: sources.Rejects, path: Path) -> Path | None:
    """The file of the rejected rows, None where there are none."""
    if not len(rejects):
        path.unlink(missing_ok=True)
        return None
    rejects.write(path)
    return path
