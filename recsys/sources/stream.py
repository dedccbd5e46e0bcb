"""A text file, plain or packed, as numbered lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import Strings
from recsys.errors import InputError, NoRows
from recsys.sources.packing import is_parquet as is_parquet
from recsys.sources.packing import open_text, read_from, read_into, start_of

BLOCK = 16 << 20
PAD = 64  # bytes after the lines of a block, for loops that take eight at once
LONGEST_LINE = 64 << 20
_BOM = b"\xef\xbb\xbf"
_MARKS = re.compile(rb"(?m)^(?:\xef\xbb\xbf)+")
_FOREIGN = re.compile(rb"[\x80-\xff]+")

Encoding = Literal["utf-8", "latin-1"]


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Lines of a file, in order.

    Attributes:
        numbers: Of the lines, from 1, int64, shape (n,).
        texts: The lines without their ends (LF or CRLF), pyarrow strings, shape (n,).
        undecodable: Where the bytes are not UTF-8 (the text then shows U+FFFD), bool, (n,).
    """

    numbers: npt.NDArray[np.int64]
    texts: Strings
    undecodable: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.texts)

    def at(self, where: npt.NDArray[np.int64] | slice) -> "Lines":
        """Some of the lines."""
        texts = self.texts[where] if isinstance(where, slice) else self.texts.take(pa.array(where))
        return Lines(self.numbers[where], texts, self.undecodable[where])


def check_file(path: Path) -> None:
    """Check that `path` is a readable file that is not empty.

    Raises:
        InputError: `path` is missing, not a file, unreadable or empty.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give the path of an existing file")
    if path.is_dir():
        raise InputError(
            f"{path} is not a file; give one of the files in this folder (recsys retrain reads all)"
        )
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the path of the file to read")
    try:
        start = start_of(path)
    except PermissionError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); change its mode") from error
    if not start:
        raise NoRows(f"{path} is empty; give a file with rows")


def head(path: Path, size: int = 1 << 18) -> list[str]:
    """The lines within the first `size` bytes; a last line that is cut off is left out.

    Bytes that are not UTF-8 are shown as Latin-1 where they look like it, else as U+FFFD.

    Raises:
        InputError: the file is missing, empty or damaged.
    """
    start = _head(path, size)
    if looks_latin(start):
        return start.decode("cp1252", errors="replace").split("\n")
    return start.decode(errors="replace").split("\n")


def encoding_of(path: Path, size: int = 1 << 18, *, sure: bool = False) -> Encoding:
    """The encoding of a text file, from its first bytes.

    Args:
        path: The file.
        size: How many bytes decide.
        sure: Whether it is UTF-8 unless at least three lines, and all with accents, are not.

    Raises:
        InputError: the file is missing, empty or damaged.
    """
    start = _head(path, size)
    if sure and not is_utf8(start):
        accented = [line for line in start.split(b"\n") if _FOREIGN.search(line)]
        if len(accented) < 3 or any(map(is_utf8, accented)):
            return "utf-8"
    return "latin-1" if looks_latin(start) else "utf-8"


def looks_latin(text: bytes) -> bool:
    """Whether bytes that are not UTF-8 look like Latin-1: accents alone between other letters."""
    if is_utf8(text):
        return False
    accented = [line for line in text.split(b"\n") if _FOREIGN.search(line)]
    if 2 * sum(map(is_utf8, accented)) > len(accented):
        return False  # UTF-8 with some damaged lines
    runs = [len(run) for run in _FOREIGN.findall(text)]
    return 2 * sum(run for run in runs if run > 2) < sum(runs)


def lines(path: Path, encoding: Encoding = "utf-8", size: int | None = None) -> Iterator[Lines]:
    """All lines of the file in blocks of about `size` bytes; a byte order mark is skipped.

    A line that is valid UTF-8 is read as UTF-8, whatever `encoding` is.

    Args:
        path: The file.
        encoding: Of lines that are not UTF-8.
        size: BLOCK by default.

    Raises:
        InputError: the file is missing, empty or damaged, or has a line beyond LONGEST_LINE.
    """
    check_file(path)
    first = 1
    for text in _whole_lines(path, size or BLOCK):
        split = lines_of(text, first, encoding)
        first += len(split)
        yield split


def lines_of(text: bytes, first: int, encoding: Encoding = "utf-8") -> Lines:
    """Lines that end with LF or CRLF, the last one perhaps with neither, numbered from `first`."""
    text = _without_marks(text)
    if encoding != "utf-8" and not is_utf8(text):
        text = b"\n".join(_as_utf8(line) for line in text.split(b"\n"))
    return _split(text.replace(b"\r\n", b"\n").removesuffix(b"\n"), first)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Whole lines as bytes.

    Attributes:
        text: uint8, longer than the lines by PAD bytes at least.
        stop: Where the last line has ended, with a newline.
    """

    text: npt.NDArray[np.uint8]
    stop: int

    def bytes(self) -> bytes:
        """The lines."""
        return self.text[: self.stop].tobytes()


