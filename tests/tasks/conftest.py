"""Fixtures of the tests of `tasks`; the environment is set before the libraries are imported."""

import atexit
import shutil
import tempfile
from pathlib import Path

import pytest

from flows import environment
from tasks.workspace import Workspace

_PLACE = Path(tempfile.mkdtemp(prefix="recsys-libraries-"))
atexit.register(shutil.rmtree, _PLACE, ignore_errors=True)
environment.prepare(Workspace(_PLACE))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "mlruns")
