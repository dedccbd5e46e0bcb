"""A headless Chromium, where there is one, driven over its debugging protocol."""

import itertools
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
DEADLINE = 90  # seconds until it answers


def found() -> str | None:
    """The program; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """A page of the browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Network", "Runtime", "Log", "Page"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a command; what happens meanwhile is kept in `events`."""
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message: dict[str, Any] = json.loads(self._connection.recv(timeout=DEADLINE))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def value(self, script: str) -> Any:
        """What JavaScript gives, awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, page: Path, width: int, scheme: str) -> None:
        """Load a file at a width, and scroll through it so that everything is drawn."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.navigate", url=page.as_uri())
        self.value(_LOADED)

    @property
    def requests(self) -> list[str]:
        """Every address that was asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]

    @property
    def faults(self) -> list[Any]:
        """Exceptions, and what the console logs."""
        methods = {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}
        return [event["params"] for event in self.events if event.get("method") in methods]


_LOADED = """(async () => {
  const frame = () => new Promise(requestAnimationFrame);
  while (document.readyState !== "complete") await frame();
  for (let y = 0; y < document.body.scrollHeight; y += 600) {
    scrollTo(0, y);
    for (let n = 0; n < 4; n++) await frame();
  }
})()"""


@contextmanager
def tab(home: Path) -> Iterator[Tab]:
    """A tab of a browser that ends with the block.

    Args:
        home: Gets its profile.
    """
    program = found()
    assert program is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    place = (f"--remote-debugging-port={port}", f"--user-data-dir={home}")
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([program, *flags, *place, "about:blank"], stdout=quiet, stderr=quiet)
    try:
        with connect(_address(port), max_size=None) as connection:
            yield Tab(connection)
    finally:
        process.terminate()
        process.wait()


def _address(port: int) -> str:
    end = time.monotonic() + DEADLINE
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
                tabs = json.load(answer)
            return str(next(t for t in tabs if t["type"] == "page")["webSocketDebuggerUrl"])
        except (OSError, StopIteration):
            if time.monotonic() > end:
                raise
