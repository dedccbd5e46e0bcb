"""MLflow's registry: models that may serve, and which of them does.

    logged model    what `recsys.portable` packs, with code, requirements and signature; its
                    metrics are those of the final run, its twin that was judged on test
    version         of a registered model: one per final run, data, code and libraries
    `champion`      the version that serves
    `previous`      the one that served before

An alias moves in one write of the database. `promote` first lets `previous` be what serves, then
`champion` be the new one: whoever is killed between has the old champion, and repeats it.
`rollback` first lets `champion` be what served before, then `previous` what it was rolled back
from. So there is no moment without a champion, once there was one.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus, Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS, MLFLOW_PARENT_RUN_ID

import recsys
from recsys.errors import InputError
from tasks.cache import code_version
from tasks.interfaces import MODEL
from tasks.locking import workspace_locks
from tasks.tracking import NOT_THERE, Recorded, metric_name, open_client
from tasks.workspace import Workspace

CHAMPION, PREVIOUS = "champion", "previous"
LIBRARIES = (
    "implicit",
    "mlflow",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "scipy",
    "threadpoolctl",
)
"""What `recsys` needs to answer; without what searches, orchestrates and draws."""

SCRIPT = Path(__file__).with_name("registered_model.py")
JUDGED = "judged_run"  # of a version: the final run that its metrics are of
_IDENTITY, _LOGGED = "identity", "logged_model"
_LOCK = "mlflow-registry"
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a registered model.

    Attributes:
        name: Of the registered model.
        number: From 1.
        aliases: Of `champion` and `previous`, and whatever else people set, sorted.
        run: Id of the final run, its twin that was judged.
        model: Such as "als".
        metric: What its study was searched for.
        value: Of the metric, of the judged twin on test.
        study: Name of the study.
        data: What the experiment of the data set is called.
        identity: Hash of run, data, code and libraries.
        registered: When, UTC.
    """

    name: str
    number: int
    aliases: tuple[str, ...]
    run: str
    model: str
    metric: str
    value: float
    study: str
    data: str
    identity: str
    registered: datetime


@dataclass(frozen=True, slots=True)
class Portable:
    """A model that is to be registered.

    Attributes:
        judged: Its final run.
        write: Writes it into a folder that exists, as `recsys.portable.pack` does.
        example: Questions that it can answer, as `recsys.portable.answers` takes them.
    """

    judged: Recorded
    write: Callable[[Path], None]
    example: Any  # pandas.DataFrame; not imported here, where it would slow down `champion_run`


def versions(workspace: Workspace, name: str = MODEL) -> list[Version]:
    """All versions of a registered model, newest first; none where there is no such model."""
    client = open_client(workspace)
    aliases = _aliases(client, name)
    if aliases is None:
        return []
    found: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", max_results=_PAGE, page_token=token)
        found += [each for each in page if each.tags.keys() >= {JUDGED, _IDENTITY}]
        token = page.token
        if not token:
            break
    return sorted((_version(each, aliases) for each in found), key=lambda each: -each.number)


def _aliases(client: MlflowClient, name: str) -> dict[str, int] | None:
    """The number each alias points at; None where there is no such registered model."""
    try:
        registered = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        return None
    return {alias: int(number) for alias, number in registered.aliases.items()}


def _version(found: ModelVersion, aliases: Mapping[str, int]) -> Version:
    tags, number = found.tags, int(found.version)
    return Version(
        name=found.name,
        number=number,
        aliases=tuple(sorted(alias for alias, of in aliases.items() if of == number)),
        run=tags[JUDGED],
        model=tags["model"],
        metric=tags["metric"],
        value=float(tags["value"]),
        study=tags["study"],
        data=tags["data_set"],
        identity=tags[_IDENTITY],
        registered=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
    )


def champion_run(workspace: Workspace, name: str = MODEL) -> str | None:
    """Id of the judged run of the champion; None while there is none."""
    try:
        found = open_client(workspace).get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        return None
    return found.tags.get(JUDGED)


