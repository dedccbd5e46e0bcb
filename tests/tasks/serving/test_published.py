"""Published lists in files and databases: one publication at a time, whole, whatever happens."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recsys.errors import InputError
from tasks.serving.published import open_store, sql
from tasks.serving.published.store import ListStore
from tests.tasks.serving.publisher import ENDED, STRUCK, blocks, seen, what, whole

ROOT = Path(__file__).parents[3]
N = 40  # listeners of what is published in a loop
PUBLISHER = [sys.executable, "-m", "tests.tasks.serving.publisher"]
POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
PLACES = ["lists.parquet", "folder", "sqlite", POSTGRES]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address where nothing is published."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    known = {"sqlite": f"sqlite:///{tmp_path / 'place' / 'lists.db'}"}
    return known.get(request.param, str(tmp_path / "place" / request.param))


@pytest.fixture
def shelf(place: str) -> ListStore:
    return open_store(place)


def put(shelf: ListStore, version: int, n: int = 5, again: bool = False) -> Any:
    return shelf.replace(what(version, n), blocks(version, n), again)


def test_where_nothing_was_published_there_is_nothing(shelf: ListStore) -> None:
    assert shelf.read() is None
    assert shelf.listener("u0000") is None
    assert shelf.artist("Name 0000") is None


def test_what_was_published_is_read_back(shelf: ListStore) -> None:
    assert put(shelf, 1) == what(1, 5)

    assert shelf.read() == what(1, 5)
    assert seen(shelf, 5) == 1
    found = shelf.listener("u0002")
    assert found is not None
    assert [(each.rank, each.id, each.name, each.score) for each in found.entries] == [
        (1, "x1", "X 1", 1.0),
        (2, "x2", "X 2", 1.0),
        (3, "x3", "X 3", 1.0),
    ]


def test_artists_are_found_by_name_in_any_case_and_by_id(shelf: ListStore) -> None:
    put(shelf, 1)

    for text in ("nAmE 0001", "a0001"):
        found = shelf.artist(text)
        assert found is not None
        assert (found.subject, found.name) == ("a0001", "Name 0001")


def test_who_is_not_there_is_told_from_who_has_nothing(shelf: ListStore) -> None:
    put(shelf, 1)

    for absent in (shelf.listener("u9999"), shelf.listener("a0001"), shelf.artist("u0001")):
        assert absent is not None
        assert (absent.subject, absent.published) == (None, what(1, 5))
    nothing = shelf.listener("u0004")
    assert nothing is not None
    assert (nothing.subject, nothing.entries) == ("u0004", ())


def test_a_new_publication_takes_the_place_of_the_old_one(shelf: ListStore) -> None:
    put(shelf, 1, 7)
    put(shelf, 2, 5)

    assert seen(shelf, 5) == 2
    gone = shelf.listener("u0006")
    assert gone is not None
    assert gone.subject is None


def test_the_same_twice_changes_nothing_and_computes_nothing(shelf: ListStore) -> None:
    put(shelf, 1)
    later = replace(what(1, 5), at=what(2, 5).at)

    def computed() -> Any:
        raise AssertionError("the lists were computed")
        yield

    assert shelf.replace(later, computed(), again=False) == what(1, 5)
    assert shelf.read() == what(1, 5)
    assert shelf.replace(later, blocks(1, 5), again=True) == later
    assert shelf.read() == later


def test_another_length_of_lists_is_another_publication(shelf: ListStore) -> None:
    put(shelf, 1)
    shorter = replace(what(1, 5), k=2)

    assert shelf.replace(shorter, blocks(1, 5), again=False) == shorter


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt(), ValueError("heard")])
def test_whatever_breaks_the_lists_leaves_the_old_ones(
    shelf: ListStore, error: BaseException
) -> None:
    put(shelf, 1)

    def breaking() -> Any:
        yield from list(blocks(2, 5))[:3]
        raise error

    with pytest.raises(type(error)):
        shelf.replace(what(2, 5), breaking(), again=False)

    assert seen(shelf, 5) == 1


@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
def test_whoever_is_struck_at_any_act_leaves_one_publication_whole(
    place: str, number: str, tmp_path: Path
) -> None:
    folder = tmp_path / "place"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [*PUBLISHER, "strike", number, place, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    *struck, last = told
    assert len(struck) >= 5
    code = -signal.SIGKILL if number == "SIGKILL" else STRUCK
    assert {each["code"] for each in struck} == {code}
    versions = [each["version"] for each in struck]
    assert versions == sorted(versions), told
    assert set(versions) <= {1, 2}
    assert versions[0] == 1
    assert (last["code"], last["version"]) == (ENDED, 2)
    kept = [name for name in last["files"] if not name.endswith((".lock", "-wal", "-shm"))]
    assert len(kept) <= 1, kept  # nothing of those who were struck
    if number == "SIGINT":
        assert not [name for each in told for name in each["files"] if name.endswith(".new")]


def test_who_reads_meanwhile_sees_one_publication_whole(shelf: ListStore, place: str) -> None:
    shelf.replace(what(1, N), blocks(1, N), again=False)
    rng = np.random.default_rng(4)
    versions = []
    for _ in range(3):
        publisher = subprocess.Popen([*PUBLISHER, "loop", place], cwd=ROOT)
        start, life = time.monotonic(), 1.5 + float(rng.random())
        while time.monotonic() - start < life:
            number = int(rng.integers(N))
            found = whole(shelf.listener(f"u{number:04}"), None, f"u{number:04}", number == N - 1)
            assert publisher.poll() is None
            versions.append(int(found.version))
        publisher.kill()
        publisher.wait()
        versions.append(seen(shelf, N))

    assert len(set(versions)) > 2


def test_a_table_of_recommendations_is_what_pandas_reads(tmp_path: Path) -> None:
    put(open_store(str(tmp_path / "lists.parquet")), 3)

    table = pd.read_parquet(tmp_path / "lists.parquet")

    mine = table[(table["kind"] == "listener") & (table["subject"] == "u0001")]
    assert mine["artist"].tolist() == ["x1", "x2", "x3"]
    assert set(table["version"]) == {"3"}
    assert set(table["published"]) == {pd.Timestamp(what(3, 5).at)}
    assert set(table.loc[table["kind"] == "listener", "subject"]) == {f"u{n:04}" for n in range(5)}


def test_a_database_keeps_what_else_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.db"
    with closing(sqlite3.connect(file)) as mine:
        mine.execute("CREATE TABLE recommendations (mine)")
        mine.execute("INSERT INTO recommendations VALUES ('kept')")
        mine.commit()
    put(open_store(f"sqlite:///{file}"), 1)

    with closing(sqlite3.connect(file)) as mine:
        assert mine.execute("SELECT mine FROM recommendations").fetchall() == [("kept",)]
        every = f"SELECT count(*), min(version), max(published) FROM {sql.BEST}"
        assert mine.execute(every).fetchall() == [(13, "1", "2026-01-01T12:00:01+00:00")]


def test_a_reader_of_sqlite_in_a_transaction_goes_on_with_what_it_saw(tmp_path: Path) -> None:
    file = tmp_path / "lists.db"
    shelf = open_store(f"sqlite:///{file}")
    put(shelf, 1)
    score = f"SELECT max(score) FROM {sql.BEST}"
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        before = reader.execute(score).fetchall()
        put(shelf, 2)
        during = reader.execute(score).fetchall()
        reader.execute("COMMIT")
        after = reader.execute(score).fetchall()

    assert [before, during, after] == [[(1.0,)], [(1.0,)], [(2.0,)]]


@pytest.mark.postgres
def test_a_reader_of_postgres_in_a_transaction_goes_on_with_what_it_saw(postgres: str) -> None:
    import psycopg

    shelf = open_store(postgres)
    put(shelf, 1)
    with psycopg.connect(postgres, autocommit=True) as reader:
        reader.execute(f"CREATE VIEW mine AS SELECT max(score) FROM {sql.BEST}".encode())
        score = "SELECT * FROM mine"
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")  # its snapshot is from here
        put(shelf, 2)
        during = reader.execute(score).fetchall()
        reader.execute("COMMIT")
        after = reader.execute(score).fetchall()

    assert [during, after] == [[(1.0,)], [(2.0,)]]


@pytest.mark.postgres
def test_old_rows_of_postgres_are_cleaned_up(postgres: str) -> None:
    import psycopg

    shelf = open_store(postgres)
    size = f"SELECT pg_total_relation_size('{sql.BEST}')".encode()
    sizes = []
    with psycopg.connect(postgres, autocommit=True) as reader:
        for version in range(1, 7):
            shelf.replace(what(version, 2000), blocks(version, 2000, 1000), again=False)
            sizes.append(reader.execute(size).fetchall()[0][0])

    assert sizes[-1] <= sizes[1] * 1.1


def test_old_publications_take_no_room_in_files(tmp_path: Path) -> None:
    for place in (tmp_path / "a" / "lists.parquet", tmp_path / "b" / "lists.db"):
        address = f"sqlite:///{place}" if place.suffix == ".db" else str(place)
        sizes = []
        for version in range(1, 7):
            shelf = open_store(address)
            shelf.replace(what(version, 500), blocks(version, 500, 250), again=False)
            sizes.append(sum(path.stat().st_size for path in place.parent.iterdir()))

        assert sizes[-1] <= sizes[1] * 1.1, sizes


def test_only_what_we_wrote_is_overwritten(tmp_path: Path) -> None:
    plays, text = tmp_path / "plays.parquet", tmp_path / "text"
    pd.DataFrame({"user": ["u"]}).to_parquet(plays)
    text.write_text("no table, no database; long enough to be neither" * 9, encoding="utf-8")
    shelves = {
        str(plays): r"plays\.parquet is a Parquet file that `recsys publish` did not write",
        f"sqlite:///{text}": r"text: file is not a database; give the path of",
        str(text): r"text/published\.parquet: (Not a directory|File exists); give a path",
    }
    before = plays.read_bytes(), text.read_bytes()

    for place, message in shelves.items():
        with pytest.raises(InputError, match=message):
            put(open_store(place), 1)
        with pytest.raises(InputError, match=message):
            open_store(place).read()

    assert (plays.read_bytes(), text.read_bytes()) == before


@pytest.mark.parametrize("place", ["", "mysql://me:hush@host/x", "lists.db", "sqlite:///"])
def test_other_places_are_refused_without_their_password(place: str) -> None:
    with pytest.raises(InputError, match="is no place to publish to; give PATH") as refused:
        open_store(place)

    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("place", ["postgresql://me:hush@127.0.0.1:1/x", "postgres://me:hush@[/x"])
def test_a_password_is_never_told(place: str) -> None:
    shelf = open_store(place)

    with pytest.raises(InputError, match=r"PostgreSQL at .*--to or --from") as lost:
        shelf.read()
    assert "hush" not in f"{lost.value} {shelf.place} {shelf!r}"
