"""A log in any known format, read into events; rows that cannot be used are rejected."""

from collections.abc import Iterator
from dataclasses import dataclass
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
from recsys.sources.layout import Format, ItemKey, Layout
from recsys.sources.named import Columns
from recsys.sources.rejects import Reason, Rejects, nothing_usable, worst

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
    """

    events: Events
    n_rows: int
    rejects: Rejects
    format: Format
    n_spellings: int
    missing: dict[str, int]
    names_from: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Usable:
    """Usable rows of one block; texts dictionary-encoded, so that a block costs codes only."""

    users: Strings
    items: Strings
    names: Strings | None
    plays: Float64Array
    times: values.Seconds | None


def read(
    path: Path,
    *,
    format: Format = "auto",
    columns: Columns | None = None,
    item_key: ItemKey = "mbid-else-name",
    strict: bool = False,
    progress: Progress = silent,
) -> Reading:
    """The events of a log, plain, gzip or zstd, and the rejected rows.

    Args:
        path: The log. Names of items come from a file beside it where the format has one.
        format: The format; "auto" detects it from the first lines.
        columns: Which column plays which role ("user", "item", "plays", "time", "name"), by name
            (the file has a header) or position from 0 (it has none). Without plays a row counts 1.
        item_key: What identifies an item in formats with MBIDs: the MBID (rows without one are
            rejected), the name, or the MBID and, where it is missing, the name.
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
    layout, blocks = _open(path, format, columns)
    usable, refused, n_rows = _collect(path, layout, item_key, blocks, strict, progress)
    rejects = Rejects.join(refused)
    if not usable:
        raise nothing_usable(path, f"{layout.format} plays", n_rows, rejects)
    return _reading(path, layout, item_key, usable, n_rows, rejects)


def _open(path: Path, format: Format, columns: Columns | None) -> tuple[Layout, _Blocks]:
    if is_table(path):
        if columns is not None:
            check_choice(format, columns)
        layout = parquet.layout(path, columns)
        return layout, (([rows], Rejects.join([])) for rows in parquet.rows(path, layout))
    layout = text_layout(path, format, columns)
    return layout, (cut(block, layout) for block in data_lines(path, layout))


def _collect(
    path: Path,
    layout: Layout,
    key: ItemKey,
    blocks: _Blocks,
    strict: bool,
    progress: Progress,
) -> tuple[list[_Usable], list[Rejects], int]:
    usable: list[_Usable] = []
    refused: list[Rejects] = []
    n_rows = 0
    for parts, misfits in blocks:
        judged = [_judge(rows, layout, key) for rows in parts]
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


def _judge(rows: Rows, layout: Layout, key: ItemKey) -> tuple[_Usable, Rejects]:
    columns = rows.columns
    why = [values.empty(columns["user"], Reason.NO_USER), _no_item(rows, layout, key)]
    plays, times = np.ones(len(rows)), None
    if "plays" in columns:
        plays, codes = values.plays(columns["plays"])
        why.append(codes)
    if "rating" in columns:
        plays, codes = values.ratings(columns["rating"])
        why.append(codes)
    if "time" in columns:
        times, codes = values.seconds(columns["time"])
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
    times: values.Seconds | None,
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
    layout: Layout,
    key: ItemKey,
    usable: list[_Usable],
    n_rows: int,
    rejects: Rejects,
) -> Reading:
    users, rows = IdMap.encode(pa.chunked_array([part.users for part in usable]))
    plays = np.concatenate([part.plays for part in usable])
    items, cols, n_spellings = _items(usable, plays, key if layout.by_mbid else artists.PLAIN)
    times = [part.times for part in usable if part.times is not None]
    names_from = names_file(path, layout)
    if names_from is not None and layout.names is not None:
        items = _named(items, names_from, layout.names[1])
    events = Events.of(users, items, rows, cols, plays, np.concatenate(times) if times else None)
    missing = _missing(usable, layout)
    return Reading(events, n_rows, rejects, layout.format, n_spellings, missing, names_from)


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


def _named(items: IdMap, path: Path, layout: Layout) -> IdMap:
    """`items` named by the file beside the log; lines of it that do not fit are passed over."""
    parts = [rows for block in data_lines(path, layout) for rows in cut(block, layout)[0]]
    if not parts:
        return items
    ids = pa.concat_arrays([rows.columns["item"] for rows in parts])
    names = pa.concat_arrays([rows.columns["name"] for rows in parts])
    return artists.named_by(items, ids, names)
