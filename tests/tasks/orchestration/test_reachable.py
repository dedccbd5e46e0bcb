"""Servers of the user that are away, or do not take what we log in with."""

import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from recsys.errors import InputError
from tasks.orchestration.reachable import check_answers, check_login

SECRET = "recsys:right"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server that asks for SECRET."""

    class Guarded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            right = f"Basic {b64encode(SECRET.encode()).decode()}"
            self.send_response(200 if self.headers["Authorization"] == right else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Guarded) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("secret", "words"),
    [(None, "VARIABLE is not set; set it"), ("recsys:wrong", "VARIABLE is not the one; set it")],
)
def test_a_server_that_refuses_us_is_an_error_that_says_what_to_set(
    address: str, secret: str | None, words: str
) -> None:
    with pytest.raises(InputError, match=f"refuses us: {words}") as refused:
        check_login(address, "/version", secret, "VARIABLE")

    assert "wrong" not in str(refused.value)


def test_a_server_that_takes_our_secret_is_no_error(address: str) -> None:
    check_answers(address, "/health", "ADDRESS", "server")
    check_login(address, "/version", SECRET, "VARIABLE")


def test_a_server_that_is_away_is_an_error_that_names_the_variable() -> None:
    with pytest.raises(InputError, match=r"no server answers at http://127.0.0.1:9 \(ADDRESS\)"):
        check_answers("http://127.0.0.1:9", "/health", "ADDRESS", "server")
