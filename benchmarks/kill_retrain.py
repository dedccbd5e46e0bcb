"""Kill `recsys retrain` before each of its writes, and repeat the command.

    python benchmarks/kill_retrain.py [--every K] [--first N] [--keep DIR]

A first retraining makes a champion, which is published. A second one, on new plays, is killed just
before its first write, its second, ... until it ends by itself; then Ctrl-C does the same. Each
begins from a copy of the same workspace. At once after the strike the champion has to be what it
was, or the new one if its alias had been moved; every published list and every version has to be
whole. Then the same command has to end as an uninterrupted one does, see `same_retraining`.
Exits 0 only then.
"""

import argparse
import itertools
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import attempts
from attempts import KILLED, Lab, complete, fork, open_lab
from same_retraining import (
    KINDS,
    Fault,
    Whole,
    aliases,
    ended,
    is_done,
    last_said,
    lists,
    running,
    struck,
)
from writes import strike_before, struck_before

from flows.cli.main import INTERRUPTED
from recsys.sources.sample import make_sample, write_sample
from tasks.workspace.layout import Workspace

NEEDED = (
    *("flows.retrain", "flows.publish", "flows.cli.lookup", "prefect.flow_engine"),
    *("prefect.task_engine", "mlflow.pyfunc", "mlflow.types", "pyarrow.dataset"),
    *("mlflow.store.model_registry.sqlalchemy_store", "sqlalchemy.dialects.sqlite"),
)
USERS, ARTISTS = 120, 80
TRIALS, LISTS = 2, 5
NEW = 5  # every so many rows of the plays are new to the second retraining
MOVE = "registered_model_aliases"
CONFIG = """
name = "small"
[search]
factors = [2, 4]
iterations = { low = 1, high = 3 }
alpha = { low = 0.5, high = 5.0 }
[judge]
resamples = 50
"""


@dataclass
class Case:
    """A workspace in which a model serves and is published, and what is to happen to it.

    Attributes:
        lab: Where all of it happens.
        place: The workspace; an address in MLflow's database says that it is here.
        before: A copy of it.
        retrain: The command.
        found: What is wrong.
    """

    lab: Lab
    place: Workspace
    before: Path
    retrain: Sequence[str]
    found: list[Fault] = field(default_factory=list)

    def again(self) -> None:
        """Everything is as it was before."""
        shutil.rmtree(self.place.root)
        shutil.copytree(self.before, self.place.root)


def main() -> int:
    """Kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=1, metavar="K", help="only each K-th write")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="begin at the N-th write")
    parser.add_argument("--keep", type=Path, help="keep everything in this new folder")
    args = parser.parse_args()
    begin = time.monotonic()
    with open_lab(args.keep, TRIALS, NEEDED) as lab:
        find_packages()
        case = prepared(lab)
        whole = uninterrupted(case)
        kills, ctrl_c = (
            each_write(case, whole, number, args.first, args.every)
            for number in (signal.SIGKILL, signal.SIGINT)
        )
    broken = lab.tally.broken
    for kind, text in [*case.found, *(("broken", text) for text in broken)]:
        print(f"{kind:>13}  {text}")
    print(
        f"{lab.tally.attempts} attempts, {len(broken)} failed by themselves; "
        f"{time.monotonic() - begin:.0f} s"
    )
    counts = Counter(kind for kind, _ in case.found)
    told = ", ".join(f"{kind} {counts[kind]}" for kind in KINDS)
    print(f"kills {kills}, Ctrl-C {ctrl_c}: {told}")
    return 1 if case.found or broken else 0


def find_packages() -> None:
    """What takes seconds and stays the same: no fork has to do it again."""
    from mlflow.utils import requirements_utils

    from tasks.workspace.code import MEASURING, code_id

    code_id(MEASURING)
    requirements_utils._init_modules_to_packages_map()


def prepared(lab: Lab) -> Case:
    """A champion of the older plays, and its lists."""
    older, newer, config = write_plays(lab)
    place = lab.workspace("struck")
    complete(lab, place, asked_to_retrain(place, older, config))
    complete(lab, place, ["publish", "--k", str(LISTS), "--workspace", str(place.root)])
    before = Path(shutil.copytree(place.root, lab.root / "before"))
    return Case(lab, place, before, asked_to_retrain(place, newer, config))


def write_plays(lab: Lab) -> tuple[Path, Path, Path]:
    """The older plays, the newer ones, which hold them, and the configuration."""
    newer, older = (lab.plays.with_name(f"{name}.tsv") for name in ("newer", "older"))
    write_sample(make_sample(USERS, ARTISTS, 0), newer, lab.root / "data" / "profiles.tsv")
    lines = newer.read_text(encoding="utf-8").splitlines(keepends=True)
    older.write_text("".join(x for n, x in enumerate(lines) if n % NEW), encoding="utf-8")
    config = lab.root / "small.toml"
    config.write_text(CONFIG, encoding="utf-8")
    return older, newer, config


def asked_to_retrain(place: Workspace, plays: Path, config: Path) -> list[str]:
    """The command."""
    options = {
        "--workspace": place.root,
        "--plays": plays,
        "--config": config,
        "--trials": TRIALS,
        "--gate": "always",
    }
    return ["retrain", "--json", *(str(word) for pair in options.items() for word in pair)]


def uninterrupted(case: Case) -> Whole:
    """The second retraining, from its begin to its end."""
    old, old_lists = lists(case.place)
    seconds = complete(case.lab, case.place, case.retrain)
    said = last_said(attempts.log(case.place))
    new, new_lists = lists(case.place)
    _tell(f"uninterrupted: {said['verdict']}, {aliases(case.place)}, {seconds:.1f} s")
    place = Workspace.at(Path(shutil.copytree(case.place.root, case.lab.root / "whole")))
    return Whole(place, said, {old: old_lists, new: new_lists}, new)


def each_write(case: Case, whole: Whole, number: signal.Signals, first: int, every: int) -> int:
    """Begin again and again, with a strike so many writes later each time; how many there were."""
    note = case.lab.root / "note"
    for n_strikes, which in enumerate(itertools.count(first, every)):
        case.again()
        note.unlink(missing_ok=True)
        strike = strike_before(case.place.root, which, number, note)
        code = fork(case.lab, case.place, case.retrain, prepare=strike)
        if not note.exists():
            if code != 0:
                case.lab.note_broken(case.place, code)
            return n_strikes
        write = f"{number.name} at write {which}, before {struck_before(note)}"
        _tell(write)
        if code != (KILLED if number == signal.SIGKILL else INTERRUPTED):
            case.lab.note_broken(case.place, code)
        moves = sum(MOVE in each for each in note.read_text("utf-8").splitlines()[:-1])
        found = [*struck(case.place, whole, moves, at_once=number == signal.SIGKILL)]
        if number == signal.SIGINT:
            found += running(case.place)
        was_done = is_done(case.place)
        complete(case.lab, case.place, case.retrain)
        if not case.lab.tally.broken:
            found += ended(case.place, whole, last_said(attempts.log(case.place)), was_done)
        case.found += summed(write, found)
        if case.lab.tally.broken:
            return n_strikes + 1
    raise AssertionError("there is no end to the writes")


def summed(write: str, found: Sequence[Fault]) -> list[Fault]:
    """One fault of each kind, which says how many more there are."""
    texts = {kind: [text for each, text in found if each == kind] for kind in KINDS}
    return [
        (kind, f"{write}: {all_of[0]}" + (f" and {len(all_of) - 1} more" if all_of[1:] else ""))
        for kind, all_of in texts.items()
        if all_of
    ]


def _tell(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"\033[K{text}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
