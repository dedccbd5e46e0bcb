"""Plays from a SQL query on SQLite or PostgreSQL, written as a Parquet file."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.errors import InputError
from recsys.files import temporary_folder
from tasks.orchestration.retrying import WHEN_LOST
from tasks.progress import report_progress
from tasks.workspace.layout import Workspace
from tasks.workspace.postgres import connected, is_postgres

DatabaseColumns = dict[str, str | int]  # as `recsys.sources.config.DataConfig` has them
COLUMNS = {name: name for name in ("user", "item", "name", "plays", "time")}
DatabaseRow = Sequence[Any]
Execute = Callable[[str], tuple[list[str], Iterator[Sequence[DatabaseRow]]]]
"""From SQL to the names of columns and batches of rows."""

_BATCH = 100_000  # rows
_SQLITE = "sqlite:///"


@task(task_run_name="query the database", cache_policy=NO_CACHE, **WHEN_LOST)
def query_plays(workspace: Workspace, query: str, database: str) -> tuple[Path, DatabaseColumns]:
    """The result of a query as a Parquet file, and the columns that play a role in it.

    The rows are sorted: the same rows in any order give the same file.

    Args:
        workspace: Gets the file.
        query: SQL with columns called user, item (or artist) and, if known, plays, name and time.
        database: sqlite:///FILE or postgresql://...; it may hold a password, and is not stored.

    Raises:
        DatabaseLost: PostgreSQL cannot be reached.
        InputError: it is another kind of database, there is no such file, the query fails, lacks a
            column or has no rows.
    """
    with _opened(database) as execute:
        report_progress("querying the database", 0, None)
        names, batches = execute(query)
        roles = {"item" if name == "artist" else name: at for at, name in enumerate(names)}
        if not {"user", "item"} <= roles.keys():
            raise InputError(
                f"--query has the columns {', '.join(names)}; call them user, item and plays"
            )
        at = {role: place for role, place in roles.items() if role in COLUMNS}
        tables = [_table(batch, at) for batch in batches]
    if not tables:
        raise InputError("--query has no rows; select those that have plays")
    table = pa.concat_tables(tables, promote_options="permissive")
    table = table.sort_by([(role, "ascending") for role in table.column_names])
    with temporary_folder(workspace.incoming, ".query-") as folder:
        fresh = folder / "result.parquet"
        pq.write_table(table, fresh)
        digest = sha256(fresh.read_bytes()).hexdigest()[:16]
        path = workspace.incoming / f"query-{digest}.parquet"
        fresh.replace(path)
    return path, {role: COLUMNS[role] for role in at}


def _table(batch: Sequence[DatabaseRow], at: Mapping[str, int]) -> Any:  # pyarrow ships no types
    columns: dict[str, Any] = {}
    for role, place in at.items():
        values = [row[place] for row in batch]
        if role == "plays":
            columns[role] = pa.array([None if v is None else float(v) for v in values])
        elif role == "time":
            columns[role] = pa.array(values)
        else:
            texts = [None if value is None else str(value) for value in values]
            columns[role] = pa.array(texts, pa.string())
    return pa.table(columns)


@contextmanager
def _opened(database: str) -> Iterator[Execute]:
    """A connection that only reads, for the length of the block."""
    if database.startswith(_SQLITE):
        connection = _sqlite(Path(database.removeprefix(_SQLITE)))
    elif is_postgres(database):
        connection = _postgres(database)
    else:
        kind = database.partition(":")[0]
        raise InputError(
            f"--database of kind {kind!r}: use sqlite:///FILE or postgresql://user@host/name"
        )
    with connection as execute:
        try:
            yield execute
        except InputError:  # a ValueError, too
            raise
        except (ValueError, TypeError, pa.ArrowException) as error:
            raise _failed(error) from error


@contextmanager
def _sqlite(path: Path) -> Iterator[Execute]:
    if not path.is_file():
        raise InputError(f"--database sqlite:///{path}: no such file; pass one that is there")
    address = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        try:
            yield lambda query: _executed(connection.cursor(), query)
        except sqlite3.Error as error:
            raise _failed(error) from error


@contextmanager
def _postgres(database: str) -> Iterator[Execute]:
    """Batches come from a cursor of the server: the rows need not fit into memory at once."""
    import psycopg

    with connected(database, "--database") as connection:
        connection.read_only = True
        try:
            with connection.transaction(), connection.cursor(name="recsys") as cursor:
                yield lambda query: _executed(cursor, query)
        except psycopg.OperationalError:
            raise  # the server is away: `connected` says so
        except psycopg.Error as error:
            raise _failed(error) from error


def _failed(error: Exception) -> InputError:
    return InputError(f"--query fails: {' '.join(str(error).split())}; correct the SQL")


def _executed(cursor: Any, query: str) -> tuple[list[str], Iterator[Sequence[DatabaseRow]]]:
    cursor.execute(query)
    if cursor.description is None:
        raise InputError("--query has no result; write a SELECT")
    names = [column[0] for column in cursor.description]

    def batches() -> Iterator[Sequence[DatabaseRow]]:
        while rows := cursor.fetchmany(_BATCH):
            yield rows

    return names, batches()
