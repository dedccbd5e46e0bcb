"""MLflow's registry: versions of models, and which of them serves.

    version         of a registered model: one per final run, data, code and libraries
    `champion`      the version that serves
    `previous`      the one that served before

An alias moves in one write of the database. `promote` first moves `previous` to the served
version, then `champion` to the new one: after a kill between, the old champion serves and a retry
completes it. `rollback` first moves `champion` to the previous version, then `previous` to the one
that served. Once there is a champion, there always is one.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.bounds import name_fault, shown
from recsys.errors import InputError
from recsys.files import temporary_folder
from recsys.serving.answers import Served
from tasks.orchestration.interfaces import MODEL
from tasks.progress import report_progress
from tasks.tracking.moving import place_of
from tasks.tracking.reading import open_reader
from tasks.tracking.recorded import RecordedVersion
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, PREVIOUS = "champion", "previous"
JUDGED = "judged_run"  # of a version: the final run that its metrics are of
IDENTITY = "identity"  # of a version: hash of what it is made of
_PAGE = 100
_NAME = re.compile(r"[\w.-]+", re.ASCII)
_SERVED = (
    "artifacts/served"  # within the files of a version: what `recsys.serving.package.pack` wrote
)


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


def check_name(name: str) -> None:
    """Refuse a name that MLflow, or its addresses, would not take.

    Raises:
        InputError: it is too long, or has other characters than letters, digits, `_`, `.`, `-`.
    """
    if fault := name_fault(name):
        raise InputError(f"--name {shown(name)}: {fault}")
    if not _NAME.fullmatch(name):
        raise InputError(
            f"--name {name!r}: a registered model is named by letters, digits, _, . and - alone"
        )


def versions(workspace: Workspace, name: str = MODEL) -> list[Version]:
    """All versions of a registered model, newest first; none where there is no such model."""
    reader = open_reader(workspace)
    aliases = reader.aliases(name)
    if aliases is None:
        return []
    ours = [each for each in reader.versions(name) if each.tags.keys() >= {JUDGED, IDENTITY}]
    return sorted((version_of(each, aliases) for each in ours), key=lambda each: -each.number)


def models(workspace: Workspace) -> list[str]:
    """Names of all registered models."""
    from tasks.tracking.client import every_page, reading_client  # MLflow, which is slow to load

    search = reading_client(workspace).search_registered_models
    pages = every_page(lambda token: search(max_results=_PAGE, page_token=token))
    return [each.name for each in pages]


def version_of(recorded: RecordedVersion, aliases: Mapping[str, int]) -> Version:
    """What MLflow has recorded of a version of ours, with the aliases that point at it."""
    tags, number = recorded.tags, recorded.number
    return Version(
        name=recorded.name,
        number=number,
        aliases=tuple(sorted(alias for alias, of in aliases.items() if of == number)),
        run=tags[JUDGED],
        model=tags["model"],
        metric=tags["metric"],
        value=float(tags["value"]),
        study=tags["study"],
        data=tags["data_set"],
        identity=tags[IDENTITY],
        registered=datetime.fromtimestamp(recorded.created / 1000, UTC),
    )


def champion(workspace: Workspace, name: str = MODEL) -> Version | None:
    """The version that serves; None where none does."""
    every = versions(workspace, name)
    return next((each for each in every if CHAMPION in each.aliases), None)


def registry_lock(workspace: Workspace) -> AbstractContextManager[None]:
    """One at a time makes versions or moves aliases."""
    return workspace_locks(workspace).exclusive("mlflow-registry")


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


def files_of(workspace: Workspace, version: Version, into: Path) -> Path:
    """The files of a version: where they lie, or a copy in `into` of ones that are far.

    Raises:
        InputError: they belong on this machine, and are not there.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    uri = _client(workspace).get_model_version_download_uri(version.name, str(version.number))
    place = place_of(workspace, uri)
    if place is not None:
        if not place.exists():
            raise InputError(
                f"{version.name} version {version.number}: {place} is not there; bring its files "
                "back"
            )
        return place
    repository: Any = get_artifact_repository(uri, workspace.tracking_uri)  # has no types
    into.mkdir(parents=True, exist_ok=True)
    return Path(repository.download_artifacts("", str(into)))


def load_version(workspace: Workspace, version: Version) -> Served:
    """The model of a version from its own files, wherever its plays are; nothing is trained.

    Profiles are there only where the model uses them, see `recsys.serving.package.pack`.
    """
    from recsys.serving.package import unpack  # pandas, which is slow to load

    with temporary_folder(workspace.scratch, "version-") as folder:
        report_progress(f"loading version {version.number}", 0, None)
        return unpack(files_of(workspace, version, folder) / _SERVED)


def promote(workspace: Workspace, number: int, name: str = MODEL) -> Version:
    """Let a version be the champion, and the champion be the previous one.

    Nothing changes where it is the champion already.

    Raises:
        InputError: there is no such version.
    """
    client = _client(workspace)
    with registry_lock(workspace):
        get_version(workspace, number, name)
        serving = (open_reader(workspace).aliases(name) or {}).get(CHAMPION)
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
    client = _client(workspace)
    with registry_lock(workspace):
        aliases = open_reader(workspace).aliases(name) or {}
        serving, before = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        if before is None or before == serving:
            now = "none serves" if serving is None else f"version {serving} serves"
            raise InputError(
                f"nothing to go back to: of the model {name} {now}, and no other served before; "
                "`recsys promote` chooses one"
            )
        _point(client, name, CHAMPION, before)
        if serving is not None:
            _point(client, name, PREVIOUS, serving)
        return get_version(workspace, before, name)


def _point(client: "MlflowClient", name: str, alias: str, number: int) -> None:
    """One write of the database: the alias points at the old version, or at the new one."""
    client.set_registered_model_alias(name, alias, str(number))


def _client(workspace: Workspace) -> "MlflowClient":
    from tasks.tracking.client import open_client  # MLflow, which is slow to load

    return open_client(workspace)
