"""Plays from a SQL query on SQLite or PostgreSQL, written as a Parquet file."""

import re
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
from recsys.sources.ids import text_of
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
_MANY = 20  # rows that do not all have one user or item by chance
_AGGREGATE = re.compile(r"(count|sum|total)(\s*\(([^()]|\([^()]*\))*\))?")
_AS = {"count": "count(*)", "sum": "sum(...)", "?column?": "the expression"}
_SQLITE = "sqlite:///"


@task(task_run_name="query the database", cache_policy=NO_CACHE, **WHEN_LOST)
def query_plays(workspace: Workspace, query: str, database: str) -> tuple[Path, DatabaseColumns]:
    """The result of a query as a Parquet file, and the columns that play a role in it.

    The rows are sorted: the same rows in any order give the same file.

    Args:
        workspace: Gets the file.
        query: SQL with columns called user, item (or artist) and, if known, plays, name and time;
            one count or sum is plays.
        database: sqlite:///FILE or postgresql://...; it may hold a password, and is not stored.

    Raises:
        DatabaseLost: PostgreSQL cannot be reached.
        InputError: it is another kind of database, there is no such file, the query fails, lacks a
            column, has one without a role or no rows, or all of many rows have one user or item.
    """
    with _opened(database) as execute:
        report_progress("querying the database", 0, None)
        names, batches = execute(query)
        at = _roles(names)
        tables = [_table(batch, at) for batch in batches]
    if not tables:
        raise InputError("--query has no rows; select those that have plays")
    table = pa.concat_tables(tables, promote_options="permissive")
    _refuse_one_value(table, is_postgres(database))
    table = table.sort_by([(role, "ascending") for role in table.column_names])
    with temporary_folder(workspace.incoming, ".query-") as folder:
        fresh = folder / "result.parquet"
        pq.write_table(table, fresh)
        digest = sha256(fresh.read_bytes()).hexdigest()[:16]
        path = workspace.incoming / f"query-{digest}.parquet"
        fresh.replace(path)
    return path, {role: COLUMNS[role] for role in at}


def _roles(names: Sequence[str]) -> dict[str, int]:
    """The position of each role.

    Raises:
        InputError: user or item is missing, twice there, or a column has no role.
    """
    called = [name.strip().lower() for name in names]
    roles: dict[str, int] = {}
    spare: list[int] = []
    for at, name in enumerate(called):
        role = "item" if name == "artist" else name
        if role in roles:
            raise InputError(f"--query has two columns that are the {role}; leave one out")
        if role in COLUMNS:
            roles[role] = at
        else:
            spare.append(at)
    if not {"user", "item"} <= roles.keys():
        raise InputError(
            f"--query has the columns {', '.join(names)}; call them user, item and plays"
        )
    if "plays" not in roles and len(spare) == 1 and _AGGREGATE.fullmatch(called[spare[0]]):
        roles["plays"] = spare.pop()
    if spare:
        first = names[spare[0]]
        role = "plays" if "plays" not in roles else "name"
        raise InputError(
            f"--query has the column {first!r}, which plays no role; call it plays, name or time, "
            f"as in {_AS.get(first, first)} as {role}, or leave it out"
        )
    return {role: roles[role] for role in roles if role in COLUMNS}


def _refuse_one_value(table: Any, postgres: bool) -> None:
    """Refuse many rows that all have one user or one item: the query says something else.

    Raises:
        InputError: they have.
    """
    if len(table) < _MANY:
        return
    for role in ("user", "item"):
        if len(table[role].unique()) > 1:
            continue
        advice = "select the column that differs by row"
        if role == "user" and postgres:
            advice = (
                "user without quotes is a reserved word of PostgreSQL, the role that is logged in; "
                'write "user" in double quotes, or uid as "user"'
            )
        elif role == "user":
            advice += "; a column that does not exist in double quotes is its own text in SQLite"
        value = table[role][0].as_py()
        raise InputError(f"all {len(table):,} rows of --query have the {role} {value!r}: {advice}")


def _table(batch: Sequence[DatabaseRow], at: Mapping[str, int]) -> Any:  # pyarrow ships no types
    columns: dict[str, Any] = {}
    for role, place in at.items():
        values = [row[place] for row in batch]
        if role == "plays":
            columns[role] = pa.array([None if v is None else float(v) for v in values])
        elif role == "time":
            columns[role] = pa.array(values)
        else:
            columns[role] = pa.array([text_of(value) for value in values], pa.string())
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
