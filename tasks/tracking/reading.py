"""Questions to MLflow: by its client, or much sooner by its database in the workspace.

    a server, or another schema   MLflow's client: 2 s of CPU until it is loaded
    the schema that we know       SQL, read only, with the standard library
    no database yet               nothing: none is made to be read

Both give the same answers: a contract test compares them.
"""

import json
import math
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from tasks.tracking.recorded import Recorded, RecordedVersion
from tasks.workspace.layout import Workspace
from tasks.workspace.readable import reading_address

SCHEMA = "dc11669786a5"  # of the database that the MLflow of our lock makes
_PAGE = 100  # runs read at once


class Reader(Protocol):
    """Answers questions about runs and registered models."""

    def run(self, run_id: str) -> Recorded | None:
        """A run by its id, also a deleted one; None where there is none."""

    def runs(
        self,
        tags: Mapping[str, str],
        *,
        ids: Collection[str] | None = None,
        experiment: str | None = None,
        status: str | None = None,
    ) -> Iterator[Recorded]:
        """The runs with all of these tags, newest first, without deleted ones.

        Args:
            tags: Values by name.
            ids: Only these runs.
            experiment: Id of the experiment they are in; by default any that is not deleted.
            status: Such as RUNNING.
        """

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """(step, value) of a metric under MLflow's name, in the order of writing."""

    def experiment_tags(self, experiment: str) -> dict[str, str]:
        """The tags of an experiment by its id."""

    def aliases(self, name: str) -> dict[str, int] | None:
        """The version each alias of a registered model points at; None without such a model."""

    def versions(self, name: str) -> list[RecordedVersion]:
        """The versions of a registered model, in any order."""


def open_reader(workspace: Workspace) -> Reader:
    """The quickest reader that knows the database of the workspace; none is made to be read."""
    database = workspace.tracking_database
    if workspace.tracking is None:
        if not database.exists():
            return NothingRecorded()
        if schema_of(database) == SCHEMA:
            return DatabaseReader(database)
    from tasks.tracking.client_reader import ClientReader  # MLflow, which is slow to load

    return ClientReader(workspace)


def schema_of(database: Path) -> str | None:
    """The version of the schema; None where it cannot be read, or MLflow is making it."""
    try:
        with _reading(database) as connection:
            ((schema,),) = connection.execute("select version_num from alembic_version").fetchall()
    except (sqlite3.Error, ValueError):
        return None
    return str(schema)


@contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    """One state of the database within the block, whatever is written meanwhile."""
    with closing(sqlite3.connect(reading_address(database), uri=True)) as connection:
        connection.execute("begin")
        yield connection


class NothingRecorded:
    """A `Reader` of a workspace in which MLflow has not recorded anything yet."""

    def run(self, run_id: str) -> Recorded | None:
        """See `Reader.run`."""
        return None

    def runs(
        self,
        tags: Mapping[str, str],
        *,
        ids: Collection[str] | None = None,
        experiment: str | None = None,
        status: str | None = None,
    ) -> Iterator[Recorded]:
        """See `Reader.runs`."""
        return iter(())

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """See `Reader.history`."""
        return []

    def experiment_tags(self, experiment: str) -> dict[str, str]:
        """See `Reader.experiment_tags`."""
        return {}

    def aliases(self, name: str) -> dict[str, int] | None:
        """See `Reader.aliases`."""
        return None

    def versions(self, name: str) -> list[RecordedVersion]:
        """See `Reader.versions`."""
        return []


