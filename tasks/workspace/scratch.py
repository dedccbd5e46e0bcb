"""Temporary folders of a worker, removed when the worker is gone."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.workspace.layout import Workspace
from tasks.workspace.locking import Locks

_SCRATCH = "worker-"


def own_scratch(workspace: Workspace, worker: str) -> Path:
    """The folder of a worker for what is on its way; when it is gone, whoever comes removes it."""
    folder = workspace.scratch / f"{_SCRATCH}{worker}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def scratch(workspace: Workspace, worker: str) -> Iterator[Path]:
    """A folder for files on their way; when we are killed, whoever goes on removes it."""
    mine = own_scratch(workspace, worker)
    folder = Path(tempfile.mkdtemp(dir=mine))
    try:
        yield folder
    finally:
        shutil.rmtree(mine, ignore_errors=True)


def remove_left_scratch(workspace: Workspace, locks: Locks) -> None:
    """Remove the folders of workers that are gone."""
    for folder in workspace.scratch.glob(f"{_SCRATCH}*"):
        if not locks.lives(folder.name.removeprefix(_SCRATCH)):
            shutil.rmtree(folder, ignore_errors=True)
