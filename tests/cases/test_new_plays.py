"""Queries and folders of new plays: right counts, or one sentence."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import InputError, LeftOutWarning
from recsys.sources.config import DataConfig
from tasks.data.database import query_plays
from tasks.data.new_plays import gather
from tasks.workspace.layout import Workspace

ROWS = [
    (f"u{user:02}", f"a{item}", 1 + user) for user in range(30) for item in range(4) if user != item
]
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "runs")


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = tmp_path / "plays.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute('create table heard ("user" text, item text, plays int)')
        connection.executemany("insert into heard values (?, ?, ?)", ROWS)
    return f"sqlite:///{path}"


def answer(workspace: Workspace, query: str, database: str) -> dict[str, list[Any]]:
    path, columns = query_plays.fn(workspace, query, database)
    table: dict[str, list[Any]] = pq.read_table(path).to_pydict()
    assert list(columns) == list(table)
    return table


@pytest.mark.parametrize(
    ("query", "plays"),
    [
        ("select user, item, count(*) from heard group by user, item", len(ROWS)),
        ("select user, item, sum(plays) from heard group by 1, 2", sum(n for _, _, n in ROWS)),
        ("select user, item, sum(plays) as PLAYS from heard group by 1, 2", 1850),
        ("select sum(plays), item as Artist, User from heard group by 2, 3", 1850),
    ],
)
def test_one_aggregate_of_a_query_is_plays(
    workspace: Workspace, database: str, query: str, plays: int
) -> None:
    assert sum(answer(workspace, query, database)["plays"]) == plays


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            "select user, item, plays, plays * 2 from heard",
            "the column 'plays . 2', which plays no role; call it plays, name or time",
        ),
        ("select user, item, max(plays) from heard group by 1, 2", r"'max\(plays\)', which plays"),
        ("select user, item, count(*), sum(plays) from heard group by 1, 2", "plays no role"),
        ("select user, item, item as artist from heard", "two columns that are the item"),
        ("select 'me' as user, item, plays from heard", "all 116 rows .* have the user 'me'"),
        ('select "users" as user, item from heard', "'users': .* its own text in SQLite"),
        ("select user, 'x' as item, plays from heard", "all 116 rows .* have the item 'x'"),
        ("select user, item, count(*) > 1 from heard group by 1, 2", "plays no role"),
        ("select user, item, sum(plays) / count(*) from heard group by 1, 2", "plays no role"),
        ("select 1e17 + plays as user, item from heard", "floats beyond 2.53"),
    ],
)
def test_a_query_that_says_something_else_is_refused(
    workspace: Workspace, database: str, query: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        answer(workspace, query, database)


def test_bytes_and_floats_of_a_database_are_ids(workspace: Workspace, tmp_path: Path) -> None:
    uuid = UUID(int=2**127)
    with closing(sqlite3.connect(tmp_path / "odd.db")) as connection, connection:
        connection.execute("create table heard (user blob, item real)")
        rows = [(uuid.bytes, 12.0), (b"text", 12.5), (b"\xff\0", 1e11)]
        connection.executemany("insert into heard values (?, ?)", rows)

    table = answer(workspace, "select user, item from heard", f"sqlite:///{tmp_path / 'odd.db'}")

    assert sorted(table["user"]) == sorted([str(uuid), "text", "ff00"])
    assert sorted(table["item"]) == ["100000000000", "12", "12.5"]


def documented_query() -> str:
    page = (DOCS / "retraining.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if "recsys retrain --query" in line]
    return line.split("'")[1]


def test_the_documented_query_works_on_sqlite(workspace: Workspace, database: str) -> None:
    assert len(set(answer(workspace, documented_query(), database)["user"])) == 30


@pytest.mark.postgres
def test_the_documented_query_works_on_postgres(
    workspace: Workspace, database: str, postgres: str
) -> None:
    import psycopg

    with psycopg.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute('create table heard ("user" text, item text, plays numeric)')
        cursor.executemany("insert into heard values (%s, %s, %s)", ROWS)

    table = answer(workspace, documented_query(), postgres)

    assert table == answer(workspace, documented_query(), database)
    counted = 'select "user", item, count(*) from heard group by 1, 2'
    assert sum(answer(workspace, counted, postgres)["plays"]) == len(ROWS)
    with pytest.raises(InputError, match=r'reserved word of PostgreSQL.* write "user" in double'):
        answer(workspace, "select user, item, plays from heard", postgres)


def lines(rows: list[Any]) -> str:
    return "user,item,plays\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def spark(folder: Path) -> None:
    put(folder / "part-00000.csv", lines(ROWS[:60]))
    put(folder / "part-00001.csv", lines(ROWS[60:]))
    put(folder / "part-00002.csv", "")
    put(folder / "part-00003.csv", "user,item,plays\n")
    put(folder / "_SUCCESS", "")
    put(folder / "_committed_123", "{}")
    put(folder / ".part-00000.csv.crc", "crc")
    put(folder / "_temporary" / "0" / "part-1.csv", "broken")


def partitioned(folder: Path) -> None:
    put(folder / "date=2024-01-01" / "part-0.csv", lines(ROWS[:60]))
    put(folder / "date=2024-01-02" / "part-0.csv", lines(ROWS[60:]))
    put(folder / "_SUCCESS", "")


def twice_partitioned(folder: Path) -> None:
    put(folder / "year=2024" / "month=1" / "part-0.csv", lines(ROWS[:60]))
    put(folder / "year=2024" / "month=2" / "part-0.csv", lines(ROWS[60:]))


def parquets(folder: Path) -> None:
    for name, rows in (("a", ROWS[:60]), ("b", ROWS[60:]), ("c", [])):
        columns = [pa.array(each) for each in zip(*rows, strict=True)] or [
            pa.array([], pa.string()),
            pa.array([], pa.string()),
            pa.array([], pa.int64()),
        ]
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.table(columns, ["user", "item", "plays"]), folder / f"{name}.parquet")
    put(folder / "_metadata", "x")


CONFIG = DataConfig(columns={"user": "user", "item": "item", "plays": "plays"})


@pytest.mark.parametrize("fill", [spark, partitioned, twice_partitioned, parquets])
def test_folders_of_other_programs_are_one_log(
    workspace: Workspace, tmp_path: Path, fill: Callable[[Path], None]
) -> None:
    fill(tmp_path / "days")

    incoming = gather(workspace, tmp_path / "days", CONFIG)

    assert len(incoming.parts) == 2
    assert len({part.name for part in incoming.parts}) == 2
    assert incoming.whole.rows == len(ROWS)
    assert (incoming.whole.users, incoming.whole.items) == (30, 4)


def test_folders_that_are_no_partitions_are_named(workspace: Workspace, tmp_path: Path) -> None:
    put(tmp_path / "days" / "2024" / "a.csv", lines(ROWS))

    with pytest.raises(InputError, match="folders such as 2024 are not read"):
        gather(workspace, tmp_path / "days", CONFIG)


def test_folders_beside_files_are_said_to_be_left_out(workspace: Workspace, tmp_path: Path) -> None:
    put(tmp_path / "days" / "a.csv", lines(ROWS))
    put(tmp_path / "days" / "old" / "b.csv", lines(ROWS))

    with pytest.warns(LeftOutWarning, match="folders such as old are not read"):
        assert gather(workspace, tmp_path / "days", CONFIG).whole.rows == len(ROWS)


def test_a_copy_in_another_form_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    put(tmp_path / "days" / "a.csv", lines(ROWS))
    put(tmp_path / "days" / "b.csv", lines(ROWS).replace("\n", "\r\n"))

    with pytest.raises(InputError, match=r"b\.csv is a copy of a\.csv"):
        gather(workspace, tmp_path / "days", CONFIG)


def test_a_key_of_the_partitions_is_no_column(workspace: Workspace, tmp_path: Path) -> None:
    partitioned(tmp_path / "days")
    config = DataConfig(columns={"user": "user", "item": "item", "time": "date"})

    with pytest.raises(InputError, match="date is a key of the partitions"):
        gather(workspace, tmp_path / "days", config)


def test_a_folder_of_empty_files_has_no_plays(workspace: Workspace, tmp_path: Path) -> None:
    put(tmp_path / "days" / "a.csv", "")
    put(tmp_path / "days" / "b.csv", "user,item,plays\n")

    with pytest.raises(InputError, match="no file in this folder has rows"):
        gather(workspace, tmp_path / "days", CONFIG)


def test_times_of_a_database_are_kept(workspace: Workspace, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "t.db")) as connection, connection:
        connection.execute("create table heard (user text, item text, time text)")
        moment = datetime(2019, 2, 1, 12, 34, tzinfo=UTC).isoformat(" ")
        connection.execute("insert into heard values ('u', 'a', ?)", [moment])

    table = answer(workspace, "select user, item, time from heard", f"sqlite:///{tmp_path}/t.db")

    assert table["time"] == ["2019-02-01 12:34:00+00:00"]
