"""Lines cut into fields: the one tokenizer of all text formats."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import Strings
from recsys.dtypes import Int8Array
from recsys.sources import jsonl
from recsys.sources.layout import Layout, Role
from recsys.sources.numbers import bools
from recsys.sources.quoting import rows_of, split_line
from recsys.sources.rejects import Reason, Rejects
from recsys.sources.stream import Lines, lines

_LISTS = pa.list_(pa.string())


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows cut into fields with roles, not yet checked.

    Attributes:
        lines: Line numbers, int64, shape (n,).
        texts: The unchanged lines, pyarrow strings, shape (n,).
        columns: For each role, a pyarrow array of shape (n,): strings from a text file, typed
            values from a Parquet file.
    """

    lines: npt.NDArray[np.int64]
    texts: Strings
    columns: Mapping[Role, Strings]

    def __len__(self) -> int:
        return len(self.lines)


def data_lines(path: Path, layout: Layout, size: int | None = None) -> Iterator[Lines]:
    """The rows of a text file without its header, in blocks of about `size` bytes.

    Raises:
        InputError: the file is missing, empty or damaged.
    """
    blocks = lines(path, layout.encoding, size)
    if layout.quoted:
        blocks = rows_of(blocks, layout.delimiter, layout.width)
    for number, block in enumerate(blocks):
        yield block.at(slice(1, None)) if layout.header and not number else block


def cut(block: Lines, layout: Layout) -> tuple[list[Rows], Rejects]:
    """The rows of `block`, and the lines that are not UTF-8 or have a wrong number of fields."""
    if layout.keys:
        return _cut_json(block, layout)
    special = block.undecodable.copy()
    titles = np.zeros(len(block), dtype=bool)
    if layout.titles:
        titles = bools(pc.equal(block.texts, layout.titles))
        special |= titles
    parts: list[Rows] = []
    refused: list[Rejects] = []
    if layout.quoted:
        with_quote = _has_quote(block) & ~special
        special |= with_quote
        parts, refused = _cut_quoted(block, with_quote, layout)
    lists = pc.split_pattern(block.texts, layout.delimiter)
    widths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    codes = _codes(block.undecodable, ~special & (widths != layout.width))
    codes[titles] = Reason.HEADER
    plain = ~special & (codes == 0)
    parts.append(_rows(block, plain, lists, layout))
    refused.append(Rejects.of(block.numbers, codes, block.texts))
    return [part for part in parts if len(part)], Rejects.join(refused)


def _cut_json(block: Lines, layout: Layout) -> tuple[list[Rows], Rejects]:
    blank = bools(pc.equal(pc.utf8_trim_whitespace(block.texts), ""))
    block = block.at(np.flatnonzero(~blank)) if blank.any() else block
    columns, codes = jsonl.cells_of(block, layout)
    codes = np.where(block.undecodable, Reason.NOT_UTF8, codes).astype(np.int8)
    good = codes == 0
    mask = pa.array(good)
    cells = {role: _trimmed(column.filter(mask), layout) for role, column in columns.items()}
    rows = Rows(block.numbers[good], block.texts.filter(mask), cells)
    rejects = Rejects.of(block.numbers, codes, block.texts)
    return [rows] if len(rows) else [], rejects


def _trimmed(column: Strings, layout: Layout) -> Strings:
    return pc.utf8_trim_whitespace(column) if layout.trim else column


def _has_quote(block: Lines) -> npt.NDArray[np.bool_]:
    quoted = pc.match_substring(block.texts, '"').to_numpy(zero_copy_only=False)
    return np.asarray(quoted, dtype=bool)


def _codes(undecodable: npt.NDArray[np.bool_], misfit: npt.NDArray[np.bool_]) -> Int8Array:
    codes = np.where(misfit, Reason.WRONG_WIDTH, Reason.FINE)
    return np.where(undecodable, Reason.NOT_UTF8, codes).astype(np.int8)


def _cut_quoted(
    block: Lines, chosen: npt.NDArray[np.bool_], layout: Layout
) -> tuple[list[Rows], list[Rejects]]:
    """The chosen lines through the csv module, which is slow but knows quotes."""
    numbers = block.numbers[chosen]
    texts = block.texts.filter(pa.array(chosen))
    cells = [split_line(line, layout.delimiter, quoted=True) for line in texts.to_pylist()]
    fits = np.array([len(row) == layout.width for row in cells], dtype=bool)
    lists = pa.array([row for row, fit in zip(cells, fits, strict=True) if fit], _LISTS)
    columns = {
        role: _trimmed(pc.list_element(lists, at), layout) for role, at in layout.fields.items()
    }
    rejects = Rejects.of(numbers, _codes(np.zeros_like(fits), ~fits), texts)
    return [Rows(numbers[fits], texts.filter(pa.array(fits)), columns)], [rejects]


def _rows(block: Lines, chosen: npt.NDArray[np.bool_], lists: Strings, layout: Layout) -> Rows:
    numbers, texts = block.numbers, block.texts
    if not chosen.all():
        mask = pa.array(chosen)
        numbers, texts, lists = numbers[chosen], texts.filter(mask), lists.filter(mask)
    columns = {
        role: _trimmed(pc.list_element(lists, at), layout) for role, at in layout.fields.items()
    }
    return Rows(numbers, texts, columns)
