"""Published lists in a SQLite database, replaced in one transaction beside which readers can read.

The database has a write-ahead log (WAL): readers and the writer do not wait for each other. A
killed writer leaves a log without a commit, which SQLite ignores.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from recsys.errors import InputError
from tasks.serving.published import sql
from tasks.serving.published.store import OldStoreError, Published, PublishedList
from tasks.workspace.locking import locked
from tasks.workspace.readable import reading_address
from tasks.workspace.room import full_disk

WAIT = 10.0  # seconds for other processes that hold the database


class SqliteStore:
    """A file with our tables; other tables in it stay as they are."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def place(self) -> str:
        """The address."""
        return f"sqlite:///{self._file}"

    def read(self) -> Published | None:
        """See `ListStore`."""
        with self._reading() as execute:
            return None if execute is None else sql.read(execute)

    def user(self, user: str) -> PublishedList | None:
        """See `ListStore`."""
        with self._reading() as execute:
            return None if execute is None else sql.user(execute, user)

    def item(self, text: str) -> PublishedList | None:
        """See `ListStore`."""
        with self._reading() as execute:
            return None if execute is None else sql.item(execute, text)

    def replace(self, what: Published, blocks: Iterable[tuple[str, Any]], again: bool) -> Published:
        """See `ListStore`."""
        with self._explained():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # SQLite would wait for another publisher, too, but ignore Ctrl-C meanwhile.
            lock = self._file.with_name(f".{self._file.name}.lock")
            with locked(lock), closing(_connected(str(self._file))) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                execute = _execute(connection)
                with _transaction(connection, "IMMEDIATE"):
                    if _exists(execute, sql.OLD_ITEMS):
                        sql.rename_old(execute)
                    sql.create_tables(execute, "text", "WITHOUT ROWID")
                    known = sql.read(execute)
                    if known is not None and what.same_as(known) and not again:
                        return known
                    sql.clear(execute)
                    sql.fill(_insert(connection), what, blocks, what.at.isoformat())
                with suppress(sqlite3.OperationalError):  # a reader: the next time does it
                    connection.execute("PRAGMA busy_timeout = 0")
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return what

    @contextmanager
    def _reading(self) -> Iterator[sql.ExecuteSql | None]:
        """Queries of one state of the database; None where our tables are not there."""
        if not self._file.exists():
            yield None
            return
        with (
            self._explained(),
            closing(_connected(reading_address(self._file), uri=True)) as connection,
            _transaction(connection, "DEFERRED"),
        ):
            execute = _execute(connection)
            if _exists(execute, sql.OLD_ITEMS):
                raise OldStoreError(self.place)
            yield execute if _exists(execute, sql.PUBLISHED) else None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if full := full_disk(self._file):
                raise InputError(full) from error
            raise InputError(
                f"{self.place}: {error}; give the path of a database of SQLite that you may use, "
                "or of a file that is not there yet"
            ) from error
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise InputError(
                f"{self.place}: {error.strerror}; give a path that you may use"
            ) from error


def _connected(place: str, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(place, timeout=WAIT, isolation_level=None, uri=uri)


@contextmanager
def _transaction(connection: sqlite3.Connection, how: str) -> Iterator[None]:
    connection.execute(f"BEGIN {how}")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _exists(execute: sql.ExecuteSql, table: str) -> bool:
    return bool(execute("SELECT 1 FROM sqlite_master WHERE name = ?", table))


def _execute(connection: sqlite3.Connection) -> sql.ExecuteSql:
    return lambda query, *values: connection.execute(query, values).fetchall()


def _insert(connection: sqlite3.Connection) -> sql.Insert:
    def insert(table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" for _ in columns)
        query = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        connection.executemany(query, rows)

    return insert
