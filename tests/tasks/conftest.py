"""Fixtures of the tests of `tasks`; the environment is set before the libraries are imported."""

import atexit
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows import environment
from tasks.workspace.layout import Workspace

_PLACE = Path(tempfile.mkdtemp(prefix="recsys-libraries-"))
atexit.register(shutil.rmtree, _PLACE, ignore_errors=True)
environment.prepare(Workspace(_PLACE))

from tests.tasks.lab import (  # noqa: E402
    bench,  # noqa: F401
    copy_database,
    fit_raises,  # noqa: F401
    fits,  # noqa: F401
    folds,  # noqa: F401
    script,  # noqa: F401
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "mlruns")


OPEN = """
import sys
from pathlib import Path
from tasks.tracking.runs import experiment_id
from tasks.workspace.layout import Workspace
print("ready", flush=True)
sys.stdin.readline()
print(experiment_id(Workspace.at(Path(sys.argv[1])), Path("/music/plays.tsv")))
"""


@dataclass(frozen=True)
class Opened:
    """A workspace that two processes opened first, at the same time."""

    workspace: Workspace
    codes: list[int]
    said: list[str]
    errors: list[str]


@pytest.fixture(scope="session")
def opened_at_once(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    root = tmp_path_factory.mktemp("opened") / "mlruns"
    command = [sys.executable, "-c", OPEN, str(root)]
    pipe = subprocess.PIPE
    both = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [process.communicate(timeout=120) for process in both]
    codes = [process.returncode for process in both]
    return Opened(Workspace(root), codes, [out for out, _ in ends], [err for _, err in ends])


@pytest.fixture
def tracked(workspace: Workspace, opened_at_once: Opened) -> Workspace:
    """A workspace whose MLflow database is there already, which saves seconds per test."""
    copy_database(opened_at_once.workspace.tracking_database, workspace.tracking_database)
    return workspace
