"""Empty databases are those that the libraries make, and are made once for an installation."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tasks.orchestration.server import EMPTY as PREFECT
from tasks.tracking.database import EMPTY as MLFLOW
from tasks.workspace import empty
from tasks.workspace.empty import Maker, made, make_database

SMALL = Maker(
    "mlflow",
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('create table t (a)')",
)
COUNTED = """
import pathlib, sqlite3, sys
with pathlib.Path({marks!r}).open("a") as marks:
    marks.write("made ")
sqlite3.connect(sys.argv[1]).execute("create table t (a)")
"""


def contents(database: Path) -> list[str]:
    """All that a database holds, as SQL, in no order: constraints and indexes come from sets."""
    with closing(sqlite3.connect(database)) as connection:
        lines = "\n".join(connection.iterdump()).splitlines()
    return sorted(line.strip().rstrip(",") for line in lines)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for empty databases with nothing in it."""
    monkeypatch.setattr(empty, "KEPT", tmp_path / "kept")
    return tmp_path / "kept"


@pytest.mark.slow
@pytest.mark.parametrize("maker", [PREFECT, MLFLOW], ids=lambda maker: maker.library)
def test_a_copy_holds_what_the_library_makes(maker: Maker, tmp_path: Path) -> None:
    make_database(tmp_path / "copy.db", maker)

    with made(maker, tmp_path) as database:
        assert contents(tmp_path / "copy.db") == contents(database)
    assert len(contents(tmp_path / "copy.db")) > 200


def test_the_empty_database_is_made_once(kept: Path, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    maker = Maker("mlflow", COUNTED.format(marks=str(marks)))

    for name in ("one.db", "other.db"):
        make_database(tmp_path / name, maker)

    assert marks.read_text() == "made "
    assert contents(tmp_path / "one.db") == contents(tmp_path / "other.db")
    assert len(list(kept.iterdir())) == 1


def test_a_database_that_is_there_stays(kept: Path, tmp_path: Path) -> None:
    make_database(tmp_path / "there.db", SMALL)
    with closing(sqlite3.connect(tmp_path / "there.db")) as connection, connection:
        connection.execute("insert into t values (7)")

    make_database(tmp_path / "there.db", SMALL)

    with closing(sqlite3.connect(tmp_path / "there.db")) as connection:
        assert connection.execute("select a from t").fetchall() == [(7,)]


@pytest.mark.parametrize("program", ["raise SystemExit(3)", "import no_such_module", ""])
def test_where_the_library_makes_none_nothing_is_left(
    kept: Path, tmp_path: Path, program: str
) -> None:
    make_database(tmp_path / "new.db", Maker("mlflow", program))

    assert not (tmp_path / "new.db").exists()
    assert list(kept.iterdir()) == []


def test_where_nothing_may_be_kept_the_library_makes_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(empty, "KEPT", tmp_path / "file" / "below")

    make_database(tmp_path / "new.db", SMALL)

    assert not (tmp_path / "new.db").exists()


def test_nothing_of_the_current_folder_is_imported(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sqlite3.py").write_text("raise SystemExit('not this one')\n")
    monkeypatch.chdir(tmp_path)

    make_database(tmp_path / "new.db", SMALL)

    assert (tmp_path / "new.db").exists()
