"""A worker's folder for files on their way, removed when the worker ends or is gone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from recsys.files import remove_left, temporary_folder
from tasks.workspace.layout import Workspace
from tasks.workspace.readable import is_writable

_PREFIX = "worker-"


@contextmanager
def scratch(workspace: Workspace) -> Iterator[Path]:
    """A folder for files on their way."""
    with temporary_folder(workspace.scratch, _PREFIX) as folder:
        yield folder


@contextmanager
def copies(workspace: Workspace) -> Iterator[Path]:
    """A folder for copies that are only read, also where the workspace may only be read."""
    if is_writable(workspace.scratch):
        with scratch(workspace) as folder:
            yield folder
    else:
        with TemporaryDirectory(prefix="recsys-") as name:
            yield Path(name)


def remove_left_scratch(workspace: Workspace) -> None:
    """Remove the folders of workers that are gone."""
    remove_left(workspace.scratch, _PREFIX)
