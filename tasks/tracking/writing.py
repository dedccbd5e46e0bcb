"""Writing runs: by MLflow's client, or in a tenth of the time by its database in the workspace.

    a server, or another schema     MLflow's client
    the schema that we know         SQL, one transaction for all that belongs together
    what MLflow might refuse        MLflow's client, which says why

Both leave the same rows: a contract test compares them. In a power cut a run that was just made may
be lost, and one that just ended be open: recovery repeats both. What `log` wrote is there, and all
before it.
"""

import atexit
import functools
import json
import math
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from tasks.tracking.database import DatabaseFailed, knows_database
from tasks.tracking.recorded import RUN_NAME, DataSet
from tasks.workspace.layout import Workspace

Texts = Mapping[str, str]
_OPEN: dict[Path, sqlite3.Connection] = {}
_KEPT = 4  # databases
_WAIT = 60.0  # seconds for the transactions of other workers
CONTEXT = ("mlflow.data.context", "training")
_PLAIN = re.compile(r"\w[\w.:-]*(/[\w.:-]*\w)*", re.ASCII)  # names that MLflow surely takes
_LONG = 5000  # characters; MLflow cuts longer values
_LARGEST = 1.7976931348623157e308  # in place of infinity, as MLflow writes it


@dataclass(frozen=True, slots=True)
class Point:
    """A value of a metric.

    Attributes:
        name: As MLflow has it.
        value: At this step.
        at: Milliseconds since 1970, UTC.
        step: From 0.
    """

    name: str
    value: float
    at: int
    step: int


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is to be made.

    Attributes:
        experiment: Id of the experiment that it is in.
        name: Of the run.
        params: Texts by name.
        tags: Texts by name.
        data: What it was made from, if anything.
    """

    experiment: str
    name: str
    params: Texts
    tags: Texts
    data: DataSet | None


class Writer(Protocol):
    """Writes runs."""

    def create(self, new: NewRun) -> tuple[str, str]:
        """Id and artifact URI of a new run, which is RUNNING."""

    def describe(self, run_id: str, params: Texts, data: DataSet | None) -> None:
        """Record parameters and data set; what is there already stays."""

    def log(
        self,
        run_id: str,
        points: Sequence[Point],
        params: Texts,
        tags: Texts,
        durable: bool = True,
    ) -> None:
        """Record values, for good if they are to outlast a power cut; a tag replaces another."""

    def end(self, run_id: str, status: str, tags: Texts) -> None:
        """Close it as FINISHED, FAILED or KILLED."""

    def reopen(self, run_id: str, without: str) -> None:
        """Let it be RUNNING again, without a tag."""


def open_writer(workspace: Workspace) -> Writer:
    """The quickest writer that knows the database of the workspace, which is made if missing."""
    by_client = functools.partial(_client_writer, workspace)
    if knows_database(workspace):
        return DatabaseWriter(workspace.tracking_database, by_client)
    return by_client()


@functools.cache
def _client_writer(workspace: Workspace) -> Writer:
    from tasks.tracking.client_writer import ClientWriter  # MLflow, which is slow to load

    return ClientWriter(workspace)


class DatabaseWriter:
    """A `Writer` on an SQLite database of MLflow with the schema that we know."""

    def __init__(self, database: Path, client: Callable[[], Writer]) -> None:
        """It is opened for each write, so it can be used in any thread.

        Args:
            database: Of the workspace.
            client: Gives what writes what MLflow might refuse.
        """
        self._database = database
        self._client = client

    def create(self, new: NewRun) -> tuple[str, str]:
        """See `Writer.create`."""
        tags = {**new.tags, RUN_NAME: new.name}
        with writing(self._database, durable=False) as connection:
            above = _place_of(connection, new.experiment)
            if above is not None and _is_plain({**new.params, **tags}):
                run_id = uuid4().hex
                uri = f"{above}/{run_id}/artifacts"
                connection.execute(
                    "insert into runs (run_uuid, name, start_time, artifact_uri, experiment_id,"
                    " source_type, source_name, entry_point_name, user_id, status, source_version,"
                    " lifecycle_stage)"
                    " values (?, ?, ?, ?, ?, 'UNKNOWN', '', '', 'unknown', 'RUNNING', '',"
                    " 'active')",
                    (run_id, new.name, now(), uri, int(new.experiment)),
                )
                _put(connection, "params", run_id, new.params)
                _put(connection, "tags", run_id, tags)
                if new.data is not None:
                    _put_data(connection, run_id, new.experiment, new.data)
                return run_id, uri
        return self._client().create(new)

    def describe(self, run_id: str, params: Texts, data: DataSet | None) -> None:
        """See `Writer.describe`."""
        with writing(self._database, durable=False) as connection:
            experiment = _active(connection, run_id)
            if experiment is not None and _takes(connection, run_id, params):
                _put(connection, "params", run_id, params)
                if data is not None:
                    _put_data(connection, run_id, experiment, data)
                return
        self._client().describe(run_id, params, data)

    def log(
        self,
        run_id: str,
        points: Sequence[Point],
        params: Texts,
        tags: Texts,
        durable: bool = True,
    ) -> None:
        """See `Writer.log`."""
        names = {each.name: "" for each in points}
        with writing(self._database, durable) as connection:
            plain = _is_plain({**names, **tags}) and _takes(connection, run_id, params)
            if plain and _active(connection, run_id) is not None:
                _put(connection, "params", run_id, params)
                _put_tags(connection, run_id, tags)
                _put_points(connection, run_id, points)
                return
        self._client().log(run_id, points, params, tags, durable)

    def end(self, run_id: str, status: str, tags: Texts) -> None:
        """See `Writer.end`."""
        with writing(self._database, durable=False) as connection:
            if _active(connection, run_id) is not None and _is_plain(tags):
                _put_tags(connection, run_id, tags)
                ended = "update runs set status = ?, end_time = ? where run_uuid = ?"
                connection.execute(ended, (status, now(), run_id))
                return
        self._client().end(run_id, status, tags)

    def reopen(self, run_id: str, without: str) -> None:
        """See `Writer.reopen`."""
        with writing(self._database, durable=False) as connection:
            connection.execute("update runs set status = 'RUNNING' where run_uuid = ?", (run_id,))
            connection.execute("delete from tags where run_uuid = ? and key = ?", (run_id, without))


@contextmanager
def writing(database: Path, durable: bool) -> Iterator[sqlite3.Connection]:
    """One transaction; a durable one, and all before it, outlasts a power cut.

    Raises:
        DatabaseFailed: it cannot be used.
    """
    try:
        _keep_open(database)
        with closing(_connected(database)) as connection:
            connection.execute(f"pragma synchronous = {'full' if durable else 'normal'}")
            connection.execute("begin immediate")
            try:
                yield connection
            except BaseException:
                connection.execute("rollback")
                raise
            connection.execute("commit")
    except sqlite3.Error as error:
        raise DatabaseFailed(str(error)) from error


def _connected(database: Path) -> sqlite3.Connection:
    address = f"{database.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(
        address, uri=True, timeout=_WAIT, isolation_level=None, check_same_thread=False
    )


def _keep_open(database: Path) -> None:
    """Keep an idle connection: where one that closes is the last, SQLite waits for the disk."""
    if database in _OPEN:
        return
    while len(_OPEN) >= _KEPT:
        _OPEN.pop(next(iter(_OPEN))).close()
    connection = _connected(database)
    connection.execute("select version_num from alembic_version").fetchall()
    _OPEN[database] = connection


@atexit.register
def _close() -> None:
    while _OPEN:
        _OPEN.popitem()[1].close()


def now() -> int:
    """Milliseconds since 1970, UTC."""
    return int(time.time() * 1000)


def _is_plain(texts: Texts) -> bool:
    """Whether MLflow would take names and values as they are."""
    return all(
        len(name) <= 250 and len(value) <= _LONG and _PLAIN.fullmatch(name)
        for name, value in texts.items()
    )


def _place_of(connection: sqlite3.Connection, experiment: str) -> str | None:
    """Where the files of an experiment are; None where MLflow would not make a run there."""
    query = (
        "select artifact_location from experiments"
        " where experiment_id = ? and lifecycle_stage = 'active' and workspace = 'default'"
    )
    found = connection.execute(query, (experiment,)).fetchone()
    usual = found is not None and found[0] and not re.search(r"[?#]|/$", found[0])
    return str(found[0]) if usual else None


def _active(connection: sqlite3.Connection, run_id: str) -> str | None:
    """The experiment of a run; None where it was deleted or there is none."""
    query = "select experiment_id from runs where run_uuid = ? and lifecycle_stage = 'active'"
    found = connection.execute(query, (run_id,)).fetchone()
    return None if found is None else str(found[0])


def _takes(connection: sqlite3.Connection, run_id: str, params: Texts) -> bool:
    """Whether MLflow would take these parameters: none has another value already."""
    query = "select key, value from params where run_uuid = ?"
    known = dict(connection.execute(query, (run_id,)).fetchall())
    return _is_plain(params) and all(
        known.get(name, value) == value for name, value in params.items()
    )


def _put(connection: sqlite3.Connection, table: str, run_id: str, texts: Texts) -> None:
    """Write tags or parameters, each in place of one that was there."""
    connection.executemany(
        f"insert or replace into {table} (run_uuid, key, value) values (?, ?, ?)",
        [(run_id, name, value) for name, value in texts.items()],
    )


def _put_tags(connection: sqlite3.Connection, run_id: str, tags: Texts) -> None:
    """Write tags of a run, which takes the name that one of them gives."""
    _put(connection, "tags", run_id, tags)
    if RUN_NAME in tags:
        rename = "update runs set name = ? where run_uuid = ?"
        connection.execute(rename, (tags[RUN_NAME], run_id))


def _put_points(connection: sqlite3.Connection, run_id: str, points: Sequence[Point]) -> None:
    """Write values, of which a metric's last is that of the highest step, time and value."""
    rows = [(run_id, each.name, *_stored(each.value), each.at, each.step) for each in points]
    columns = "(run_uuid, key, value, is_nan, timestamp, step) values (?, ?, ?, ?, ?, ?)"
    connection.executemany(f"insert into metrics {columns} on conflict do nothing", rows)
    names = ("value", "is_nan", "timestamp", "step")
    newer = ", ".join(f"excluded.{name}" for name in ("step", "timestamp", "value"))
    older = ", ".join(f"latest_metrics.{name}" for name in ("step", "timestamp", "value"))
    connection.executemany(
        f"insert into latest_metrics {columns} on conflict (key, run_uuid) do update set "
        f"{', '.join(f'{name} = excluded.{name}' for name in names)} where ({newer}) > ({older})",
        rows,
    )


