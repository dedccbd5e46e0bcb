"""MLflow's database in a workspace, made and moved without MLflow, which is slow to load."""

import functools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tasks.progress import report_progress
from tasks.tracking import moving
from tasks.tracking.reading import SCHEMA, schema_of
from tasks.workspace.empty import Maker, make_database
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks

EMPTY = Maker(
    "mlflow",
    "import sys; from mlflow.store.db import utils\n"
    "utils._initialize_tables(utils.create_sqlalchemy_engine(f'sqlite:///{sys.argv[1]}'))",
)


class DatabaseFailed(Exception):
    """The database cannot be used."""


@functools.cache
def knows_database(workspace: Workspace) -> bool:
    """Whether the workspace's database, which is made if missing, has the schema that we know.

    False for a server, and where only MLflow can make the database.
    """
    if workspace.tracking is not None:
        return False
    report_progress("opening MLflow's database", 0, None)
    database = workspace.tracking_database
    with workspace_locks(workspace).exclusive("mlflow"), made_whole(database):
        if not database.exists() or schema_of(database) != SCHEMA:
            return False
        write_ahead(database)
        moving.update(workspace)
    return True


@contextmanager
def made_whole(database: Path) -> Iterator[None]:
    """Make a missing database within the block; replace one that was left half made.

    Where no empty database can be copied, MLflow makes its tables in hundreds of steps. If its
    process is killed meanwhile, MLflow cannot continue; a mark beside the database shows that.
    """
    mark = database.with_suffix(".making")
    if mark.exists():
        for left in database.parent.glob(f"{database.name}*"):  # also what SQLite keeps beside it
            left.unlink()
    make_database(database, EMPTY)
    if not database.exists():
        mark.touch()
    yield
    mark.unlink(missing_ok=True)


def write_ahead(database: Path) -> None:
    """Writers need not wait for readers; once set it holds for the file."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("pragma journal_mode = wal")
