"""Blocks of lines read by compiled code, on several threads; what is unusual is left over.

Each thread has its own numbers for the texts, so a text is kept once and not once for each row.
"""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from queue import LifoQueue, SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import Strings
from recsys.dtypes import Int8Array, Int64Array
from recsys.sources.forms import Forms
from recsys.sources.layout import ItemKey, Layout
from recsys.sources.stream import PAD, Block, Lines, blocks, lines_of
from recsys.sources.usable import Texts, Usable

SIZE = 4 << 20  # of a block
ROWS = 1 << 16  # read by one call
MOST_THREADS = 8


@dataclass(frozen=True, slots=True, eq=False)
class CodedBlock:
    """What became of the lines of a block.

    Attributes:
        n: How many lines.
        usable: The rows that can be used.
        lines: Numbers of the rejected lines from 0, int64, shape (m,).
        reasons: Of these, int8, shape (m,).
        texts: Of these, pyarrow strings, shape (m,).
        odd: Lines for the careful readers, numbered from 0.
    """

    n: int
    usable: Usable | None
    lines: Int64Array
    reasons: Int8Array
    texts: Strings
    odd: Lines


class Table:
    """Texts and their numbers, see `recsys.kernels.text_codes`."""

    def __init__(self) -> None:
        self.slots = np.full(1 << 12, -1, np.int64)
        self.store = np.empty(1 << 16, np.uint8)
        self.places = np.empty(1 << 11, np.int64)
        self.counts = np.zeros(2, np.int64)

    def make_room(self, rows: int, size: int) -> None:
        """Make room for so many more texts of together so many bytes."""
        from recsys.kernels.text_codes import rehash

        n, words = (int(count) for count in self.counts)
        bytes_needed = 8 * words + size + 16 * rows + PAD
        if bytes_needed > len(self.store):
            store = np.empty(2 * bytes_needed, np.uint8)
            store[: 8 * words] = self.store[: 8 * words]
            self.store = store
        if n + rows > len(self.places):
            self.places = np.concatenate([self.places, np.empty(2 * (n + rows), np.int64)])
        if 2 * (n + rows) > len(self.slots):
            self.slots = np.full(1 << (3 * (n + rows)).bit_length(), -1, np.int64)
            rehash(self.addresses(), n)

    def addresses(self) -> tuple[int, int, int, int, int]:
        """As the kernels take them."""
        slots, store = self.slots.ctypes.data, self.store.ctypes.data
        return slots, len(self.slots) - 1, store, self.places.ctypes.data, self.counts.ctypes.data

    def texts(self) -> Strings:
        """The texts by number."""
        from recsys.kernels.text_codes import unpack

        n = int(self.counts[0])
        ends, out = np.empty(n + 1, np.int64), np.empty(8 * int(self.counts[1]), np.uint8)
        unpack(self.addresses(), n, ends, out)
        return _strings(ends, out)


class Coder:
    """Reads blocks of one layout, one after the other."""

    def __init__(self, layout: Layout, spec: Int64Array) -> None:
        self.layout, self.spec = layout, spec
        self.titles = np.frombuffer(layout.titles.encode() + b"\0" * 8, np.uint8)
        self.users, self.items = Table(), Table()

    def read(self, block: Block, start: int) -> CodedBlock:
        """The lines of a block from `start` on."""
        from recsys.kernels.log_lines import read_lines

        if start == block.stop:  # nothing but a header
            return self._careful(block, start)
        at, n = start, 0
        kept: list[tuple[npt.NDArray[Any], ...]] = []
        refused: list[Int64Array] = []
        while at < block.stop:
            for table in (self.users, self.items):
                table.make_room(ROWS, block.stop - at)
            out = _outputs(ROWS)
            at, used, others = read_lines(
                block.text.ctypes.data,
                at,
                block.stop,
                self.spec.ctypes.data,
                (self.titles.ctypes.data, len(self.layout.titles.encode())),
                self.users.addresses(),
                self.items.addresses(),
                out,
            )
            if at < 0:
                return self._careful(block, start)
            out[4][:others, 0] += n
            n += used + others
            kept.append(tuple(column[:used].copy() for column in out[:4]))
            refused.append(out[4][:others].copy())
        return self._block(block, n, kept, np.concatenate(refused or [np.empty((0, 4), np.int64)]))

    def texts(self) -> Texts:
        """The texts of all numbers."""
        users, keys = self.users.texts(), self.items.texts()
        fields = self.layout.fields
        if "name" not in fields:
            return Texts(users, keys, None)
        lists = pc.split_pattern(keys, self.layout.delimiter)
        first, second = (pc.list_element(lists, at) for at in (0, 1))
        if fields["item"] > fields["name"]:
            first, second = second, first
        return Texts(users, first, second)

    def _block(
        self, block: Block, n: int, kept: list[tuple[npt.NDArray[Any], ...]], refused: Int64Array
    ) -> CodedBlock:
        users, items, plays, times = (np.concatenate(parts) for parts in zip(*kept, strict=True))
        timed = "time" in self.layout.fields
        usable = Usable(users, items, plays, times if timed else None, self)
        odd = refused[:, 1] < 0
        return CodedBlock(
            n,
            usable if len(usable) else None,
            refused[~odd, 0],
            refused[~odd, 1].astype(np.int8),
            self._texts_of(block, refused[~odd]),
            self._lines_of(block, refused[odd]),
        )

    def _careful(self, block: Block, start: int) -> CodedBlock:
        """All lines as odd ones."""
        every = lines_of(block.text[start : block.stop].tobytes(), 0, self.layout.encoding)
        every = every.at(slice(0, len(every) if start < block.stop else 0))
        none = np.empty(0, np.int64)
        return CodedBlock(
            len(every), None, none, none.astype(np.int8), pa.array([], pa.string()), every
        )

    def _texts_of(self, block: Block, refused: Int64Array) -> Strings:
        from recsys.kernels.text_codes import join

        starts, stops = refused[:, 2], refused[:, 3] - 1
        crlf = (stops > starts) & (block.text[np.maximum(stops - 1, 0)] == 13)
        stops = stops - crlf
        ends = np.empty(len(starts) + 1, np.int64)
        out = np.empty(int((stops - starts).sum()), np.uint8)
        join(block.text, starts, stops, ends, out)
        return _strings(ends, out)

    def _lines_of(self, block: Block, refused: Int64Array) -> Lines:
        text = b"".join(block.text[a:b].tobytes() for a, b in refused[:, 2:].tolist())
        lines = lines_of(text, 0, self.layout.encoding)
        if not len(refused):
            return lines.at(slice(0, 0))
        return Lines(refused[:, 0], lines.texts, lines.undecodable)


