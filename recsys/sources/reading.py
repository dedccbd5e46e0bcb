"""A log in any known format, read into events; rows that cannot be used are rejected."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import IdMap, Strings
from recsys.data.interactions import Events
from recsys.dtypes import Float64Array, Int8Array
from recsys.errors import InputError
from recsys.progress import Progress, silent
from recsys.sources import artists, parquet, values
from recsys.sources.detect import check_choice, is_table, names_file, text_layout
from recsys.sources.fields import Rows, cut, data_lines
from recsys.sources.forms import SAMPLE, Failures, Forms, odd_plays, odd_times
from recsys.sources.ids import odd_ids
from recsys.sources.layout import Decimal, Format, ItemKey, Layout, Role
from recsys.sources.named import Columns
from recsys.sources.rejects import Reason, Rejects, nothing_usable, worst
from recsys.sources.times import Seconds

TEXTS: tuple[Role, ...] = ("user", "item", "name")
# A file with this many bad rows before the first good one has another format. Keeping all of them
# for the error at its end could take as much memory as the file has bytes.
HOPELESS = 1_000_000

_Blocks = Iterator[tuple[list[Rows], Rejects]]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The contents of a file.

    Attributes:
        events: One event per usable row; duplicates stay separate.
        n_rows: Rows read, usable or not, without a header.
        rejects: The rows that cannot be used.
        format: The format read.
        n_spellings: Distinct pairs of item id and name; beyond the number of items, they are
            spellings that were merged.
        missing: Usable rows whose field is empty: "mbid" and "name", each only where the rows
            have such a field, 0 included.
        names_from: File with the names of the items, if it is another one.
        columns: Which column was taken for what: "1 user, 2 item".
        notes: What was assumed, and what is odd about the data, in sentences.
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


@dataclass(frozen=True, slots=True, eq=False)
class _Usable:
    """Usable rows of one block; texts dictionary-encoded, so that a block costs codes only."""

    users: Strings
    items: Strings
    names: Strings | None
    plays: Float64Array
    times: Seconds | None


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
    usable, refused, n_rows = _collect(path, rule, blocks, strict, progress)
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


def _collect(
    path: Path, rule: _Rule, blocks: _Blocks, strict: bool, progress: Progress
) -> tuple[list[_Usable], list[Rejects], int]:
    usable: list[_Usable] = []
    refused: list[Rejects] = []
    n_rows = 0
    for parts, misfits in blocks:
        judged = [_judge(rows, rule) for rows in parts]
        rejects = Rejects.join([misfits, *(bad for _, bad in judged)])
        if strict:
            rejects.complain(path)
        usable += [good for good, _ in judged if len(good.plays)]
        refused.append(rejects)
        n_rows += len(misfits) + sum(map(len, parts))
        progress("reading rows", n_rows, None)
        if not usable and n_rows >= HOPELESS:
            break
    return usable, refused, n_rows


def _judge(rows: Rows, rule: _Rule) -> tuple[_Usable, Rejects]:
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
    rows: Rows,
    keep: npt.NDArray[np.bool_],
    plays: Float64Array,
    times: Seconds | None,
) -> _Usable:
    mask = pa.array(keep)

    def encoded(role: Strings) -> Strings:
        return pc.dictionary_encode(role if keep.all() else role.filter(mask))

    return _Usable(
        encoded(rows.columns["user"]),
        encoded(rows.columns["item"]),
        encoded(rows.columns["name"]) if "name" in rows.columns else None,
        plays[keep],
        None if times is None else times[keep],
    )


def _reading(
    path: Path,
    rule: _Rule,
    usable: list[_Usable],
    n_rows: int,
    rejects: Rejects,
    notes: list[str],
) -> Reading:
    layout, key = rule.layout, rule.key
    users, rows = IdMap.encode(pa.chunked_array([part.users for part in usable]))
    plays = np.concatenate([part.plays for part in usable])
    items, cols, n_spellings = _items(usable, plays, key if layout.by_mbid else artists.PLAIN)
    parts = [part.times for part in usable if part.times is not None]
    times = np.concatenate(parts) if parts else None
    notes = [*layout.notes, *rule.forms.notes(), *notes]
    if times is not None:
        notes += odd_times(times, rule.forms.unit)
    if "plays" in layout.fields:
        notes += odd_plays(plays)
    if layout.format == "columns":
        notes += [*odd_ids(users, "user"), *odd_ids(items, "item")]
    names_from = names_file(path, layout)
    if names_from is not None and layout.names is not None:
        items, unnamed = _named(items, names_from, layout.names[1])
        notes += unnamed
    return Reading(
        Events.of(users, items, rows, cols, plays, times),
        n_rows,
        rejects,
        layout.format,
        n_spellings,
        _missing(usable, layout),
        names_from,
        layout.columns_in_words(),
        tuple(notes),
    )


def _missing(usable: list[_Usable], layout: Layout) -> dict[str, int]:
    missing = {}
    if layout.by_mbid:
        missing["mbid"] = sum(_n_empty(part.items) for part in usable)
    if "name" in layout.fields:
        missing["name"] = sum(_n_empty(part.names) for part in usable if part.names is not None)
    return missing


def _n_empty(encoded: Strings) -> int:
    code = pc.index(encoded.dictionary, "").as_py()
    return int(np.count_nonzero(encoded.indices.to_numpy() == code))  # -1, no code: not there


def _items(
    usable: list[_Usable], plays: Float64Array, key: ItemKey
) -> tuple[IdMap, npt.NDArray[np.int32], int]:
    ids = pa.chunked_array([part.items for part in usable])
    names = [part.names for part in usable if part.names is not None]
    if names:
        return artists.number(ids, pa.chunked_array(names), plays, key)
    items, cols = IdMap.encode(ids)
    return items, cols, len(items)


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
