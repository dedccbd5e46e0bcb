"""Prefect's embedded server: started early, stopped with us, even when we are killed.

Prefect would start one by itself at the first flow, and we would wait for it with idle hands;
ours comes up while this process imports its libraries and prepares the databases. It is a child
that ends when its standard input closes, which the operating system does whatever ends us.

One that is killed alone is started again. The socket stays ours and stays open: what flows ask
meanwhile waits in its queue, and the database still knows them.
"""

import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from recsys.errors import InputError
from tasks.orchestration.guard import Guard, GuardedAsgi
from tasks.workspace.empty import Maker, make_database
from tasks.workspace.room import full_disk

COMMAND = (sys.executable, "-m", "tasks.orchestration.server")  # and a file descriptor
START_SECONDS = 120.0
SHORT = 15.0  # seconds: one that ends sooner may not have answered at all
TRIES = 5  # short lives in a row; then it is not started again

QUIET = {
    "PYTHONSAFEPATH": "1",  # a tasks.py in the current folder is not ours
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_UI_ENABLED": "false",
    # Nothing is scheduled in a server that lives for one command, and no process reads events
    # there; to write them would be half of its work. Runs of tasks are recorded all the same.
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED": "false",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # `recsys ui --prefect` does that
}
EMPTY = Maker(
    "prefect",
    "import asyncio, os, sys; os.environ['PREFECT_HOME'] = os.path.dirname(sys.argv[1])\n"
    "os.environ['PREFECT_SERVER_DATABASE_CONNECTION_URL'] = f'sqlite+aiosqlite:///{sys.argv[1]}'\n"
    "from prefect.server.database import provide_database_interface\n"
    "asyncio.run(provide_database_interface().create_db())",
)
_FILE = "sqlite+aiosqlite:///"  # how the address of a database in a file begins


class NotStarted(InputError, RuntimeError):
    """The server did not come up."""


class Server:
    """A Prefect server on a free port of the loopback interface, starting or started.

    Attributes:
        is_lost: Whether it ended so often that it is not started again.
    """

    def __init__(
        self, environment: Mapping[str, str], log: Path, say: Callable[[str], object] = str
    ) -> None:
        """Start it and return at once.

        Args:
            environment: Of the server; PREFECT_HOME in it says where its database is.
            log: Where it writes what goes wrong.
            say: Gets a line when it ended by itself.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(128)
        self.port = int(self._socket.getsockname()[1])
        self._environment, self._say = {**environment, **QUIET}, say
        self._changing = threading.Lock()
        self._is_wanted, self._answered, self.is_lost = True, False, False
        self._process = self._started()
        threading.Thread(target=self._keep, daemon=True).start()

    def _started(self) -> "subprocess.Popen[bytes]":
        descriptor = self._socket.fileno()
        os.set_inheritable(descriptor, True)
        with self._log.open("ab") as errors:
            return subprocess.Popen(
                [*COMMAND, str(descriptor)],
                env=self._environment,
                cwd=self._log.parent,  # Prefect reads .env and prefect.toml where it starts
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(descriptor,),
                start_new_session=True,  # Ctrl-C is for us; the server outlives our last words
            )

    def _keep(self) -> None:
        """Start it again where it ended by itself; without hope, refuse what is asked."""
        lives: list[float] = []
        while True:
            began = time.monotonic()
            code = self._process.wait()
            lives.append(time.monotonic() - began)
            with self._changing:
                if not self._is_wanted:
                    return
                self._free(self._process)
                failed = code > 0 and not self._answered  # it would fail again
                if failed or (len(lives) >= TRIES and max(lives[-TRIES:]) < SHORT):
                    break
                self._say(f"Prefect's server ended ({_reason(code)}); it is started again")
                self._process = self._started()
        if self._answered:
            self.is_lost, logging.raiseExceptions = True, False  # of each log that is not sent
            self._say(f"Prefect's server ends at once, see {self._log}; it is not used any more")
            _refuse(self._socket)
        self._socket.close()

    def _free(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        process.stdin.close()

    @property
    def api(self) -> str:
        """What PREFECT_API_URL has to be."""
        return f"http://127.0.0.1:{self.port}/api"

    def wait(self) -> None:
        """Return when it answers.

        Raises:
            NotStarted: it ended, or did not answer in time; with what it printed.
        """
        # The socket listens already, so the request waits in its queue: no polling.
        try:
            with urllib.request.urlopen(f"{self.api}/health", timeout=START_SECONDS):
                self._answered = True
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            self.stop()
            if full := full_disk(self._log):
                raise NotStarted(f"Prefect's server did not start: {full}") from error
            said = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise NotStarted(
                f"Prefect's server did not start ({error}); repeat the command, or read its log "
                f"{self._log}, which ends: {' '.join(said.split())}"
            ) from error

    def stop(self) -> None:
        """End it and wait until it has ended."""
        with self._changing:
            self._is_wanted = False
        self._free(self._process)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # also for a thread that waits at it
        self._socket.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def serving(
    environment: Mapping[str, str], log: Path, say: Callable[[str], object] = str
) -> Iterator[Server]:
    """A server for the length of the block; `say` gets a line when it ended by itself."""
    server = Server(environment, log, say)
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


def _refuse(listening: socket.socket) -> None:
    """Answer every request with an error, until the socket is shut down.

    Without an answer Prefect would wait for a minute, and for each event of a task once more.
    """
    with suppress(OSError):
        listening.setblocking(True)  # a server has changed that, for all who share the socket
        while True:
            client, _ = listening.accept()
            with suppress(OSError), client:
                client.settimeout(1.0)
                client.recv(65536)
                client.sendall(
                    b"HTTP/1.1 500 Lost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )


def _reason(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _end_with_parent() -> None:
    os.read(0, 1)  # no process writes to it: it returns when the other end closes
    os.kill(os.getpid(), signal.SIGTERM)


@asynccontextmanager
async def _no_worker(*_: object, **__: object) -> AsyncIterator[None]:
    """In place of the worker that runs Prefect's periodic services: even idle it takes CPU."""
    yield


def make_prefect_database() -> None:
    """Make the database of Prefect's settings where it is a file that is missing."""
    from prefect.settings import get_current_settings

    known = get_current_settings().server.database.connection_url
    address = "" if known is None else known.get_secret_value()
    if address.startswith(_FILE):
        make_database(Path(address.removeprefix(_FILE)), EMPTY)


def _serve(descriptor: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.disable()  # a fifth of the time of the imports, which leave nothing to collect
    import uvicorn
    from prefect.server.api import server as prefect_server

    make_prefect_database()
    vars(prefect_server)["background_worker"] = _no_worker
    app = GuardedAsgi(prefect_server.create_app(), Guard.of("127.0.0.1"))
    gc.freeze()
    gc.enable()
    uvicorn.run(
        app,
        fd=descriptor,
        log_level="error",
        timeout_graceful_shutdown=5,
        workers=1,  # whatever WEB_CONCURRENCY says
    )


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
