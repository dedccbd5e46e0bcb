"""An HTTP server on loopback that fails in the ways a test asks for."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple


class Request(NamedTuple):
    range: str | None
    if_range: str | None


@dataclass
class Source:
    """What the server serves; a test changes it between or during requests."""

    content: bytes = b""
    etag: str | None = '"one"'
    resumes: bool = True
    declares_length: bool = True
    statuses: list[int] = field(default_factory=list)  # answers before the file is served
    drops: list[int] = field(default_factory=list)  # bytes after which each answer breaks off
    after: Callable[["Source"], None] = lambda source: None  # run at the end of each answer
    requests: list[Request] = field(default_factory=list)
    url: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    source: Source

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        source = self.source
        request = Request(self.headers["Range"], self.headers["If-Range"])
        source.requests.append(request)
        if source.statuses:
            self.send_error(source.statuses.pop(0))
            return
        start = self.start(request)
        if request.range and start >= len(source.content):
            self.send_error(416)
            return
        self.send_headers(start)
        body = source.content[start:]
        self.wfile.write(body[: source.drops.pop(0)] if source.drops else body)
        source.after(source)

    def start(self, request: Request) -> int:
        if not self.source.resumes or request.range is None:
            return 0
        if request.if_range not in (None, self.source.etag):
            return 0
        return int(request.range.removeprefix("bytes=").removesuffix("-"))

    def send_headers(self, start: int) -> None:
        total = len(self.source.content)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if self.source.declares_length:
            self.send_header("Content-Length", str(total - start))
        if self.source.etag:
            self.send_header("ETag", self.source.etag)
        self.end_headers()


@contextmanager
def serving(source: Source) -> Iterator[None]:
    """Serve the source at source.url while the block runs."""
    handler = type("SourceHandler", (Handler,), {"source": source})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        source.url = f"http://127.0.0.1:{server.server_port}/data.tar.gz?download=1"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