def _stored(value: float) -> tuple[float, bool]:
    """A value and whether it is missing, as MLflow has it in its tables."""
    if math.isnan(value):
        return 0.0, True
    return max(-_LARGEST, min(float(value), _LARGEST)), False


def described(data: DataSet) -> tuple[str, str]:
    """Source and profile of a data set, as MLflow keeps them."""
    return json.dumps({"uri": data.source}), json.dumps(dict(data.profile))


def _put_data(connection: sqlite3.Connection, run_id: str, experiment: str, data: DataSet) -> None:
    mine = (int(experiment), data.name, data.digest)
    connection.execute(
        "insert into datasets (experiment_id, name, digest, dataset_uuid, dataset_source_type,"
        " dataset_source, dataset_profile) values (?, ?, ?, ?, 'local', ?, ?)"
        " on conflict do nothing",
        (*mine, uuid4().hex, *described(data)),
    )
    known = "select dataset_uuid from datasets where experiment_id = ? and name = ? and digest = ?"
    (data_id,) = connection.execute(known, mine).fetchone()
    input_id = uuid4().hex
    added = connection.execute(
        "insert into inputs (input_uuid, source_type, source_id, destination_type, destination_id)"
        " values (?, 'DATASET', ?, 'RUN', ?) on conflict do nothing",
        (input_id, data_id, run_id),
    )
    if added.rowcount:
        connection.execute("insert into input_tags values (?, ?, ?)", (input_id, *CONTEXT))
