"""The MLflow client of a workspace: one per process, its database created once."""

import functools
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tasks.orchestration.reachable import check_answers
from tasks.progress import report_progress
from tasks.tracking import moving
from tasks.workspace.empty import Maker, make_database
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks
from tasks.workspace.readable import copied_database, is_writable

# It logs what it raises, with a traceback: a full disk is one line of ours.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

ERRORS = (MlflowException,)  # the database or the server cannot be used


EMPTY = Maker(
    "mlflow",
    "import sys; from mlflow.store.db import utils\n"
    "utils._initialize_tables(utils.create_sqlalchemy_engine(f'sqlite:///{sys.argv[1]}'))",
)

MAX_BATCH = 1000  # metrics in one log_batch, as MLflow allows


NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # the second for malformed ids


def open_client(workspace: Workspace) -> MlflowClient:
    """A client on the workspace's database, which is made under a lock.

    Without it one of two processes that make the same new database at once would die.
    """
    return _client(workspace)


def reading_client(workspace: Workspace) -> MlflowClient:
    """A client that is only asked; it works in a workspace that may only be read, too."""
    if workspace.tracking is not None or is_writable(workspace.root):
        return open_client(workspace)
    return _of_copy(workspace.tracking_database)


@functools.cache
def _of_copy(database: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{copied_database(database)}")


@functools.cache
def _client(workspace: Workspace) -> MlflowClient:
    report_progress("opening MLflow's database", 0, None)
    with workspace_locks(workspace).exclusive("mlflow"):
        if workspace.tracking is not None:
            if workspace.tracking.startswith(("http://", "https://")):
                check_answers(workspace.tracking, "/health", "MLFLOW_TRACKING_URI", "MLflow server")
            return _answering(workspace)
        with _made_whole(workspace.tracking_database):
            client = _answering(workspace)
            _write_ahead(workspace.tracking_database)
        moving.update(workspace)
    return client


def _answering(workspace: Workspace) -> MlflowClient:
    client = MlflowClient(tracking_uri=workspace.tracking_uri)
    client.search_experiments(max_results=1)
    return client


@contextmanager
def _made_whole(database: Path) -> Iterator[None]:
    """Within the block a database is made, if it is missing; one whose maker died is made anew.

    Where no empty database can be kept, MLflow makes its tables in hundreds of steps, and cannot go
    on from among them.
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


def _write_ahead(database: Path) -> None:
    """Writers need not wait for readers; once set it holds for the file."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("pragma journal_mode = wal")


def every_page(fetch: Callable[[str | None], Any]) -> Iterator[Any]:
    """What all pages of a search hold; `fetch` takes the token of a page."""
    page = fetch(None)
    yield from page
    while page.token:
        page = fetch(page.token)
        yield from page
