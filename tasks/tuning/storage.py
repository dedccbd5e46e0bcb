"""The storage of studies: a journal in the workspace, or PostgreSQL for several machines."""

import fcntl
import functools
import os
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock  # what a lock has to be
from sqlalchemy.exc import SQLAlchemyError

from recsys.errors import InputError
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks
from tasks.workspace.postgres import masked, sqlalchemy_url
from tasks.workspace.readable import if_allowed, is_writable

optuna.logging.set_verbosity(optuna.logging.WARNING)

ERRORS = (SQLAlchemyError, StorageInternalError)  # the database cannot be used
_BLOCK = 1 << 16


class _Lock(BaseJournalFileLock):
    """The lock for writers of the journal; the operating system frees it when its owner dies.

    Optuna's own lock is a file that a killed process leaves behind: the others then wait half a
    minute, and what it had half written stays at the end and spoils the next line.
    """

    def __init__(self, journal: Path, lock: Path) -> None:
        with if_allowed():
            lock.parent.mkdir(parents=True, exist_ok=True)
        self._journal = journal
        self._lock = lock
        self._held: int | None = None

    def acquire(self) -> bool:
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._held = descriptor
        mend(self._journal)
        return True

    def release(self) -> None:
        assert self._held is not None  # Optuna releases what it acquired
        os.close(self._held)
        self._held = None


def mend(journal: Path) -> None:
    """Cut off a last line that its writer did not finish; the caller holds the lock."""
    with journal.open("r+b") as file:
        end = kept = file.seek(0, os.SEEK_END)
        while kept:
            start = max(0, kept - _BLOCK)
            file.seek(start)
            newline = file.read(kept - start).rfind(b"\n")
            if newline >= 0:
                kept = start + newline + 1
                break
            kept = start
        if kept < end:
            file.truncate(kept)
            os.fsync(file.fileno())


def open_storage(workspace: Workspace) -> BaseStorage:
    """The storage of all studies, made where it is missing.

    Raises:
        InputError: the database cannot be used.
    """
    if workspace.storage is None:
        if not workspace.studies.exists() and not is_writable(workspace.root):
            return InMemoryStorage()  # without studies: none can be made here
        lock = _Lock(workspace.studies, workspace.lock("optuna-journal"))
        return JournalStorage(JournalFileBackend(str(workspace.studies), lock))
    # Of two processes that make the tables at once, one would fail.
    with workspace_locks(workspace).exclusive("optuna"):
        try:
            return _database(workspace.storage)
        except SQLAlchemyError as error:
            raise InputError(
                f"studies in {masked(workspace.storage)}: {type(error).__name__}; check the "
                "address in --storage, and that its user may create tables"
            ) from error


@functools.cache  # each holds connections, of which a server has few
def _database(address: str) -> BaseStorage:
    database = RDBStorage(sqlalchemy_url(address), engine_kwargs={"pool_pre_ping": True})
    return get_storage(database)  # which remembers finished trials
