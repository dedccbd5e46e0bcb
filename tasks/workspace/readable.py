"""A workspace that may only be read: of another user, or on a disk that is mounted so.

Commands that only answer work there. What they have to make on the way, they make among the
temporary files of this process.
"""

import atexit
import errno
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from recsys.errors import InputError

_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}


def is_writable(path: Path) -> bool:
    """Whether `path`, or the folder that it would be made in, may be written."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return os.access(path, os.W_OK)


def check_readable(root: Path) -> None:
    """Refuse a workspace that is there and may not be read.

    Raises:
        InputError: so it is.
    """
    if root.exists() and not os.access(root, os.R_OK | os.X_OK):
        raise InputError(may_not(root, "not be read"))


def check_writable(root: Path) -> None:
    """Refuse a workspace that may only be read.

    Raises:
        InputError: so it is.
    """
    if not is_writable(root):
        raise InputError(may_not(root, "only be read"))


def check_output(path: Path) -> None:
    """Refuse a place where no file can be made, before the work whose result it is to hold.

    Raises:
        InputError: so it is.
    """
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name another file") from error
    if not is_writable(path.parent):
        raise InputError(f"{path}: {path.parent} may not be written; name another file")


def may_not(root: Path | str, what: str) -> str:
    """The sentence about a workspace that may `what`: only be read, or not be read."""
    advice = "pass --workspace with a folder that you may write, or ask its owner"
    return f"workspace {root} may {what} by you; {advice}"


@contextmanager
def if_allowed() -> Iterator[None]:
    """Within the block a refusal to write ends the block, and nothing else."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_ALLOWED:
            raise


@functools.cache
def substitute() -> Path:
    """A folder for what cannot be written into the workspace, removed with this process."""
    folder = Path(tempfile.mkdtemp(prefix="recsys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def reading_address(database: Path) -> str:
    """The address by which `sqlite3.connect(..., uri=True)` reads an SQLite database as it is now.

    A write-ahead log needs a file for its index beside the database. Where none can be made, a
    database without a log is read as one that never changes, and one with a log is copied.
    """
    if is_writable(database.parent):
        return _address(database)
    log, index = (database.with_name(database.name + end) for end in ("-wal", "-shm"))
    if not log.exists() or log.stat().st_size == 0:
        return _address(database) + "&immutable=1"
    return _address(database if os.access(index, os.R_OK) else copied_database(database))


def copied_database(database: Path) -> Path:
    """A copy of a database with its write-ahead log, among the temporary files."""
    copy = Path(tempfile.mkdtemp(dir=substitute())) / database.name
    for end in ("", "-wal"):
        source = database.with_name(database.name + end)
        if source.exists():
            shutil.copyfile(source, copy.with_name(copy.name + end))
    return copy


def _address(database: Path) -> str:
    return f"file:{quote(str(database))}?mode=ro"
