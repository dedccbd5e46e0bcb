"""Bytes of a file unpacked (gzip, zstd, bzip2, xz, zip) and in UTF-8, and what other files are."""

import codecs
import lzma
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsys.errors import InputError

PEEK = 4096  # bytes that decide about the encoding and the ends of lines

_CODECS = {
    re.compile(rb"\x1f\x8b"): "gzip",
    re.compile(rb"\x28\xb5\x2f\xfd"): "zstd",
    re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P)"): "bz2",
    re.compile(rb"\x04\x22\x4d\x18"): "lz4",
}
_XZ = b"\xfd7zXZ\0"
_ZIP = b"PK\x03\x04"
_PARQUET = b"PAR1"
_TAR = slice(257, 262), b"ustar"
_BINARY = {  # how a file starts: what it is, what to do with it
    b"SQLite format 3\0": (
        "an SQLite database",
        "read it with recsys retrain --database sqlite:///FILE --query SQL, or export it as CSV",
    ),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save the sheet as CSV"),
    b"ARROW1": ("an Arrow or Feather file", "write it as Parquet"),
    b"ORC": ("an ORC file", "write it as Parquet"),
    b"Obj\x01": ("an Avro file", "write it as Parquet"),
    b"\x89HDF": ("an HDF5 file", "write it as Parquet or CSV"),
    b"\x93NUMPY": ("a NumPy array", "write it as CSV"),
    b"\x80": ("a Python pickle", "write it as Parquet or CSV"),
    b"RDX": ("an R data file", "write it as CSV, with write.csv(row.names=FALSE)"),
    b"X\n\0\0": ("an R data file", "write it as CSV, with write.csv(row.names=FALSE)"),
    b"%PDF": ("a PDF", "give the table itself, as CSV"),
    b"7z\xbc\xaf": ("a 7z archive", "unpack it and give the file of the plays"),
    b"Rar!": ("a RAR archive", "unpack it and give the file of the plays"),
}
_TEXT = {
    b"<!doctype": ("a web page", "get the file itself, not the page about it"),
    b"<html": ("a web page", "get the file itself, not the page about it"),
    b"<?xml": ("an XML file", "write it as CSV"),
    b"%%matrixmarket": ("a MatrixMarket file", "write its cells as CSV: user, item, plays"),
    b"@relation": ("an ARFF file", "write it as CSV"),
    b"version https://git-lfs": ("a Git LFS pointer", "get the file with `git lfs pull`"),
}
_DAMAGED = (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile, zlib.error)


def start_of(path: Path) -> bytes:
    """The first bytes of the file as it lies there."""
    with path.open("rb") as file:
        return file.read(16)


def is_parquet(path: Path) -> bool:
    """Whether the file begins with the magic bytes of Parquet."""
    return start_of(path).startswith(_PARQUET)


def is_packed(path: Path) -> bool:
    """Whether the file is compressed, by its first bytes."""
    start = start_of(path)
    return start.startswith((_XZ, _ZIP)) or any(magic.match(start) for magic in _CODECS)


def open_text(path: Path) -> Any:
    """A stream of the unpacked bytes in UTF-8 with LF or CRLF, a context manager with `read`.

    Raises:
        InputError: the file is damaged, an archive of several files, or of a kind without text.
    """
    with _unpacked(path) as stream:
        start = read_from(stream, PEEK, path)
    _refuse(path, start)
    encoding = _utf16(start)
    only_cr = start.count(b"\r") > 1 and b"\n" not in start.removesuffix(b"\n")
    only_cr = only_cr and not start.endswith(b"\r\n")
    if encoding is None and not only_cr:
        return _unpacked(path)
    return _Transcoded(_unpacked(path), path, encoding or "utf-8", only_cr)


def is_transcoded(path: Path) -> bool:
    """Whether the bytes of a text file, once unpacked, are not UTF-8 with LF or CRLF.

    Raises:
        InputError: as `open_text`.
    """
    with open_text(path) as stream:
        return isinstance(stream, _Transcoded)


