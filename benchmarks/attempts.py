"""Processes that work on studies and may be killed, and the place where they do.

Most are forks of this process, which has imported everything and opened nothing: so they work at
once, and a kill may strike anywhere. Others are commands of their own, with their own Prefect.
"""

import importlib
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from same_study import KINDS, Fault, faults
from sqlalchemy.orm import configure_mappers

from flows import environment
from flows.cli import main
from recsys.sources.sample import make_sample, write_sample
from tasks.orchestration.server import Server
from tasks.workspace.code import MEASURING, code_id
from tasks.workspace.layout import Workspace

STUDY = "killed"
USERS, ARTISTS = 300, 200
COMMAND = [sys.executable, "-m", "flows.cli.start"]
KILLED = -signal.SIGKILL
STUCK = 120.0  # seconds after which an attempt counts as stuck
NEEDED = (
    *("flows.experiment", "flows.studies", "flows.cli.experiment_tables"),
    "mlflow.store.tracking.sqlalchemy_store",
)

CONFIGS = {
    "tpe": """
name = "tpe"
[search]
factors = [2, 4, 8]
iterations = { low = 2, high = 6 }
alpha = { low = 0.5, high = 5.0 }
weighting = ["share", "log"]
power = { low = 0.2, high = 1.5, when = { weighting = "share" } }
epsilon = { low = 0.1, high = 1000, log = true, when = { weighting = "log" } }
[study]
pruner = "median"
patience = 2
[judge]
resamples = 50
""",
    "hyperband": """
name = "hyperband"
[search]
factors = { low = 2, high = 8 }
iterations = { low = 1, high = 9 }
alpha = { low = 0.1, high = 10.0, log = true }
[study]
pruner = "hyperband"
prefer = "cheapest"
[judge]
resamples = 50
validation_users = 100
""",
    "grid": """
name = "grid"
[search]
factors = [2, 4]
iterations = [2, 4, 6]
alpha = [1.0, 3.0]
[study]
sampler = "grid"
[judge]
resamples = 50
""",
    "halving": """
name = "halving"
[search]
factors = [2, 4, 8]
iterations = { low = 1, high = 3 }
alpha = { low = 0.1, high = 10.0, log = true }
[study]
pruner = "halving"
keep_factors = "best"
[judge]
resamples = 50
validation_users = 100
""",
}


