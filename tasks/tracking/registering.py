"""Versions of registered models: from code and plain arrays, once for each model.

A logged model of MLflow holds what `recsys.serving.package` packs, with code, requirements and
signature. Its metrics are those of the final run, its twin that was judged on test.
`tasks.tracking.registry` says which version serves.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus, Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

import recsys
from recsys.errors import InputError
from recsys.files import temporary_folder
from recsys.identity import key_of
from tasks.orchestration.interfaces import MODEL
from tasks.tracking.client import open_client
from tasks.tracking.moving import place_of
from tasks.tracking.reading import open_reader
from tasks.tracking.recorded import PARENT_RUN, Recorded, RecordedVersion, metric_name
from tasks.tracking.registry import (
    IDENTITY,
    JUDGED,
    Version,
    registry_lock,
    version_of,
    versions,
)
from tasks.workspace.code import SERVING, code_id
from tasks.workspace.layout import Workspace

LIBRARIES = (
    "implicit",
    "mlflow",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "scipy",
    "threadpoolctl",
)
"""What `recsys` needs to answer; without what searches, orchestrates and draws."""

SCRIPT = Path(__file__).with_name("registered_model.py")
_LOGGED = "logged_model"


@dataclass(frozen=True, slots=True)
class Portable:
    """A model that is to be registered.

    Attributes:
        judged: Its final run.
        write: Writes it into a folder that exists, as `recsys.serving.package.pack` does.
        example: Questions that it can answer, as `recsys.serving.package.answers` takes them.
    """

    judged: Recorded
    write: Callable[[Path], None]
    example: pd.DataFrame


def identity(judged: Recorded) -> str:
    """32 hex digits: the same for the same run, data, split, code and libraries."""
    parts = {
        "run": judged.id,
        "data": judged.tags["data"],
        "split": judged.tags["split"],
        "code": code_id(SERVING),
        "script": SCRIPT.read_text(encoding="utf-8"),
        "libraries": requirements(),
    }
    return key_of(parts)


def requirements() -> list[str]:
    """What is to be installed where a registered model is loaded: our versions exactly."""
    return [f"{name}=={version(name)}" for name in LIBRARIES]


def find_version(workspace: Workspace, judged: Recorded, name: str = MODEL) -> Version | None:
    """The version that is this model of a run already."""
    mine = identity(judged)
    return next((each for each in versions(workspace, name) if each.identity == mine), None)


def add_version(workspace: Workspace, portable: Portable, name: str = MODEL) -> Version:
    """Register a model, unless it is registered: then that version.

    Idempotent: the files are complete before the version is made. A kill before leaves a logged
    model, which a retry completes and uses.

    Args:
        workspace: Holds the registry.
        portable: The model.
        name: Of the registered model.

    Raises:
        InputError: the run was not judged by the metric of its study.
    """
    client = open_client(workspace)
    with registry_lock(workspace):
        known = find_version(workspace, portable.judged, name)
        if known is not None:
            return known
        tags = _tags(client, portable.judged)
        if open_reader(workspace).aliases(name) is None:
            client.create_registered_model(name)
        logged = _logged(workspace, client, portable, tags)
        # Not "models:/<id>": MLflow would look that up at its default address, not at ours.
        made = client.create_model_version(
            name,
            _address(workspace, logged),
            run_id=portable.judged.id,
            tags={**tags, _LOGGED: logged.model_id},
            model_id=logged.model_id,
            description=f"{tags['model']} of study {tags['study']}, fitted on all its data; "
            f"its metrics are those of run {portable.judged.id}, which was judged on test",
        )
        _link(client, logged.model_id, made)
        return version_of(RecordedVersion.of(client.get_model_version(name, made.version)), {})


def _tags(client: MlflowClient, judged: Recorded) -> dict[str, str]:
    """Of the version and of the logged model."""
    study = client.get_run(judged.tags[PARENT_RUN])
    metric = study.data.params["study.metric"]
    key = f"test/{metric_name(metric)}"
    measured = client.get_run(judged.id).data.metrics
    if key not in measured:
        raise InputError(
            f"run {judged.id!r} has no {key}, so it was not judged on test; pass a final run"
        )
    return {
        IDENTITY: identity(judged),
        JUDGED: judged.id,
        "metrics_of": f"run {judged.id}, fitted on training and validation, judged on test",
        "fitted_on": "all the data of the study",
        "model": judged.tags["model"],
        "study": judged.tags["study"],
        "data_set": client.get_experiment(judged.experiment).name,
        "data": judged.tags["data"],
        "split": judged.tags["split"],
        "code": code_id(SERVING),
        "judged_code": judged.tags.get("code", ""),
        "metric": metric,
        "value": repr(float(measured[key])),
    }


def _logged(
    workspace: Workspace, client: MlflowClient, portable: Portable, tags: Mapping[str, str]
) -> LoggedModel:
    """The logged model, complete: a new one, or one that an interrupted call left."""
    judged = portable.judged
    query = f"tags.{IDENTITY} = '{tags[IDENTITY]}'"
    left = client.search_logged_models([judged.experiment], query)
    logged = left[0] if left else None
    if logged is None:
        logged = client.create_logged_model(
            judged.experiment,
            name=f"{tags['model']}-on-all-data",
            source_run_id=judged.id,
            tags=dict(tags),
            params=dict(judged.params),
            model_type="recommender",
        )
    if logged.status != LoggedModelStatus.READY:
        with temporary_folder(workspace.scratch, "registering-") as scratch:
            served = scratch / "served"
            served.mkdir()
            portable.write(served)
            address = _address(workspace, logged)
            _save(scratch / "model", portable, served, logged.model_id, address)
            _attach(workspace, client, logged, scratch / "model")
        _copy_metrics(client, judged, logged.model_id)
        logged = client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    return logged


def _address(workspace: Workspace, logged: LoggedModel) -> str:
    """Of the files of a logged model, as MLflow is to know it."""
    place = place_of(workspace, logged.artifact_location)
    return logged.artifact_location if place is None else place.as_uri()


def _attach(workspace: Workspace, client: MlflowClient, logged: LoggedModel, folder: Path) -> None:
    """Copy the files of a logged model to their place."""
    place = place_of(workspace, logged.artifact_location)
    if place is None:
        client.log_model_artifacts(logged.model_id, str(folder))
    else:
        shutil.copytree(folder, place, dirs_exist_ok=True)


def _link(client: MlflowClient, model_id: str, made: ModelVersion) -> None:
    """Let MLflow's pages show the version beside its logged model; a server has done so already."""
    tags = client.get_logged_model(model_id).tags
    known = json.loads(tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
    number = int(made.version)
    if all((each["name"], int(each["version"])) != (made.name, number) for each in known):
        known.append({"name": made.name, "version": number})
        client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: json.dumps(known)})


