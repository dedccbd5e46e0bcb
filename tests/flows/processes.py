"""Workers as processes of their own, and what they left in a workspace."""

import importlib.util
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Timer
from types import ModuleType

from flows.cli import main

ROOT = Path(__file__).resolve().parents[2]
RECSYS = (sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main())")
SECONDS = 300  # until a process is taken for stuck


def benchmark(name: str) -> ModuleType:
    """A module of `benchmarks`, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Workers are forks of a process that imported everything and opened nothing: they begin at once,
# where a command of its own takes seconds of a core to come so far.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [__name__, "flows.experiment", "flows.studies", "mlflow.store.tracking.sqlalchemy_store"]
)


def _recsys(
    arguments: Sequence[str], environment: Mapping[str, str], out: Connection, err: Connection
) -> None:
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    # A shell that runs tests in the background has its children ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    sys.exit(main(arguments))


class Worker:
    """A `recsys` command that runs."""

    def __init__(self, arguments: Sequence[object], environment: Mapping[str, str]) -> None:
        (out, its_out), (err, its_err) = (FORKS.Pipe(duplex=False) for _ in range(2))
        given = [*map(str, arguments)], dict(environment), its_out, its_err
        self._process = FORKS.Process(target=_recsys, args=given)
        self._process.start()
        its_out.close()
        its_err.close()
        self._out, self._err = (
            os.fdopen(os.dup(each.fileno()), encoding="utf-8") for each in (out, err)
        )
        self._said: list[str] = []

    def said(self, begin: str) -> str:
        """The next line on stderr that begins so, as soon as it is there."""
        for line in self._err:
            self._said.append(line)
            if line.startswith(begin):
                return line
        raise AssertionError(f"it ended without a line that begins with {begin!r}: {self._said}")

    def training(self, n_done: int) -> None:
        """Return while it trains a trial, after so many of the study are done."""
        while True:
            line = self.said("trials, ")  # trials, best 0.2968: 3 of 12
            if int(line.rpartition(": ")[2].split()[0]) >= n_done:
                self.said("iterations of ")
                return

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def end(self) -> tuple[int, str, str]:
        """Exit code, and all that it said on stdout and stderr, when it has ended."""
        stuck = Timer(SECONDS, self._process.kill)
        stuck.start()
        err, out = self._err.read(), self._out.read()  # what it says on stdout fits into a pipe
        self._process.join()
        stuck.cancel()
        assert self._process.exitcode is not None
        return self._process.exitcode, out, "".join(self._said) + err

    def kill(self) -> None:
        """End it, if it runs still."""
        self._process.kill()
        self._process.join()
        self._out.close()
        self._err.close()


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