@dataclass
class Tally:
    """What happened.

    Attributes:
        kills: Processes that SIGKILL ended.
        interrupts: Processes that SIGINT was sent to.
        attempts: Processes that worked on a study.
        found: What is wrong with the studies.
        broken: Processes that ended by themselves, and not well.
    """

    kills: int = 0
    interrupts: int = 0
    attempts: int = 0
    found: list[Fault] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The result in a line."""
        kinds = Counter(kind for kind, _ in self.found)
        return f"kills {self.kills}: " + ", ".join(f"{kind} {kinds[kind]}" for kind in KINDS)


@dataclass(frozen=True)
class Lab:
    """Where all of it happens.

    Attributes:
        root: Holds a workspace per study, the plays, the configurations.
        api: Of a Prefect server that all forks share.
        trials: In each study.
        tally: What happened.
    """

    root: Path
    api: str
    trials: int
    tally: Tally = field(default_factory=Tally)

    @property
    def plays(self) -> Path:
        """The same for all."""
        return self.root / "data" / "plays.tsv"

    def workspace(self, name: str) -> Workspace:
        """One of many."""
        return Workspace.at(self.root / name)

    def work(self, place: Workspace, config: str) -> list[str]:
        """The command that searches."""
        return ["study", "work", STUDY, *self._asked(place, config)]

    def experiment(self, place: Workspace, config: str) -> list[str]:
        """The command that searches, and judges."""
        return ["experiment", "--json", "--study", STUDY, *self._asked(place, config)]

    def _asked(self, place: Workspace, config: str) -> list[str]:
        options = {
            "--workspace": place.root,
            "--plays": self.plays,
            "--config": self.root / f"{config}.toml",
            "--trials": self.trials,
        }
        return [str(word) for pair in options.items() for word in pair]

    def note_broken(self, place: Workspace, code: int) -> None:
        """A process ended by itself as it should not."""
        said = log(place).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        self.tally.broken.append(f"{place.root.name}: code {code}: {' / '.join(said[-3:])[-400:]}")

    def compare(self, place: Workspace, whole: Workspace, prefix: str) -> None:
        """Add what is wrong with a study that was killed."""
        found = faults(place, whole, STUDY)
        self.tally.found += [(kind, f"{prefix}: {text}") for kind, text in found]


@contextmanager
def open_lab(keep: Path | None, trials: int, needed: Sequence[str] = ()) -> Iterator[Lab]:
    """A fresh one, in a folder that stays if it is given; with more modules that are needed."""
    root = Path(tempfile.mkdtemp(prefix="recsys-kills-")) if keep is None else keep.resolve()
    (root / "data").mkdir(parents=True)
    _import_everything(root / "libraries", needed)
    plays, profiles = root / "data" / "plays.tsv", root / "data" / "profiles.tsv"
    write_sample(make_sample(USERS, ARTISTS, 0), plays, profiles)
    for name, text in CONFIGS.items():
        (root / f"{name}.toml").write_text(text, encoding="utf-8")
    home = root / "prefect"
    server = Server({**os.environ, "PREFECT_HOME": str(home)}, home / "server.log")
    try:
        server.wait()
        with _settings(server.api):
            yield Lab(root, server.api, trials)
    finally:
        server.stop()
        if keep is None:
            shutil.rmtree(root, ignore_errors=True)


def _import_everything(place: Path, needed: Sequence[str]) -> None:
    environment.prepare(Workspace.at(place))
    for module in (*NEEDED, *needed):
        importlib.import_module(module)
    configure_mappers()
    code_id(MEASURING)


def fork(
    lab: Lab,
    place: Workspace,
    argv: Sequence[str],
    seconds: float | None = None,
    prepare: Callable[[], object] = lambda: None,
) -> int:
    """Work on a study in a fork; its exit code, or the signal as a negative number.

    Args:
        lab: Where all of it happens.
        place: What it says is kept beside this workspace.
        argv: As after `recsys`.
        seconds: When it is killed; None for never.
        prepare: Called in the fork before it begins.
    """
    child = os.fork()
    if child == 0:
        code = 70
        try:
            _say_into(log(place))
            prepare()
            code = _main(lab.api, argv)
        except BaseException:  # noqa: BLE001 - nothing of it may go on in a second copy of us
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return _ended(lab, child, seconds)


def command(lab: Lab, place: Workspace, argv: Sequence[str], seconds: float) -> int:
    """As `fork`, with a command as users type it, which imports and starts Prefect itself."""
    child = os.fork()
    if child == 0:
        _say_into(log(place))
        os.execv(COMMAND[0], [*COMMAND, *argv])
    return _ended(lab, child, seconds)


def complete(lab: Lab, place: Workspace, argv: Sequence[str]) -> float:
    """Let a fork come to its end, unless it is stuck; the seconds it took."""
    begin = time.monotonic()
    code = fork(lab, place, argv, STUCK)
    if code != 0:
        lab.tally.kills -= code == KILLED
        lab.note_broken(place, code)
    return time.monotonic() - begin


def log(place: Workspace) -> Path:
    """What the processes in a workspace have said."""
    return place.root.with_suffix(".log")


def _say_into(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def _main(api: str, argv: Sequence[str]) -> int:
    """`recsys`; what needs Prefect uses the server that is there, others use none."""
    if argv[0] != "study":
        os.environ["PREFECT_API_URL"] = api
    return main.main(argv)


@contextmanager
def _settings(api: str) -> Iterator[None]:
    """Those of Prefect in all forks; no fork has to take the time to make them."""
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    with temporary_settings({PREFECT_API_URL: api, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def _ended(lab: Lab, child: int, seconds: float | None) -> int:
    """The exit code of a child, which is killed when its time has come."""
    descriptor = os.pidfd_open(child)
    try:
        if not select.select([descriptor], [], [], seconds)[0]:
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(descriptor)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    lab.tally.attempts += 1
    lab.tally.kills += code == KILLED
    return code
