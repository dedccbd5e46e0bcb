"""Stands in for Docker: runs what the Compose file says on the loopback interface, as processes.

Commands and environments are those of the file. What differs is where things are: a service is at
127.0.0.1 and the port that the file publishes, not at a host of its own; what is a folder of a
container, or a database of PostgreSQL, is one that is there for the test alone.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.team.described import ROOT, Service, health_command, image_environment, services

LOOPBACK = "127.0.0.1"
SECONDS = 180.0  # until a process is taken for stuck, on a machine that is busy with others too
GRACE = 10.0  # as Docker has it
IN_IMAGE = ("docker", "recsys", "tasks", "flows", "pyproject.toml", "prefect.yaml")
DATABASES = ("mlflow", "prefect", "studies")
AS_WRITTEN = {
    "MLFLOW_SERVER_ALLOWED_HOSTS",
    "RECSYS_ALLOWED_HOSTS",
}  # what callers say, not where anything is


def free_port() -> str:
    """A free port."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return str(probe.getsockname()[1])


@dataclass(frozen=True)
class Postgres:
    """The server in place of the service `postgres`, and our part of it.

    Attributes:
        url: Of its admin.
        prefix: Of our databases and roles.
    """

    url: str
    prefix: str

    @property
    def password(self) -> str:
        """Of the admin."""
        return unquote(urlsplit(self.url).password or "")

    def own(self, name: str) -> str:
        """The name that a database has here."""
        return f"{self.prefix}_{name}" if name in DATABASES else name

    def placed(self, name: str, value: str) -> str | None:
        """What a variable that tells where the database is has to say here."""
        parts = urlsplit(self.url)
        here = {"HOST": parts.hostname, "USER": parts.username, "DATABASE": parts.path[1:]}
        if not name.startswith(("PG", "PREFECT_SERVER_DATABASE_")):
            return None
        if name.endswith("PORT"):
            return str(parts.port or 5432)
        kind = next((kind for kind in here if name.endswith(kind)), None)
        return here[kind] if value == "postgres" and kind else None


class Running:
    """A process, and whatever it starts."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], cwd: Path) -> None:
        self._log = cwd.parent / f"{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """What it printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ended(self) -> int:
        """Its exit code, when it has ended."""
        return self._process.wait(SECONDS)

    def terminate(self) -> None:
        """Ask it to end, as Docker does."""
        self._process.terminate()

    def kill(self) -> None:
        """End it if it did not end itself, and all that it started."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # a session of its own
        self._process.wait()


class Engine:
    """Runs services of the Compose file."""

    def __init__(self, folder: Path, postgres: Postgres, variables: Mapping[str, str]) -> None:
        self._folder = folder
        self._postgres = postgres
        self._services = services(variables)
        published = (service.ports for service in self._services.values())
        self._ports = {inside: out for ports in published for inside, out in ports.items()}
        self._ports["8080"] = free_port()
        self._started: list[Running] = []

    def address(self, service: str) -> str:
        """Where a service that publishes one port answers."""
        [port] = self._services[service].ports.values()
        return f"http://{LOOPBACK}:{port}"

    def service(self, name: str) -> Service:
        """One of the file."""
        return self._services[name]

    def said(self) -> list[str]:
        """What everything that was started printed so far."""
        return [running.said for running in self._started]

    def start(self, service: str) -> Running:
        """What the service runs."""
        found = self._services[service]
        running = Running(found.command, self.environment(found), self._recsys())
        self._started.append(running)
        return running

    def finish(self, service: str) -> str:
        """Run a service to its end; what it said."""
        running = self.start(service)
        assert running.ended() == 0, running.said
        return running.said

    def until_healthy(self, service: str, running: Running) -> None:
        """Ask as the Dockerfile says until it is well."""
        found = self._services[service]
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert running.runs(), running.said
            asked = subprocess.run(
                health_command(),
                env=self.environment(found),
                cwd=self._recsys(),
                capture_output=True,
                check=False,
            )
            if asked.returncode == 0:
                return
            time.sleep(1.0)
        raise AssertionError(f"{service} did not become healthy: {running.said}")

    def environment(self, service: Service) -> dict[str, str]:
        """What the processes of a service find in their environment; nothing of ours."""
        home = self._folder / service.name
        home.mkdir(exist_ok=True)
        programs = f"{Path(sys.executable).parent}:{os.defpath}"
        image = image_environment() | {"PATH": programs, "HOME": str(home), "LC_ALL": "C.UTF-8"}
        image["PYTHONPATH"] = str(ROOT)  # where the image has it installed
        own = {name: self._placed(name, text) for name, text in service.environment.items()}
        if "PREFECT_HOME" in own:
            own["PREFECT_HOME"] = f"{home}{own['PREFECT_HOME']}"
        return image | own

    def _placed(self, name: str, value: str) -> str:
        if name in AS_WRITTEN or "PASSWORD" in name or "AUTH_STRING" in name:
            return value
        if (told := self._postgres.placed(name, value)) is not None:
            return told
        value = re.sub(r"(?<=//)(mlflow|prefect)(?=:\d)", LOOPBACK, value)
        value = re.sub(r"^\d{4}$|(?<=:)\d{4}(?=/|$)", self._port, value)
        return {"0.0.0.0": LOOPBACK}.get(value, self._postgres.own(value))

    def _port(self, inside: re.Match[str]) -> str:
        return self._ports.get(inside[0], inside[0])

    def _recsys(self) -> Path:
        """The folder of that name; one for all, as they share the volume with the workspace."""
        folder = self._folder / "recsys"
        if not folder.exists():
            (folder / "mlruns").mkdir(parents=True)
            for name in IN_IMAGE:
                if (ROOT / name).exists():
                    (folder / name).symlink_to(ROOT / name)
        return folder

    def stop(self) -> None:
        """End all that runs."""
        for running in self._started:
            running.terminate()
        for running in self._started:
            running.kill()


@contextmanager
def engine(folder: Path, postgres: Postgres, variables: Mapping[str, str]) -> Iterator[Engine]:
    """An engine of which nothing is left after the block."""
    made = Engine(folder, postgres, variables)
    try:
        yield made
    finally:
        made.stop()
