"""One Prefect server, one workspace and one sample for all tests of the flows.

Studies have their own names, so they share the workspace as a user's studies would.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from flows import environment
from tasks.workspace.layout import Workspace

_PLACE = Path(tempfile.mkdtemp(prefix="recsys-libraries-"))
atexit.register(shutil.rmtree, _PLACE, ignore_errors=True)
os.environ.pop("PREFECT_API_URL", None)
environment.prepare(Workspace(_PLACE))  # before anything imports prefect or mlflow

from matplotlib.figure import Figure  # noqa: E402
from mlflow.entities import Run as MlflowRun  # noqa: E402
from prefect.client.orchestration import get_client  # noqa: E402
from prefect.settings import (  # noqa: E402
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from flows.experiment import experiment  # noqa: E402
from flows.result import Result  # noqa: E402
from recsys.config import ExperimentConfig  # noqa: E402
from recsys.sources.sample import make_sample, write_sample  # noqa: E402
from tasks.orchestration.server import Server, serving  # noqa: E402
from tasks.tracking.client import open_client  # noqa: E402
from tests.conftest import copy_database, copy_workspace  # noqa: E402

QUICK: dict[str, Any] = {
    "name": "quick",
    "search": {
        "factors": [4, 8],
        "iterations": [2, 3],
        "alpha": {"low": 0.5, "high": 5.0},
        "weighting": ["share", "log"],
    },
    "study": {
        "sampler": "tpe",
        "trials": 3,
        "metric": "ndcg@10",
        "default_first": True,
        "fresh": True,  # the tests share a workspace, and want to see each trial trained
    },
    "judge": {"resamples": 50},
}


def _called(run: MlflowRun) -> str:
    tags = run.data.tags
    if "trial" in tags:
        return f"trial {int(tags['trial']):03d}"
    return f"final {tags['model']}" if tags.get("stage") == "final" else str(run.info.run_name)


@dataclass(frozen=True)
class Lab:
    """Where the flows of the tests run, and on what."""

    workspace: Workspace
    plays: Path
    profiles: Path

    def run(
        self,
        name: str | None = None,
        /,
        *,
        plays: Path | None = None,
        profiles: Path | None = None,
        **changed: Any,
    ) -> Result:
        """An experiment of seconds; `changed` replaces settings within their tables."""
        return experiment(
            plays or self.plays, quick(**changed), self.workspace.root, profiles, name
        )

    def runs(self, parent: str) -> dict[str, MlflowRun]:
        """The children of a study's run in MLflow by "trial 003" or "final als".

        Of attempts at a trial, the last.
        """
        client = open_client(self.workspace)
        experiment_id = client.get_run(parent).info.experiment_id
        found = client.search_runs([experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
        return {_called(run): run for run in reversed(found)}

    def study(self, name: str) -> MlflowRun:
        """The newest run of a study in MLflow; for a study whose flow returned nothing."""
        client = open_client(self.workspace)
        every = [each.experiment_id for each in client.search_experiments()]
        mine = f"tags.study = '{name}' and tags.stage = 'study'"
        return client.search_runs(every, mine)[0]


def copied(lab: Lab, folder: Path) -> Lab:
    """The lab with a separate workspace."""
    workspace = Workspace.at(folder)
    copy_workspace(lab.workspace, workspace)
    return replace(lab, workspace=workspace)


def quick(**changed: Any) -> ExperimentConfig:
    """The quick experiment with settings replaced within their tables."""
    table = dict(QUICK)
    for name, value in changed.items():
        inside = isinstance(value, dict) and name != "split"
        table[name] = {**table.get(name, {}), **value} if inside else value
    return ExperimentConfig.model_validate(table)


@pytest.fixture(scope="module", autouse=True)  # a session's would last beyond these tests
def empty_pictures() -> Iterator[None]:
    """Figures are composed, but their files hold nothing: a quarter of the time of an experiment.

    The tests of `recsys.plots` draw each kind of picture.
    """

    def create(_: Figure, path: Path, **__: Any) -> None:
        path.write_bytes(b"\x89PNG")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", create)
        yield


@pytest.fixture(scope="session")
def starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server of our own, that may not answer yet; everything of Prefect goes there."""
    home = tmp_path_factory.mktemp("prefect")
    with serving({**os.environ, "PREFECT_HOME": str(home)}, home / "server.log") as server:
        settings = {
            PREFECT_API_URL: server.api,
            PREFECT_HOME: str(home),
            # Its thread would hold up the end of every flow by up to a second.
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            PREFECT_LOGGING_TO_API_ENABLED: False,
        }
        with temporary_settings(settings):
            yield server


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Plays and profiles of 300 invented listeners."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(make_sample(300, 200, 0), folder / "plays.tsv", folder / "profiles.tsv")
    return folder / "plays.tsv", folder / "profiles.tsv"


@pytest.fixture(scope="session")
def lab(
    starting: Server,
    sample: tuple[Path, Path],
    mlflow_database: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Lab:
    workspace = Workspace.at(tmp_path_factory.mktemp("lab") / "mlruns")
    copy_database(mlflow_database, workspace.tracking_database)
    starting.wait()
    return Lab(workspace, *sample)


@pytest.fixture(scope="session")
def prefect(lab: Lab, starting: Server) -> Server:
    """The server, when it answers."""
    return starting


def flow_runs() -> set[str]:
    """Names of all runs of flows."""
    with get_client(sync_client=True) as client:
        return {each.name for each in client.read_flow_runs()}


@pytest.fixture(scope="session")
def first(lab: Lab) -> Result:
    """The experiment that most tests look at."""
    return lab.run("first")
