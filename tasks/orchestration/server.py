"""Prefect's embedded server: started early, stopped with us, even when we are killed.

Prefect would start one by itself at the first flow, and we would wait for it with idle hands;
ours comes up while this process imports its libraries and prepares the databases. It is a child
that ends when its standard input closes, which the operating system does whatever ends us.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 120.0

QUIET = {
    "PYTHONSAFEPATH": "1",  # a tasks.py in the current folder is not ours
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_UI_ENABLED": "false",
    # Nothing is scheduled in a server that lives for one command.
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
}


class Server:
    """A Prefect server on a free port of the loopback interface, starting or started."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        """Start it and return at once.

        Args:
            environment: Of the server; PREFECT_HOME in it says where its database is.
            log: Where it writes what goes wrong.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(128)
        self.port = int(self._socket.getsockname()[1])
        descriptor = self._socket.fileno()
        os.set_inheritable(descriptor, True)
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tasks.orchestration.server", str(descriptor)],
                env={**environment, **QUIET},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(descriptor,),
                start_new_session=True,  # Ctrl-C is for us; the server outlives our last words
            )
        self._socket.close()

    @property
    def api(self) -> str:
        """What PREFECT_API_URL has to be."""
        return f"http://127.0.0.1:{self.port}/api"

    def wait(self) -> None:
        """Return when it answers.

        Raises:
            RuntimeError: it ended, or did not answer in time; with what it printed.
        """
        # The socket listens already, so the request waits in its queue: no polling.
        try:
            with urllib.request.urlopen(f"{self.api}/health", timeout=START_SECONDS):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            self.stop()
            said = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"Prefect's server did not start ({error}): {said}") from error

    def stop(self) -> None:
        """End it and wait until it has ended."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def serving(environment: Mapping[str, str], log: Path) -> Iterator[Server]:
    """A server for the length of the block."""
    server = Server(environment, log)
    try:
        yield server
    finally:
        _send_last_logs()
        server.stop()


def _send_last_logs() -> None:
    """Send the last logs now; at exit Prefect would complain about a missing server."""
    if "prefect" in sys.modules:
        from prefect.logging.handlers import APILogHandler

        APILogHandler().flush()


def _end_with_parent() -> None:
    os.read(0, 1)  # no process writes to it: it returns when the other end closes
    os.kill(os.getpid(), signal.SIGTERM)


def _serve(descriptor: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import uvicorn

    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        fd=descriptor,
        log_level="error",
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