def read_from(stream: Any, size: int, path: Path) -> bytes:
    """At most `size` bytes; none at the end.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return bytes(stream.read(size))
    except _DAMAGED as error:
        raise _damaged(path, error) from error


def read_into(stream: Any, view: memoryview, path: Path) -> int:
    """Fill `view` as far as the stream goes at once; how many bytes, 0 at the end.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return int(stream.readinto(view))
    except _DAMAGED as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> InputError:
    return InputError(f"{path} is damaged or cut short ({error}); get the file again")


class _Transcoded:
    """A stream of UTF-8 with LF from another one."""

    def __init__(self, stream: Any, path: Path, encoding: str, only_cr: bool) -> None:
        self._stream, self._path, self._only_cr = stream, path, only_cr
        self._decode = None
        if encoding != "utf-8":
            self._decode = codecs.getincrementaldecoder(encoding)(errors="replace")

    def read(self, size: int) -> bytes:
        while raw := read_from(self._stream, size, self._path):
            data = raw if self._decode is None else self._decode.decode(raw).encode()
            if data:
                return data.replace(b"\r", b"\n") if self._only_cr else data
        return b"" if self._decode is None else self._decode.decode(b"", final=True).encode()

    def __enter__(self) -> "_Transcoded":
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()


def _unpacked(path: Path) -> Any:
    start = start_of(path)
    for magic, codec in _CODECS.items():
        if magic.match(start):
            return pa.CompressedInputStream(pa.OSFile(str(path)), codec)
    if start.startswith(_XZ):
        return lzma.open(path)
    if start.startswith(_ZIP):
        return _member(path)
    return pa.OSFile(str(path))


def _member(path: Path) -> Any:
    """The one file in a zip archive."""
    try:
        archive = zipfile.ZipFile(path)
        inside = [each for each in archive.infolist() if _is_data(each)]
        if "[Content_Types].xml" in archive.namelist():
            raise InputError(f"{path} is an Excel workbook or a like file; save the sheet as CSV")
        if len(inside) != 1:
            names = ", ".join(each.filename for each in inside[:3]) or "none"
            raise InputError(
                f"{path} is a zip archive of {len(inside)} files ({names}), not a text table; "
                "unpack it and give one of them"
            )
        if inside[0].flag_bits & 1:
            raise InputError(f"{path} is a zip archive with a password; unpack it first")
        return archive.open(inside[0])
    except (*_DAMAGED, NotImplementedError) as error:
        raise _damaged(path, error) from error


def _is_data(member: zipfile.ZipInfo) -> bool:
    parts = Path(member.filename).parts
    return not member.is_dir() and parts[0] != "__MACOSX" and parts[-1][0] != "."


def _refuse(path: Path, start: bytes) -> None:
    """Refuse what is known by its first bytes and is no text table."""
    kind = None
    if start[_TAR[0]] == _TAR[1]:
        kind = ("a tar archive", "unpack it and give the file of the plays")
    elif start.startswith(_PARQUET):
        kind = ("a packed Parquet file", "unpack it")
    elif re.search(rb"[\0-\x08]", start[:256]):
        kind = next((kind for magic, kind in _BINARY.items() if start.startswith(magic)), None)
    else:
        text = start.removeprefix(codecs.BOM_UTF8).lstrip().lower()
        kind = next((kind for magic, kind in _TEXT.items() if text.startswith(magic)), None)
        if start.startswith(b"%PDF"):
            kind = _BINARY[b"%PDF"]
    if kind is not None:
        raise InputError(f"{path} is {kind[0]}, not a text table; {kind[1]}")


def _utf16(start: bytes) -> str | None:
    """The kind of UTF-16 that the bytes are in, by their mark or by the zeros of ASCII letters."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = start[0::2].count(0), start[1::2].count(0)
    enough = len(start) // 4
    if enough and not even and odd > enough:
        return "utf-16-le"
    return "utf-16-be" if enough and not odd and even > enough else None
