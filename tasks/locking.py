"""One at a time, across processes: a lock that the operating system frees when its owner dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import InputError


@contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[None]:
    """Hold the lock on `path`.

    Args:
        path: The file to lock; it is made and stays.
        busy: What to tell the user when another process holds it; None to wait.

    Raises:
        InputError: another process holds the lock and `busy` is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if busy is None else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise InputError(str(busy)) from error
        yield
