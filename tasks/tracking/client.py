"""The MLflow client of a workspace: one per process, its database created once."""

import functools
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.orchestration.reachable import check_answers
from tasks.progress import report_progress
from tasks.tracking import moving
from tasks.tracking.database import DatabaseFailed, made_whole, write_ahead
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks
from tasks.workspace.readable import copied_database, is_writable

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_BATCH = 1000  # metrics in one log_batch, as MLflow allows


NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # the second for malformed ids


def open_client(workspace: Workspace) -> "MlflowClient":
    """A client on the workspace's database, which is made under a lock.

    Without it one of two processes that make the same new database at once would die.
    """
    return _client(workspace)


def reading_client(workspace: Workspace) -> "MlflowClient":
    """A client that is only asked; it works in a workspace that may only be read, too."""
    if workspace.tracking is not None or is_writable(workspace.root):
        return open_client(workspace)
    return _of_copy(workspace.tracking_database)


def errors() -> tuple[type[Exception], ...]:
    """What says that the database or the server cannot be used."""
    if "mlflow.exceptions" not in sys.modules:  # so nothing of it was raised
        return (DatabaseFailed,)
    from mlflow.exceptions import MlflowException

    return (DatabaseFailed, MlflowException)


@functools.cache
def _of_copy(database: Path) -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{copied_database(database)}")


@functools.cache
def _client(workspace: Workspace) -> "MlflowClient":
    report_progress("opening MLflow's database", 0, None)
    with workspace_locks(workspace).exclusive("mlflow"):
        if workspace.tracking is not None:
            if workspace.tracking.startswith(("http://", "https://")):
                check_answers(workspace.tracking, "/health", "MLFLOW_TRACKING_URI", "MLflow server")
            return _answering(workspace)
        with made_whole(workspace.tracking_database):
            client = _answering(workspace)
            write_ahead(workspace.tracking_database)
        moving.update(workspace)
    return client


def _answering(workspace: Workspace) -> "MlflowClient":
    from mlflow import MlflowClient

    # It logs what it raises, with a traceback: a full disk is one line of ours.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    client = MlflowClient(tracking_uri=workspace.tracking_uri)
    client.search_experiments(max_results=1)
    return client


def every_page(fetch: Callable[[str | None], Any]) -> Iterator[Any]:
    """What all pages of a search hold; `fetch` takes the token of a page."""
    page = fetch(None)
    yield from page
    while page.token:
        page = fetch(page.token)
        yield from page