def spec_of(layout: Layout, key: ItemKey, forms: Forms) -> Int64Array | None:
    """What compiled code has to know about lines; None where it cannot read such."""
    fields = layout.fields
    both = "name" in fields and abs(fields["name"] - fields["item"]) != 1
    if layout.keys or both or {"plays", "rating"} <= fields.keys() or find_spec("numba") is None:
        return None
    if len(layout.delimiter.encode()) != 1:
        return None
    from recsys.kernels import log_lines as lines

    needs = {"name": lines.NEEDS_NAME, "mbid-else-name": lines.NEEDS_EITHER}
    spec = np.zeros(lines.N_SPEC, np.int64)
    spec[lines.WIDTH], spec[lines.DELIMITER] = layout.width, ord(layout.delimiter)
    spec[lines.USER], spec[lines.ITEM] = fields["user"], fields["item"]
    spec[lines.NAME], spec[lines.TIME] = fields.get("name", -1), fields.get("time", -1)
    spec[lines.NUMBER] = fields.get("plays", fields.get("rating", -1))
    spec[lines.WHOLE] = "plays" in fields
    spec[lines.POINT] = "rating" in fields or forms.decimal == "."
    spec[lines.NEEDS] = needs.get(key, lines.NEEDS_ITEM) if layout.by_mbid else lines.NEEDS_ITEM
    spec[lines.TRIM], spec[lines.UNIT] = layout.trim, not forms.unit.startswith("YYYY")
    spec[lines.DIGITS] = lines.USER_DIGITS * ("user" in forms.float_ids)
    spec[lines.DIGITS] += lines.ITEM_DIGITS * ("item" in forms.float_ids)
    return spec


def coded(path: Path, layout: Layout, spec: Int64Array) -> Iterator[CodedBlock | Block]:
    """The blocks of a file in order, read ahead on as many threads as there are cores.

    Where fields may be quoted, the blocks from the first quote on come as they are.

    Raises:
        InputError: the file is damaged, or has a line that is too long.
    """
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    free: SimpleQueue[npt.NDArray[np.uint8]] = SimpleQueue()
    coders: LifoQueue[Coder] = LifoQueue()
    for _ in range(threads):
        coders.put(Coder(layout, spec))

    def read(block: Block, start: int) -> CodedBlock:
        coder = coders.get()
        try:
            return coder.read(block, start)
        finally:
            coders.put(coder)
            free.put(block.text)

    ahead: deque[Future[CodedBlock]] = deque()
    quoted = False
    with ThreadPoolExecutor(threads) as pool:
        for number, block in enumerate(blocks(path, SIZE, free)):
            quoted |= layout.quoted and bool((block.text[: block.stop] == ord('"')).any())
            if quoted:
                yield from (each.result() for each in _all_of(ahead))
                yield block
                continue
            ahead.append(pool.submit(read, block, _after_header(block, layout, number)))
            if len(ahead) > threads + 1:
                yield ahead.popleft().result()
        yield from (each.result() for each in _all_of(ahead))


def _all_of(ahead: deque[Future[CodedBlock]]) -> Iterator[Future[CodedBlock]]:
    while ahead:
        yield ahead.popleft()


def _after_header(block: Block, layout: Layout, number: int) -> int:
    if number or not layout.header:
        return 0
    return int(np.argmax(block.text[: block.stop] == 10)) + 1


def _outputs(n: int) -> tuple[npt.NDArray[Any], ...]:
    kinds = (np.int32, np.int32, np.float64, np.int64)
    return (*(np.empty(n, kind) for kind in kinds), np.empty((n, 4), np.int64))


def _strings(ends: Int64Array, out: npt.NDArray[np.uint8]) -> Strings:
    """The texts whose bytes lie end to end."""
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(out)]
    return pa.Array.from_buffers(pa.large_string(), len(ends) - 1, buffers).cast(pa.string())
