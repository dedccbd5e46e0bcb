"""Published lists in PostgreSQL: one transaction, whatever readers ask meanwhile."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tasks.serving.published import sql
from tasks.serving.published.store import Published, PublishedList
from tasks.workspace.postgres import connected, masked

if TYPE_CHECKING:
    from psycopg import Connection

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('recsys:publish', 0))"
OPTION = "--to or --from"


class PostgresStore:
    """Our tables in the schema that the address leads to."""

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def place(self) -> str:
        """The address, without its password."""
        return masked(self._url)

    def read(self) -> Published | None:
        """See `Shelf`; `DatabaseLost` where the server cannot be reached."""
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
        """See `Shelf`; `DatabaseLost` where the server cannot be reached, or no longer.

        The old rows take room until the database has cleaned up after itself (VACUUM), which is
        done at once here: the next publication takes that room.
        """
        with connected(self._url, OPTION) as connection:
            ask = _ask(connection)
            with connection.transaction():
                ask(_LOCK)
                sql.make_tables(ask, "timestamptz")
                known = sql.read(ask)
                if known is not None and what.same_as(known) and not again:
                    return known
                sql.clear(ask)
                sql.fill(_put(connection), what, blocks, what.at)
            for table in (sql.ABOUT, sql.BEST, sql.ALIKE, sql.ARTISTS):
                ask(f"VACUUM (ANALYZE) {table}")
        return what

    @contextmanager
    def _reading(self) -> Iterator[sql.Ask | None]:
        """What answers from one state of the database; None where our tables are not there."""
        with connected(self._url, OPTION) as connection, connection.transaction():
            ask = _ask(connection)
            ask("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            ((there,),) = ask("SELECT to_regclass(?) IS NOT NULL", sql.ABOUT)
            yield ask if there else None


def _ask(connection: "Connection[Any]") -> sql.Ask:
    def ask(query: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = connection.execute(query.replace("?", "%s").encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    return ask


def _put(connection: "Connection[Any]") -> sql.Put:
    def put(table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        query = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    return put
