"""Retrainings in MLflow and Prefect, and the judging of the champion as it serves.

run of stage "retrain"   one per retraining, in one experiment per registered model
tag `key`                hash of plays, profiles, settings and code: the same for the same request;
                         "unread" where the plays cannot be read
tag `champion`           version that served when it began; "none" without one
tag `challenger`         run of the model that was judged; set before anything is promoted
tag `verdict`            promoted, refused or stopped
retrain/retrain.json     facts of the plays, findings and the decision
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from recsys.data.drift import Finding, Limits, LogProfile, check, shrunk
from recsys.evaluation.fitting import fit
from recsys.evaluation.gate import OnNew, on_new_pairs
from recsys.files import temporary_folder
from recsys.models.config import ModelConfig
from recsys.models.recommender import Recommender
from recsys.seeds import seed_for
from recsys.splitting.split import Fold
from tasks.data.new_plays import Incoming
from tasks.progress import report_progress
from tasks.study.measuring import stored_in
from tasks.study.study import Study, fold_at, train_seed
from tasks.tracking.experiments import experiment_id
from tasks.tracking.queries import find_runs
from tasks.tracking.recorded import DataSet, Recorded
from tasks.tracking.registry import Version, load_version
from tasks.tracking.runs import Run, describe_run, reopen_run, start_run
from tasks.workspace.layout import Workspace, data_set_name

STAGE = "retrain"
NO_CHAMPION = "none"
UNREAD = "unread"  # key where the plays cannot be read
WHOLE = "all files together"  # in findings, beside the names of files
_FILES, _TABLE = "retrain", "retrain.json"
_LEARNED = ("promoted", "refused")  # verdicts of retrainings that reached the gate


@dataclass(frozen=True, slots=True)
class RetrainHistory:
    """All retrainings of a registered model.

    Attributes:
        workspace: Holds the runs.
        experiment: MLflow's id of their experiment.
        runs: Newest first.
    """

    workspace: Workspace
    experiment: str
    runs: Sequence[Recorded]

    @classmethod
    def of(cls, workspace: Workspace, name: str) -> "RetrainHistory":
        """Those of a registered model, as they are now."""
        # No path of this machine: others that share the MLflow server find the same.
        experiment = experiment_id(workspace, Path(STAGE) / name)
        return cls(workspace, experiment, find_runs(workspace, experiment, {"stage": STAGE}))

    @property
    def _finished(self) -> Iterator[Recorded]:
        return (
            run
            for run in self.runs
            if run.status == "FINISHED" and run.tags.get("verdict") in _LEARNED
        )

    def done(self, key: str) -> Recorded | None:
        """The finished retraining of this key."""
        return next((run for run in self._finished if run.tags["key"] == key), None)

    def unfinished(self, key: str) -> Recorded | None:
        """A retraining of this key that was interrupted, or failed."""
        return next((r for r in self.runs if r.status != "FINISHED" and r.tags["key"] == key), None)

    def last(self) -> Mapping[str, Any] | None:
        """The table of the last retraining that reached the gate."""
        run = next(self._finished, None)
        return None if run is None else read_table(self.workspace, run.id)


def read_table(workspace: Workspace, run: str) -> Mapping[str, Any]:
    """The table that a retraining has attached."""
    with temporary_folder(workspace.scratch, "retrain-") as folder:
        path = Run.of(workspace, run).fetch(f"{_FILES}/{_TABLE}", folder)
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table


def drifted(
    incoming: Incoming, last: Mapping[str, Any] | None, limits: Limits
) -> dict[str, list[Finding]]:
    """Findings of drift in each new file, by name, and in all of them; empty without drift.

    A file is compared with the last file of the last retraining, and with the last file without
    drift: so an accepted day does not make the next one look odd. All files together may grow by
    any number, and shrink as little as a file: otherwise missing files would not be noticed,
    because the remaining files are known.

    Args:
        incoming: The new plays.
        last: The table of the last retraining; None for the first one.
        limits: Accepted differences.
    """
    if last is None:
        return {}
    known = {part["digest"] for part in last["parts"]}
    against = [LogProfile.from_json(each) for each in (last["clean"], last["parts"][-1]["facts"])]
    findings = {
        part.name: [check(part.facts, facts, limits) for facts in against]
        for part in incoming.parts
        if part.digest not in known
    }
    odd = {name: each[0] for name, each in findings.items() if all(each)}
    lost = _lost(incoming, last, limits)
    return odd if not lost else {**odd, WHOLE: lost}


def _lost(incoming: Incoming, last: Mapping[str, Any], limits: Limits) -> list[Finding]:
    alone = len(incoming.parts) == len(last["parts"]) == 1  # then the file itself is checked
    if alone or "whole" not in last:  # of an earlier version
        return []
    return shrunk(incoming.whole, LogProfile.from_json(last["whole"]), limits)


def table_of(
    incoming: Incoming,
    findings: Mapping[str, Sequence[Finding]],
    decision: Mapping[str, Any] | None,
    last: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The table of a retraining, with the facts of the last file without drift."""
    parts = [asdict(part) for part in incoming.parts]
    usual = [part["facts"] for part in parts if part["name"] not in findings]
    before = parts[-1]["facts"] if last is None else last["clean"]
    return {
        "parts": parts,
        "whole": incoming.whole.as_json(),
        "clean": usual[-1] if usual else before,
        "findings": {name: [asdict(one) for one in each] for name, each in findings.items()},
        "decision": decision,
    }


