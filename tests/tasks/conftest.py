"""Fixtures of the tests of `tasks`; the environment is set before the libraries are imported."""

import atexit
import shutil
import tempfile
from pathlib import Path

import pytest

from flows import environment
from tasks.workspace.layout import Workspace

_PLACE = Path(tempfile.mkdtemp(prefix="recsys-libraries-"))
atexit.register(shutil.rmtree, _PLACE, ignore_errors=True)
environment.prepare(Workspace(_PLACE))

from tests.conftest import copy_database  # noqa: E402
from tests.tasks.lab import (  # noqa: E402
    bench,  # noqa: F401
    fit_raises,  # noqa: F401
    fits,  # noqa: F401
    folds,  # noqa: F401
    script,  # noqa: F401
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "mlruns")


@pytest.fixture
def tracked(workspace: Workspace, mlflow_database: Path) -> Workspace:
    """A workspace whose MLflow database is there already."""
    copy_database(mlflow_database, workspace.tracking_database)
    return workspace
