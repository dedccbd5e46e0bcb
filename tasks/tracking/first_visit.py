"""MLflow's page without the panel of its assistant at the first visit.

The page of MLflow 3.17 opens this panel when a browser visits a server of its own machine for the
first time, over a quarter of the window, where the metrics are, and notes the visit in the storage
of the browser. No setting of the server prevents it. So the page that we serve notes the visit
before MLflow looks. The button of the assistant stays, and so does what a user opens or closes.
"""

from typing import Any

from tasks.orchestration.guard import Asgi, Receive, Scope, Send

NOTED = "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1"
SCRIPT = f'<script>localStorage.setItem("{NOTED}","true")</script>'.encode()
_HEAD = b"<head>"
_PAGE = "/"
_ASKS_FOR_CHANGES = (b"if-none-match", b"if-modified-since")
_OF_THE_FILE = (b"content-length", b"etag", b"last-modified")


class VisitedAsgi:
    """An application whose page begins with a script of ours; all else passes as it is."""

    def __init__(self, app: Asgi) -> None:
        """Take the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if (scope["type"], scope.get("method"), scope.get("path")) != ("http", "GET", _PAGE):
            await self._app(scope, receive, send)
            return
        # The browser would keep a page of MLflow alone for as long as MLflow's file is the same.
        headers = [each for each in scope["headers"] if each[0].lower() not in _ASKS_FOR_CHANGES]
        page = _Page(send)
        await self._app({**scope, "headers": headers}, receive, page.take)


class _Page:
    """Collects an answer, and sends it with the script."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Any = None
        self._body = b""

    async def take(self, message: Any) -> None:
        """A message of the answer."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        body = self._body.replace(_HEAD, _HEAD + SCRIPT, 1)
        kept = [each for each in self._start["headers"] if each[0].lower() not in _OF_THE_FILE]
        length = (b"content-length", str(len(body)).encode())
        await self._send({**self._start, "headers": [*kept, length]})
        await self._send({"type": "http.response.body", "body": body})
