"""Published lists in a database of SQLite: a transaction beside which readers go on.

The database is switched to a write-ahead log (WAL), so that nobody who reads waits, or keeps others
waiting. Whoever is killed leaves a log without a commit: it does not count.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from recsys.errors import InputError
from tasks.serving.published import sql
from tasks.serving.published.store import Published, PublishedList
from tasks.workspace.locking import locked

WAIT = 10.0  # seconds for others who hold the database


class SqliteStore:
    """A file with our tables, and whatever else is in it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def place(self) -> str:
        """The address."""
        return f"sqlite:///{self._file}"

    def read(self) -> Published | None:
        """See `Shelf`."""
        with self._reading() as ask:
            return None if ask is None else sql.read(ask)

    def listener(self, user: str) -> PublishedList | None:
        """See `Shelf`."""
        with self._reading() as ask:
            return None if ask is None else sql.listener(ask, user)

    def artist(self, text: str) -> PublishedList | None:
        """See `Shelf`."""
        with self._reading() as ask:
            return None if ask is None else sql.artist(ask, text)

    def replace(self, what: Published, blocks: Iterable[tuple[str, Any]], again: bool) -> Published:
        """See `Shelf`."""
        with self._explained():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # SQLite would wait for another who publishes, too, but not listen to Ctrl-C meanwhile.
            lock = self._file.with_name(f".{self._file.name}.lock")
            with locked(lock), closing(_connected(str(self._file))) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                ask = _ask(connection)
                with _transaction(connection, "IMMEDIATE"):
                    sql.make_tables(ask, "text", "WITHOUT ROWID")
                    known = sql.read(ask)
                    if known is not None and what.same_as(known) and not again:
                        return known
                    sql.clear(ask)
                    sql.fill(_put(connection), what, blocks, what.at.isoformat())
                with suppress(sqlite3.OperationalError):  # whoever reads: the next one does it
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return what

    @contextmanager
    def _reading(self) -> Iterator[sql.Ask | None]:
        """What answers from one state of the database; None where our tables are not there."""
        if not self._file.exists():
            yield None
            return
        # Where nothing can be written nobody can publish, and there is no place for a log.
        fixed = not os.access(self._file.parent, os.W_OK)
        place = f"file:{quote(str(self._file))}?mode=ro{'&immutable=1' * fixed}"
        with (
            self._explained(),
            closing(_connected(place, uri=True)) as connection,
            _transaction(connection, "DEFERRED"),
        ):
            ask = _ask(connection)
            there = ask("SELECT 1 FROM sqlite_master WHERE name = ?", sql.ABOUT)
            yield ask if there else None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
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


def _ask(connection: sqlite3.Connection) -> sql.Ask:
    return lambda query, *values: connection.execute(query, values).fetchall()


def _put(connection: sqlite3.Connection) -> sql.Put:
    def put(table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" for _ in columns)
        query = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        connection.executemany(query, rows)

    return put
