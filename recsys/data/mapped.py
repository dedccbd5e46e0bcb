"""Plain arrays in one .npz, mapped into memory: the processes of a machine share its pages.

numpy reads such a file as any other .npz, and a file that numpy wrote is read here too: an array
that is compressed, or does not begin at a multiple of 64 bytes, is copied. Nothing is pickled.
"""

import math
import mmap
import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt

_ALIGNED = 64  # bytes, as numpy pads the header of an array
_FIXED = 30  # bytes of what a ZIP file says before the name of a member
_ZIP64 = 20  # bytes of the sizes of a large member
_PADDING = 0xD935  # the kind of extra field that others align members with


def save_mapped(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an uncompressed .npz; `load_mapped` maps its arrays instead of copying them."""
    with path.open("wb") as file, ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            info = ZipInfo(f"{name}.npy")
            begins = file.tell() + _FIXED + len(info.filename.encode()) + 4 + _ZIP64
            padding = bytes(-begins % _ALIGNED)
            info.extra = struct.pack("<HH", _PADDING, len(padding)) + padding
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def load_mapped(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz by name; what is changed in them stays in this process.

    Raises:
        BadZipFile: the file is damaged.
        ValueError: it holds a pickle.
    """
    with path.open("rb") as file, ZipFile(file) as archive:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return {
            info.filename.removesuffix(".npy"): _array(pages, archive, info)
            for info in archive.infolist()
        }


def _array(pages: mmap.mmap, archive: ZipFile, info: ZipInfo) -> npt.NDArray[Any]:
    name, extra = struct.unpack_from("<HH", pages, info.header_offset + _FIXED - 4)
    begins = info.header_offset + _FIXED + name + extra
    if info.compress_type != ZIP_STORED or begins % _ALIGNED:
        return np.asarray(np.lib.format.read_array(BytesIO(archive.read(info)), allow_pickle=False))
    stored = memoryview(pages)[begins : begins + info.file_size]
    if zlib.crc32(stored) != info.CRC:
        raise BadZipFile(f"Bad CRC-32 for file {info.filename!r}")
    header = BytesIO(bytes(stored[:4096]))
    if np.lib.format.read_magic(header) != (1, 0):
        return np.asarray(np.lib.format.read_array(BytesIO(stored), allow_pickle=False))
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(header)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    flat = np.frombuffer(pages, dtype, math.prod(shape), begins + header.tell())
    return flat.reshape(shape, order="F" if by_column else "C")
