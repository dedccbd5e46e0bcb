"""Files and folders that appear whole or not at all, and temporary ones that leave nothing.

A temporary folder is locked while its maker lives. The operating system frees the lock of a killed
process, so the next one that makes a folder of this prefix removes what was left.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from glob import escape
from pathlib import Path


@contextmanager
def temporary_folder(place: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `place` that is there until the block ends."""
    place.mkdir(parents=True, exist_ok=True)
    remove_left(place, prefix)
    folder, descriptor = _new_and_locked(place, prefix)
    try:
        yield folder
    finally:
        try:
            _remove(folder)
        finally:
            os.close(descriptor)


@contextmanager
def atomic_file(path: Path, durable: bool = False) -> Iterator[Path]:
    """A path to write to; at the end of the block the file replaces what is at `path`.

    Args:
        path: Its final name; its folder is made where it is missing.
        durable: Whether the file outlasts a power cut once the block has ended.
    """
    with temporary_folder(path.parent, f".{path.name}-") as folder:
        new = folder / path.name
        yield new
        if durable:
            sync(new)
        new.replace(path)
    if durable:
        sync(path.parent)


@contextmanager
def atomic_folder(path: Path, durable: bool = False) -> Iterator[Path]:
    """A folder to fill; at the end of the block it takes its name.

    A folder that another process put there meanwhile stays, and this one is removed.

    Args:
        path: Its final name; the folder above is made where it is missing.
        durable: Whether its files outlast a power cut once the block has ended.
    """
    with temporary_folder(path.parent, f".{path.name}-") as folder:
        yield folder
        if durable:
            for each in (*folder.rglob("*"), folder):
                sync(each)
        try:
            folder.rename(path)
        except OSError:
            if not path.exists():
                raise
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, would outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(paths: Iterable[Path]) -> None:
    """`sync` of several at once, which the disk writes together."""
    paths = list(paths)
    with ThreadPoolExecutor(max(len(paths), 1)) as threads:
        list(threads.map(sync, paths))


def link_or_copy(source: str, target: str) -> None:
    """Give a file another name, or copy it where the disk knows no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def remove_left(place: Path, prefix: str) -> None:
    """Remove the temporary folders of processes that were killed."""
    for folder in place.glob(f"{escape(prefix)}*"):
        _remove_unless_locked(folder)


def _new_and_locked(place: Path, prefix: str) -> tuple[Path, int]:
    """A new folder and the descriptor that locks it.

    Another process may remove it between its making and its locking; then one more is made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        try:
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)
        except FileNotFoundError:
            continue
        except BaseException:  # an interrupt
            _remove(folder)
            raise


def _remove(folder: Path) -> None:
    """Remove a folder, also where an interrupt comes meanwhile."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _remove_unless_locked(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)