def _save(folder: Path, portable: Portable, served: Path, model_id: str, address: str) -> None:
    """Write what MLflow loads, into a folder that does not exist; `address` is its place later."""
    import mlflow.pyfunc  # slow to load, and needed here alone
    from mlflow.models import Model

    from recsys.serving.package import K
    from tasks.tracking.signature import request_signature

    mlflow.pyfunc.save_model(
        str(folder),
        python_model=str(SCRIPT),
        code_paths=[str(Path(recsys.__file__).parent)],
        artifacts={"served": str(served)},
        signature=request_signature(),
        input_example=(portable.example, {"k": K}),
        pip_requirements=requirements(),
        mlflow_model=Model(
            artifact_path=address,
            run_id=portable.judged.id,
            model_id=model_id,
        ),
    )
    for compiled in folder.rglob("__pycache__"):
        shutil.rmtree(compiled)


def _copy_metrics(client: MlflowClient, judged: Recorded, model_id: str) -> None:
    """Let the logged model have the values of its twin on test.

    MLflow keeps a metric of a model as one of a run, too; the same value, step and time twice is
    once there, so nothing changes in the run.
    """
    names = [name for name in client.get_run(judged.id).data.metrics if name.startswith("test/")]
    points = [
        Metric(name, last.value, last.timestamp, last.step, model_id=model_id)
        for name in names
        for last in client.get_metric_history(judged.id, name)[-1:]
    ]
    client.log_batch(judged.id, metrics=points)
