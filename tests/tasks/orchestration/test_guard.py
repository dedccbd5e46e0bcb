"""Which Host and Origin a server accepts; `test_attacks.py` sends them to real servers."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from tasks.orchestration.guard import (
    Fetched,
    Guard,
    GuardedAsgi,
    Scope,
    guarded_wsgi,
    host_names,
    origin_patterns,
    page_origins,
)

LOCAL = Guard.of("127.0.0.1")
TEAM = Guard.of("0.0.0.0", "prefect:4200, Mlflow.Example.org")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:4200",
        "localhost:4200",
        "LocalHost:4200",
        "localhost.:4200",
        "localhost",
        "[::1]:4200",
        "[0:0:0:0:0:0:0:1]:4200",
        "127.0.0.1:9999",  # a tunnel
    ],
)
def test_a_server_answers_to_the_names_of_its_machine(host: str) -> None:
    assert LOCAL.refusal([host], []) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:4200",
        "EVIL.example.",
        "127.0.0.1.evil.example",
        "localhost.evil.example:4200",
        "10.evil.example",  # MLflow's own pattern 10.* takes it
        "localhost@evil.example",
        "evil.example#localhost",
        "127.0.0.1:4200,evil.example",
        "[evil]:4200",
        "[::2]:4200",
        "192.168.1.5:4200",
        "localhost:4200:4200",
        "[::ffff:127.0.0.1]:4200",
        "127.1:4200",
        "2130706433:4200",
        "localhost..:4200",
        "localhost\xa0",
        "*",
        "",
    ],
)
def test_a_server_has_no_other_name(host: str) -> None:
    assert "(Host)" in str(LOCAL.refusal([host], []))


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_a_request_has_one_host(hosts: list[str]) -> None:
    assert LOCAL.refusal(hosts, []) is not None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:4200", "http://127.0.0.1:4200"),
        ("127.0.0.1:4200", "http://localhost:4200"),  # Prefect's page asks 127.0.0.1
        ("localhost:4200", "HTTP://LOCALHOST:4200"),
        ("[::1]:4200", "http://[::1]:4200"),
        ("localhost", "http://localhost"),
    ],
)
def test_its_own_pages_use_a_server(host: str, origin: str) -> None:
    assert LOCAL.refusal([host], [origin]) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://evil.example:4200",
        "http://127.0.0.1:4200.evil.example",
        "http://localhost:3000",  # another program's page
        "http://localhost:0",
        "http://localhost",
        "https://localhost",
        "null",
        "",
        "file://",
        "http://",
        "http://localhost:4200/",
        "chrome-extension://localhost:4200",
        "http://localhost:4200 http://evil.example",
    ],
)
def test_pages_of_others_do_not_use_a_server(origin: str) -> None:
    assert "(Origin)" in str(LOCAL.refusal(["127.0.0.1:4200"], [origin]))
    assert LOCAL.refusal(["127.0.0.1:4200"], ["http://127.0.0.1:4200", origin]) is not None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("prefect:4200", None),
        ("0.0.0.0:4200", None),  # what its address says
        ("mlflow.example.org", "https://mlflow.example.org"),
        ("127.0.0.1:4200", "https://mlflow.example.org"),  # a proxy that asks in its own name
        ("MLFLOW.example.org:4200", "http://mlflow.example.org:4200"),
        ("127.0.0.1:4200", "http://prefect:4200"),
    ],
)
def test_names_of_a_team_are_known(host: str, origin: str | None) -> None:
    assert TEAM.refusal([host], [origin] if origin else []) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("prefect:4201", None),
        ("prefect", None),
        ("evil.mlflow.example.org", None),
        ("127.0.0.1:4200", "https://mlflow.example.org:3000"),
        ("127.0.0.1:4200", "http://prefect:80"),
    ],
)
def test_a_name_of_a_team_is_exact(host: str, origin: str | None) -> None:
    assert TEAM.refusal([host], [origin] if origin else []) is not None


def test_a_star_stands_for_any_text_in_a_name_that_the_user_gave() -> None:
    guard = Guard.of("0.0.0.0", "*.lab.example")

    assert guard.refusal(["box.lab.example:5000"], ["http://box.lab.example:5000"]) is None
    assert guard.refusal(["lab.example.evil:5000"], []) is not None


@pytest.mark.parametrize("name", ["http://box", "box/", "a b", "box:port", "[box]"])
def test_what_is_no_name_is_an_error_that_shows_it(name: str) -> None:
    with pytest.raises(ValueError, match=r"no name of a host; write NAME or NAME:PORT"):
        Guard.of("127.0.0.1", name)


def test_servers_that_check_themselves_get_the_same_names() -> None:
    assert host_names(TEAM, 5000) == [
        *("0.0.0.0", "0.0.0.0:*", "127.0.0.1", "127.0.0.1:*", "[::1]", "[::1]:5000"),
        *("localhost", "localhost:*", "mlflow.example.org", "mlflow.example.org:*", "prefect:4200"),
    ]
    assert Guard.of("0.0.0.0", ",".join(host_names(TEAM, 5000))) == TEAM
    assert {"http://localhost:4200", "https://mlflow.example.org"} <= {*page_origins(TEAM, 4200)}


@pytest.mark.parametrize(
    ("site", "mode", "dest", "method", "passes"),
    [
        ("cross-site", "no-cors", "image", "GET", False),
        ("same-site", "no-cors", "script", "GET", False),  # a page at another port
        ("cross-site", "navigate", "iframe", "GET", False),
        ("cross-site", "navigate", "document", "POST", False),
        ("cross-site", "", "", "GET", False),
        ("cross-site", "navigate", "document", "GET", True),  # a link
        ("same-origin", "cors", "empty", "POST", True),
        ("none", "navigate", "document", "GET", True),
        ("", "", "", "POST", True),  # a program
    ],
)
def test_pages_of_others_do_not_embed_a_server(
    site: str, mode: str, dest: str, method: str, passes: bool
) -> None:
    fetched = Fetched(method, site, mode, dest)

    assert (LOCAL.refusal(["localhost:4200"], [], fetched) is None) == passes
    # Prefect's page at localhost asks 127.0.0.1, and says so.
    assert LOCAL.refusal(["127.0.0.1:4200"], ["http://localhost:4200"], fetched) is None


def test_mlflow_takes_what_pages_send_under_a_name_that_the_user_gave() -> None:
    found = origin_patterns(Guard.of("", "box.lab,mlflow:5000"))

    assert {"http://box.lab", "http://box.lab:*", "https://box.lab"} < {*found}
    assert [each for each in found if "mlflow" in each] == [
        "http://mlflow:5000",
        "https://mlflow:5000",
    ]


Message = MutableMapping[str, Any]


def sent(kind: str, *headers: tuple[bytes, bytes]) -> list[Message]:
    """What an application behind the guard of this machine sends."""
    messages: list[Message] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "reached"})

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        messages.append(message)

    scope = {"type": kind, "headers": [*headers]}
    asyncio.run(GuardedAsgi(app, LOCAL)(scope, receive, send))
    return messages


def test_requests_and_websockets_are_refused_before_the_application() -> None:
    local, evil = (b"host", b"localhost:1"), (b"origin", b"http://evil.example")
    refused, body = sent("http", local, evil)

    assert (refused["status"], b"http://evil.example" in body["body"]) == (403, True)
    assert sent("websocket", local, evil) == [{"type": "websocket.close", "code": 1008}]
    assert sent("http", (b"host", b"evil.example"))[0]["status"] == 403
    assert sent("http")[0]["status"] == 403
    assert sent("http", local, (b"sec-fetch-site", b"cross-site"))[0]["status"] == 403
    assert sent("http", local) == sent("websocket", local) == [{"type": "reached"}]
    assert sent("lifespan") == [{"type": "reached"}]


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"HTTP_HOST": "localhost:8080"}, "200 OK"),
        ({"HTTP_HOST": "localhost:8080", "HTTP_ORIGIN": "http://localhost:8080"}, "200 OK"),
        ({"HTTP_HOST": "localhost:8080", "HTTP_ORIGIN": "null"}, "403 Forbidden"),
        ({"HTTP_HOST": "evil.example:8080"}, "403 Forbidden"),
        ({"HTTP_HOST": "localhost:8080,evil.example"}, "403 Forbidden"),
        ({"HTTP_HOST": "localhost:8080", "HTTP_SEC_FETCH_SITE": "cross-site"}, "403 Forbidden"),
        ({}, "403 Forbidden"),
    ],
)
def test_a_wsgi_application_is_guarded_too(environ: dict[str, Any], status: str) -> None:
    given: list[str] = []

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [])
        return [b"reached"]

    body = guarded_wsgi(app, LOCAL)(environ, lambda code, headers: given.append(code))

    assert given == [status]
    assert (list(body) == [b"reached"]) == (status == "200 OK")
