"""The storage of studies: a journal in the workspace, or PostgreSQL for several machines."""

import fcntl
import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock  # what a lock has to be
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from recsys.errors import InputError
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks
from tasks.workspace.postgres import masked, sqlalchemy_url
from tasks.workspace.readable import if_allowed, is_writable

optuna.logging.set_verbosity(optuna.logging.WARNING)

ERRORS = (SQLAlchemyError, StorageInternalError)  # the database cannot be used
_BLOCK = 1 << 16
_RUNNING = TrialState.RUNNING.value
_OF_RUNNING = (
    JournalOperation.CREATE_TRIAL,
    JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE,
    JournalOperation.SET_TRIAL_USER_ATTR,
)


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


class Journal(JournalFileBackend):
    """The file of all studies, of which the disk is waited for only where something ends.

    What a power cut takes is then at most a claim with its run and its curve. Its trial is cut off,
    as one of a killed worker is, and repeated. What ends a trial keeps all that is before it.
    """

    def __init__(self, path: Path, lock: _Lock) -> None:
        super().__init__(str(path), lock)
        self._path = path
        self._writing = lock

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add entries at the end."""
        if not all(map(_is_of_running, logs)):
            super().append_logs(logs)
            return
        lines = "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs)
        self._writing.acquire()
        try:
            with self._path.open("ab") as file:
                file.write(lines.encode())
        finally:
            self._writing.release()


def _is_of_running(log: Mapping[str, Any]) -> bool:
    """Whether an entry is about a trial that has not ended."""
    return log["op_code"] in _OF_RUNNING and log.get("state", _RUNNING) == _RUNNING


def open_storage(workspace: Workspace) -> BaseStorage:
    """The storage of all studies, made where it is missing.

    Raises:
        InputError: the database cannot be used.
    """
    if workspace.storage is None:
        if not workspace.studies.exists() and not is_writable(workspace.root):
            return InMemoryStorage()  # without studies: none can be made here
        lock = _Lock(workspace.studies, workspace.lock("optuna-journal"))
        return JournalStorage(Journal(workspace.studies, lock))
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
