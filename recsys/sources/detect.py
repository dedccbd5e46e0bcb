"""Which format a file is in, and which files beside it belong to it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from recsys.errors import InputError
from recsys.sources import hetrec, jsonl, lastfm, movielens, named, parquet
from recsys.sources.layout import Format, Layout
from recsys.sources.named import Columns
from recsys.sources.quoting import split_line
from recsys.sources.rejects import excerpt
from recsys.sources.stream import check_file, encoding_of, head, is_parquet

# In this order: four numbers are MovieLens, though they would also do as Last.fm 360K plays.
_DETECTORS = (hetrec.layout, movielens.layout, lastfm.events_layout, lastfm.plays_layout)
ENDINGS = ("", ".gz", ".zst", ".bz2", ".xz", ".zip")
_NAME_THEM = "name its columns, as in --columns user=0,item=1,plays=2"


def detect(path: Path) -> Format:
    """The format of the file, from its first lines.

    Raises:
        InputError: the file is missing, not a file, empty or damaged, or no format fits.
    """
    if is_table(path):
        return "columns"
    return _detected(path, head(path)).format


def is_table(path: Path) -> bool:
    """Whether this is a Parquet file.

    Raises:
        InputError: the file is missing, not a file or empty.
    """
    check_file(path)
    return is_parquet(path)


def text_layout(path: Path, format: Format, columns: Columns | None) -> Layout:
    """The layout of a text file, detected if `format` is "auto" and no columns are given.

    Raises:
        InputError: as `detect`; or columns that are missing, or given for another format.
    """
    check_choice(format, columns)
    first = head(path)
    if format == "auto" and any("\0" in line for line in first[: 1 if columns else 100]):
        raise InputError(f"{path} is not a text table but binary or UTF-16; give a log in UTF-8")
    if jsonl.is_json(path, first) and format in {"auto", "columns"}:
        return jsonl.layout(path, first, columns)
    if columns is not None:
        return named.layout(path, first, columns).read_as(encoding_of(path))
    match format:
        case "lastfm-360k":
            return _in_latin(path, lastfm.PLAYS)
        case "lastfm-1k":
            return _in_latin(path, lastfm.EVENTS)
        case "hetrec":
            return hetrec.forced(first)
        case "movielens":
            return movielens.forced(first)
        case _:
            return _detected(path, first)


def check_choice(format: Format, columns: Columns | None) -> None:
    """Refuse an unknown format, and `columns` without the format that needs them or the reverse.

    Raises:
        InputError: the format is unknown, or one is given without the other.
    """
    if format not in get_args(Format):
        raise InputError(
            f"--format {format} is unknown; choose one of {', '.join(get_args(Format))}"
        )
    if columns is None and format == "columns":
        raise InputError("--format columns needs --columns; add it, as in --columns user=0,item=1")
    if columns is not None and format not in {"auto", "columns"}:
        raise InputError(
            f"--columns does not go with --format {format}, whose columns are known; leave one out"
        )


def check_log(path: Path, format: Format, columns: Columns | None) -> None:
    """Check by its first lines that a log can be read.

    Raises:
        InputError: as `detect`; or a column is not there.
    """
    if is_table(path):
        parquet.layout(path, columns)
    else:
        text_layout(path, format, columns)


def companions(path: Path, format: Format = "auto") -> list[Path]:
    """Existing files beside `path` that `read` takes names from.

    Raises:
        InputError: as `detect`.
    """
    if format == "columns" or is_table(path):
        return []
    names = names_file(path, text_layout(path, format, None))
    return [] if names is None else [names]


def names_file(path: Path, layout: Layout) -> Path | None:
    """The file that names the items of `path`, plain or compressed, if it is there."""
    if layout.names is None:
        return None
    candidates = [path.with_name(layout.names[0] + ending) for ending in ENDINGS]
    return next((each for each in candidates if each.is_file()), None)


def _detected(path: Path, first: Sequence[str]) -> Layout:
    bare = _without_quotes(first)
    for detector in _DETECTORS:
        if layout := detector(bare or first):
            return replace(
                _plausible(path, bare or first, layout), quoted=layout.quoted or bool(bare)
            )
    if lastfm.is_profiles(first):
        raise InputError(
            f"{path}:1: these are profiles of users, not plays: {excerpt(first[0])}; give the "
            "plays here and this file with --profiles"
        )
    raise InputError(
        f"{path}:1: no known format starts like this: {excerpt(first[0])}; "
        f"{_name_them(path, first)}, or give --format"
    )


def _without_quotes(first: Sequence[str]) -> list[str]:
    """The lines without quotes around fields; none unless every line begins with a quoted field."""
    if not all(line.startswith('"') for line in first):
        return []
    return ["\t".join(split_line(line, "\t", quoted=True)) for line in first]


def _plausible(path: Path, first: Sequence[str], layout: Layout) -> Layout:
    """The layout, if no column speaks against it.

    Raises:
        InputError: a column holds something else.
    """
    doubt = ""
    notes: tuple[str, ...] = ()
    if layout.by_mbid:
        doubt = lastfm.doubt(first, layout)
        if not lastfm.has_mbids(first, layout):
            field = layout.fields["item"] + 1
            notes = (f"field {field} is taken for the artist's id, though it is no MusicBrainz id",)
    elif layout.format == "movielens" and not layout.header:
        doubt = movielens.doubt(first)
    if doubt:
        raise InputError(
            f"{path}:1: this has the form of {layout.format}, but {doubt}: {excerpt(first[0])}; "
            f"{_name_them(path, first)}, or give --format {layout.format} if it is that"
        )
    layout = replace(layout, notes=notes)
    return _in_latin(path, layout) if layout.by_mbid else layout


def _in_latin(path: Path, layout: Layout) -> Layout:
    """The layout in Latin-1 where all of several names with accents are in it."""
    return layout.read_as("latin-1") if encoding_of(path, sure=True) == "latin-1" else layout


def _name_them(path: Path, first: Sequence[str]) -> str:
    """The advice to name columns, with a guess where line 1 looks like a header."""
    try:
        delimiter = named.delimiter_of(path, first)
    except InputError:
        return _NAME_THEM
    cells = split_line(first[0], delimiter, quoted=True) if len(delimiter) == 1 else []
    guess = named.guessed([cell.strip() for cell in cells])
    return f"name its columns, as in --columns {guess}" if guess else _NAME_THEM
