"""Writing runs in MLflow; `tasks.tracking` is the only package that imports mlflow.

Runs are addressed by id through MlflowClient: the fluent functions look up an active run per
thread, and Prefect runs submitted tasks in other threads.
"""

import functools
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from recsys.errors import InputError
from recsys.files import sync_all
from tasks.orchestration.interfaces import HOST, MLFLOW_PORT
from tasks.tracking.client import open_client
from tasks.tracking.moving import place_of
from tasks.tracking.reading import open_reader
from tasks.tracking.recorded import PARENT_RUN, DataSet, Recorded, metric_name
from tasks.tracking.writing import NewRun, Point, open_writer
from tasks.workspace.layout import Workspace
from tasks.workspace.places import is_inside

if TYPE_CHECKING:
    from mlflow import MlflowClient

ERROR = "error"
MEASURED = "measured"  # of a run: the hash of everything its values depend on
SOURCE_RUN = "source_run"  # of a run whose values are copies


@dataclass(frozen=True)  # no slots: it remembers its address
class Run:
    """A started MLflow run."""

    id: str
    workspace: Workspace
    uri: str | None = field(default=None, compare=False, repr=False)  # of its files, if known

    @property
    def client(self) -> "MlflowClient":
        """Of the workspace."""
        return open_client(self.workspace)

    def log(
        self,
        metrics: Mapping[str, float],
        step: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Record values at one step, in one batch; a power cut may take them."""
        self._write({name: [(step, value)] for name, value in metrics.items()}, {}, tags, False)

    def log_curves(
        self,
        curves: Mapping[str, Sequence[tuple[int, float]]],
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Record (step, value) pairs of several metrics with parameters and tags, for good."""
        self._write(curves, params or {}, tags, True)

    def _write(
        self,
        curves: Mapping[str, Sequence[tuple[int, float]]],
        params: Mapping[str, object],
        tags: Mapping[str, str] | None,
        durable: bool,
    ) -> None:
        now = int(time.time() * 1000)
        points = [
            Point(metric_name(name), value, now, step)
            for name, curve in curves.items()
            for step, value in curve
        ]
        open_writer(self.workspace).log(self.id, points, texts(params), tags or {}, durable)

    def params(self, params: Mapping[str, object]) -> None:
        """Record parameters; one that was recorded stays."""
        self.log_curves({}, params)

    def steps(self, name: str) -> set[int]:
        """At which steps a metric has values."""
        history = open_reader(self.workspace).history(self.id, metric_name(name))
        return {step for step, _ in history}

    def last(self, name: str) -> float:
        """The last value of a metric; KeyError without one."""
        return self.recorded().metrics[metric_name(name)]

    def recorded(self) -> Recorded:
        """All that is recorded of it.

        Raises:
            InputError: MLflow does not know it any more.
        """
        run = open_reader(self.workspace).run(self.id)
        if run is None:
            raise InputError(f"run {self.id!r} is not in MLflow; was it deleted there for good?")
        return run

    def files(self, folder: Path, into: str | None = None) -> None:
        """Attach every file of a folder; they are durable, and moved where that is possible."""
        place = self.place()
        if place is None:
            self.client.log_artifacts(self.id, str(folder), into)
            return
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        sync_all(paths)
        for path in paths:
            target = place / (into or "") / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
        if place.exists():
            durable_names(place)

    def fetch(self, name: str, into: Path) -> Path:
        """An attached file or folder: its path on this machine, or a copy in `into`.

        Raises:
            InputError: it belongs on this machine, and is not there.
        """
        place = self.place()
        if place is not None:
            if not (place / name).exists():
                raise InputError(
                    f"run {self.id}: {place / name} is not there; bring the files of the run back"
                )
            return place / name
        into.mkdir(parents=True, exist_ok=True)
        return Path(self.client.download_artifacts(self.id, name, str(into)))

    def has(self, name: str) -> bool:
        """Whether a file or folder of this name is attached."""
        place = self.place()
        if place is not None:
            return (place / name).exists()
        above = name.rpartition("/")[0] or None
        return name in {each.path for each in self.client.list_artifacts(self.id, above)}

    @functools.cached_property
    def _uri(self) -> str:
        return self.uri or self.recorded().address

    def place(self) -> Path | None:
        """The folder of attached files where it is on this machine."""
        return place_of(self.workspace, self._uri)

    def drop(self, folder: str) -> None:
        """Delete a folder of attached files, if there is one."""
        place = self.place()
        if place is not None and self.workspace.tracking is None:
            if is_inside(self.workspace, place / folder):  # else it may be of other workspaces
                shutil.rmtree(place / folder, ignore_errors=True)
        elif self.has(folder):
            from mlflow.store.artifact import artifact_repository_registry as registry

            # Its methods have no types.
            repository: Any = registry.get_artifact_repository(self._uri)
            repository.delete_artifacts(folder)

    def end(self, status: str, tags: Mapping[str, str] | None = None) -> None:
        """Close it as FINISHED, FAILED or KILLED."""
        open_writer(self.workspace).end(self.id, status, tags or {})

    @contextmanager
    def closing(self) -> Iterator[Self]:
        """Close it FINISHED, FAILED with its error, or KILLED when interrupted."""
        try:
            yield self
            self.end("FINISHED")
        except Exception as error:
            self.end("FAILED", {ERROR: f"{type(error).__name__}: {error}"[:5000]})
            raise
        except BaseException:
            self.end("KILLED", {ERROR: "interrupted"})
            raise

    @classmethod
    def of(cls, workspace: Workspace, run_id: str) -> Self:
        """A run that exists."""
        return cls(run_id, workspace)


def durable_names(place: Path) -> None:
    """Wait until the names of a run's files, and of the folders they are in, are on disk."""
    inner = [path for path in place.rglob("*") if path.is_dir()]
    sync_all([place.parent.parent, place.parent, place, *inner])


def experiment_of(workspace: Workspace, run_id: str) -> str:
    """The id of the experiment that a run is in."""
    return Run(run_id, workspace).recorded().experiment


def start_run(
    workspace: Workspace,
    experiment: str,
    name: str,
    params: Mapping[str, object],
    tags: Mapping[str, str],
    data: DataSet | None,
    parent: str | None = None,
) -> Run:
    """Open a run with its parameters, tags and data set, if there is one."""
    nested = {PARENT_RUN: parent} if parent else {}
    new = NewRun(experiment, name, texts(params), {**tags, **nested}, data)
    run_id, uri = open_writer(workspace).create(new)
    return Run(run_id, workspace, uri)


def describe_run(
    workspace: Workspace, run: Run, params: Mapping[str, object], data: DataSet | None
) -> None:
    """Record parameters and data set; what is there already stays."""
    open_writer(workspace).describe(run.id, texts(params), data)


def texts(params: Mapping[str, object]) -> dict[str, str]:
    """Parameters as MLflow keeps them."""
    return {name: str(value) for name, value in params.items()}


def reopen_run(workspace: Workspace, run_id: str) -> Run:
    """A run that exists, RUNNING again and without the error it ended with.

    Raises:
        InputError: it was deleted in MLflow.
    """
    run = Run.of(workspace, run_id)
    if run.recorded().deleted:
        raise InputError(
            f"the MLflow run {run_id} of this study was deleted; restore it there, or choose "
            "another --study name"
        )
    open_writer(workspace).reopen(run_id, ERROR)
    return run


def find_measured(
    workspace: Workspace, experiment: str, key: str, parent: str | None = None
) -> list[Run]:
    """The FINISHED runs that measured exactly `key`, oldest first, of one parent if given."""
    tags = {MEASURED: key} | ({} if parent is None else {PARENT_RUN: parent})
    found = open_reader(workspace).runs(tags, experiment=experiment, status="FINISHED")
    return [Run(run.id, workspace) for run in reversed(list(found))]


_TRAINING = "&workflowType=machine_learning"  # else MLflow's page is about prompts


def compare_url(workspace: Workspace, experiment: str, run_ids: Sequence[str]) -> str:
    """The address of MLflow's page that compares runs, at its server or while `recsys ui` runs."""
    server = workspace.tracking_server or f"http://{HOST}:{MLFLOW_PORT}"
    runs = quote(json.dumps(list(run_ids), separators=(",", ":")))
    experiments = quote(json.dumps([experiment]))
    return f"{server.rstrip('/')}/#/compare-runs?runs={runs}&experiments={experiments}{_TRAINING}"


def file_url(workspace: Workspace, experiment: str, run: str, name: str) -> str:
    """The address of MLflow's page of an attached file, as that of `compare_url`."""
    server = workspace.tracking_server or f"http://{HOST}:{MLFLOW_PORT}"
    page = f"/#/experiments/{experiment}/runs/{run}/artifacts/{quote(name)}"
    return f"{server.rstrip('/')}{page}?{_TRAINING[1:]}"
