"""A web interface that is started, answers and is ended, with one that starts in no time."""

import socket
import sys
from pathlib import Path

import pytest

from recsys.errors import InputError
from tasks.orchestration.web import serve_interface


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_it_says_its_address_when_it_answers_and_ends_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # is not asked, whatever the address
    monkeypatch.setenv("no_proxy", "elsewhere.example")
    port, log = free_port(), tmp_path / "logs" / "web.log"
    words = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]

    def ready(address: str) -> None:
        assert address == f"http://127.0.0.1:{port}"
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)) == 0
        raise KeyboardInterrupt  # what Ctrl-C does

    serve_interface((words, {"PYTHONUNBUFFERED": "1"}), "127.0.0.1", port, log, ready)

    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) != 0
    assert capfd.readouterr() == ("", "")
    assert "GET /" in log.read_text(encoding="utf-8")


def test_one_that_ends_by_itself_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "print('no such database'); raise SystemExit(3)"]

    def never(address: str) -> None:
        raise AssertionError(f"{address} does not answer")

    with pytest.raises(InputError, match=r"(?s)by itself with 3.*web.log ends:\nno such database"):
        serve_interface((words, {}), "127.0.0.1", free_port(), tmp_path / "web.log", never)


def test_a_port_that_is_in_use_is_an_error_that_names_the_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} of 127.0.0.1 is in use.*--port"):
            serve_interface(([], {}), "127.0.0.1", port, tmp_path / "web.log", print)
