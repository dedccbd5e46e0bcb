"""The numbers of a log and three plots of its distributions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys import plots, sources
from recsys.data.describe import Description, describe
from tasks.progress import report_progress
from tasks.workspace.layout import Workspace


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
            **self.described.as_dict(),
        }


def inspect(
    workspace: Workspace, file: Path, profiles: Path | None, options: Mapping[str, Any]
) -> Inspection:
    """Read a log, count, and draw.

    Args:
        workspace: Gets the plots and the rejected rows.
        file: The log.
        profiles: Of its users.
        options: Arguments of `recsys.sources.read`, and `profile_columns`.
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
    )


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
