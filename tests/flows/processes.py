"""Workers as processes of their own, and what they left in a workspace."""

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
RECSYS = (sys.executable, "-m", "flows.cli.start")
SECONDS = 300  # until a process is taken for stuck


def benchmark(name: str) -> ModuleType:
    """A module of `benchmarks`, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Worker:
    """A `recsys` command that runs."""

    def __init__(self, arguments: Sequence[object], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [*RECSYS, *map(str, arguments)],
            env=dict(environment),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell that runs tests in the background has its children ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._said: list[str] = []

    def said(self, begin: str) -> str:
        """The next line on stderr that begins so, as soon as it is there."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said.append(line)
            if line.startswith(begin):
                return line
        raise AssertionError(f"it ended without a line that begins with {begin!r}: {self._said}")

    def training(self, n_done: int) -> None:
        """Return while it trains a trial, after so many of the study are done."""
        while True:
            line = self.said("trial ")  # trial 4/12, 8 factors, iteration 1/30, best 0.2968, 0:07
            if ", iteration " in line and int(line.split()[1].partition("/")[0]) > n_done:
                return

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Exit code, and all that it said on stdout and stderr, when it has ended."""
        out, err = self._process.communicate(timeout=SECONDS)
        return self._process.returncode, out, "".join(self._said) + err

    def kill(self) -> None:
        """End it, if it runs still."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def workers(
    n: int, arguments: Sequence[object], environment: Mapping[str, str]
) -> Iterator[list[Worker]]:
    """So many that start at once; none is left after the block."""
    started: list[Worker] = []
    try:
        for _ in range(n):
            started.append(Worker(arguments, environment))
        yield started
    finally:
        for worker in started:
            worker.kill()
