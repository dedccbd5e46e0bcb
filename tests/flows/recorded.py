"""What the tests of the flows look up in MLflow, Optuna and on disk."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from flows.result import Result
from tests.flows.conftest import Lab


def artifact(lab: Lab, run: str, path: str) -> Path:
    """Where an artifact of a run lies; MLflow's own download would copy it elsewhere."""
    (found,) = lab.workspace.artifacts.glob(f"*/{run}/artifacts/{path}")
    return found


def has_factors(lab: Lab, run: str) -> bool:
    return bool(list(lab.workspace.artifacts.glob(f"*/{run}/artifacts/factors/*.npy")))


def running(lab: Lab) -> list[str]:
    """Whatever MLflow or Optuna still takes for running."""
    with closing(sqlite3.connect(lab.workspace.tracking_uri.removeprefix("sqlite:///"))) as store:
        query = "select name from runs where status = 'RUNNING'"
        runs = [str(name) for (name,) in store.execute(query)]
    lines = lab.workspace.studies.read_text(encoding="utf-8").splitlines()
    operations = [json.loads(line) for line in lines]
    created = sum(each["op_code"] == 4 for each in operations)
    ended = sum(each["op_code"] == 6 and each.get("state") in (1, 2, 3) for each in operations)
    return runs + ["a trial in Optuna"] * (created - ended)


def values(result: Result) -> list[tuple[int, Any, float]]:
    return [(trial.slot, trial.params, trial.value) for trial in result.trials]


def comparable(result: Result) -> dict[str, Any]:
    """What has to be the same for the same seed."""
    found = result.as_json()
    return {name: found[name] for name in found if name not in {"seconds", "runs", "study"}}
