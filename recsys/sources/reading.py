"""A log in any known format, read into events; rows that cannot be used are rejected."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import IdMap
from recsys.data.interactions import Events
from recsys.dtypes import Float64Array, Int8Array, Int64Array
from recsys.errors import InputError
from recsys.progress import Progress, silent
from recsys.sources import artists, coding, parquet, values
from recsys.sources.coding import CodedBlock
from recsys.sources.detect import check_choice, is_table, names_file, text_layout
from recsys.sources.fields import Rows, cut, data_lines
from recsys.sources.forms import SAMPLE, Failures, Forms, odd_header, odd_plays, odd_times
from recsys.sources.ids import odd_ids
from recsys.sources.layout import Decimal, Format, ItemKey, Layout, Role
from recsys.sources.merging import Merged
from recsys.sources.named import Columns
from recsys.sources.numbers import bools
from recsys.sources.packing import is_packed, is_transcoded
from recsys.sources.quoting import rows_of
from recsys.sources.rejects import Reason, Rejects, nothing_usable, worst
from recsys.sources.stream import Block, Encoding, Lines, lines_of
from recsys.sources.times import Seconds
from recsys.sources.usable import Together, Usable, together

TEXTS: tuple[Role, ...] = ("user", "item", "name")
# A file with this many bad rows before the first good one has another format. Keeping all of them
# for the error at its end could take as much memory as the file has bytes.
HOPELESS = 1_000_000

LARGE = 32 << 20
"""Bytes from which on compiled code reads a text; loading it takes as long as reading a smaller."""

_Blocks = Iterator[tuple[list[Rows], Rejects]]
_Judged = Iterator[tuple[list[Usable], Rejects, int]]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The contents of a file.

    Attributes:
        events: One event per usable row; duplicates stay separate.
        n_rows: Rows read, usable or not, without a header.
        rejects: The rows that cannot be used.
        format: The format read.
        n_spellings: Distinct pairs of item id and name.
        missing: Usable rows whose field is empty: "mbid" and "name", each only where the rows
            have such a field, 0 included.
        names_from: File with the names of the items, if it is another one.
        columns: Which column was taken for what: "1 user, 2 item".
        notes: What was assumed, and what is odd about the data, in sentences.
        merged: Spellings that were taken for one item; None where rows have no names.
    """

    events: Events
    n_rows: int
    rejects: Rejects
    format: Format
    n_spellings: int
    missing: dict[str, int]
    names_from: Path | None = None
    columns: str = ""
    notes: tuple[str, ...] = ()
    merged: Merged | None = None


