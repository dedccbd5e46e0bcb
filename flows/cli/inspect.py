"""`recsys inspect`, `sample` and `fetch`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.cells import cell_len, set_cell_size

from flows.cli.inputs import NO_READING, File, ReadingOptions
from flows.cli.report import check_page, write_page
from flows.cli.session import HERE, Json, Place, progress
from recsys.errors import InputError
from recsys.sources.layout import nouns_of

if TYPE_CHECKING:
    from flows.inspecting import Inspection
    from recsys.data.describe import Summary
    from recsys.sources.layout import Nouns
    from recsys.sources.merging import MergedItem

LABEL = 22  # letters before the number in a line
SHOWN_USERS = 10  # ids listed below a favourite item
Folder = Annotated[Path, Parameter(metavar="DIR")]


def inspect(
    file: Path,
    /,
    *,
    profiles: File = None,
    favourite: Annotated[str | None, Parameter(metavar="ITEM")] = None,
    html: Annotated[Path | None, Parameter(name=("--html", "-o"), metavar="FILE")] = None,
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
        favourite: Also show the users who play nothing more than this item.
        html: Also write a page, in the style of `recsys report`.
    """
    if html is not None:
        check_page(html)
    from recsys.sources import check_file

    workspace = place.open(writes=True)
    for path in filter(None, (file, profiles)):
        check_file(path)
    from flows.inspecting import inspect as look

    with progress(place):
        inspection = look(workspace, file, profiles, reading.arguments(), favourite)
    if html is not None:
        write_page(html, page_of(inspection))
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


def page_of(inspection: "Inspection") -> str:
    """The HTML of the page of `recsys inspect`."""
    from recsys.report import log_report
    from recsys.report.log import LogTables

    nouns, favourite = nouns_of(inspection.format), inspection.favourite
    told = None
    if favourite is not None:
        n = len(favourite.users)
        words = f"{n:,} {nouns.users} play nothing more than {favourite.item}."
        told = words, favourite.users
    lines = [line for line in _numbers(inspection) if not line.startswith("note ")]
    tables = LogTables(
        str(inspection.file),
        inspection.format,
        inspection.notes,
        [(line[:LABEL].rstrip(), line[LABEL:]) for line in lines[1:]],
        inspection.histograms,
        [(user, item, f"{plays:,.6g}") for user, item, plays in inspection.first_rows],
        [(each.name, f"{each.plays:,.0f}", f"{each.users:,}") for each in inspection.most_played],
        inspection.profile_counts,
        told,
        nouns.user,
        nouns.item,
        []
        if inspection.merged is None
        else [(m.name, _spelled(m)) for m in inspection.merged.biggest],
    )
    return log_report(tables)


def inspection_lines(inspection: "Inspection") -> list[str]:
    """The numbers, where the plots are, and what the log looks like."""
    plots = [f"plot                  {path}" for path in inspection.plots]
    nouns = nouns_of(inspection.format)
    return [*_numbers(inspection), *plots, *_looked_at(inspection, nouns)]


def _numbers(inspection: "Inspection") -> list[str]:
    d, nouns = inspection.described, nouns_of(inspection.format)
    found = [
        f"{inspection.file} (read as {inspection.format})",
        f"columns               {inspection.columns}",
        *(f"note                  {note}" for note in inspection.notes),
        f"rows read             {inspection.n_rows:,}",
        f"rows used             {d.rows:,}",
        f"rows rejected         {_counts(inspection.rejected)}",
        *_missing_values(inspection),
        *_merged(inspection, nouns),
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
    return found


def _looked_at(inspection: "Inspection", nouns: "Nouns") -> Iterator[str]:
    """First rows, the items played most, users by profile, and the users of a favourite item."""
    yield f"\nfirst rows by id ({nouns.user}, {nouns.item}, plays)"
    rows = [(user, item, f"{plays:,.6g}") for user, item, plays in inspection.first_rows]
    yield from _aligned(rows)
    yield f"\nplayed most ({nouns.item}, plays, {nouns.users})"
    yield from _aligned(
        [(each.name, f"{each.plays:,.0f}", f"{each.users:,}") for each in inspection.most_played]
    )
    if inspection.merged is not None and inspection.merged.biggest:
        yield f"\nspellings of one {nouns.item} (plays), most under another first"
        yield from (f"  {_spelled(each)}" for each in inspection.merged.biggest)
    for name, counts in inspection.profile_counts.items():
        yield f"\n{nouns.users} by {name}"
        yield from (f"  {group:<20} {n:>9,}" for group, n in counts.items())
    if (favourite := inspection.favourite) is not None:
        n, more = len(favourite.users), len(favourite.users) - SHOWN_USERS
        yield f"\n{n:,} {nouns.users} play nothing more than {favourite.item}"
        yield from (f"  {user}" for user in favourite.users[:SHOWN_USERS])
        if more > 0:
            yield f"  and {more:,} more (--json has all)"


def _aligned(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Lines of three columns, the last one numbers."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for first, second, number in rows:
        texts = (set_cell_size(first, widths[0]), set_cell_size(second, widths[1]))
        yield f"  {'  '.join(texts)}  {number:>{widths[2]}}"


def _merged(inspection: "Inspection", nouns: "Nouns") -> list[str]:
    found = inspection.merged
    if found is None:
        return []
    said = f"{found.spellings:,}, of {found.items:,} {nouns.items}" if found.items else "none"
    return [f"spellings merged      {said}"]


def _spelled(item: "MergedItem") -> str:
    """The spellings of an item with their plays, in a line."""
    shown = [f"{text} ({plays:,.6g})" for text, plays in item.spellings]
    more = item.n_spellings - len(shown)
    return ", ".join([*shown, *[f"{more:,} more"] * bool(more)])


def _missing_values(inspection: "Inspection") -> list[str]:
    counts = inspection.missing_values
    return [f"missing values        {_counts(counts)}"] if counts else []


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items()) or "none"


def _spread(spread: "Summary") -> str:
    return (
        f"mean {spread.mean:,.1f}, min {spread.low:,.6g}, quartiles {spread.q1:,.6g} "
        f"{spread.median:,.6g} {spread.q3:,.6g}, max {spread.high:,.6g}"
    )


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
