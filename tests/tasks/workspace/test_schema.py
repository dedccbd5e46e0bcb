"""Stored schemas make the databases that the libraries of the lock make.

After a new version of Prefect or MLflow write them again:
python -m tests.tasks.workspace.test_schema
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tasks.orchestration.server import SCHEMA as PREFECT
from tasks.tracking.client import SCHEMA as MLFLOW
from tasks.workspace.schema import make_database, schema_of

# By its script: the library, what makes its database, and the tables that are not empty then.
LIBRARIES = {
    PREFECT: (
        "prefect",
        "import asyncio, os, sys; os.environ['PREFECT_HOME'] = os.path.dirname(sys.argv[1])\n"
        "from prefect.server.database import provide_database_interface\n"
        "asyncio.run(provide_database_interface().create_db())",
        ["alembic_version"],
    ),
    MLFLOW: (
        "mlflow",
        "import sys; from mlflow.store.db import utils\n"
        "engine = utils.create_sqlalchemy_engine(f'sqlite:///{sys.argv[1]}')\n"
        "utils._initialize_tables(engine)",
        ["alembic_version", "workspaces"],
    ),
}


@contextmanager
def made_by_library(script: Path) -> Iterator[str]:
    """The schema of the database that a library makes."""
    library, code, tables = LIBRARIES[script]
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "prefect.db"
        variables = {n: v for n, v in os.environ.items() if not n.startswith("PREFECT_")}
        subprocess.run([sys.executable, "-c", code, str(database)], check=True, env=variables)
        yield schema_of(database, library, tables)


def without_order(text: str) -> list[str]:
    """The lines of a schema: the order of constraints and indexes is that of sets."""
    return sorted(line.strip().rstrip(",") for line in text.splitlines())


def tables(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {name for (name,) in connection.execute("select name from sqlite_master")}


@pytest.mark.slow
@pytest.mark.parametrize("script", LIBRARIES, ids=lambda script: script.stem)
def test_a_stored_schema_makes_what_the_library_makes(script: Path) -> None:
    with made_by_library(script) as expected:
        assert without_order(script.read_text(encoding="utf-8")) == without_order(expected)


@pytest.mark.parametrize("script", LIBRARIES, ids=lambda script: script.stem)
def test_a_stored_schema_makes_itself_again(script: Path, tmp_path: Path) -> None:
    library, _, filled = LIBRARIES[script]

    make_database(tmp_path / "new.db", script)

    assert schema_of(tmp_path / "new.db", library, filled) == script.read_text(encoding="utf-8")


def test_a_database_that_is_there_stays(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "there.db")) as connection:
        connection.execute("create table mine (a)")

    make_database(tmp_path / "there.db", MLFLOW)

    assert tables(tmp_path / "there.db") == {"mine"}


def test_the_schema_of_another_version_is_not_used(tmp_path: Path) -> None:
    old = tmp_path / "old.sql"
    old.write_text("-- mlflow 1.0\ncreate table a (b);\n", encoding="utf-8")

    make_database(tmp_path / "new.db", old)

    assert not (tmp_path / "new.db").exists()


if __name__ == "__main__":
    for stored in LIBRARIES:
        with made_by_library(stored) as text:
            stored.write_text(text, encoding="utf-8")