def read(
    path: Path,
    *,
    format: Format = "auto",
    columns: Columns | None = None,
    item_key: ItemKey = "mbid-else-name",
    decimal: Decimal | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Reading:
    """The events of a log, plain or packed, and the rejected rows.

    Args:
        path: The log. Names of items come from a file beside it where the format has one.
        format: The format; "auto" detects it from the first lines.
        columns: Which column plays which role ("user", "item", "plays", "time", "name"), by name
            (the file has a header) or position from 0. Without plays a row counts 1.
        item_key: What identifies an item in formats with MBIDs: the MBID (rows without one are
            rejected), the name, or the MBID and, where it is missing, the name.
        decimal: The mark of fractions in plays; the other one may separate thousands. Without it
            "."; plays that may then be thousands or fractions, as 1.204, are refused.
        strict: Whether the first row that cannot be used is fatal.
        progress: Reports the number of rows read, once per block.

    Raises:
        InputError: the file cannot be read, fits no format or lacks a column; it has no rows,
            or none that can be used; or, if strict, one that cannot.
    """
    if item_key not in get_args(ItemKey):
        raise InputError(
            f"--item-key {item_key} is unknown; choose one of {', '.join(get_args(ItemKey))}"
        )
    if decimal is not None and decimal not in get_args(Decimal):
        raise InputError(f"--decimal {decimal} is unknown; choose . or ,")
    layout, blocks = _open(path, format, columns)
    first, blocks = _first_rows(blocks)
    try:
        forms = Forms.of([rows for parts, _ in first for rows in parts], layout, decimal)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    rule = _Rule(layout, item_key, forms, Failures())
    spec = coding.spec_of(layout, item_key, forms) if _is_large(path) else None
    if spec is None:
        judged = _judged(rule, blocks)
    else:
        del first, blocks
        judged = _coded(path, rule, spec)
    usable, refused, n_rows = _collect(path, judged, strict, progress)
    rejects = Rejects.join(refused)
    advice, fatal = rule.failures.advice(rejects.counts, n_rows, forms)
    if not usable:
        raise nothing_usable(path, f"{layout.format} plays", n_rows, rejects, advice)
    if fatal:
        raise InputError(f"{path}: {len(rejects):,} of {n_rows:,} rows cannot be used: {advice}")
    return _reading(path, rule, usable, n_rows, rejects, [advice] if advice else [])


@dataclass(frozen=True, slots=True, eq=False)
class _Rule:
    """What decides whether a row is usable, and the fields that were not."""

    layout: Layout
    key: ItemKey
    forms: Forms
    failures: Failures


def _open(path: Path, format: Format, columns: Columns | None) -> tuple[Layout, _Blocks]:
    if is_table(path):
        if columns is not None:
            check_choice(format, columns)
        layout = parquet.layout(path, columns)
        return layout, (([rows], Rejects.join([])) for rows in parquet.rows(path, layout))
    layout = text_layout(path, format, columns)
    return layout, (cut(block, layout) for block in data_lines(path, layout))


def _first_rows(blocks: _Blocks) -> tuple[list[tuple[list[Rows], Rejects]], _Blocks]:
    """The first blocks, with SAMPLE rows if the file has as many, and all blocks."""
    first: list[tuple[list[Rows], Rejects]] = []
    n = 0
    for block in blocks:
        first.append(block)
        n += len(block[1]) + sum(map(len, block[0]))
        if n >= SAMPLE:
            break
    return first, chain(first, blocks)


def _is_large(path: Path) -> bool:
    """Whether compiled code, once it is loaded, saves time."""
    if is_table(path) or is_transcoded(path):
        return False
    size = path.stat().st_size
    return size >= LARGE or (is_packed(path) and size >= LARGE // 4)


def _judged(rule: _Rule, blocks: _Blocks) -> _Judged:
    for parts, misfits in blocks:
        judged = [_judge(rows, rule) for rows in parts]
        rejects = Rejects.join([misfits, *(bad for _, bad in judged)])
        yield [good for good, _ in judged], rejects, len(misfits) + sum(map(len, parts))


def _coded(path: Path, rule: _Rule, spec: Int64Array) -> _Judged:
    """By compiled code; the lines that it leaves over as `_judged` reads them."""
    layout = rule.layout
    line = 2 if layout.header else 1
    blocks = coding.coded(path, layout, spec)
    for number, block in enumerate(blocks):
        if isinstance(block, Block):
            first, skipped = (line, 0) if number else (1, int(layout.header))
            rest = _lines(chain([block], blocks), first, layout.encoding)
            whole = rows_of(rest, layout.delimiter, layout.width)
            parts = (each.at(slice(skipped * (n == 0), None)) for n, each in enumerate(whole))
            yield from _judged(rule, (cut(each, layout) for each in parts))
            return
        rejects = [Rejects.of(block.lines + line, block.reasons, block.texts)]
        usable = [] if block.usable is None else [block.usable]
        if len(block.odd):
            odd = replace(block.odd, numbers=block.odd.numbers + line)
            for good, bad, _ in _judged(rule, iter([cut(odd, layout)])):
                usable += good
                rejects.append(bad)
        yield usable, Rejects.join(rejects), block.n
        line += block.n


def _lines(blocks: Iterator[CodedBlock | Block], first: int, encoding: Encoding) -> Iterator[Lines]:
    for block in blocks:
        assert isinstance(block, Block)
        lines = lines_of(block.bytes(), first, encoding)
        first += len(lines)
        yield lines


def _collect(
    path: Path, blocks: _Judged, strict: bool, progress: Progress
) -> tuple[list[Usable], list[Rejects], int]:
    usable: list[Usable] = []
    refused: list[Rejects] = []
    n_rows = 0
    for good, rejects, n in blocks:
        if strict:
            rejects.complain(path)
        usable += [part for part in good if len(part)]
        refused.append(rejects)
        n_rows += n
        progress("reading rows", n_rows, None)
        if not usable and n_rows >= HOPELESS:
            break
    return usable, refused, n_rows


def _judge(rows: Rows, rule: _Rule) -> tuple[Usable, Rejects]:
    forms, failures = rule.forms, rule.failures
    rows = forms.digits(rows)
    columns = rows.columns
    why = [values.empty(columns["user"], Reason.NO_USER), _no_item(rows, rule.layout, rule.key)]
    if rule.layout.format == "columns":
        why += [values.nul_bytes(columns[role]) for role in TEXTS if role in columns]
    plays, times = np.ones(len(rows)), None
    if "plays" in columns:
        plays, codes = values.plays(columns["plays"], forms.decimal)
        failures.add("plays", columns["plays"], codes, Reason.PLAYS_NOT_WHOLE)
        why.append(codes)
    if "rating" in columns:
        plays, codes = values.ratings(columns["rating"])
        why.append(codes)
    if "time" in columns:
        times, codes = values.seconds(columns["time"], forms.unit)
        failures.add("time", columns["time"], codes, Reason.BAD_TIME)
        why.append(codes)
    reasons = worst(*why)
    return _kept(rows, reasons == 0, plays, times), Rejects.of(rows.lines, reasons, rows.texts)


def _no_item(rows: Rows, layout: Layout, key: ItemKey) -> Int8Array:
    if not layout.by_mbid or key == "mbid":
        return values.empty(rows.columns["item"], Reason.NO_ITEM)
    nameless = values.empty(rows.columns["name"], Reason.NO_ITEM)
    if key == "name":
        return nameless
    return np.minimum(nameless, values.empty(rows.columns["item"], Reason.NO_ITEM))


def _kept(
    rows: Rows, keep: npt.NDArray[np.bool_], plays: Float64Array, times: Seconds | None
) -> Usable:
    mask = pa.array(keep)
    columns = {
        role: column if keep.all() else column.filter(mask) for role, column in rows.columns.items()
    }
    kept_times = None if times is None else times[keep]
    return Usable.of(columns["user"], columns["item"], columns.get("name"), plays[keep], kept_times)


def _reading(
    path: Path,
    rule: _Rule,
    usable: list[Usable],
    n_rows: int,
    rejects: Rejects,
    notes: list[str],
) -> Reading:
    layout = rule.layout
    every = together(usable)
    items, cols, merged = _items(every, rule.key if layout.by_mbid else artists.PLAIN)
    notes = [*layout.notes, *rule.forms.notes(), *notes]
    if every.times is not None:
        notes += odd_times(every.times, rule.forms.unit)
    if "plays" in layout.fields:
        notes += odd_plays(every.plays)
    if layout.format == "columns":
        notes += [*odd_ids(every.users, "user"), *odd_ids(items, "item")]
        notes += odd_header(layout, every.users.ids, items.ids)
    names_from = names_file(path, layout)
    if names_from is not None and layout.names is not None:
        items, unnamed = _named(items, names_from, layout.names[1])
        notes += unnamed
    return Reading(
        Events.of(every.users, items, every.rows, cols, every.plays, every.times),
        n_rows,
        rejects,
        layout.format,
        len(every.pairs.items),
        _missing(every, layout),
        names_from,
        layout.columns_in_words(),
        tuple(notes),
        merged,
    )


def _missing(every: Together, layout: Layout) -> dict[str, int]:
    columns = {}
    if layout.by_mbid:
        columns["mbid"] = every.pairs.items
    if "name" in layout.fields:
        columns["name"] = every.pairs.names
    rows = np.bincount(every.spelling, minlength=len(every.pairs.items))
    return {what: int(rows[bools(pc.equal(texts, ""))].sum()) for what, texts in columns.items()}


def _items(every: Together, key: ItemKey) -> tuple[IdMap, npt.NDArray[np.int32], Merged | None]:
    if every.pairs.names is not None:
        return artists.number(every.pairs, every.spelling, every.plays, key)
    items, numbers = IdMap.encode(every.pairs.items)
    return items, numbers[every.spelling], None


def _named(items: IdMap, path: Path, layout: Layout) -> tuple[IdMap, list[str]]:
    """`items` named by the file beside the log, and how many of its lines do not fit."""
    blocks = [cut(block, layout) for block in data_lines(path, layout)]
    parts = [rows for cut_rows, _ in blocks for rows in cut_rows]
    bad = sum(len(rejects) for _, rejects in blocks)
    notes = [f"{path.name}: {bad:,} lines do not fit and give no name"] if bad else []
    if not parts:
        return items, notes
    ids = pa.concat_arrays([rows.columns["item"] for rows in parts])
    names = pa.concat_arrays([rows.columns["name"] for rows in parts])
    return artists.named_by(items, ids, names), notes
