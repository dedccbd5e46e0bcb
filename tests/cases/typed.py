"""Commands as a user types them, in a shell, and what they leave; also two commands for the table.

status_of PORT HOST     the status of / under a name, as soon as the port answers
user_at_row FILE ROW    whose list is in a row of a file of published lists
"""

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.flows.processes import RECSYS, ROOT, SECONDS

OURS = ("PREFECT_", "MLFLOW_", "RECSYS_", "XDG_", "MPL", "PYTHON")
_FIGURE = re.compile(r"([a-z ]{21}) (.+)")


def figures(output: str) -> dict[str, str]:
    """The lines of `recsys inspect` by their labels."""
    found = map(_FIGURE.fullmatch, output.splitlines())
    return {each[1].rstrip(): each[2].rstrip() for each in found if each}


class Shell:
    """A shell in a folder, with `recsys` and the two commands above in its path."""

    def __init__(self, folder: Path, programs: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        python = f"PYTHONPATH={ROOT} exec {sys.executable} -P"
        for name, words in (
            ("recsys", " ".join(RECSYS[1:])),
            *((name, f"-m tests.cases.typed {name}") for name in COMMANDS),
        ):
            (programs / name).write_text(f'#!/bin/sh\n{python} {words} "$@"\n', encoding="utf-8")
            (programs / name).chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        path = f"{programs}:{os.environ['PATH']}"
        self._environment = kept | {"PATH": path, "COLUMNS": "200"} | dict(environment)

    def type(self, line: str) -> tuple[int, str]:
        """The exit code of a line, and all that it says."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return done.returncode, done.stdout


def status_of(port: str, host: str) -> str:
    """The status of / under a name, as soon as the port answers."""
    until = time.monotonic() + SECONDS / 2
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
        try:
            connection.request("GET", "/", headers={"Host": host})
            return f"status {connection.getresponse().status}"
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        finally:
            connection.close()


def user_at_row(path: str, row: str) -> str:
    """Whose list is in a row of a file of published lists; in the last one if it is shorter."""
    import pyarrow.parquet as pq

    subjects = pq.read_table(path, columns=["subject"])["subject"]
    return str(subjects[min(int(row), len(subjects) - 1)])


COMMANDS = {"status_of": status_of, "user_at_row": user_at_row}

if __name__ == "__main__":
    sys.stdout.write(COMMANDS[sys.argv[1]](*sys.argv[2:]) + "\n")
