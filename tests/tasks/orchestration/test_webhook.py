import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.error import HTTPError, URLError

import pytest

from tasks.orchestration.webhook import post

MESSAGE = {"flow": "retrain", "run": "retrain recsys", "state": "Failed", "message": None}


@contextmanager
def answering(*codes: int) -> Iterator[tuple[str, list[object]]]:
    """A server that answers so, one after the other; its address and what it was told."""
    told: list[object] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(codes[len(told) - 1])
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/secret", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_message_arrives_as_one_json_object() -> None:
    with answering(204) as (address, told):
        post(address, MESSAGE)

    assert told == [MESSAGE]


def test_a_server_at_fault_is_retried() -> None:
    with answering(503, 500, 200) as (address, told):
        post(address, MESSAGE, waits=(0.0, 0.0))

    assert told == [MESSAGE] * 3


def test_a_refusal_is_not_repeated() -> None:
    with answering(404) as (address, told), pytest.raises(HTTPError, match="404"):
        post(address, MESSAGE, waits=(0.0, 0.0))

    assert told == [MESSAGE]


def test_an_absent_server_is_an_error_after_the_last_attempt() -> None:
    with answering() as (address, _):
        pass

    with pytest.raises(URLError):
        post(address, MESSAGE, waits=(0.0,))


def test_an_address_that_is_no_web_address_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with http"):
        post("file:///etc/passwd", MESSAGE)
