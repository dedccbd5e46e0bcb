"""One at a time, across processes: locks that are free as soon as their owner is dead.

The operating system frees them, or the database does, so no worker sends signs of life.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Protocol

from recsys.errors import InputError
from tasks.workspace.layout import Workspace
from tasks.workspace.postgres import PostgresLocks, is_postgres
from tasks.workspace.readable import if_allowed


class Locks(Protocol):
    """Locks that the processes of one study share.

    A process that holds one and forks shares it with the child: it is free when both are gone.
    """

    def exclusive(self, name: str, busy: str | None = None) -> AbstractContextManager[None]:
        """Hold the lock `name`; wait until it is free.

        Args:
            name: Of the lock.
            busy: The error where another process holds it; None to wait.
        """

    def shared(self, name: str) -> AbstractContextManager[None]:
        """Hold the lock `name` beside others that share it; wait for one that is alone with it."""

    def living(self, worker: str) -> AbstractContextManager[None]:
        """Within the block every process sees that `worker` lives.

        Args:
            worker: A name that is used once.
        """

    def lives(self, worker: str) -> bool:
        """Whether the process that entered `living(worker)` is still in it."""


def workspace_locks(workspace: Workspace) -> Locks:
    """The locks that all workers at the studies of the workspace share."""
    return open_locks(workspace.locks, workspace.storage)


def open_locks(folder: Path, storage: str | None) -> Locks:
    """Locks where the studies are: in PostgreSQL if `storage` names one, else in `folder`."""
    if storage is not None and is_postgres(storage):
        return PostgresLocks(storage)
    return FileLocks(folder)


@contextmanager
def locked(path: Path, busy: str | None = None, shared: bool = False) -> Iterator[None]:
    """Hold the lock on `path`.

    Args:
        path: The file to lock; made where it is missing, never removed.
        busy: The error where another process holds it; None to wait.
        shared: Whether others that share it may hold it, too.

    Raises:
        InputError: another process holds the lock and `busy` is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as handle:  # where locks are of bytes (NFS), to share one is to read
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(handle, kind | (0 if busy is None else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise InputError(str(busy)) from error
        yield


class FileLocks:
    """Locks on files (flock), for the processes of one machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def exclusive(self, name: str, busy: str | None = None) -> AbstractContextManager[None]:
        """Hold the lock `name`; wait until it is free, or with `busy` refuse."""
        return locked(self._folder / _file_name(name), busy)

    def shared(self, name: str) -> AbstractContextManager[None]:
        """Hold the lock `name` beside others that share it."""
        return locked(self._folder / _file_name(name), shared=True)

    @contextmanager
    def living(self, worker: str) -> Iterator[None]:
        """Within the block every process sees that `worker` lives: its file is locked.

        The files of workers that died before they began a trial are removed: no `lives` would.
        """
        path = self._file(worker)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked_for_good(path):
            for other in path.parent.iterdir():
                _is_held(other)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def lives(self, worker: str) -> bool:
        """Whether the process that entered `living(worker)` is still in it.

        The file that a dead worker left is removed.
        """
        return _is_held(self._file(worker))

    def _file(self, worker: str) -> Path:
        return self._folder / "workers" / _file_name(worker)


def _locked_for_good(path: Path) -> IO[str]:
    """The file at `path`, new and locked.

    A process that looks between our making it and our locking it takes it for a dead worker's and
    removes it; then we make another.
    """
    while True:
        handle = path.open("a")
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_at(path, handle):
            return handle
        handle.close()


def _is_held(path: Path) -> bool:
    """Whether a process has the lock on a file; a file without one is removed."""
    try:
        handle = path.open()
    except FileNotFoundError:
        return False
    with handle:
        try:
            # Shared, so two processes that look at once do not take each other for the worker.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        if _is_at(path, handle):
            with if_allowed():
                path.unlink(missing_ok=True)
        return False


def _is_at(path: Path, handle: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle.fileno()))
    except FileNotFoundError:
        return False


def _file_name(name: str) -> str:
    """A file name, unique to the name, that shows what it is for."""
    shown = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)[:60]
    return f"{shown}-{sha256(name.encode()).hexdigest()[:16]}.lock"
