"""Kill studies at any instant, let them go on, and compare them with ones never killed.

    python benchmarks/kill_study.py --kills 200 [--seed 0] [--trials N] [--keep DIR] [--at-writes]

SIGKILL strikes processes that work on a study, at random from the making of its databases to the
last model on test. `--at-writes` goes through one study write by write besides: for each of its
files and transactions a process is killed just before it, and another one interrupted there.
Then `same_study` compares each with an uninterrupted study of another workspace. Exits 0 only if
nothing is lost, doubled, orphaned or different, and no process failed by itself.

A process is a fork of this one, which has imported everything and opened nothing: so it works at
once, and a kill may strike anywhere. A few are commands of their own, with their own Prefect.
"""

import argparse
import itertools
import os
import random
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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from same_study import KINDS, Fault, ended, faults, orphans
from writes import strike_before

from flows import cli, environment
from recsys.sources.sample import make_sample, write_sample
from tasks.server import Server
from tasks.workspace import Workspace

STUDY = "killed"
USERS, ARTISTS = 300, 200
KILLS_A_STUDY = 25
COMMANDS, JUDGED = 0.04, 0.35  # shares of attempts: commands of their own, and to the end
STARTING = 6.0  # seconds, about, until a command has imported everything and started Prefect
COMMAND = [sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main())"]
BY_SIGNAL = -signal.SIGKILL

_TPE = """
name = "tpe"
[search]
factors = [2, 4, 8]
iterations = { low = 2, high = 6 }
alpha = { low = 0.5, high = 5.0 }
weighting = ["share", "log"]
power = { low = 0.2, high = 1.5, when = { weighting = "share" } }
epsilon = { low = 0.1, high = 1000, log = true, when = { weighting = "log" } }
[study]
sampler = "tpe"
trials = 12
pruner = "median"
patience = 2
[judge]
resamples = 50
"""
_HYPERBAND = """
name = "hyperband"
[search]
factors = { low = 2, high = 8 }
iterations = { low = 1, high = 9 }
alpha = { low = 0.1, high = 10.0, log = true }
[study]
sampler = "tpe"
trials = 12
pruner = "hyperband"
prefer = "cheapest"
[judge]
resamples = 50
validation_users = 100
"""
_GRID = """
name = "grid"
[search]
factors = [2, 4]
iterations = [2, 4, 6]
alpha = [1.0, 3.0]
[study]
sampler = "grid"
trials = 12
[judge]
resamples = 50
"""
_HALVING = """
name = "halving"
[search]
factors = [2, 4, 8]
iterations = { low = 1, high = 4 }
alpha = { low = 0.1, high = 10.0, log = true }
[study]
pruner = "halving"
[judge]
resamples = 50
"""
CONFIGS = {"tpe": _TPE, "hyperband": _HYPERBAND, "grid": _GRID}
AT_WRITES = {"halving": _HALVING}


@dataclass
class Tally:
    """What happened.

    Attributes:
        kills: Processes that SIGKILL ended.
        interrupts: Processes that SIGINT ended.
        attempts: Processes that worked on a study.
        found: What is wrong with the studies.
        broken: Processes that ended by themselves, with another code than 0.
        where: How many slots had ended when a kill struck.
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
        root: A folder per study, the plays, the configurations.
        api: Of a Prefect server that all forks share.
        trials: In each study.
        tally: What happened.
    """

    root: Path
    api: str
    trials: int
    tally: Tally

    @property
    def plays(self) -> Path:
        """The plays, the same for all."""
        return self.root / "data" / "plays.tsv"

    def workspace(self, name: str) -> Workspace:
        """One of many."""
        return Workspace.at(self.root / name)

    def asked(self, config: str, *more: str) -> list[str]:
        """What a study is asked for, as options."""
        file = str(self.root / f"{config}.toml")
        return ["--plays", str(self.plays), "--config", file, "--trials", str(self.trials), *more]

    def work(self, place: Workspace, config: str) -> list[str]:
        """Search only."""
        where = ["--workspace", str(place.root)]
        return ["study", "work", STUDY, *self.asked(config), *where]

    def experiment(self, place: Workspace, config: str) -> list[str]:
        """Search and judge."""
        where = ["--workspace", str(place.root)]
        return ["experiment", "--study", STUDY, "--json", *self.asked(config), *where]


