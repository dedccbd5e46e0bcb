"""Published lists in PostgreSQL, replaced in one transaction beside which readers can read."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tasks.serving.published import sql
from tasks.serving.published.store import OldStoreError, Published, PublishedList
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
        """See `ListStore`; `DatabaseLost` where the server cannot be reached."""
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
        """See `ListStore`; `DatabaseLost` where the server cannot be reached, or no longer.

        VACUUM follows at once, so the next publication uses the room of the old rows.
        """
        with connected(self._url, OPTION) as connection:
            execute = _execute(connection)
            with connection.transaction():
                execute(_LOCK)
                if _exists(execute, sql.OLD_ITEMS):
                    sql.rename_old(execute)
                sql.create_tables(execute, "timestamptz")
                known = sql.read(execute)
                if known is not None and what.same_as(known) and not again:
                    return known
                sql.clear(execute)
                sql.fill(_insert(connection), what, blocks, what.at)
            for table in (sql.PUBLISHED, sql.BEST, sql.SIMILAR, sql.ITEMS):
                execute(f"VACUUM (ANALYZE) {table}")
        return what

    @contextmanager
    def _reading(self) -> Iterator[sql.ExecuteSql | None]:
        """Queries of one state of the database; None where our tables are not there."""
        with connected(self._url, OPTION) as connection, connection.transaction():
            execute = _execute(connection)
            execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            if _exists(execute, sql.OLD_ITEMS):
                raise OldStoreError(self.place)
            yield execute if _exists(execute, sql.PUBLISHED) else None


def _exists(execute: sql.ExecuteSql, table: str) -> bool:
    ((there,),) = execute("SELECT to_regclass(?) IS NOT NULL", table)
    return bool(there)


def _execute(connection: "Connection[Any]") -> sql.ExecuteSql:
    def execute(query: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = connection.execute(query.replace("?", "%s").encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    return execute


def _insert(connection: "Connection[Any]") -> sql.Insert:
    def insert(table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        query = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    return insert