def begin(
    past: RetrainHistory,
    unfinished: Recorded | None,
    name: str,
    params: Mapping[str, object],
    tags: Mapping[str, str],
    incoming: Incoming | None = None,
) -> Run:
    """The run of a retraining, new or resumed; the caller holds the lock on retraining.

    Other runs that are RUNNING were killed: they are closed.

    Args:
        past: All retrainings of the model.
        unfinished: The run to resume.
        name: Of a new run.
        params: Of the run.
        tags: Of the run: its key, the champion.
        incoming: The plays; None where they cannot be read.
    """
    for other in past.runs:
        if other.status == "RUNNING" and (unfinished is None or other.id != unfinished.id):
            Run.of(past.workspace, other.id).end("KILLED", {"error": "interrupted"})
    data = None
    if incoming is not None:
        path = incoming.plays.resolve()
        data = DataSet(data_set_name(path), incoming.fingerprint, str(path))
        tags = {**tags, "data": incoming.fingerprint}
    if unfinished is not None:
        run = reopen_run(past.workspace, unfinished.id)
        # A run killed at its start lacks parameters; recorded ones stay, though limits may differ.
        missing = {name: value for name, value in params.items() if name not in unfinished.params}
        describe_run(past.workspace, run, missing, data)
        return run
    every = {**tags, "stage": STAGE}
    return start_run(past.workspace, past.experiment, name, params, every, data)


def write_table(workspace: Workspace, run: Run, table: Mapping[str, Any]) -> None:
    """Attach the table of a retraining."""
    with temporary_folder(workspace.scratch, "retrain-") as folder:
        text = json.dumps(dict(table), indent=1)
        (folder / _TABLE).write_text(text, encoding="utf-8")
        run.files(folder, _FILES)


@task(task_run_name="judge the champion as it serves", cache_policy=NO_CACHE)
def judge_frozen(
    study: Study, test: Path, champion: Version, challenger: ModelConfig, measured: Path
) -> OnNew | None:
    """The champion's arrays and the challenger on pairs that the champion has not seen.

    Args:
        study: Of the challenger.
        test: Folder of the test fold.
        champion: The version that serves.
        challenger: The model with its parameters.
        measured: The folder that `run_final` wrote of the challenger.
    """
    fold = fold_at(test)
    if fold.folds_in:
        return None
    frozen = load_version(study.workspace, champion)
    report_progress("judging the champion as it serves", 0, None)
    return on_new_pairs(
        _refitted(study, fold, challenger, measured),
        frozen.model,
        frozen.cells,
        fold,
        study.config.study.metric,
        seed_for(study.config.seed, "judge", "bootstrap"),
        study.config.judge.resamples,
    )


def _refitted(study: Study, fold: Fold, config: ModelConfig, measured: Path) -> Recommender:
    """The model of a final run, restored where its arrays were kept, else trained again."""
    seed, stored = train_seed(study, config.kind), stored_in(measured)
    return fit(config, seed, fold.train, fold.profiles, stored, progress=report_progress).model


@task(task_run_name="show the decision", cache_policy=NO_CACHE)
def show_decision(title: str, lines: Sequence[str], numbers: Mapping[str, float]) -> None:
    """The decision and its numbers as a page of Prefect."""
    rows = "\n".join(f"| {name} | {value:.6g} |" for name, value in numbers.items())
    table = f"\n\n| number | value |\n|---|---|\n{rows}" if rows else ""
    listed = "\n".join(f"- {line}" for line in lines)
    create_markdown_artifact(key="retrain", markdown=f"# {title}\n\n{listed}{table}\n")