def main() -> int:
    """Kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--keep", type=Path, help="keep everything in this new folder")
    parser.add_argument("--at-writes", action="store_true")
    args = parser.parse_args()
    begin = time.monotonic()
    with _lab(args.keep, args.trials) as lab:
        if args.at_writes:
            at_writes(lab)
        if args.kills:
            at_random(lab, args.kills, random.Random(args.seed))
    tally = lab.tally
    for kind, text in [*tally.found, *(("broken", text) for text in tally.broken)]:
        print(f"{kind:>9}  {text}")
    print(
        f"{tally.attempts} attempts, {tally.interrupts} interrupted, {len(tally.broken)} failed "
        f"by themselves; {time.monotonic() - begin:.0f} s"
    )
    print(tally.line)
    return 1 if tally.found or tally.broken else 0


@contextmanager
def _lab(keep: Path | None, trials: int) -> Iterator[Lab]:
    root = Path(tempfile.mkdtemp(prefix="recsys-kills-")) if keep is None else keep.resolve()
    root.mkdir(parents=True, exist_ok=keep is None)
    _import_everything(root / "libraries")
    (root / "data").mkdir()
    plays, profiles = root / "data" / "plays.tsv", root / "data" / "profiles.tsv"
    write_sample(make_sample(USERS, ARTISTS, 0), plays, profiles)
    for name, text in {**CONFIGS, **AT_WRITES}.items():
        (root / f"{name}.toml").write_text(text, encoding="utf-8")
    home = root / "prefect"
    server = Server({**os.environ, "PREFECT_HOME": str(home)}, home / "server.log")
    try:
        server.wait()
        yield Lab(root, server.api, trials, Tally())
    finally:
        server.stop()
        if keep is None:
            shutil.rmtree(root, ignore_errors=True)


def _import_everything(place: Path) -> None:
    """What a command imports when it gets there; nothing of it opens a database or a thread."""
    environment.prepare(Workspace.at(place))
    import flows.experiment
    import flows.studies
    import flows.terminal
    import tasks.cache

    assert flows.experiment and flows.studies and flows.terminal
    tasks.cache.code_version()


def fork(
    lab: Lab,
    place: Workspace,
    argv: Sequence[str],
    seconds: float | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> int:
    """Work on a study in a process of its own; its exit code, or the signal as a negative one.

    Args:
        lab: Where all of it happens.
        place: Its log goes there.
        argv: As after `recsys`.
        seconds: When it is killed; None for never.
        prepare: Called in the process before it begins.
    """
    child = os.fork()
    if child == 0:
        code = 70
        try:
            _to_log(place)
            prepare()
            code = _main(lab, argv)
        except BaseException:  # noqa: BLE001 - the parent has no use for it
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return _ended(lab, child, seconds)


def _log(place: Workspace) -> Path:
    """What the processes said; beside the workspace."""
    return place.root.with_suffix(".log")


def _to_log(place: Workspace) -> None:
    log = os.open(_log(place), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _main(lab: Lab, argv: Sequence[str]) -> int:
    if argv[:2] == ["study", "work"]:
        return cli.main(argv)
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    os.environ["PREFECT_API_URL"] = lab.api
    settings = {PREFECT_API_URL: lab.api, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(settings):
        return cli.main(argv)


def command(lab: Lab, place: Workspace, argv: Sequence[str], seconds: float | None = None) -> int:
    """As `fork`, with a command as users type it, which imports and starts Prefect itself."""
    child = os.fork()
    if child == 0:
        _to_log(place)
        os.execv(COMMAND[0], [*COMMAND, *argv])
    return _ended(lab, child, seconds)


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
    lab.tally.kills += code == BY_SIGNAL
    return code


def complete(lab: Lab, place: Workspace, argv: Sequence[str]) -> float:
    """Let an attempt come to its end; the seconds it took."""
    begin = time.monotonic()
    code = fork(lab, place, argv)
    if code != 0:
        _note_broken(lab, place, code)
    return time.monotonic() - begin


def _note_broken(lab: Lab, place: Workspace, code: int) -> None:
    said = _log(place).read_text(encoding="utf-8", errors="replace").strip()
    lab.tally.broken.append(f"{place.root.name}: code {code}: {said.rpartition(chr(10))[2][-300:]}")


@dataclass(frozen=True)
class Pace:
    """Seconds that the parts of an uninterrupted study take, on this machine, now."""

    first: float
    trial: float
    judging: float
    again: float

    def left(self, place: Workspace, trials: int, judged: bool) -> float:
        """About how long an attempt would take from here."""
        fresh = self.first if not place.studies.exists() else self.again
        todo = trials - ended(place, STUDY)
        return fresh + todo * self.trial + (self.judging if judged else 0.0)


def at_random(lab: Lab, kills: int, rng: random.Random) -> None:
    """So many kills, spread over studies."""
    wholes = {name: _whole(lab, name) for name in CONFIGS}
    n = 0
    enough = lab.tally.kills + kills
    while lab.tally.kills < enough:
        config = list(CONFIGS)[n % len(CONFIGS)]
        place = lab.workspace(f"{config}-{n}")
        n += 1
        most = min(enough, lab.tally.kills + KILLS_A_STUDY)
        whole, pace = wholes[config]
        while lab.tally.kills < most and _strike(lab, place, config, pace, rng):
            print(f"\r{lab.tally.kills} kills, {n} studies", end="", file=sys.stderr, flush=True)
        complete(lab, place, lab.experiment(place, config))
        _compare(lab, place, whole)
    print(file=sys.stderr)


def _whole(lab: Lab, config: str) -> tuple[Workspace, Pace]:
    """A study that nothing interrupts, and how long it takes."""
    place = lab.workspace(f"{config}-whole")
    searching = complete(lab, place, lab.work(place, config))
    again = complete(lab, place, lab.work(place, config))
    judging = complete(lab, place, lab.experiment(place, config)) - again
    trial = (searching - again) / (2 * lab.trials)  # the rest is the making of databases
    return place, Pace(searching - trial * lab.trials, trial, judging, again)


def _strike(lab: Lab, place: Workspace, config: str, pace: Pace, rng: random.Random) -> bool:
    """An attempt that is to be killed; whether there is more to be killed."""
    kind, judged = rng.random(), rng.random() < JUDGED
    judged = judged or kind < COMMANDS
    argv = lab.experiment(place, config) if judged else lab.work(place, config)
    left = pace.left(place, lab.trials, judged)
    if kind < COMMANDS:
        code = command(lab, place, argv, rng.uniform(0, STARTING + left))
    else:
        code = fork(lab, place, argv, rng.uniform(0, left))
    if code not in (0, BY_SIGNAL):
        _note_broken(lab, place, code)
    return code == BY_SIGNAL or (code == 0 and not judged)


def at_writes(lab: Lab, config: str = "halving", trials: int = 3) -> None:
    """Strike before each write of a study: of its search, then of what follows."""
    lab = replace(lab, trials=trials)
    whole, place = lab.workspace("writes-whole"), lab.workspace("writes")
    begun, searched = lab.root / "writes-begun", lab.root / "writes-searched"
    complete(lab, whole, lab.work(whole, config))
    number = signal.SIGKILL
    _until(lab, place, lab.work(place, config), f"open {place.studies.name}")
    shutil.copytree(place.root, begun)
    for number in (signal.SIGKILL, signal.SIGINT):
        _each_write(lab, place, begun, lab.work(place, config), number, whole)
    complete(lab, place, lab.work(place, config))
    shutil.copytree(place.root, searched)
    complete(lab, whole, lab.experiment(whole, config))
    for number in (signal.SIGKILL, signal.SIGINT):
        _each_write(lab, place, searched, lab.experiment(place, config), number, whole)


def _until(lab: Lab, place: Workspace, argv: Sequence[str], write: str) -> None:
    """Work until something is written for the first time."""
    note = lab.root / "struck"
    for which in itertools.count(1):
        shutil.rmtree(place.root)
        fork(lab, place, argv, prepare=strike_before(place.root, which, signal.SIGKILL, note))
        if note.read_text(encoding="utf-8") == write:
            return


def _each_write(
    lab: Lab,
    place: Workspace,
    before: Path,
    argv: Sequence[str],
    number: signal.Signals,
    whole: Workspace,
) -> None:
    note = lab.root / "struck"
    for which in itertools.count(1):
        shutil.rmtree(place.root)
        shutil.copytree(before, place.root)
        code = fork(lab, place, argv, prepare=strike_before(place.root, which, number, note))
        if code == 0:
            return
        write = f"{argv[0]} {number.name} {which}, before {note.read_text(encoding='utf-8')}"
        found = []
        if number == signal.SIGINT:
            lab.tally.interrupts += 1
            found = orphans(place)
            if code != cli.INTERRUPTED:
                _note_broken(lab, place, code)
        complete(lab, place, argv)
        found += faults(place, whole, STUDY)
        lab.tally.found += [(kind, f"{write}: {text}") for kind, text in found]


def _compare(lab: Lab, place: Workspace, whole: Workspace) -> None:
    name = place.root.name
    lab.tally.found += [(kind, f"{name}: {text}") for kind, text in faults(place, whole, STUDY)]


if __name__ == "__main__":
    sys.exit(main())
