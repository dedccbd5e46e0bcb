"""Quotes around fields: whether a file has them, and rows whose quoted fields span lines."""

import csv
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.sources.stream import Lines

MOST_LINES = 200  # of one row; a quote that stays open longer is a character

_QUOTED = re.compile(r'\s*"(?:[^"]|"")*"\s*')


def split_line(line: str, delimiter: str, quoted: bool) -> list[str]:
    """The fields of one row; none if its quotes do not close."""
    if not quoted or '"' not in line:
        return line.split(delimiter)
    try:
        return _parsed(line, delimiter)
    except csv.Error:
        pass
    try:  # blanks after a closing quote
        return _parsed(re.sub(rf'" +(?={re.escape(delimiter)}|$)', '"', line), delimiter)
    except csv.Error:
        return _escaped(line, delimiter) if '\\"' in line else []


def whole_rows(head: Sequence[str]) -> list[str]:
    """Lines put together where a quote stays open; an incomplete last row is left out."""
    rows: list[str] = []
    held: list[str] = []
    for line in head:
        if held or line.count('"') % 2:
            held.append(line)
            if sum(each.count('"') for each in held) % 2 and len(held) < MOST_LINES:
                continue
            rows.append("\n".join(held))
            held = []
        else:
            rows.append(line)
    return rows or list(head)


def quotes_fields(head: Sequence[str], delimiter: str) -> bool:
    """Whether quotes enclose fields in a table separated by tabs, spaces or bars.

    They do where some field is quoted from end to end and no field has another quote, and all of
    line 1 or of a column below it is quoted, or a quote is doubled.
    """
    with_quote = [line for line in head if '"' in line]
    if not with_quote or len(delimiter) > 1:
        return False
    rows = [split_line(line, delimiter, quoted=True) for line in with_quote]
    if not all(rows) or any(_has_bare_quote(line, delimiter) for line in with_quote):
        return False
    if _QUOTED.fullmatch(head[0].split(delimiter)[0]) or any(
        '""' in line or "\n" in line for line in with_quote
    ):
        return True
    columns = zip(*(line.split(delimiter) for line in head[1:1000]), strict=False)
    return len(head) > 2 and any(all(map(_QUOTED.fullmatch, column)) for column in columns)


def rows_of(blocks: Iterator[Lines], delimiter: str, width: int) -> Iterator[Lines]:
    """Rows instead of lines: one that spans lines has the number of its first line."""
    held: Lines | None = None
    for block in blocks:
        whole = block if held is None else _together(held, block)
        done, held = _rows(whole, delimiter, width, last=False)
        if len(done):
            yield done
    if held is not None and len(held):
        yield _rows(held, delimiter, width, last=True)[0]


def _parsed(line: str, delimiter: str) -> list[str]:
    spaces = delimiter != " "
    return next(csv.reader([line], delimiter=delimiter, strict=True, skipinitialspace=spaces))


def _escaped(line: str, delimiter: str) -> list[str]:
    """The fields where a backslash stands before a quote in a field, as Spark and MySQL write."""
    try:
        return next(
            csv.reader([line], delimiter=delimiter, strict=True, doublequote=False, escapechar="\\")
        )
    except csv.Error:
        return []


def _has_bare_quote(line: str, delimiter: str) -> bool:
    """Whether a field that is not quoted has a quote; fields may hold the delimiter."""
    bare = re.sub(
        rf'(^|{re.escape(delimiter)})[ ]*"(?:[^"]|"")*"[ ]*(?={re.escape(delimiter)}|$)',
        r"\1",
        re.sub(rf'(^|{re.escape(delimiter)})[ ]*""(?={re.escape(delimiter)}|$)', r"\1", line),
    )
    return '"' in bare


def _together(first: Lines, second: Lines) -> Lines:
    return Lines(
        np.concatenate([first.numbers, second.numbers]),
        pa.concat_arrays([first.texts, second.texts]),
        np.concatenate([first.undecodable, second.undecodable]),
    )


def _rows(block: Lines, delimiter: str, width: int, *, last: bool) -> tuple[Lines, Lines | None]:
    """The rows of a block, and the lines at its end that the next block may complete."""
    count = pc.count_substring(block.texts, '"').to_numpy(zero_copy_only=False)
    odd = np.flatnonzero(count % 2)
    joined: dict[int, tuple[int, str]] = {}  # first line: last line and text
    at, hold = 0, len(block)
    while at < len(odd):
        start = int(odd[at])
        if len(split_line(block.texts[start].as_py(), delimiter, quoted=True)) == width:
            at += 1
            continue
        stop = int(odd[at + 1]) if at + 1 < len(odd) else len(block)
        if stop == len(block) and not last and stop - start < MOST_LINES:
            hold = start
            break
        text = None
        if stop < len(block) and stop - start < MOST_LINES:
            text = "\n".join(block.texts[start : stop + 1].to_pylist())
        if text is not None and len(split_line(text, delimiter, quoted=True)) == width:
            joined[start] = stop, text
            at += 1
        at += 1
    done = block.at(slice(0, hold)) if joined or hold < len(block) else block
    rest = block.at(slice(hold, len(block))) if hold < len(block) else None
    return (_merged(done, joined) if joined else done), rest


def _merged(block: Lines, joined: dict[int, tuple[int, str]]) -> Lines:
    keep = np.ones(len(block), dtype=bool)
    bad = block.undecodable.copy()
    texts = block.texts.to_pylist()
    for start, (stop, text) in joined.items():
        keep[start + 1 : stop + 1] = False
        bad[start] = bad[start : stop + 1].any()
        texts[start] = text
    merged = Lines(block.numbers, pa.array(texts, pa.string()), bad)
    return merged.at(np.flatnonzero(keep))
