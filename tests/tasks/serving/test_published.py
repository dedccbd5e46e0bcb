"""Published lists in files and databases: replacing them is atomic."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import InputError
from tasks.serving.published import open_store, sql
from tasks.serving.published.store import ListStore, OldStoreError
from tasks.workspace.postgres import DatabaseLost
from tests.tasks.serving.publisher import ENDED, STRUCK, blocks, seen, what, whole

ROOT = Path(__file__).parents[3]
N = 40  # users in the publications of the loop
READS = 50_000  # at most, until a few versions are seen
PUBLISHER = [sys.executable, "-m", "tests.tasks.serving.publisher"]
FILES = ["lists.parquet", "folder", "sqlite"]
PLACES = [*FILES, "postgres"]


@pytest.fixture(params=[*FILES, pytest.param("postgres", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address where nothing is published."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    known = {"sqlite": f"sqlite:///{tmp_path / 'place' / 'lists.db'}"}
    return known.get(request.param, str(tmp_path / "place" / request.param))


@pytest.fixture
def store(place: str) -> ListStore:
    return open_store(place)


def put(store: ListStore, version: int, n: int = 5, again: bool = False) -> Any:
    return store.replace(what(version, n), blocks(version, n), again)


def test_an_empty_store(store: ListStore) -> None:
    assert store.read() is None
    assert store.user("u0000") is None
    assert store.item("Name 0000") is None


def test_a_publication_is_read_back(store: ListStore) -> None:
    assert put(store, 1) == what(1, 5)

    assert store.read() == what(1, 5)
    assert seen(store, 5) == 1
    found = store.user("u0002")
    assert found is not None
    assert [(each.rank, each.id, each.name, each.score) for each in found.entries] == [
        (1, "x1", "X 1", 1.0),
        (2, "x2", "X 2", 1.0),
        (3, "x3", "X 3", 1.0),
    ]


def test_items_are_found_by_name_in_any_case_and_by_id(store: ListStore) -> None:
    put(store, 1)

    for text in ("nAmE 0001", "a0001"):
        found = store.item(text)
        assert found is not None
        assert (found.subject, found.name) == ("a0001", "Name 0001")


def test_an_unknown_subject_differs_from_an_empty_list(store: ListStore) -> None:
    put(store, 1)

    for absent in (store.user("u9999"), store.user("a0001"), store.item("u0001")):
        assert absent is not None
        assert (absent.subject, absent.published) == (None, what(1, 5))
    nothing = store.user("u0004")
    assert nothing is not None
    assert (nothing.subject, nothing.entries) == ("u0004", ())


def test_a_new_publication_replaces_the_old_one(store: ListStore) -> None:
    put(store, 1, 7)
    put(store, 2, 5)

    assert seen(store, 5) == 2
    gone = store.user("u0006")
    assert gone is not None
    assert gone.subject is None


def test_replace_is_idempotent_and_computes_nothing(store: ListStore) -> None:
    put(store, 1)
    later = replace(what(1, 5), at=what(2, 5).at)

    def computed() -> Any:
        raise AssertionError("the lists were computed")
        yield

    assert store.replace(later, computed(), again=False) == what(1, 5)
    assert store.read() == what(1, 5)
    assert store.replace(later, blocks(1, 5), again=True) == later
    assert store.read() == later


def test_another_length_of_lists_is_another_publication(store: ListStore) -> None:
    put(store, 1)
    shorter = replace(what(1, 5), k=2)

    assert store.replace(shorter, blocks(1, 5), again=False) == shorter


LONG = 3000  # entries
ODD_IDS = ["-x", "\\N", "a\tb", "e\u0301", "é", "雨" * 400]
LETTERS = "".join(chr(97 + int(n)) for n in np.random.default_rng(1).integers(26, size=6000))


def long_block(kind: str, subjects: Sequence[str], names: Sequence[str]) -> tuple[str, Any]:
    """Lists of LONG entries, the first under a name of 6,000 letters."""
    items = [LETTERS, *(f"Nåme\t{rank}\n\\ 😀" for rank in range(2, LONG + 1))]
    keys = subjects if kind == "user" else [name.casefold() for name in names]
    repeated = {"subject": subjects, "subject_name": names, "key": keys}
    texts = {name: np.repeat(values, LONG) for name, values in repeated.items()}
    n = len(subjects)
    table = {
        **{name: pa.array(values.tolist(), pa.string()) for name, values in texts.items()},
        "cells": pa.array([5] * (n * LONG), pa.int64()),
        "rank": pa.array([*range(1, LONG + 1)] * n, pa.int32()),
        "item_id": pa.array([f"i{rank}" for rank in range(LONG)] * n, pa.string()),
        "name": pa.array(items * n, pa.string()),
        "score": pa.array([1.0 / rank for rank in range(1, LONG + 1)] * n, pa.float64()),
    }
    return kind, pa.table(table)


def test_lists_as_long_as_a_catalogue_of_thousands_are_read_back_whole(
    store: ListStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 58, with ids and names of any letters and length."""
    monkeypatch.setattr("tasks.serving.published.parquet.ROWS", 2 * LONG - 500)
    users, items = sorted(ODD_IDS), ["a1", "a2"]
    names = [LETTERS, f"{LETTERS[:500]} live"]
    published = replace(what(1, len(users)), k=LONG, items=len(items))

    lists = [long_block("user", users, users), long_block("item", items, names)]
    store.replace(published, lists, again=False)

    found = [*map(store.user, users), *map(store.item, items), *map(store.item, names)]
    for each, subject in zip(found, [*users, *items, *items], strict=True):
        assert each is not None
        assert each.subject == subject
        assert [entry.rank for entry in each.entries] == [*range(1, LONG + 1)]
        assert each.entries[0].name == LETTERS
        assert each.entries[-1].name == f"Nåme\t{LONG}\n\\ 😀"


