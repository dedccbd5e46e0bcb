"""Experiments that SQL makes are those that MLflow's client makes."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tasks.tracking.client import open_client
from tasks.tracking.client_experiments import ByClient
from tasks.tracking.database import knows_database
from tasks.tracking.experiments import (
    Experiment,
    Experiments,
    InDatabase,
    experiment_id,
    tag_experiment,
)
from tasks.tracking.reading import open_reader
from tasks.workspace.layout import Workspace

TAGS = {"source": "/data/plays.tsv", "mlflow.experimentKind": "custom_model_development"}
ALONE = """
import sys
from pathlib import Path
from tasks.tracking.experiments import experiment_id
from tasks.tracking.runs import start_run
from tasks.workspace.layout import Workspace
workspace = Workspace.at(Path(sys.argv[1]))
experiment = experiment_id(workspace, Path("/data/plays.tsv"))
run = start_run(workspace, experiment, "a", {"b": 1}, {"c": "d"}, None)
run.log_curves({"e": [(0, 1.0)]})
run.end("FINISHED")
assert run.last("e") == 1.0
print("mlflow" in sys.modules)
"""


def rows(workspace: Workspace) -> list[Any]:
    with closing(sqlite3.connect(workspace.tracking_database)) as connection:
        return connection.execute(
            "select artifact_location, lifecycle_stage, workspace, creation_time > 0,"
            " last_update_time = creation_time, key, value from experiments"
            " left join experiment_tags using (experiment_id) where name <> 'Default' order by key"
        ).fetchall()


@pytest.fixture(params=[InDatabase, ByClient])
def experiments(request: pytest.FixtureRequest, tracked: Workspace) -> Experiments:
    assert knows_database(tracked)
    made: Experiments = request.param(tracked)
    return made


def test_an_experiment_is_made_found_deleted_and_restored(
    tracked: Workspace, experiments: Experiments
) -> None:
    assert experiments.find("music/plays.tsv") is None

    made = experiments.create("music/plays.tsv", "file:///there", TAGS)

    assert experiments.find("music/plays.tsv") == Experiment(made, "/data/plays.tsv", False)
    same = ("file:///there", "active", "default", 1, 1)
    assert rows(tracked) == [(*same, key, TAGS[key]) for key in sorted(TAGS)]
    open_client(tracked).delete_experiment(made)
    assert experiments.find("music/plays.tsv") == Experiment(made, "/data/plays.tsv", True)
    experiments.restore(made)
    assert experiments.find("music/plays.tsv") == Experiment(made, "/data/plays.tsv", False)
    experiments.tag(made, {"source": "/data/plays.tsv", "view": "one"})
    experiments.tag(made, {"view": "another"})
    expected = {**TAGS, "view": "another"}
    assert {row[-2]: row[-1] for row in rows(tracked)} == expected
    assert open_reader(tracked).experiment_tags(made) == expected


def test_one_that_is_not_ours_has_no_source(tracked: Workspace, experiments: Experiments) -> None:
    made = experiments.create("theirs", None, {}) if isinstance(experiments, ByClient) else None
    made = made or open_client(tracked).create_experiment("theirs")

    assert experiments.find("theirs") == Experiment(made, None, False)


def test_a_fresh_workspace_has_the_experiment_that_the_pages_of_mlflow_want(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path / "mlruns")

    assert experiment_id(workspace, Path("/data/plays.tsv")) == "1"
    default = open_client(workspace).get_experiment("0")
    assert (default.name, default.lifecycle_stage) == ("Default", "active")


def test_a_run_is_recorded_without_loading_mlflow(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ALONE, str(tmp_path / "mlruns")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert said.split() == ["False"]


def test_a_tag_of_an_experiment_takes_the_place_of_the_one_before(tracked: Workspace) -> None:
    experiment = experiment_id(tracked, Path("/data/plays.tsv"))

    for note in ("first", "last"):
        tag_experiment(tracked, experiment, {"mlflow.note.content": note})

    tags = open_client(tracked).get_experiment(experiment).tags
    assert tags["mlflow.note.content"] == "last"
    assert tags["source"].endswith("plays.tsv")
