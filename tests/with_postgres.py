"""Run a command beside a PostgreSQL server that is there for it alone.

    python with_postgres.py [--if-installed] COMMAND...

The server listens on 127.0.0.1, on a free port, with its data in a temporary folder. The command
finds its address in RECSYS_TEST_POSTGRES; we exit with its status. With --if-installed the command
runs without a server where none is installed. Needs Python only.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

INSTALL = (
    "No PostgreSQL server is installed: install the package `postgresql` (Debian, Ubuntu, "
    "Homebrew) or `postgresql-server` (Fedora), or put the folder with initdb and pg_ctl into PATH"
)
ATTEMPTS = 3  # a port that was free may be taken when the server wants it
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def programs() -> Path | None:
    """The folder with PostgreSQL's programs; of several versions the newest."""
    found = [Path(initdb).resolve().parent] if (initdb := shutil.which("initdb")) else []
    if asked := shutil.which("pg_config"):
        told = subprocess.run([asked, "--bindir"], capture_output=True, text=True, check=False)
        found.append(Path(told.stdout.strip()))
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(debian, key=lambda path: float(path.parent.name), reverse=True)
    for folder in found:
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return folder
    return None


def unprivileged() -> dict[str, Any]:
    """Who runs the server, which refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A PostgreSQL server in a folder."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder = folder
        self._programs = programs
        self._user = unprivileged()
        self._password = secrets.token_urlsafe(24) + "@:/?#%"  # what an address must escape
        self._port = 0
        if self._user:
            shutil.chown(folder, self._user["user"], self._user["group"])

    @property
    def url(self) -> str:
        password = quote(self._password, safe="")
        return f"postgresql://recsys:{password}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        password = self._folder / "password"
        password.touch(mode=0o600)
        password.write_text(self._password, encoding="utf-8")
        if self._user:
            shutil.chown(password, self._user["user"], self._user["group"])
        self._call(
            "initdb",
            "--username=recsys",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
        )
        for _ in range(ATTEMPTS - 1):
            if self._listens():
                return
        if not self._listens():
            log = self._folder / "log"
            sys.exit(f"PostgreSQL did not start:\n{log.read_text() if log.exists() else ''}")

    def _listens(self) -> bool:
        self._port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",
            "fsync": "off",  # the data outlives nothing
        }
        given = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = f"--log={self._folder / 'log'}"
        return self._run("pg_ctl", "start", "--wait", log, f"--options={given}").returncode == 0

    def stop(self) -> None:
        if (self._folder / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    def _call(self, program: str, *arguments: str) -> None:
        done = self._run(program, *arguments)
        if done.returncode != 0:
            sys.exit(f"{program} failed:\n{done.stdout}")

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        with (self._folder / "output").open("w+", encoding="utf-8") as output:
            # Not a pipe: the server would hold its other end for as long as it runs.
            code = subprocess.run(
                [self._programs / program, f"--pgdata={self._folder / 'data'}", *arguments],
                cwd=self._folder,
                env=kept | {"LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                **self._user,
            ).returncode
            output.seek(0)
            return subprocess.CompletedProcess(program, code, output.read())


@contextmanager
def server(programs: Path) -> Iterator[Server]:
    """A running server, stopped and removed whatever happens."""
    with tempfile.TemporaryDirectory(prefix="recsys-postgres-") as folder:
        made = Server(Path(folder), programs)
        try:
            made.start()
            yield made
        finally:
            for number in STOPPING:  # not even who is impatient shall leave a server behind
                signal.signal(number, signal.SIG_IGN)
            made.stop()


def leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def status_of(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run the command to its end; a signal to stop is passed on to it."""
    with subprocess.Popen(command, env=environment) as process:

        def pass_on(number: int, _: FrameType | None) -> None:
            process.send_signal(number)

        signal.signal(signal.SIGINT, lambda *_: None)  # the terminal tells the command too
        signal.signal(signal.SIGTERM, pass_on)
        signal.signal(signal.SIGHUP, pass_on)
        code = process.wait()
    return code if code >= 0 else 128 - code


def main(command: Sequence[str]) -> int:
    if command[:1] == ["--if-installed"]:
        command = command[1:]
        if command and programs() is None:
            print(f"{INSTALL}: without it, tests on PostgreSQL are skipped")  # noqa: T201
            return status_of(command, dict(os.environ))
    if not command:
        sys.exit(str(__doc__))
    for number in STOPPING:
        signal.signal(number, leave)
    if (found := programs()) is None:
        sys.exit(INSTALL)
    with server(found) as running:
        try:
            return status_of(command, os.environ | {"RECSYS_TEST_POSTGRES": running.url})
        except OSError as error:
            sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
