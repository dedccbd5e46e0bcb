"""Guards the pins: versions that resolve together and yet do not work together fail here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect import flow, task

from tasks.orchestration.server import Server

pytestmark = pytest.mark.flow


@task
def double(n: int) -> int:
    return 2 * n


@flow
def doubled(n: int) -> int:
    return double(n) + double(n + 1)


def test_a_flow_runs_against_a_real_server(prefect: Server) -> None:
    assert doubled(3) == 14


@pytest.mark.slow
def test_the_deployments_of_a_server_can_be_listed(prefect: Server, tmp_path: Path) -> None:
    """Prefect 3.8.8 with FastAPI from 0.151 on fails here, and with 0.155 at its import."""
    home = {"PREFECT_HOME": str(tmp_path), "HOME": str(tmp_path), "PREFECT_API_URL": prefect.api}
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "deployment", "ls"],
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
