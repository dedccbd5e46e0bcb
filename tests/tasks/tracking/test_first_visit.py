"""The page of MLflow notes a visit before MLflow looks, so that no panel opens by itself."""

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tasks.orchestration.guard import Scope
from tasks.tracking.first_visit import NOTED, SCRIPT, VisitedAsgi

Message = MutableMapping[str, Any]
PARTS = [b"<!doctype html><he", b'ad><script src="main.js"></script></head><body><head></body>']


def answer(path: str, method: str = "GET") -> tuple[list[Message], list[tuple[bytes, bytes]]]:
    """What comes back from an application with a page, and the headers that it was asked with."""
    messages: list[Message] = []
    asked: list[tuple[bytes, bytes]] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        asked.extend(scope["headers"])
        length = (b"Content-Length", str(len(b"".join(PARTS))).encode())
        headers = [length, (b"ETag", b'"1"'), (b"x-frame-options", b"SAMEORIGIN")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PARTS[0], "more_body": True})
        await send({"type": "http.response.body", "body": PARTS[1]})

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        messages.append(message)

    headers = [(b"host", b"localhost"), (b"if-none-match", b'"1"')]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    asyncio.run(VisitedAsgi(app)(scope, receive, send))
    return messages, asked


def test_the_page_begins_with_the_note_of_a_visit_and_keeps_the_rest() -> None:
    (start, body), asked = answer("/")

    assert body["body"] == b"".join(PARTS).replace(b"<head>", b"<head>" + SCRIPT, 1)
    assert start["status"] == 200
    assert dict(start["headers"]) == {
        b"x-frame-options": b"SAMEORIGIN",
        b"content-length": str(len(body["body"])).encode(),
    }
    assert asked == [(b"host", b"localhost")]


@pytest.mark.parametrize(
    ("path", "method"), [("/api/2.0/mlflow/runs/search", "GET"), ("/", "HEAD"), ("/", "POST")]
)
def test_other_answers_pass_as_they_are(path: str, method: str) -> None:
    messages, asked = answer(path, method)

    assert [each.get("body") for each in messages[1:]] == PARTS
    assert (b"ETag", b'"1"') in messages[0]["headers"]
    assert (b"if-none-match", b'"1"') in asked


def test_mlflow_looks_for_the_note_under_this_name_and_has_one_head() -> None:
    build = Path(mlflow.__file__).parent / "server" / "js" / "build"
    key, _, version = NOTED.rpartition("_v")
    (script,) = (build / "static" / "js").glob("main.*.js")

    assert f'key:"{key}",version:{version},' in script.read_text(encoding="utf-8")
    assert (build / "index.html").read_text(encoding="utf-8").count("<head>") == 1
