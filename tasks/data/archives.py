"""Members of a gzipped tar from another source, checked by their MD5."""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from recsys.errors import InputError
from recsys.files import temporary_folder
from recsys.progress import Progress, silent

BLOCK = 1 << 20
_HEADER = 512  # bytes that even an empty member takes


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class ArchiveMember:
    """A file of an archive: its name without folders, its MD5, its largest size."""

    name: str
    md5: str
    max_bytes: int


def md5_of(path: Path, progress: Progress = silent) -> str:
    """MD5 of a file's bytes, in hexadecimal."""
    digest = hashlib.md5(usedforsecurity=False)
    total, done = path.stat().st_size, 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            done += len(block)
            progress("checking", done, total)
    return digest.hexdigest()


def unpack(
    archive: Path, members: Sequence[ArchiveMember], folder: Path, progress: Progress = silent
) -> None:
    """Write these members of a .tar.gz into folder under their names without folders: all or none.

    Paths in the archive are never written to, and other members are skipped. The whole archive is
    refused where Python's filter "data" refuses a member (one that leads out of the folder, or a
    device), and where the members have more bytes than those wanted may have together.

    Raises:
        InputError: The archive is damaged or unsafe, lacks a member, or holds one with another MD5.
    """
    with temporary_folder(folder, f".{archive.name}-") as scratch:
        _write_members(archive, {member.name: member for member in members}, scratch, progress)
        for member in members:
            (scratch / member.name).replace(folder / member.name)


def _write_members(
    archive: Path, wanted: dict[str, ArchiveMember], scratch: Path, progress: Progress
) -> None:
    room = sum(member.max_bytes for member in wanted.values())
    missing = set(wanted)
    try:
        with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:gz") as tar:
            for info in tar:
                room -= info.size + _HEADER
                _refuse_unsafe(info, archive, scratch, room)
                name = PurePosixPath(info.name).name
                if name in missing and info.isreg() and (source := tar.extractfile(info)):
                    _write_member(source, wanted[name], scratch, raw, archive, progress)
                    missing.remove(name)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(
            f"{archive} is damaged or cut short ({error}): download it again"
        ) from error
    if missing:
        raise InputError(
            f"{archive} holds no {' and no '.join(sorted(missing))}: it is another archive than "
            "expected, check the address"
        )


def _refuse_unsafe(info: tarfile.TarInfo, archive: Path, folder: Path, room: int) -> None:
    try:
        tarfile.data_filter(info, str(folder))
        fault = "it unpacks to far more bytes than expected" if room < 0 else None
    except tarfile.FilterError as error:
        fault = str(error)
    if fault:
        raise InputError(
            f"{archive} is not safe to unpack ({fault}): download it from a source you trust"
        )


def _write_member(
    source: _Readable,
    member: ArchiveMember,
    scratch: Path,
    raw: BinaryIO,
    archive: Path,
    progress: Progress,
) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    packed = archive.stat().st_size
    with (scratch / member.name).open("wb") as target:
        while block := source.read(BLOCK):
            digest.update(block)
            target.write(block)
            progress(
                "unpacking", raw.tell(), packed
            )  # in bytes of the archive, whose size is known
    if digest.hexdigest() != member.md5:
        raise InputError(
            f"{member.name} in {archive} has MD5 {digest.hexdigest()} and not {member.md5}: "
            "it is not the published file, download it again"
        )
