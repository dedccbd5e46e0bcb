"""A Prefect server and its workers as processes of a checkout, and requests to them."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tasks.workspace.layout import Workspace
from tests.flows.processes import ROOT

PREFECT = (sys.executable, "-m", "prefect")
SECONDS = 120  # until something is taken for stuck
OURS = ("flows", "tasks", "recsys", "prefect.yaml")


def checkout(folder: Path) -> Path:
    """A folder that holds what is deployed, and where all that is written stays."""
    for name in OURS:
        (folder / name).symlink_to(ROOT / name)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Site:
    """A checkout on a machine with a Prefect server."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = checkout(folder)
        self.workspace = Workspace.at(folder / "mlruns")
        self.logs = home
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.secret: str | None = None  # what the server asks for
        ours = ("PREFECT_", "RECSYS_")
        inherited = {n: v for n, v in os.environ.items() if not n.startswith(ours)}
        self.environment = inherited | {
            "HOME": str(home),
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_UI_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # Everybody looks more often than usual, so that the tests wait less.
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),  # as if recsys were installed from this checkout
        }

    @contextmanager
    def running(self, *command: str, log: str) -> Iterator[Path]:
        """A process that goes on, with all its children, until the block ends; what it says."""
        said = self.logs / f"{log}.log"
        with said.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A shell that runs tests in the background has its children ignore Ctrl-C.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        try:
            yield said
        finally:
            process.terminate()
            try:
                process.wait(60)  # a busy server takes its time to pause the schedules
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def run(self, *command: str) -> str:
        """What a command says; it has to succeed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, path: str, body: object = None) -> Any:
        """What Prefect's API answers: to a POST where there is a body.

        A server whose database is busy says 503 and has done nothing: it is asked again, as
        Prefect's own client does.
        """
        request = urllib.request.Request(
            f"{self.api}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **self._login()},
        )

        def answered() -> tuple[Any] | None:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return (json.load(answer),)
            except urllib.error.HTTPError as error:
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
                return None

        return until(answered)[0]

    def _login(self) -> dict[str, str]:
        if self.secret is None:
            return {}
        return {"Authorization": f"Basic {b64encode(self.secret.encode()).decode()}"}

    def scheduled(self, deployment: str) -> list[dict[str, Any]]:
        """The runs of a deployment that are still to come, the next first."""
        found = self.those(deployment, "SCHEDULED")
        return sorted(found, key=lambda run: run["expected_start_time"])

    def those(self, deployment: str, state: str) -> list[dict[str, Any]]:
        """The runs of a deployment that are in a state, in capitals."""
        chosen = {
            "deployments": {"name": {"any_": [deployment]}},
            "flow_runs": {"state": {"type": {"any_": [state]}}},
        }
        return list(self.ask("flow_runs/filter", chosen))

    def start(self, deployment: str, parameters: object) -> str:
        """Ask for a run of a deployment, FLOW/NAME; its id."""
        number = self.ask(f"deployments/name/{deployment}")["id"]
        made = self.ask(f"deployments/{number}/create_flow_run", {"parameters": parameters})
        return str(made["id"])

    def reached(self, run: str, state: str) -> dict[str, Any]:
        """A run as soon as it is in a state, in capitals."""

        def found() -> dict[str, Any] | None:
            known: dict[str, Any] = self.ask(f"flow_runs/{run}")
            return known if known["state_type"] == state else None

        reached: dict[str, Any] = until(found)
        return reached


@contextmanager
def webhook() -> Iterator[tuple[str, "SimpleQueue[dict[str, str]]"]]:
    """An address on this machine that takes JSON, and what it has been told."""
    told: SimpleQueue[dict[str, str]] = SimpleQueue()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", told
        finally:
            server.shutdown()
            thread.join()


def until(found: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What `found` gives as soon as it is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if value := found():
                return value
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, ConnectionError):
            pass  # it does not listen yet
        time.sleep(0.2)
    raise AssertionError(f"nothing after {seconds} seconds")
