"""The only module that imports mlflow.

Runs are addressed by id through MlflowClient: the fluent functions look up an active run per
thread, and Prefect runs submitted tasks in other threads.
"""

import functools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from recsys.errors import InputError
from tasks.interfaces import HOST, MLFLOW_PORT
from tasks.locking import locked
from tasks.telling import tell
from tasks.workspace import Workspace

MAX_BATCH = 1000  # metrics in one log_batch, as MLflow allows
_ERROR = "error"
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # else its pages are about prompts
_SOURCE = "source"  # of an experiment: the file its data set is read from


def metric_name(name: str) -> str:
    """MLflow allows no `@` in names: ndcg@10 is ndcg_at_10 there."""
    return name.replace("@", "_at_")


@dataclass(frozen=True, slots=True)
class DataSet:
    """What a run was computed from, as MLflow shows it.

    Attributes:
        name: Of the data set.
        digest: Fingerprint of the data.
        source: The file it came from.
        profile: Numbers about it.
    """

    name: str
    digest: str
    source: str
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """A started MLflow run."""

    id: str
    client: MlflowClient

    def log(
        self,
        metrics: Mapping[str, float],
        step: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Record values at one step, in one batch."""
        self.log_curves({name: [(step, value)] for name, value in metrics.items()}, tags)

    def log_curves(
        self,
        curves: Mapping[str, Sequence[tuple[int, float]]],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Record (step, value) pairs of several metrics, in as few batches as MLflow allows."""
        now = int(time.time() * 1000)
        points = [
            Metric(metric_name(name), value, now, step)
            for name, curve in curves.items()
            for step, value in curve
        ]
        labels = [RunTag(name, value) for name, value in (tags or {}).items()]
        for start in range(0, max(len(points), 1), MAX_BATCH):
            batch = points[start : start + MAX_BATCH]
            self.client.log_batch(self.id, metrics=batch, tags=[] if start else labels)

    def files(self, folder: Path, into: str | None = None) -> None:
        """Attach every file of a folder."""
        self.client.log_artifacts(self.id, str(folder), into)

    def file(self, path: Path, into: str | None = None) -> None:
        """Attach one file."""
        self.client.log_artifact(self.id, str(path), into)

    def drop(self, folder: str) -> None:
        """Take back a folder of attached files."""
        uri = self.client.get_run(self.id).info.artifact_uri
        repository: Any = get_artifact_repository(uri)  # its methods have no types
        repository.delete_artifacts(folder)

    def end(self, status: str, tags: Mapping[str, str] | None = None) -> None:
        """Close it as FINISHED, FAILED or KILLED."""
        for name, value in (tags or {}).items():
            self.client.set_tag(self.id, name, value)
        self.client.set_terminated(self.id, status=status)

    @contextmanager
    def closing(self) -> Iterator[Self]:
        """Close it FINISHED, FAILED with its error, or KILLED when interrupted."""
        try:
            yield self
        except Exception as error:
            self.end("FAILED", {_ERROR: f"{type(error).__name__}: {error}"[:5000]})
            raise
        except BaseException:
            self.end("KILLED", {_ERROR: "interrupted"})
            raise
        self.end("FINISHED")

    @classmethod
    def of(cls, workspace: Workspace, run_id: str) -> Self:
        """A run that exists."""
        return cls(run_id, open_client(workspace))


def open_client(workspace: Workspace) -> MlflowClient:
    """A client on the workspace's database, which is made under a lock.

    Of two processes that make the same fresh database at once, one would die.
    """
    return _client(workspace.tracking_uri, workspace.lock("mlflow"))


@functools.cache
def _client(uri: str, lock: Path) -> MlflowClient:
    tell("opening MLflow's database", 0, None)
    with locked(lock):
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return client


def experiment_id(workspace: Workspace, path: Path) -> str:
    """The id of the experiment of a data set, made where it is missing.

    Named after the file and the folder it is in; two files of the same name in folders of the
    same name are told apart by a hash of the whole path. One that was deleted in MLflow is
    brought back: its data set is in use again.
    """
    client = open_client(workspace)
    name = f"{path.parent.name}/{path.name}"
    with locked(workspace.lock("mlflow")):
        known = client.get_experiment_by_name(name)
        if known is not None and known.tags.get(_SOURCE) != str(path):
            name = f"{name} {sha256(str(path).encode()).hexdigest()[:8]}"
            known = client.get_experiment_by_name(name)
        if known is None:
            location = workspace.artifacts_of(name).as_uri()
            tags = {_SOURCE: str(path), **_KIND}
            return str(client.create_experiment(name, artifact_location=location, tags=tags))
        if known.lifecycle_stage == LifecycleStage.DELETED:
            client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)


def start_run(
    workspace: Workspace,
    experiment: str,
    name: str,
    params: Mapping[str, object],
    tags: Mapping[str, str],
    data: DataSet,
    parent: str | None = None,
) -> Run:
    """Open a run with its parameters, tags and data set."""
    client = open_client(workspace)
    nested = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
    made = client.create_run(experiment, tags={**tags, **nested}, run_name=name)
    run = Run(made.info.run_id, client)
    try:
        client.log_batch(run.id, params=[Param(key, str(value)) for key, value in params.items()])
        with locked(workspace.lock("mlflow")):  # of two who enter a data set first, one would fail
            client.log_inputs(run.id, [_input(data)])
    except BaseException:
        run.end("KILLED")
        raise
    return run


def _input(data: DataSet) -> DatasetInput:
    described = Dataset(
        name=data.name,
        digest=data.digest,
        source_type="local",
        source=json.dumps({"uri": data.source}),
        profile=json.dumps(dict(data.profile)),
    )
    return DatasetInput(described, [InputTag("mlflow.data.context", "training")])


def reopen_run(workspace: Workspace, run_id: str) -> Run:
    """A run that exists, RUNNING again and without the error it ended with.

    Raises:
        InputError: it was deleted in MLflow.
    """
    run = Run.of(workspace, run_id)
    if run.client.get_run(run_id).info.lifecycle_stage == LifecycleStage.DELETED:
        raise InputError(
            f"the MLflow run {run_id} of this study was deleted; restore it there, or choose "
            "another --study name"
        )
    run.client.update_run(run_id, status="RUNNING")
    if _ERROR in run.client.get_run(run_id).data.tags:
        run.client.delete_tag(run_id, _ERROR)
    return run


def end_run(workspace: Workspace, run_id: str, status: str, tags: Mapping[str, str]) -> None:
    """Close a run that another process left open."""
    Run.of(workspace, run_id).end(status, tags)


def end_unfinished(workspace: Workspace, experiment: str, parent: str, why: str) -> None:
    """Close as KILLED whatever child of a run is still RUNNING."""
    client = open_client(workspace)
    mine = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}' and attributes.status = 'RUNNING'"
    while runs := client.search_runs([experiment], mine):
        for run in runs:
            Run(run.info.run_id, client).end("KILLED", {_ERROR: why})


def compare_url(experiment: str, run_ids: Sequence[str]) -> str:
    """The address of MLflow's page that compares runs, while `recsys ui` runs."""
    runs = quote(json.dumps(list(run_ids), separators=(",", ":")))
    experiments = quote(json.dumps([experiment]))
    return f"http://{HOST}:{MLFLOW_PORT}/#/compare-runs?runs={runs}&experiments={experiments}"
