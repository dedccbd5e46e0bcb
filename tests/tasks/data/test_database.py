"""Plays from a SQL query."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recsys.errors import InputError
from tasks.data import database
from tasks.workspace.layout import Workspace
from tasks.workspace.postgres import DatabaseLost

ROWS = [("u1", "Muse", 3), ("u2", "Muse", 1), ("u1", "100 %", 2), ("u3", "Can", -1)]
QUERY = """select who as "user", what as artist, n as plays from heard where what not like 'A%'"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "runs")


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """A database with a table of plays; its folder needs escaping in an address."""
    path = tmp_path / "100 % of a?b#c" / "plays.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table heard (who text, what text, n int)")
        connection.executemany("insert into heard values (?, ?, ?)", ROWS)
    return f"sqlite:///{path}"


def queried(workspace: Workspace, query: str, address: str) -> tuple[Path, Any]:
    return database.query_plays.fn(workspace, query, address)


def test_the_rows_of_a_query_are_sorted_in_a_file(workspace: Workspace, sqlite: str) -> None:
    path, columns = queried(workspace, QUERY, sqlite)

    assert columns == {"user": "user", "item": "item", "plays": "plays"}
    table = pq.read_table(path).to_pydict()
    assert list(zip(table["user"], table["item"], table["plays"], strict=True)) == sorted(ROWS)


def test_the_order_of_rows_and_the_size_of_batches_change_nothing(
    workspace: Workspace, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = queried(workspace, QUERY, sqlite)
    monkeypatch.setattr(database, "_BATCH", 1)

    assert queried(workspace, f"{QUERY} order by n", sqlite) == expected


def test_batches_are_streamed(
    workspace: Workspace, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BATCH", 1000)
    sizes: list[int] = []
    table = database._table
    monkeypatch.setattr(
        database, "_table", lambda batch, at: sizes.append(len(batch)) or table(batch, at)
    )
    many = "with recursive t(n) as (select 1 union all select n + 1 from t where n < 2500)"

    queried(workspace, f"{many} select n as user, n as item from t", sqlite)

    assert sizes == [1000, 1000, 500]


@pytest.mark.postgres
def test_postgres_gives_the_same_file_as_sqlite(
    workspace: Workspace, sqlite: str, postgres: str
) -> None:
    import psycopg

    with psycopg.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute("create table heard (who text, what text, n numeric)")
        cursor.executemany("insert into heard values (%s, %s, %s)", ROWS)

    assert queried(workspace, QUERY, postgres) == queried(workspace, QUERY, sqlite)
    for query, message in [
        ("drop table heard", "--query fails: syntax error"),
        ("select absent from heard", '--query fails: column "absent" does not exist'),
        ("select who, what from heard", "--query has the columns who, what; call them"),
        (
            'select pg_terminate_backend(pg_backend_pid()) as "user", 1 as item',
            r"PostgreSQL at .*terminat",
        ),
    ]:
        with pytest.raises(InputError, match=message):
            queried(workspace, query, postgres)


@pytest.mark.parametrize("address", ["postgresql://me:hush@127.0.0.1:1/x"])
def test_a_lost_database_is_an_error_without_its_password(
    workspace: Workspace, address: str
) -> None:
    message = r"PostgreSQL at postgresql://me:\*{3}@127.0.0.1:1/x: .* in --database"

    with pytest.raises(DatabaseLost, match=message) as lost:
        queried(workspace, QUERY, address)

    error: BaseException | None = lost.value
    for each in chain(error):
        assert "hush" not in str(each)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__


@pytest.mark.parametrize(
    ("query", "address", "message"),
    [
        ("select 1 as user", "mysql://x", "--database of kind 'mysql'"),
        ("select 1 as user", "sqlite:///none.db", "no such file"),
        ("select 1 as user", "{}", "--query has the columns user; call them user, item and plays"),
        ("select absent from heard", "{}", "--query fails: no such column: absent"),
        ("select 1 as user, 2 as artist where 0", "{}", "--query has no rows"),
        ("select 1 as user, 2 as item, 'x' as plays", "{}", "--query fails: could not convert"),
        ("delete from heard", "{}", "--query fails: attempt to write a readonly database"),
        ("begin", "{}", "--query has no result; write a SELECT"),
    ],
)
def test_a_wrong_query_is_an_error(
    workspace: Workspace, sqlite: str, query: str, address: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        queried(workspace, query, address.format(sqlite))