def identity(judged: Recorded) -> str:
    """32 hex digits: the same for the same run, data, split, code and libraries."""
    parts = {
        "run": judged.id,
        "data": judged.tags["data"],
        "split": judged.tags["split"],
        "code": code_version(),
        "script": SCRIPT.read_text(encoding="utf-8"),
        "libraries": requirements(),
    }
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def requirements() -> list[str]:
    """What is to be installed where a registered model is loaded: our versions exactly."""
    return [f"{name}=={version(name)}" for name in LIBRARIES]


def find_version(workspace: Workspace, judged: Recorded, name: str = MODEL) -> Version | None:
    """The version that is this model of a run already."""
    mine = identity(judged)
    return next((each for each in versions(workspace, name) if each.identity == mine), None)


def add_version(workspace: Workspace, portable: Portable, name: str = MODEL) -> Version:
    """Register a model, unless it is registered: then that version.

    The files are complete before the version is made. Whoever is killed before leaves a logged
    model, which the next one fills and uses.

    Args:
        workspace: Holds the registry.
        portable: The model.
        name: Of the registered model.

    Raises:
        InputError: the run was not judged by the metric of its study.
    """
    client = open_client(workspace)
    with _registry(workspace):
        known = find_version(workspace, portable.judged, name)
        if known is not None:
            return known
        tags = _tags(client, portable.judged)
        if _aliases(client, name) is None:
            client.create_registered_model(name)
        logged = _logged(workspace, client, portable, tags)
        # Not "models:/<id>": MLflow would look that up at its default address, not at ours.
        made = client.create_model_version(
            name,
            logged.artifact_location,
            run_id=portable.judged.id,
            tags={**tags, _LOGGED: logged.model_id},
            model_id=logged.model_id,
            description=f"{tags['model']} of study {tags['study']}, fitted on all its data; "
            f"its metrics are those of run {portable.judged.id}, which was judged on test",
        )
        _link(client, logged.model_id, made)
        return _version(client.get_model_version(name, made.version), {})


def _tags(client: MlflowClient, judged: Recorded) -> dict[str, str]:
    """Of the version and of the logged model."""
    study = client.get_run(judged.tags[MLFLOW_PARENT_RUN_ID])
    metric = study.data.params["study.metric"]
    key = f"test/{metric_name(metric)}"
    measured = client.get_run(judged.id).data.metrics
    if key not in measured:
        raise InputError(
            f"run {judged.id!r} has no {key}, so it was not judged on test; pass a final run"
        )
    return {
        _IDENTITY: identity(judged),
        JUDGED: judged.id,
        "metrics_of": f"run {judged.id}, fitted on training and validation, judged on test",
        "fitted_on": "all the data of the study",
        "model": judged.tags["model"],
        "study": judged.tags["study"],
        "data_set": client.get_experiment(judged.experiment).name,
        "data": judged.tags["data"],
        "split": judged.tags["split"],
        "code": code_version(),
        "judged_code": judged.tags.get("code", ""),
        "metric": metric,
        "value": repr(float(measured[key])),
    }


def _logged(
    workspace: Workspace, client: MlflowClient, portable: Portable, tags: Mapping[str, str]
) -> LoggedModel:
    """The logged model, complete: made now, or left by somebody who did not come to an end."""
    judged = portable.judged
    query = f"tags.{_IDENTITY} = '{tags[_IDENTITY]}'"
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
        with _empty(workspace.registering) as scratch:
            served = scratch / "served"
            served.mkdir()
            portable.write(served)
            _save(scratch / "model", portable, served, logged)
            client.log_model_artifacts(logged.model_id, str(scratch / "model"))
        _copy_metrics(client, judged, logged.model_id)
        logged = client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    return logged


