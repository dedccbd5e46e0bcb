"""Experiments of MLflow: one for each data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from tasks.tracking.database import knows_database
from tasks.tracking.moving import SOURCE
from tasks.tracking.writing import now, writing
from tasks.workspace.layout import Workspace, data_set_name
from tasks.workspace.locking import workspace_locks
from tasks.workspace.places import stored_path

_KIND = {"mlflow.experimentKind": "custom_model_development"}  # else its pages are about prompts
_DEFAULT = (0, "Default")  # id and name of the experiment that MLflow's pages want


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment as MLflow has it.

    Attributes:
        id: Of the experiment.
        source: The file its data set is read from; None where it is not one of ours.
        deleted: Whether it was deleted.
    """

    id: str
    source: str | None
    deleted: bool


class Experiments(Protocol):
    """The experiments of a workspace."""

    def find(self, name: str) -> Experiment | None:
        """One by its name."""

    def create(self, name: str, address: str | None, tags: Mapping[str, str]) -> str:
        """The id of a new one; without an address its server decides where its files go."""

    def restore(self, experiment: str) -> None:
        """Bring a deleted one back."""

    def tag(self, experiment: str, tags: Mapping[str, str]) -> None:
        """Write tags, each in place of one that was there."""


def experiment_id(workspace: Workspace, path: Path, view: Mapping[str, str] | None = None) -> str:
    """The id of the experiment of a data set, made where it is missing.

    Its page opens with a `view`, see `tasks.tracking.view`; by default the view stays.

    Named after the file and the folder it is in; two files of the same name in folders of the
    same name get a hash of the whole path in their names. A deleted experiment is restored: its
    data set is in use again.
    """
    known_here = knows_database(workspace)
    experiments = InDatabase(workspace) if known_here else _by_client(workspace)
    name = data_set_name(path)
    moves = path.is_absolute() and workspace.tracking is None
    source = stored_path(workspace, path) if moves else str(path)
    with workspace_locks(workspace).exclusive("mlflow"):
        known = experiments.find(name)
        if known is not None and known.source not in (source, str(path)):
            name = f"{name} {sha256(str(path).encode()).hexdigest()[:8]}"
            known = experiments.find(name)
        if known is None:
            # A server decides where its files go; without one they are in the workspace.
            ours = workspace.tracking_server is None
            location = workspace.artifacts_of(name).as_uri() if ours else None
            tags = {SOURCE: source, **_KIND, **(view or {})}
            return experiments.create(name, location, tags)
        if known.deleted:
            experiments.restore(known.id)
        if view:
            experiments.tag(known.id, view)
        return known.id


def tag_experiment(workspace: Workspace, experiment: str, tags: Mapping[str, str]) -> None:
    """Write tags of an experiment, each in place of one that was there."""
    known_here = knows_database(workspace)
    experiments = InDatabase(workspace) if known_here else _by_client(workspace)
    with workspace_locks(workspace).exclusive("mlflow"):
        experiments.tag(experiment, tags)


def _by_client(workspace: Workspace) -> Experiments:
    from tasks.tracking.client_experiments import ByClient  # MLflow, which is slow to load

    return ByClient(workspace)


class InDatabase:
    """`Experiments` of an SQLite database of MLflow with the schema that we know."""

    def __init__(self, workspace: Workspace) -> None:
        """Of its database."""
        self._workspace = workspace

    def find(self, name: str) -> Experiment | None:
        """See `Experiments.find`."""
        query = (
            "select e.experiment_id, value, lifecycle_stage = 'deleted' from experiments e"
            " left join experiment_tags t on t.experiment_id = e.experiment_id and key = ?"
            " where name = ? and workspace = 'default'"
        )
        with writing(self._workspace.tracking_database, durable=False) as connection:
            found = connection.execute(query, (SOURCE, name)).fetchone()
        return None if found is None else Experiment(str(found[0]), found[1], bool(found[2]))

    def create(self, name: str, address: str | None, tags: Mapping[str, str]) -> str:
        """See `Experiments.create`."""
        made = (
            "insert into experiments (experiment_id, name, artifact_location, lifecycle_stage,"
            " creation_time, last_update_time, workspace) values"
            " (?, ?, ?, 'active', ?, ?, 'default')"
        )
        at = now()
        with writing(self._workspace.tracking_database, durable=True) as connection:
            if connection.execute("select 1 from experiments").fetchone() is None:
                place = str(self._workspace.root / "0")
                connection.execute(made, (*_DEFAULT, place, at, at))
            number = connection.execute(made, (None, name, address, at, at)).lastrowid
            connection.executemany(
                "insert into experiment_tags (experiment_id, key, value) values (?, ?, ?)",
                [(number, key, value) for key, value in tags.items()],
            )
        return str(number)

    def restore(self, experiment: str) -> None:
        """See `Experiments.restore`."""
        _by_client(self._workspace).restore(experiment)

    def tag(self, experiment: str, tags: Mapping[str, str]) -> None:
        """See `Experiments.tag`."""
        written = (
            "insert or replace into experiment_tags (experiment_id, key, value) values (?, ?, ?)"
        )
        with writing(self._workspace.tracking_database, durable=False) as connection:
            rows = [(int(experiment), key, value) for key, value in tags.items()]
            connection.executemany(written, rows)
