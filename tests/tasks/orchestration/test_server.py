import logging
import os
import select
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tasks.orchestration import server as server_module
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


ANSWERS = """
import os, socket, sys
listening = socket.socket(fileno=int(sys.argv[1]))
while True:
    client, _ = listening.accept()
    client.recv(65536)
    text = str(os.getpid()).encode()
    client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(text) + text)
    client.close()
"""


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of Prefect, something that answers with the number of its process."""
    monkeypatch.setattr(server_module, "COMMAND", (sys.executable, "-SEc", ANSWERS))


def answer(server: Server) -> int:
    with urllib.request.urlopen(f"{server.api}/health", timeout=20) as said:
        return int(said.read())


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


def test_a_server_that_is_killed_alone_is_started_again_at_the_same_place(
    tmp_path: Path, light: None
) -> None:
    said: list[str] = []
    server = Server(os.environ, tmp_path / "server.log", said.append)
    server.wait()
    first = answer(server)

    os.kill(first, signal.SIGKILL)
    assert gone(first, 20)  # until then it may accept a request
    second = answer(server)
    server.stop()

    assert second != first
    assert gone(second, 20)
    assert said == ["Prefect's server ended (killed by SIGKILL); it is started again"]
    assert not server.is_lost


def test_a_server_that_ends_again_and_again_is_given_up_and_requests_fail_at_once(
    tmp_path: Path, light: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)  # it is changed
    said: list[str] = []
    server = Server(os.environ, tmp_path / "server.log", said.append)
    server.wait()
    monkeypatch.setattr(server_module, "COMMAND", (sys.executable, "-SEc", "1 / 0"))
    first = server._process
    first.kill()
    assert gone(first.pid, 20)  # until then it may accept a request
    refused = []

    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError, match="Lost") as error:
            urllib.request.urlopen(f"{server.api}/health", timeout=20)
        refused.append(error.value.code)

    server.stop()
    assert refused == [500, 500]
    assert server.is_lost
    assert len(said) == server_module.TRIES
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
