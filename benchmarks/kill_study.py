"""Kill studies at any instant, let them go on, and compare them with ones that were never killed.

    python benchmarks/kill_study.py --kills 200 [--seed 0] [--trials N] [--keep DIR] [--at-writes]

Random kills strike a process that works on a study, from the making of its databases to the last
model on test. `--at-writes` goes through one study instead, write by write: once for each file
or transaction that it writes, the process is killed just before it, and interrupted there.
After that the studies are compared, row by row, with an uninterrupted one of another workspace:

    lost       a trial, or a value, parameter or file of its run, that is missing
    doubled    a trial that ended twice, or has more runs or values than the other one has
    orphaned   what is RUNNING still, and folders and locks of workers that are gone
    different  points, values, curves, iterations, states; files bit for bit

Attempts are forks of this process, which has imported everything and opened nothing: so they
start at once, and a kill may strike anywhere. Some are `recsys` commands of their own.
"""

import argparse
import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from flows import environment
from tasks.workspace import Workspace

STUDY = "killed"
USERS, ARTISTS = 300, 200
KILLS_A_STUDY = 20
COMMANDS, JUDGED = 0.05, 0.3  # shares of attempts: recsys commands, those that go on to the end
RECSYS = (sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main())")
KINDS = ("lost", "doubled", "orphaned", "different")

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
CONFIGS = {"tpe": _TPE, "hyperband": _HYPERBAND, "grid": _GRID}

Metrics = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Recorded:
    """A run in MLflow's database, and its files."""

    id: str
    name: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: Metrics
    folder: Path

    def files(self) -> dict[str, bytes]:
        """Every file by its path."""
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found}


@dataclass
class Faults:
    """What is wrong with killed studies, in words, by kind."""

    found: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def add(self, kind: str, text: str) -> None:
        """Note one."""
        self.found[kind].append(text)

    @property
    def line(self) -> str:
        """How many of each kind."""
        return ", ".join(f"{kind} {len(self.found[kind])}" for kind in KINDS)


def check(killed: Workspace, whole: Workspace, study: str, into: Faults) -> None:
    """Compare a study with one that was never killed.

    Args:
        killed: Holds the study.
        whole: Another workspace, with the one to compare with, of the same name.
        study: The name.
        into: Faults are added here.
    """
    check_orphans(killed, into)
    ours, theirs = runs_of(killed, study), runs_of(whole, study)
    mine, other = trials_of(killed, study), trials_of(whole, study)
    for slot in sorted(mine.keys() | other.keys()):
        _check_slot(f"trial {slot}", mine.get(slot, []), other.get(slot, []), into)
        made = _by_trial(ours, slot), _by_trial(theirs, slot)
        _check_runs(f"trial {slot}", *made, into)
        ended = {trial.user_attrs["run"] for trial in mine.get(slot, []) if _ended(trial)}
        if ended != {run.id for run in made[0]}:
            into.add("different", f"trial {slot}: another run in Optuna than ended in MLflow")
    for name in sorted({run.name for run in ours + theirs if "trial" not in run.tags}):
        named = ([run for run in runs if run.name == name] for runs in (ours, theirs))
        _check_runs(name, *map(_finished, named), into)


def check_orphans(workspace: Workspace, into: Faults) -> None:
    """Nobody works in a workspace: is anything left of those who did?"""
    for name, trials in _every_trial(workspace).items():
        for trial in trials:
            if not trial.state.is_finished():
                into.add("orphaned", f"{name}: trial {trial.number} is {trial.state.name}")
    for run in every_run(workspace):
        if run.status == "RUNNING":
            into.add("orphaned", f"run {run.name} is RUNNING")
    left = [*workspace.scratch.glob("*"), *(workspace.locks / "workers").glob("*")]
    for path in left:
        into.add("orphaned", f"{path.relative_to(workspace.root)} is left")


def _ended(trial: Any) -> bool:
    return trial.state.name in ("COMPLETE", "PRUNED")


def _finished(runs: Sequence[Recorded]) -> list[Recorded]:
    return [run for run in runs if run.status == "FINISHED"]


def _by_trial(runs: Sequence[Recorded], slot: int) -> list[Recorded]:
    """The runs of a trial that count."""
    mine = [run for run in runs if run.tags.get("trial") == str(slot)]
    return [r for r in mine if r.status == "FINISHED" or r.tags.get("state") == "pruned"]


def _check_slot(
    name: str, trials: Sequence[Any], expected: Sequence[Any], into: Faults
) -> None:
    """One slot in Optuna; trials of every state, in the order they were made."""
    ended, known = [t for t in trials if _ended(t)], [t for t in expected if _ended(t)]
    if len(ended) < len(known):
        into.add("lost", f"{name}: did not end")
    if len(ended) > len(known):
        into.add("doubled", f"{name}: ended {len(ended)} times")
    attempts = [trial.user_attrs["attempt"] for trial in trials]
    if attempts != list(range(1, len(trials) + 1)):
        into.add("different", f"{name}: attempts are numbered {attempts}")
    if any("error" in trial.user_attrs for trial in trials):
        into.add("different", f"{name}: {[t.user_attrs.get('error') for t in trials]}")
    for mine, theirs in zip(ended, known, strict=False):
        _differ(name, "state, values", (mine.state, mine.values), (theirs.state, theirs.values))
        for what, pair in _told(mine, theirs).items():
            if pair[0] != pair[1]:
                into.add("different", f"{name}: {what} {pair[0]}, not {pair[1]}")


def _told(mine: Any, theirs: Any) -> dict[str, tuple[Any, Any]]:
    """What two trials say of themselves."""
    return {
        "state": (mine.state.name, theirs.state.name),
        "values": (mine.values, theirs.values),
        "point": (mine.user_attrs["point"], theirs.user_attrs["point"]),
        "params": (mine.params, theirs.params),
        "curve": (mine.intermediate_values, theirs.intermediate_values),
        "iterations": tuple(t.user_attrs["facts"]["iterations"] for t in (mine, theirs)),
        "source": tuple(t.user_attrs["facts"]["source"] is None for t in (mine, theirs)),
    }
