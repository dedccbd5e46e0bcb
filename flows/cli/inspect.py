"""`recsys inspect`: the numbers of a log and three plots of its distributions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys import plots, sources
from recsys.data.describe import Description, Summary, describe
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

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "file": str(self.file),
            "format": self.format,
            "rows_read": self.n_rows,
            "rejected": dict(self.rejected),
            "missing_values": dict(self.missing_values),
            "made_missing": self.missing,
            "plots": [str(path) for path in self.plots],
            **self.described.as_dict(),
        }

    def lines(self) -> list[str]:
        """For the terminal."""
        d = self.described
        found = [
            f"{self.file} (read as {self.format})",
            f"rows read             {self.n_rows:,}",
            f"rows used             {d.rows:,}",
            f"rows rejected         {_counts(self.rejected)}",
            *self._missing_values(),
            f"users                 {d.users:,}",
            f"artists               {d.items:,}",
            f"cells                 {d.cells:,} (density {d.matrix.density:.4%}, "
            f"{d.matrix.memory / 1e6:.1f} MB as float32 CSR)",
            f"plays in all          {d.total_plays:,.0f}",
            f"plays per row         {_spread(d.plays)}",
            f"artists per user      {_spread(d.items_per_user)}",
            f"listeners per artist  {_spread(d.users_per_item)}",
        ]
        if d.first is not None and d.last is not None:
            found.append(f"times                 {_day(d.first)} to {_day(d.last)} UTC")
        if d.missing is not None:
            found.append(f"users without         {_counts(d.missing)}")
        for field, reasons in (self.missing or {}).items():
            if reasons:
                found.append(f"profiles, no {field:<9}{_counts(reasons)}")
        if self.rejects is not None:
            found.append(f"rejected rows are in  {self.rejects}")
        return found + [f"plot                  {path}" for path in self.plots]

    def _missing_values(self) -> list[str]:
        counts = self.missing_values
        return [f"missing values        {_counts(counts)}"] if counts else []


def inspect(
    workspace: Workspace, file: Path, profiles: Path | None, options: Mapping[str, Any]
) -> Inspection:
    """Read a log, count, and draw.

    Args:
        workspace: Gets the plots and the rejected rows.
        file: The log.
        profiles: Of its listeners.
        options: Settings of `[data]` by dotted name, as the command line gives them.
    """
    reading = sources.read(file, **_arguments(options), progress=report_progress)
    known = None if profiles is None else sources.read_profiles(profiles, progress=report_progress)
    folder = workspace.inspection(file)
    folder.mkdir(parents=True, exist_ok=True)
    rejects = folder / "rejects.tsv" if len(reading.rejects) else None
    if rejects is not None:
        reading.rejects.write(rejects)
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
    )


def _arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix("data."): value for name, value in options.items() if value is not None
    }


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items()) or "none"


def _spread(spread: Summary) -> str:
    return (
        f"mean {spread.mean:,.1f}, median {spread.median:,.6g}, "
        f"min {spread.low:,.6g}, max {spread.high:,.6g}"
    )


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
