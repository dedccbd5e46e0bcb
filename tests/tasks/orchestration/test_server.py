import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.orchestration.server import Server

# A start that dies at once: what a broken installation looks like, without its seconds.
BROKEN = {**os.environ, "PYTHONHOME": "/nowhere"}

OWN = """
import os, sys
from pathlib import Path
from tasks.orchestration.server import Server
server = Server(os.environ, Path(sys.argv[1]))
print(server._process.pid, server.port, flush=True)
server._process.wait()
"""


def gone(pid: int, seconds: float) -> bool:
    """Whether a process ends within `seconds`."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended, _, _ = select.select([watched], [], [], seconds)
    os.close(watched)
    return bool(ended)


def can_connect(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_that_does_not_start_is_an_error_with_what_it_printed(tmp_path: Path) -> None:
    server = Server(BROKEN, tmp_path / "logs" / "server.log")

    with pytest.raises(RuntimeError, match=r"(?s)did not start.*encodings"):
        server.wait()


def test_a_stopped_server_has_ended_and_gives_its_port_back(tmp_path: Path) -> None:
    server = Server(os.environ, tmp_path / "server.log")
    assert can_connect(server.port)

    server.stop()

    assert server._process.returncode is not None
    assert not can_connect(server.port)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_ends_when_its_owner_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWN, str(tmp_path / "server.log")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    pid, port = map(int, owner.stdout.readline().split())
    assert can_connect(port)

    owner.send_signal(how)
    owner.communicate()

    assert gone(pid, 60)
    assert not can_connect(port)