def blocks(path: Path, size: int, free: "SimpleQueue[npt.NDArray[np.uint8]]") -> Iterator[Block]:
    """The lines of a file as bytes; a byte order mark is skipped.

    A last line without a newline gets one.

    Args:
        path: A file in UTF-8 or Latin-1, plain or packed.
        size: Of a block, about.
        free: Arrays of earlier blocks, to be used again.

    Raises:
        InputError: the file is damaged, or has a line beyond LONGEST_LINE.
    """
    pending, begun = b"", False
    with open_text(path) as stream:
        while True:
            text = _array(len(pending) + size + PAD, free)
            view = text.data
            view[: len(pending)] = pending
            got = read_into(stream, view[len(pending) : len(pending) + size], path)
            stop = len(pending) + got
            if not begun and view[: len(_BOM)] == _BOM:
                view[: stop - len(_BOM)] = bytes(view[len(_BOM) : stop])
                stop -= len(_BOM)
            begun = True
            cut = _after_last_newline(view[:stop])
            if not got:
                break
            pending = bytes(view[cut:stop])
            _check_length(path, pending)
            if cut:
                yield Block(text, cut)
    if pending:
        end = b"\r\n" if pending.endswith(b"\r") else b"\n"  # one CR is part of the end
        view[stop : stop + len(end)] = end
        yield Block(text, stop + len(end))


def _array(size: int, free: "SimpleQueue[npt.NDArray[np.uint8]]") -> npt.NDArray[np.uint8]:
    if not free.empty() and len(text := free.get()) >= size:
        return text
    return np.empty(size + size // 8, np.uint8)


def _after_last_newline(view: memoryview, step: int = 1 << 16) -> int:
    for start in range(len(view) - step, -step, -step):
        at = bytes(view[max(start, 0) : start + step]).rfind(b"\n")
        if at >= 0:
            return max(start, 0) + at + 1
    return 0


def _head(path: Path, size: int) -> bytes:
    check_file(path)
    start, whole = _first(path, size)
    if not start:
        raise NoRows(f"{path} is empty once unpacked; give a file with rows")
    whole = whole or b"\n" not in start
    cut = start.removesuffix(b"\n") if whole else start[: start.rindex(b"\n")]
    cut = _without_marks(cut)
    return cut.replace(b"\r\n", b"\n").removesuffix(b"\r")


def _first(path: Path, size: int) -> tuple[bytes, bool]:
    """About the first `size` bytes without a byte order mark, and whether they are all."""
    start = b""
    for chunk in _chunks(path, size):
        start += chunk
        if len(start) >= size:
            return start.removeprefix(_BOM), False
    return start.removeprefix(_BOM), True


def _without_marks(text: bytes) -> bytes:
    """Without byte order marks at the start of lines, as where files were put together."""
    if text.startswith(_BOM) or b"\n" + _BOM in text:
        return _MARKS.sub(b"", text)
    return text


def _as_utf8(line: bytes) -> bytes:
    """The line in UTF-8; as Windows-1252, which Latin-1 is a part of, where it is not UTF-8."""
    if is_utf8(line):
        return line
    try:
        return line.decode("cp1252").encode()
    except UnicodeDecodeError:
        return line.decode("latin-1").encode()


def _chunks(path: Path, size: int) -> Iterator[bytes]:
    with open_text(path) as stream:
        while chunk := read_from(stream, size, path):
            yield chunk


def _whole_lines(path: Path, size: int) -> Iterator[bytes]:
    """Blocks that end at the end of a line; only the last may lack the newline."""
    pending = b""
    for number, chunk in enumerate(_chunks(path, size)):
        text = pending + (chunk if number else chunk.removeprefix(_BOM))
        cut = text.rfind(b"\n") + 1
        pending = text[cut:]
        _check_length(path, pending)
        if cut:
            yield text[:cut]
    if pending:
        yield pending


def _check_length(path: Path, pending: bytes) -> None:
    if len(pending) > LONGEST_LINE:
        raise InputError(
            f"{path} has a line longer than {LONGEST_LINE >> 20} MiB, so it is not a text "
            "table; give a log in a known format"
        )


def _split(text: bytes, first: int) -> Lines:
    try:
        whole = pa.array([text], pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return _split_undecodable(text, first)
    texts = pc.split_pattern(whole, "\n").values
    return Lines(_numbers(first, len(texts)), texts, np.zeros(len(texts), dtype=bool))


def _split_undecodable(text: bytes, first: int) -> Lines:
    """Line by line, because one bad byte must cost one line only."""
    decoded = [line.decode(errors="replace") for line in text.split(b"\n")]
    bad = [not is_utf8(line) for line in text.split(b"\n")]
    return Lines(_numbers(first, len(bad)), pa.array(decoded, pa.string()), np.array(bad))


def _numbers(first: int, n: int) -> npt.NDArray[np.int64]:
    return np.arange(first, first + n, dtype=np.int64)


def is_utf8(line: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
