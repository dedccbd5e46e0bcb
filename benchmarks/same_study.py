"""Is a study the same as another one, row by row, though its processes were killed? In words.

    lost       a trial, or a value, parameter or file of its run, that is missing
    doubled    a trial that ended twice, or has more runs, values or files than the other one has
    orphaned   what is RUNNING still, and folders and locks of workers that are gone
    different  points, values, curves, iterations, states; files bit for bit

Read from the files of both workspaces with sqlite3 and Optuna, without our own code in between.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlparse

import pandas as pd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tasks.workspace.layout import Workspace

Kind = Literal["lost", "doubled", "orphaned", "different"]
KINDS: tuple[Kind, ...] = ("lost", "doubled", "orphaned", "different")
Fault = tuple[Kind, str]
Trial = Any  # FrozenTrial; plain attributes are read, and optuna is not for other modules
DRAWN = (".png",)  # files that hold pictures: their values are compared elsewhere
TOLD = ("report.html", "report/facts.json")  # files that hold ids, seconds and memory
BUSY = "seconds/"  # metrics that tell what the clock said


@dataclass(frozen=True)
class Recorded:
    """A run in MLflow.

    Attributes:
        id: Of the run.
        name: Of the run.
        status: As MLflow says it.
        tags: All of them.
        params: As text.
        metrics: (step, value) by name, every one that was written.
        folder: Where its files are.
    """

    id: str
    name: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, list[tuple[int, float]]]
    folder: Path

    @property
    def counts(self) -> bool:
        """Whether it tells of a trial or a model that was measured or pruned to the end."""
        return self.status == "FINISHED" or self.tags.get("state") == "pruned"

    @property
    def subject(self) -> str:
        """What it is the run of."""
        if "trial" in self.tags:
            return f"trial {self.tags['trial']}"
        return f"final {self.tags['model']}" if self.tags.get("stage") == "final" else self.name


def faults(killed: Workspace, whole: Workspace, study: str) -> list[Fault]:
    """What is wrong with a study that was killed.

    Args:
        killed: Holds it; no worker runs there.
        whole: Holds one of the same name that was never killed.
        study: The name.
    """
    ours, theirs = _trials(killed, study), _trials(whole, study)
    by_slot = [
        fault
        for slot in sorted(ours.keys() | theirs.keys())
        for fault in _slot(f"trial {slot}", ours.get(slot, []), theirs.get(slot, []))
    ]
    mine, other = (_by_subject(runs(place, study)) for place in (killed, whole))
    by_run = [
        fault
        for subject in sorted(mine.keys() | other.keys())
        for fault in _runs(subject, mine.get(subject, []), other.get(subject, []))
    ]
    return [*by_slot, *by_run, *_links(ours, mine), *orphans(killed)]


def orphans(workspace: Workspace) -> list[Fault]:
    """What dead workers left in a workspace without running ones."""
    found = [f"run {run.name} is RUNNING" for run in runs(workspace) if run.status == "RUNNING"]
    trials = chain.from_iterable(_trials(workspace).values())
    found += [f"trial {t.number} is {t.state.name}" for t in trials if not t.state.is_finished()]
    left = [*workspace.scratch.glob("*"), *(workspace.locks / "workers").glob("*")]
    found += [f"{path.relative_to(workspace.root)} is left" for path in sorted(left)]
    return [("orphaned", text) for text in found]


def ended(workspace: Workspace, study: str) -> int:
    """How many slots of a study ended, so far."""
    if not workspace.studies.exists():
        return 0
    return sum(any(map(_ended, trials)) for trials in _trials(workspace, study).values())


def _trials(workspace: Workspace, study: str | None = None) -> dict[int, list[Trial]]:
    """The attempts of each slot, of one study or of all, in the order they were made."""
    if not workspace.studies.exists():
        return {}
    storage = JournalStorage(JournalFileBackend(str(workspace.studies)))
    found: dict[int, list[Trial]] = {}
    for each in storage.get_all_studies():
        if study in (None, each.study_name):
            for trial in storage.get_all_trials(each._study_id, deepcopy=False):
                found.setdefault(trial.user_attrs["slot"], []).append(trial)
    return found


def _ended(trial: Trial) -> bool:
    return trial.state.name in ("COMPLETE", "PRUNED")


def _slot(name: str, attempts: Sequence[Trial], expected: Sequence[Trial]) -> Iterator[Fault]:
    """A slot in Optuna."""
    mine, theirs = (list(filter(_ended, trials)) for trials in (attempts, expected))
    if len(mine) < len(theirs):
        yield "lost", f"{name} did not end"
    if len(mine) > len(theirs):
        yield "doubled", f"{name} ended {len(mine)} times"
    counted = [trial.user_attrs["attempt"] for trial in attempts]
    if counted != list(range(1, len(attempts) + 1)):
        yield "different", f"{name}: its attempts are numbered {counted}"
    if errors := [t.user_attrs["error"] for t in attempts if "error" in t.user_attrs]:
        yield "different", f"{name} failed: {errors[0]}"
    for first, second in zip(mine, theirs, strict=False):
        for what, value in _said(first).items():
            if value != _said(second)[what]:
                yield "different", f"{name}: {what} {value}, not {_said(second)[what]}"


def _said(trial: Trial) -> dict[str, Any]:
    """What an attempt that ended says; not how much of it was trained by earlier ones."""
    facts = trial.user_attrs["facts"]
    return {
        "state": trial.state.name,
        "values": trial.values,
        "point": trial.user_attrs["point"],
        "params": trial.params,
        "curve": trial.intermediate_values,
        "iterations": (facts["iterations"], facts["asked"]),
        "source": facts["source"] is not None,
    }


def _by_subject(found: Sequence[Recorded]) -> dict[str, list[Recorded]]:
    """The runs that count, by what they are of."""
    subjects: dict[str, list[Recorded]] = {}
    for run in found:
        if run.counts:
            subjects.setdefault(run.subject, []).append(run)
    return subjects


def _runs(name: str, mine: Sequence[Recorded], theirs: Sequence[Recorded]) -> Iterator[Fault]:
    """The runs of a trial or a model in MLflow."""
    if len(mine) < len(theirs):
        yield "lost", f"run {name} is not there, or did not end as it should"
    if len(mine) > len(theirs):
        yield "doubled", f"run {name} is there {len(mine)} times"
    for first, second in zip(mine, theirs, strict=False):
        if first.status != second.status:
            yield "different", f"run {name} is {first.status}, not {second.status}"
        yield from _alike(f"run {name}: parameter", first.params, second.params)
        yield from _alike(f"run {name}: metric", _timeless(first), _timeless(second))
        yield from _alike(f"run {name}: file", _files(first), _files(second))


def _timeless(run: Recorded) -> dict[str, list[tuple[int, float]]]:
    """Metrics; of those that the clock is in, how many there are."""
    timed = {
        n: [(step, 0.0) for step, _ in v] for n, v in run.metrics.items() if n.startswith(BUSY)
    }
    return {**run.metrics, **timed}


def _files(run: Recorded) -> dict[str, object]:
    """What is in each file, where it is to be the same."""
    paths = sorted(path for path in run.folder.rglob("*") if path.is_file())
    return {
        (name := path.relative_to(run.folder).as_posix()): _content(path, name) for path in paths
    }


def _content(path: Path, name: str) -> object:
    if path.suffix in DRAWN or name in TOLD:
        return path.stat().st_size > 0
    if path.suffix == ".parquet":
        return pd.read_parquet(path).to_dict("list")
    return path.read_bytes()


def _alike(what: str, mine: dict[str, Any], theirs: dict[str, Any]) -> Iterator[Fault]:
    for name in sorted(theirs.keys() - mine.keys()):
        yield "lost", f"{what} {name} is missing"
    for name in sorted(mine.keys() - theirs.keys()):
        yield "doubled", f"{what} {name} is there, which the other has not"
    for name in sorted(mine.keys() & theirs.keys()):
        if mine[name] != theirs[name]:
            yield (
                "different",
                f"{what} {name}: {str(mine[name])[:60]}, not {str(theirs[name])[:60]}",
            )


def _links(trials: dict[int, list[Trial]], found: dict[str, list[Recorded]]) -> Iterator[Fault]:
    """Both sides name the same run."""
    for slot, attempts in sorted(trials.items()):
        named = Counter(trial.user_attrs.get("run") for trial in filter(_ended, attempts))
        if named != Counter(run.id for run in found.get(f"trial {slot}", [])):
            yield "different", f"trial {slot} ended with one run in Optuna, another in MLflow"


def runs(workspace: Workspace, study: str | None = None) -> list[Recorded]:
    """The runs of one study or of all, by their begin."""
    if not workspace.tracking_database.exists():
        return []
    with closing(sqlite3.connect(workspace.tracking_database)) as store:
        query = (
            "select run_uuid, name, status, artifact_uri from runs "
            "where lifecycle_stage = 'active' order by start_time"
        )
        rows = store.execute(query).fetchall()
        found = [_recorded(store, workspace, *row) for row in rows]
    return [run for run in found if study in (None, run.tags.get("study"))]


def _recorded(
    store: sqlite3.Connection, workspace: Workspace, key: str, name: str, status: str, uri: str
) -> Recorded:
    def table(columns: str, source: str) -> list[Any]:
        return store.execute(
            f"select {columns} from {source} where run_uuid = ?", (key,)
        ).fetchall()

    metrics: dict[str, list[tuple[int, float]]] = {}
    for metric, step, value in sorted(table("key, step, value", "metrics")):
        metrics.setdefault(metric, []).append((step, value))
    tags, params = dict(table("key, value", "tags")), dict(table("key, value", "params"))
    # Not where the address leads, but where it would in a workspace that was copied.
    folder = workspace.artifacts.joinpath(*Path(unquote(urlparse(uri).path)).parts[-3:])
    return Recorded(key, name, status, tags, params, metrics, folder)
