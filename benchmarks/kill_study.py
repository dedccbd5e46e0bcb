"""Kill studies at any instant, let them go on, and compare them with ones never killed.

    python benchmarks/kill_study.py --kills 200 [--seed 0] [--trials N] [--at-writes search|all]

SIGKILL strikes processes that work on a study, at random from the making of its databases to the
last model on test. `--at-writes` goes through the writes of a study one by one besides: each time
a process is killed just before it; with `all`, also those of the judging, and Ctrl-C there.
Then `same_study` compares each with an uninterrupted study of another workspace. Exits 0 only if
nothing is lost, doubled, orphaned or different, and no process failed by itself.
"""

import argparse
import itertools
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from attempts import KILLED, STUDY, Lab, command, complete, fork, open_lab
from same_study import ended, orphans
from writes import strike_before, struck_before

from flows.cli.main import INTERRUPTED
from tasks.workspace.layout import Workspace

AT_RANDOM, AT_WRITES = ("tpe", "hyperband", "grid"), "halving"
KILLS_A_STUDY = 25
COMMANDS, JUDGED = 0.04, 0.35  # shares of attempts: commands of their own, and to the end
STARTING = 6.0  # seconds, about, until a command has imported everything and started Prefect


def main() -> int:
    """Kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="at random instants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, help="default: 12, and 3 at writes")
    parser.add_argument("--at-writes", choices=["search", "all"])
    parser.add_argument("--keep", type=Path, help="keep everything in this new folder")
    args = parser.parse_args()
    begin = time.monotonic()
    with open_lab(args.keep, args.trials or 12) as lab:
        if args.at_writes:
            at_writes(replace(lab, trials=args.trials or 3), args.at_writes == "all")
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


@dataclass(frozen=True)
class Pace:
    """Seconds that the parts of an uninterrupted study take, on this machine, now."""

    first: float
    again: float
    trial: float
    judging: float

    def left(self, place: Workspace, trials: int, judged: bool) -> float:
        """About how long an attempt would take from here."""
        todo = trials - ended(place, STUDY)
        opening = self.again if todo < trials else self.first
        return opening + todo * self.trial + (self.judging if judged else 0.0)


def at_random(lab: Lab, kills: int, rng: random.Random) -> None:
    """So many kills, spread over studies."""
    enough = lab.tally.kills + kills
    wholes: dict[str, tuple[Workspace, Pace]] = {}
    for n, config in enumerate(itertools.cycle(AT_RANDOM)):
        if lab.tally.kills >= enough or lab.tally.broken:
            return
        if config not in wholes:
            wholes[config] = _whole(lab, config)
        whole, pace = wholes[config]
        place = lab.workspace(f"{config}-{n}")
        most = min(enough, lab.tally.kills + KILLS_A_STUDY)
        while lab.tally.kills < most and _struck(lab, place, config, pace, rng):
            _tell(f"{lab.tally.kills} kills, {n} studies compared")
        complete(lab, place, lab.experiment(place, config))
        lab.compare(place, whole, place.root.name)


def _whole(lab: Lab, config: str) -> tuple[Workspace, Pace]:
    """A study that nothing interrupts, and how long it takes."""
    place = lab.workspace(f"{config}-whole")
    searching = complete(lab, place, lab.work(place, config))
    again = complete(lab, place, lab.work(place, config))
    judging = complete(lab, place, lab.experiment(place, config)) - again
    trial = (searching - again) / (2 * lab.trials)  # the other half is the making of databases
    return place, Pace(searching - trial * lab.trials, again, trial, judging)


def _struck(lab: Lab, place: Workspace, config: str, pace: Pace, rng: random.Random) -> bool:
    """An attempt that is to be killed; False where it came to the end of the study."""
    alone = rng.random() < COMMANDS
    judged = alone or rng.random() < JUDGED
    argv = lab.experiment(place, config) if judged else lab.work(place, config)
    left = pace.left(place, lab.trials, judged)
    if alone:
        code = command(lab, place, argv, rng.uniform(0, STARTING + left))
    else:
        code = fork(lab, place, argv, rng.uniform(0, left))
    if code not in (0, KILLED):
        lab.note_broken(place, code)
    return code == KILLED or (code == 0 and not judged)


def at_writes(lab: Lab, everything: bool) -> None:
    """Strike before each write of a study: of its search, then of what follows."""
    config = AT_WRITES
    whole, place = lab.workspace("writes-whole"), lab.workspace("writes")
    work, experiment = lab.work(place, config), lab.experiment(place, config)
    signals = (signal.SIGKILL, signal.SIGINT) if everything else (signal.SIGKILL,)
    complete(lab, whole, lab.work(whole, config))
    before = _prepared(lab, place, work)
    for number in signals:
        _each_write(lab, place, before, work, number, whole)
    if everything:
        complete(lab, whole, lab.experiment(whole, config))
        searched = lab.root / "writes-searched"
        shutil.copytree(place.root, searched)
        for number in signals:
            _each_write(lab, place, searched, experiment, number, whole)


def _prepared(lab: Lab, place: Workspace, argv: Sequence[str]) -> Path:
    """A copy of the workspace as it is before a study is made: data and MLflow are there."""
    note = lab.root / "struck"
    for which in itertools.count(1):
        shutil.rmtree(place.root)
        fork(lab, place, argv, prepare=strike_before(place.root, which, signal.SIGKILL, note))
        if struck_before(note) == f"open {place.studies.name}":
            break

    def open_mlflow() -> None:
        from tasks.tracking.client import open_client

        open_client(place)

    fork(lab, place, ["study", "list", "--workspace", str(place.root)], prepare=open_mlflow)
    return Path(shutil.copytree(place.root, lab.root / "writes-before"))


def _each_write(
    lab: Lab,
    place: Workspace,
    before: Path,
    argv: Sequence[str],
    number: signal.Signals,
    whole: Workspace,
) -> None:
    """Begin from `before` again and again, with a strike one write later each time."""
    note = lab.root / "struck"
    for which in itertools.count(1):
        shutil.rmtree(place.root)
        shutil.copytree(before, place.root)
        code = fork(lab, place, argv, prepare=strike_before(place.root, which, number, note))
        if code == 0 or lab.tally.broken:
            return
        write = f"{number.name} at write {which} of {argv[0]}"
        _tell(write)
        write += f", before {struck_before(note)}"
        if number == signal.SIGINT:
            lab.tally.interrupts += 1
            running = [text for _, text in orphans(place) if text.endswith("RUNNING")]
            lab.tally.found += [("orphaned", f"{write}: {text}") for text in running]
            if code != INTERRUPTED:
                lab.note_broken(place, code)
        complete(lab, place, argv)
        lab.compare(place, whole, write)


def _tell(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"\033[K{text}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
