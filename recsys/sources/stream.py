"""Bytes of a plain, gzip or zstd file, as numbered lines."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import Strings
from recsys.errors import InputError

BLOCK = 16 << 20
LONGEST_LINE = 64 << 20
_BOM = b"\xef\xbb\xbf"
_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

Encoding = Literal["utf-8", "latin-1"]


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Consecutive physical lines of a file.

    Attributes:
        first: Number of the first of them, from 1.
        texts: The lines without their ends (LF or CRLF), pyarrow strings, shape (n,).
        undecodable: Where the bytes are not UTF-8 (the text then shows U+FFFD), bool, (n,).
    """

    first: int
    texts: Strings
    undecodable: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """Line numbers, int64, shape (n,)."""
        return np.arange(self.first, self.first + len(self), dtype=np.int64)

    def after_first(self) -> "Lines":
        """All but the first line."""
        return Lines(self.first + 1, self.texts[1:], self.undecodable[1:])


def check_file(path: Path) -> None:
    """Check that `path` is a readable file that is not empty.

    Raises:
        InputError: `path` is missing, not a file, unreadable or empty.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give the path of an existing file")
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the path of the file to read")
    try:
        start = _start(path)
    except PermissionError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); change its mode") from error
    if not start:
        raise InputError(f"{path} is empty; give a file with rows")


def is_parquet(path: Path) -> bool:
    """Whether the file begins with the magic bytes of Parquet."""
    return _start(path) == b"PAR1"


def head(path: Path, size: int = 1 << 18) -> list[str]:
    """The lines within the first `size` bytes; a last line that is cut off is left out.

    Bytes that are not UTF-8 are shown as U+FFFD.

    Raises:
        InputError: the file is missing, empty or damaged.
    """
    check_file(path)
    start = next(_chunks(path, size), b"").removeprefix(_BOM)
    if not start:
        raise InputError(f"{path} is empty once unpacked; give a file with rows")
    whole = len(start) < size - len(_BOM) or b"\n" not in start
    cut = start.removesuffix(b"\n") if whole else start[: start.rindex(b"\n")]
    return cut.replace(b"\r\n", b"\n").removesuffix(b"\r").decode(errors="replace").split("\n")


def lines(path: Path, encoding: Encoding = "utf-8") -> Iterator[Lines]:
    """All lines of the file in blocks of about BLOCK bytes; a byte order mark is skipped.

    A block that is valid UTF-8 is read as UTF-8, whatever `encoding` is.

    Raises:
        InputError: the file is missing, empty or damaged, or has a line beyond LONGEST_LINE.
    """
    check_file(path)
    first = 1
    for text in _whole_lines(path, BLOCK):
        if encoding != "utf-8" and not _is_utf8(text):
            text = text.decode(encoding).encode()
        split = _split(text.replace(b"\r\n", b"\n").removesuffix(b"\n"), first)
        first += len(split)
        yield split


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _open(path: Path) -> Any:
    start = _start(path)
    for magic, codec in _CODECS.items():
        if start.startswith(magic):
            return pa.CompressedInputStream(pa.OSFile(str(path)), codec)
    return pa.OSFile(str(path))


def _chunks(path: Path, size: int) -> Iterator[bytes]:
    with _open(path) as stream:
        while chunk := _read(stream, size, path):
            yield chunk


def _read(stream: Any, size: int, path: Path) -> bytes:
    try:
        return bytes(stream.read(size))
    except OSError as error:
        raise InputError(f"{path} is damaged or cut short ({error}); get the file again") from error


def _whole_lines(path: Path, size: int) -> Iterator[bytes]:
    """Blocks that end at the end of a line; only the last may lack the newline."""
    pending = b""
    for number, chunk in enumerate(_chunks(path, size)):
        text = pending + (chunk if number else chunk.removeprefix(_BOM))
        cut = text.rfind(b"\n") + 1
        pending = text[cut:]
        if len(pending) > LONGEST_LINE:
            raise InputError(
                f"{path} has a line longer than {LONGEST_LINE >> 20} MiB, so it is not a text "
                "table; give a log in a known format"
            )
        if cut:
            yield text[:cut]
    if pending:
        yield pending


def _split(text: bytes, first: int) -> Lines:
    try:
        whole = pa.array([text], pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return _split_undecodable(text, first)
    texts = pc.split_pattern(whole, "\n").values
    return Lines(first, texts, np.zeros(len(texts), dtype=bool))


def _split_undecodable(text: bytes, first: int) -> Lines:
    """Line by line, because one bad byte must cost one line only."""
    decoded = [line.decode(errors="replace") for line in text.split(b"\n")]
    bad = [not _is_utf8(line) for line in text.split(b"\n")]
    return Lines(first, pa.array(decoded, pa.string()), np.array(bad))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