def _link(client: MlflowClient, model_id: str, made: ModelVersion) -> None:
    """Let MLflow's pages show the version beside its logged model; a server has done so already."""
    tags = client.get_logged_model(model_id).tags
    known = json.loads(tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
    number = int(made.version)
    if all((each["name"], int(each["version"])) != (made.name, number) for each in known):
        known.append({"name": made.name, "version": number})
        client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: json.dumps(known)})


@contextmanager
def _empty(folder: Path) -> Iterator[Path]:
    """A folder for whoever holds the lock; what somebody who was killed left in it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _save(folder: Path, portable: Portable, served: Path, logged: LoggedModel) -> None:
    """Write what MLflow loads, into a folder that does not exist."""
    import mlflow.pyfunc  # slow to load, and needed here alone
    from mlflow.models import Model, ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType, ColSpec

    from recsys.portable import K

    text, number = DataType.string, DataType.double
    anything: Any = AnyType  # its constructor has no types
    signature = ModelSignature(
        inputs=Schema(
            [
                ColSpec(text, "user", required=False),
                # A text or a list: MLflow has no type for either of two.
                ColSpec(anything(), "artists", required=False),
                ColSpec(anything(), "plays", required=False),
            ]
        ),
        outputs=Schema(
            [
                ColSpec(text, "user", required=False),
                ColSpec(text, "artist"),
                ColSpec(text, "name"),
                ColSpec(number, "score"),
                ColSpec(DataType.long, "rank"),
            ]
        ),
        params=ParamSchema([ParamSpec("k", DataType.long, K)]),
    )
    mlflow.pyfunc.save_model(
        str(folder),
        python_model=str(SCRIPT),
        code_paths=[str(Path(recsys.__file__).parent)],
        artifacts={"served": str(served)},
        signature=signature,
        input_example=(portable.example, {"k": K}),
        pip_requirements=requirements(),
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            run_id=portable.judged.id,
            model_id=logged.model_id,
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


def _registry(workspace: Workspace) -> AbstractContextManager[None]:
    return workspace_locks(workspace).exclusive(_LOCK)


def get_version(workspace: Workspace, number: int, name: str = MODEL) -> Version:
    """A version by its number.

    Raises:
        InputError: there is none.
    """
    every = versions(workspace, name)
    for each in every:
        if each.number == number:
            return each
    there = ", ".join(str(each.number) for each in reversed(every)) or "none"
    raise InputError(f"{name} has no version {number}; there are: {there}")


def promote(workspace: Workspace, number: int, name: str = MODEL) -> Version:
    """Let a version be the champion, and the champion be the previous one.

    Nothing changes where it is the champion already.

    Raises:
        InputError: there is no such version.
    """
    client = open_client(workspace)
    with _registry(workspace):
        get_version(workspace, number, name)
        serving = (_aliases(client, name) or {}).get(CHAMPION)
        if serving != number:
            if serving is not None:
                _point(client, name, PREVIOUS, serving)
            _point(client, name, CHAMPION, number)
        return get_version(workspace, number, name)


def rollback(workspace: Workspace, name: str = MODEL) -> Version:
    """Let the previous version be the champion again, and the champion be the previous one.

    So a second one takes the first back.

    Raises:
        InputError: there is no previous version, or it is the champion.
    """
    client = open_client(workspace)
    with _registry(workspace):
        aliases = _aliases(client, name) or {}
        serving, before = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        if before is None or before == serving:
            now = "there is no champion" if serving is None else f"version {serving} serves"
            raise InputError(
                f"{name}: nothing to go back to, {now} and no other served before; "
                "`recsys promote` chooses one"
            )
        _point(client, name, CHAMPION, before)
        if serving is not None:
            _point(client, name, PREVIOUS, serving)
        return get_version(workspace, before, name)


def _point(client: MlflowClient, name: str, alias: str, number: int) -> None:
    """One write of the database: the alias points at the old version, or at the new one."""
    client.set_registered_model_alias(name, alias, str(number))