class DatabaseReader:
    """A `Reader` of an SQLite database of MLflow with the schema that we know."""

    def __init__(self, database: Path) -> None:
        """It is opened for each question: a reader can be used in any thread."""
        self._database = database

    def run(self, run_id: str) -> Recorded | None:
        """See `Reader.run`."""
        with _reading(self._database) as connection:
            return next(iter(_recorded(connection, [run_id])), None)

    def runs(
        self,
        tags: Mapping[str, str],
        *,
        ids: Collection[str] | None = None,
        experiment: str | None = None,
        status: str | None = None,
    ) -> Iterator[Recorded]:
        """See `Reader.runs`."""
        query = "select run_uuid from runs where lifecycle_stage = 'active'"
        values: list[str] = []
        if experiment is not None:
            query, values = f"{query} and experiment_id = ?", [*values, experiment]
        else:
            query += (
                " and experiment_id in (select experiment_id from experiments"
                " where lifecycle_stage = 'active' and workspace = 'default')"
            )
        if status is not None:
            query, values = f"{query} and status = ?", [*values, status]
        if ids is not None:
            query += " and run_uuid in (select value from json_each(?))"
            values.append(json.dumps(list(ids)))
        for tag in tags.items():
            query += " and run_uuid in (select run_uuid from tags where key = ? and value = ?)"
            values += tag
        query += " order by start_time is null, start_time desc, run_uuid"
        with _reading(self._database) as connection:
            found = [run_id for (run_id,) in connection.execute(query, values)]
            for start in range(0, len(found), _PAGE):
                yield from _recorded(connection, found[start : start + _PAGE])

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """See `Reader.history`."""
        query = (
            "select step, case when is_nan then null else value end from metrics"
            " where run_uuid = ? and key = ? order by timestamp, step, value"
        )
        with _reading(self._database) as connection:
            rows = connection.execute(query, [run_id, metric]).fetchall()
        return [(step, math.nan if value is None else value) for step, value in rows]

    def experiment_tags(self, experiment: str) -> dict[str, str]:
        """See `Reader.experiment_tags`."""
        query = "select key, value from experiment_tags where experiment_id = ?"
        with _reading(self._database) as connection:
            return dict(connection.execute(query, [int(experiment)]).fetchall())

    def aliases(self, name: str) -> dict[str, int] | None:
        """See `Reader.aliases`."""
        mine = "where workspace = 'default' and name = ?"
        with _reading(self._database) as connection:
            if connection.execute(f"select 1 from registered_models {mine}", [name]).fetchone():
                query = f"select alias, version from registered_model_aliases {mine}"
                return dict(connection.execute(query, [name]).fetchall())
        return None

    def versions(self, name: str) -> list[RecordedVersion]:
        """See `Reader.versions`."""
        mine = "where workspace = 'default' and name = ?"
        versions = (
            f"select version, creation_time from model_versions {mine}"
            " and current_stage != 'Deleted_Internal'"
        )
        tagged = f"select version, key, value from model_version_tags {mine}"
        with _reading(self._database) as connection:
            tags = _grouped(connection.execute(tagged, [name]))
            return [
                RecordedVersion(name, number, created, tags.get(number, {}))
                for number, created in connection.execute(versions, [name])
            ]


def _recorded(connection: sqlite3.Connection, ids: list[str]) -> list[Recorded]:
    """The runs with these ids, in this order."""
    mine, listed = "where run_uuid in (select value from json_each(?))", [json.dumps(ids)]

    def values(columns: str, table: str) -> dict[str, dict[str, Any]]:
        return _grouped(connection.execute(f"select {columns} from {table} {mine}", listed))

    tags, params = values("run_uuid, key, value", "tags"), values("run_uuid, key, value", "params")
    last = "run_uuid, key, case when is_nan then null else value end"
    metrics = values(last, "latest_metrics")
    about = "run_uuid, name, experiment_id, status, lifecycle_stage, artifact_uri"
    rows = connection.execute(f"select {about} from runs {mine}", listed)
    runs = {
        run_id: Recorded(
            id=run_id,
            name=name or tags.get(run_id, {}).get("mlflow.runName", ""),
            experiment=str(experiment),
            status=status,
            params=params.get(run_id, {}),
            tags=tags.get(run_id, {}),
            metrics={
                key: math.nan if value is None else value
                for key, value in metrics.get(run_id, {}).items()
            },
            deleted=stage == "deleted",
            address=address,
        )
        for run_id, name, experiment, status, stage, address in rows
    }
    return [runs[run_id] for run_id in ids if run_id in runs]


def _grouped(rows: Iterable[tuple[Any, str, Any]]) -> dict[Any, dict[str, Any]]:
    """Values by key, by what the first column says they are of."""
    groups: dict[Any, dict[str, Any]] = {}
    for of, key, value in rows:
        groups.setdefault(of, {})[key] = value
    return groups