@pytest.mark.postgres
def test_an_id_too_long_for_postgres_is_refused_and_is_no_lost_connection(postgres: str) -> None:
    block = long_block("user", [LETTERS], ["name"])

    with pytest.raises(InputError, match=r"an id is too long for it .*publish to a file") as error:
        open_store(postgres).replace(replace(what(1, 1), k=LONG), [block], again=False)

    assert not isinstance(error.value, DatabaseLost)


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt(), ValueError("heard")])
def test_an_error_in_the_lists_leaves_the_old_ones(store: ListStore, error: BaseException) -> None:
    put(store, 1)

    def breaking() -> Any:
        yield from list(blocks(2, 5))[:3]
        raise error

    with pytest.raises(type(error)):
        store.replace(what(2, 5), breaking(), again=False)

    assert seen(store, 5) == 1


KILLS = [(place, number) for place in PLACES for number in ("SIGKILL", "SIGINT")]


@pytest.mark.slow
@pytest.mark.parametrize(("place", "number"), KILLS, indirect=["place"])
def test_a_kill_at_any_step_leaves_one_publication_whole(
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
    # No part file of a killed publisher is left, and none of an interrupted one at any time.
    for each in told if number == "SIGINT" else [last]:
        kept = [name for name in each["files"] if not name.endswith((".lock", "-wal", "-shm"))]
        assert len(kept) <= 1, kept


@pytest.mark.slow
def test_a_reader_meanwhile_sees_one_publication_whole(store: ListStore, place: str) -> None:
    store.replace(what(1, N), blocks(1, N), again=False)
    rng = np.random.default_rng(4)
    versions: set[int] = set()
    for _ in range(3):
        before = len(versions)
        publisher = subprocess.Popen([*PUBLISHER, "loop", place], cwd=ROOT)
        for _ in range(READS):
            number = int(rng.integers(N))
            found = whole(store.user(f"u{number:04}"), None, f"u{number:04}", number == N - 1)
            assert publisher.poll() is None
            versions.add(int(found.version))
            if len(versions) > before + 2:
                break
        publisher.kill()
        publisher.wait()
        versions.add(seen(store, N))

    assert len(set(versions)) > 2


def test_pandas_reads_the_parquet_file(tmp_path: Path) -> None:
    put(open_store(str(tmp_path / "lists.parquet")), 3)

    table = pd.read_parquet(tmp_path / "lists.parquet")

    mine = table[(table["kind"] == "user") & (table["subject"] == "u0001")]
    assert mine["item_id"].tolist() == ["x1", "x2", "x3"]
    assert set(table["version"]) == {"3"}
    assert set(table["published"]) == {pd.Timestamp(what(3, 5).at)}
    assert set(table.loc[table["kind"] == "user", "subject"]) == {f"u{n:04}" for n in range(5)}


def test_other_tables_of_a_database_stay(tmp_path: Path) -> None:
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


def test_a_reading_transaction_of_sqlite_sees_one_publication(tmp_path: Path) -> None:
    file = tmp_path / "lists.db"
    store = open_store(f"sqlite:///{file}")
    put(store, 1)
    score = f"SELECT max(score) FROM {sql.BEST}"
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        before = reader.execute(score).fetchall()
        put(store, 2)
        during = reader.execute(score).fetchall()
        reader.execute("COMMIT")
        after = reader.execute(score).fetchall()

    assert [before, during, after] == [[(1.0,)], [(1.0,)], [(2.0,)]]


@pytest.mark.postgres
def test_a_reading_transaction_of_postgres_sees_one_publication(postgres: str) -> None:
    import psycopg

    store = open_store(postgres)
    put(store, 1)
    with psycopg.connect(postgres, autocommit=True) as reader:
        reader.execute(f"CREATE VIEW mine AS SELECT max(score) FROM {sql.BEST}".encode())
        score = "SELECT * FROM mine"
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")  # its snapshot is from here
        put(store, 2)
        during = reader.execute(score).fetchall()
        reader.execute("COMMIT")
        after = reader.execute(score).fetchall()

    assert [during, after] == [[(1.0,)], [(2.0,)]]


OLD_TABLES = """
CREATE TABLE recsys_published (version text, run text, model text, study text, identity text,
  k integer, listeners integer, artists integer, published text);
CREATE TABLE recsys_recommendations (listener text, rank integer, artist text, name text,
  score double precision, version text, published text, PRIMARY KEY (listener, rank));
CREATE TABLE recsys_similar (artist text, rank integer, other text, name text,
  score double precision, version text, published text, PRIMARY KEY (artist, rank));
CREATE TABLE recsys_artists (artist text PRIMARY KEY, name text, key text, listeners integer,
  version text, published text);
CREATE INDEX recsys_artists_key ON recsys_artists (key);
CREATE VIEW mine AS SELECT listener, score FROM recsys_recommendations;
INSERT INTO recsys_recommendations VALUES ('u9', 1, 'x', 'X', 9, '9', 'then')
"""


def create_old(place: str) -> None:
    """A store as recsys 0.1 of November 2026 wrote it."""
    if place.startswith("postgresql"):
        import psycopg

        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute(
                OLD_TABLES.replace("published text", "published timestamptz")
                .replace("'then'", "now()")
                .encode()
            )
    elif place.startswith("sqlite"):
        file = Path(place.removeprefix("sqlite:///"))
        file.parent.mkdir()
        with closing(sqlite3.connect(file)) as connection:
            connection.executescript(OLD_TABLES)
    else:
        put(open_store(place), 9)
        path = next(Path(place).parent.glob("**/*.parquet"))
        table = pq.read_table(path)
        fields = json.loads(table.schema.metadata[b"recsys"])
        fields |= {"listeners": fields.pop("users"), "artists": fields.pop("items")}
        names = ["artist" if name == "item_id" else name for name in table.column_names]
        old = table.rename_columns(names).replace_schema_metadata({"recsys": json.dumps(fields)})
        pq.write_table(old, path)


def test_lists_of_an_earlier_version_are_refused_until_they_are_published_again(
    store: ListStore, place: str
) -> None:
    create_old(place)

    for read in (store.read, lambda: store.user("u0000"), lambda: store.item("Name 0000")):
        with pytest.raises(OldStoreError, match="run `recsys publish` again, which replaces them"):
            read()
    assert put(store, 9) == what(9, 5)

    assert seen(store, 5) == 9
    if place.startswith("sqlite"):  # a view of a user of the database stays
        with closing(sqlite3.connect(place.removeprefix("sqlite:///"))) as mine:
            assert mine.execute("SELECT max(score) FROM mine").fetchall() == [(9.0,)]


@pytest.mark.postgres
def test_old_rows_of_postgres_are_cleaned_up(postgres: str) -> None:
    import psycopg

    store = open_store(postgres)
    size = f"SELECT pg_total_relation_size('{sql.BEST}')".encode()
    sizes = []
    with psycopg.connect(postgres, autocommit=True) as reader:
        for version in range(1, 7):
            store.replace(what(version, 2000), blocks(version, 2000, 1000), again=False)
            sizes.append(reader.execute(size).fetchall()[0][0])

    assert sizes[-1] <= sizes[1] * 1.1


def test_old_publications_take_no_room_in_files(tmp_path: Path) -> None:
    for place in (tmp_path / "a" / "lists.parquet", tmp_path / "b" / "lists.db"):
        address = f"sqlite:///{place}" if place.suffix == ".db" else str(place)
        sizes = []
        for version in range(1, 7):
            store = open_store(address)
            store.replace(what(version, 500), blocks(version, 500, 250), again=False)
            sizes.append(sum(path.stat().st_size for path in place.parent.iterdir()))

        assert sizes[-1] <= sizes[1] * 1.1, sizes


def test_files_of_others_are_not_overwritten(tmp_path: Path) -> None:
    plays, text = tmp_path / "plays.parquet", tmp_path / "text"
    pd.DataFrame({"user": ["u"]}).to_parquet(plays)
    text.write_text("no table, no database; long enough to be neither" * 9, encoding="utf-8")
    stores = {
        str(plays): r"plays\.parquet is a Parquet file that `recsys publish` did not write",
        f"sqlite:///{text}": r"text: file is not a database; give the path of",
        str(text): r"text/published\.parquet: (Not a directory|File exists); give a path",
    }
    before = plays.read_bytes(), text.read_bytes()

    for place, message in stores.items():
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
def test_no_message_shows_a_password(place: str) -> None:
    store = open_store(place)

    with pytest.raises(InputError, match=r"PostgreSQL at .*--to or --from") as lost:
        store.read()
    assert "hush" not in f"{lost.value} {store.place} {store!r}"
