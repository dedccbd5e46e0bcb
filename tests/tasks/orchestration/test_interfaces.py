"""Commands that start the web interfaces; `tests/flows/cli/test_commands.py` starts each."""

import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tasks.orchestration.interfaces import optuna_ui
from tasks.workspace.layout import Workspace


def test_optunas_dashboard_shows_no_password_among_its_arguments(tmp_path: Path) -> None:
    place = Workspace.at(tmp_path, "postgresql://me:hush@host/x")

    command, secret = optuna_ui(place, "127.0.0.1", 1)

    assert command[-1] == "postgresql://me@host/x"
    assert secret == {"PGPASSWORD": "hush"}


@pytest.mark.postgres
def test_optunas_dashboard_reads_the_password_from_its_environment(
    tmp_path: Path, postgres: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command, secret = optuna_ui(Workspace.at(tmp_path, postgres), "127.0.0.1", port)
    environment = {**os.environ, **secret}

    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        answer = None
        while answer is None and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies") as response:
                    answer = response.status
            except OSError:
                time.sleep(0.1)
        assert answer == 200
    finally:
        process.kill()
        process.wait()
