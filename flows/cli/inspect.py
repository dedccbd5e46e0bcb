"""`recsys inspect`, `sample` and `fetch`."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from flows.cli.inputs import NO_READING, File, ReadingOptions
from flows.cli.session import HERE, Json, Place, progress
from recsys.errors import InputError
from recsys.sources.layout import nouns_of

if TYPE_CHECKING:
    from flows.inspecting import Inspection
    from recsys.data.describe import Summary

Folder = Annotated[Path, Parameter(metavar="DIR")]


def inspect(
    file: Path,
    /,
    *,
    profiles: File = None,
    as_json: Json = False,
    reading: ReadingOptions = NO_READING,
    place: Place = HERE,
) -> None:
    """Show the numbers of a log and plot its distributions.

    Example:
        recsys inspect plays.tsv --profiles profiles.tsv

    Args:
        file: The log.
        profiles: Profiles of its users.
    """
    from recsys.sources import check_file

    workspace = place.open(writes=True)
    for path in filter(None, (file, profiles)):
        check_file(path)
    from flows.inspecting import inspect as look

    with progress(place):
        inspection = look(workspace, file, profiles, reading.arguments())
    if as_json:
        print(json.dumps(inspection.as_json(), sort_keys=True))
    else:
        print("\n".join(inspection_lines(inspection)))


def sample(
    folder: Annotated[Path | None, Parameter(name="DIR")] = None,
    /,
    *,
    users: int = 5000,
    items: int = 3000,
    seed: int = 0,
    place: Place = HERE,
) -> None:
    """Write invented plays and profiles in the Last.fm 360K format.

    Example:
        recsys sample --users 300 --items 200

    Args:
        folder: Where. Without it: WORKSPACE/sample.
        users: How many listeners.
        items: How many artists.
        seed: Root of all random numbers.
    """
    from recsys.sources.sample import make_sample, write_sample

    workspace = place.open(writes=folder is None)
    target = folder or workspace.sample
    plays, profiles = target / workspace.sample_plays.name, target / workspace.sample_profiles.name
    content = make_sample(users, items, seed)
    try:
        write_sample(content, plays, profiles)
    except OSError as error:
        raise InputError(
            f"{target}: {error.strerror}; give a folder that you may write to"
        ) from error
    print(f"{users:,} listeners, {items:,} artists, seed {seed}")
    print(f"plays     {plays}\nprofiles  {profiles}")


def fetch(
    dataset: Annotated[str, Parameter(name="NAME")],
    folder: Annotated[Path, Parameter(name="DIR")],
    /,
    *,
    url: str | None = None,
    place: Place = HERE,
) -> None:
    """Download a public data set; the same command resumes.

    Example:
        recsys fetch lastfm-360k data/

    Args:
        dataset: lastfm-360k.
        folder: Where to.
        url: Another place to get the same archive from.
    """
    from tasks.data.fetching import fetch as download
    from tasks.progress import report_progress

    place.open()
    with progress(place):
        fetched = download(dataset, folder, url=url, progress=report_progress)
    if not fetched.new:
        print("already there, checksum verified:")
    print("\n".join(str(path) for path in fetched.files))


def inspection_lines(inspection: "Inspection") -> list[str]:
    """The numbers, and where the plots are."""
    d, nouns = inspection.described, nouns_of(inspection.format)
    found = [
        f"{inspection.file} (read as {inspection.format})",
        f"columns               {inspection.columns}",
        *(f"note                  {note}" for note in inspection.notes),
        f"rows read             {inspection.n_rows:,}",
        f"rows used             {d.rows:,}",
        f"rows rejected         {_counts(inspection.rejected)}",
        *_missing_values(inspection),
        f"{nouns.users:<21} {d.users:,}",
        f"{nouns.items:<21} {d.items:,}",
        f"cells                 {d.cells:,} (density {d.matrix.density:.4%}, "
        f"{d.matrix.memory / 1e6:.1f} MB as float32 CSR)",
        f"plays in all          {d.total_plays:,.0f}",
        f"plays per row         {_spread(d.plays)}",
        f"{nouns.items + ' per ' + nouns.user:<21} {_spread(d.items_per_user)}",
        f"{nouns.users + ' per ' + nouns.item:<21} {_spread(d.users_per_item)}",
    ]
    if d.first is not None and d.last is not None:
        found.append(f"times                 {_day(d.first)} to {_day(d.last)} UTC")
    if d.missing is not None:
        found.append(f"{nouns.users + ' without':<21} {_counts(d.missing)}")
    if inspection.profile_rows:
        found.append(f"profile rows read     {inspection.profile_rows:,}")
        found.append(f"profile rows rejected {_counts(inspection.profile_rejected)}")
    for field, reasons in (inspection.missing or {}).items():
        if reasons:
            found.append(f"profiles, no {field:<9}{_counts(reasons)}")
    if inspection.rejects is not None:
        found.append(f"rejected rows are in  {inspection.rejects}")
    if inspection.profile_rejects is not None:
        found.append(f"rejected profiles in  {inspection.profile_rejects}")
    return found + [f"plot                  {path}" for path in inspection.plots]


def _missing_values(inspection: "Inspection") -> list[str]:
    counts = inspection.missing_values
    return [f"missing values        {_counts(counts)}"] if counts else []


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items()) or "none"


def _spread(spread: "Summary") -> str:
    return (
        f"mean {spread.mean:,.1f}, median {spread.median:,.6g}, "
        f"min {spread.low:,.6g}, max {spread.high:,.6g}"
    )


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
