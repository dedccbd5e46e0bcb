"""Runs that SQL writes are the runs that MLflow's client writes."""

import math
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from tasks.tracking.client import open_client
from tasks.tracking.client_writer import ClientWriter
from tasks.tracking.database import DatabaseFailed
from tasks.tracking.experiments import experiment_id
from tasks.tracking.recorded import DataSet
from tasks.tracking.writing import (
    DatabaseWriter,
    NewRun,
    Point,
    Writer,
    open_writer,
)
from tasks.workspace.layout import Workspace

DATA = DataSet("music/plays.tsv", "abcd1234", "/data/music/plays.tsv", {"users": 3})
PARAMS = {"factors": "8", "study.metric": "ndcg@10", "note": "Þórir 'quotes' \"them\""}
TAGS = {"mlflow.parentRunId": "ab" * 16, "trial": "0", "error": "x" * 4900}
MINE = {  # the columns of a run's rows that do not differ between runs
    "runs": "name, source_type, source_name, entry_point_name, user_id, status, end_time is null,"
    " source_version, lifecycle_stage, experiment_id, deleted_time",
    "tags": "key, value",
    "params": "key, value",
    "metrics": "key, value, timestamp, step, is_nan",
    "latest_metrics": "key, value, timestamp, step, is_nan",
}


@pytest.fixture
def writers(tracked: Workspace) -> tuple[Writer, DatabaseWriter]:
    """Both, on one workspace."""
    client = ClientWriter(tracked)
    database = open_writer(tracked)
    assert isinstance(database, DatabaseWriter)
    return client, database


def new(workspace: Workspace, **changed: Any) -> NewRun:
    experiment = experiment_id(workspace, Path("/data/music/plays.tsv"))
    table = {"name": "trial 000", "params": PARAMS, "tags": TAGS, "data": DATA}
    return NewRun(experiment, **{**table, **changed})


def rows(workspace: Workspace, run_id: str) -> dict[str, list[Any]]:
    """All that the database has about a run."""
    data = (
        "select d.name, digest, dataset_source_type, dataset_source, dataset_schema,"
        " dataset_profile, i.source_type, destination_type, step, t.name, t.value from inputs i"
        " join datasets d on dataset_uuid = source_id left join input_tags t using (input_uuid)"
        " where destination_id = ?"
    )
    queries = {t: f"select {what} from {t} where run_uuid = ?" for t, what in MINE.items()}
    with closing(sqlite3.connect(workspace.tracking_database)) as connection:
        return {
            name: sorted(connection.execute(query, [run_id]).fetchall(), key=str)
            for name, query in {**queries, "data": data}.items()
        }


def life(writer: Writer, asked: NewRun) -> str:
    """A run with all that a trial writes."""
    run_id, _ = writer.create(asked)
    writer.describe(run_id, asked.params, asked.data)
    values = [0.5, math.nan, math.inf, -math.inf, 0.0, 1e-300]
    finals = [Point(f"validation/m{n}_at_10", value, 1000, 0) for n, value in enumerate(values)]
    curve = [Point("curve/loss", 1 / n, 1000, n) for n in range(1, 1100)]
    writer.log(run_id, [*finals, *curve], {"iterations": "7"}, {"beaten": ""})
    writer.log(run_id, [Point("curve/loss", 9.0, 2000, 3)], {}, {})  # not the last step
    writer.log(run_id, [Point("curve/loss", 9.0, 2000, 3)], {}, {"beaten": "yes"})  # twice
    writer.log(run_id, [], {}, {})
    writer.log(run_id, [], {}, {"mlflow.runName": "als 0.5 trial 3"})
    writer.end(run_id, "KILLED", {"state": "pruned", "mlflow.runName": "als pruned"})
    return run_id


def test_both_writers_leave_the_same_rows(
    tracked: Workspace, writers: tuple[Writer, DatabaseWriter]
) -> None:
    expected, found = (rows(tracked, life(each, new(tracked))) for each in writers)

    assert found == expected
    assert len(found["metrics"]) == 6 + 1099 + 1
    assert len(found["data"]) == 1


def test_files_of_both_lie_in_the_same_place(
    tracked: Workspace, writers: tuple[Writer, DatabaseWriter]
) -> None:
    for writer in writers:
        run_id, uri = writer.create(new(tracked))

        assert uri == open_client(tracked).get_run(run_id).info.artifact_uri


@pytest.mark.parametrize(
    "odd",
    [{"params": {"a" * 300: ""}}, {"tags": {"long": "x" * 9000}}, {"params": {"../up": "1"}}],
    ids=["long name", "long value", "a path"],
)
def test_what_mlflow_may_refuse_or_cut_it_is_asked_about(
    tracked: Workspace, writers: tuple[Writer, DatabaseWriter], odd: dict[str, Any]
) -> None:
    def outcome(writer: Writer) -> Any:
        try:
            return rows(tracked, writer.create(new(tracked, **odd))[0])
        except MlflowException as error:
            return str(error)

    expected, found = map(outcome, writers)

    assert found == expected


def test_a_parameter_keeps_its_value(
    tracked: Workspace, writers: tuple[Writer, DatabaseWriter]
) -> None:
    for writer in writers:
        run_id, _ = writer.create(new(tracked))
        with pytest.raises(MlflowException, match="factors"):
            writer.log(run_id, [], {"factors": "9"}, {})

        assert dict(rows(tracked, run_id)["params"])["factors"] == "8"


@pytest.mark.parametrize(
    "write",
    [
        lambda writer, run: writer.log(run, [Point("a", 1.0, 1, 0)], {}, {}),
        lambda writer, run: writer.describe(run, {"a": "1"}, None),
        lambda writer, run: writer.end(run, "FINISHED", {}),
    ],
    ids=["log", "describe", "end"],
)
def test_a_deleted_run_takes_nothing(
    tracked: Workspace,
    writers: tuple[Writer, DatabaseWriter],
    write: Callable[[Writer, str], None],
) -> None:
    for writer in writers:
        run_id, _ = writer.create(new(tracked))
        open_client(tracked).delete_run(run_id)
        with pytest.raises(MlflowException, match="must be in the 'active' state"):
            write(writer, run_id)


def test_a_deleted_experiment_gets_no_run(
    tracked: Workspace, writers: tuple[Writer, DatabaseWriter]
) -> None:
    asked = new(tracked)
    open_client(tracked).delete_experiment(asked.experiment)
    for writer in writers:
        with pytest.raises(MlflowException, match="active"):
            writer.create(asked)


def test_many_workers_write_at_once(
    tracked: Workspace, writers: tuple[Writer, DatabaseWriter]
) -> None:
    asked = new(tracked)
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: life(writers[1], asked), range(16)))

    assert len(set(made)) == 16
    assert len({str(rows(tracked, run_id)) for run_id in made}) == 1


def test_an_unknown_schema_is_left_to_mlflow(tracked: Workspace) -> None:
    open_client(tracked)
    with closing(sqlite3.connect(tracked.tracking_database)) as connection:
        connection.execute("update alembic_version set version_num = 'newer'")
        connection.commit()

    assert isinstance(open_writer(tracked), ClientWriter)


def test_a_database_that_is_gone_is_not_made_again(
    tracked: Workspace, writers: tuple[Writer, DatabaseWriter], tmp_path: Path
) -> None:
    asked = new(tracked)
    lost = DatabaseWriter(tmp_path / "lost.db", lambda: writers[0])

    with pytest.raises(DatabaseFailed, match="unable to open database file"):
        lost.create(asked)
    assert not (tmp_path / "lost.db").exists()


def test_a_run_that_cannot_be_written_whole_is_not_there(
    tracked: Workspace, writers: tuple[Writer, DatabaseWriter]
) -> None:
    odd = DataSet("music/plays.tsv", "abcd1234", "/data/music/plays.tsv", {"users": object()})
    with pytest.raises(TypeError, match="not JSON serializable"):
        writers[1].create(new(tracked, data=odd))

    with closing(sqlite3.connect(tracked.tracking_database)) as connection:
        assert connection.execute("select count(*) from runs").fetchone() == (0,)


def test_values_wait_for_the_disk_and_what_recovery_repeats_does_not(
    tracked: Workspace, writers: tuple[Writer, DatabaseWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    connect = sqlite3.connect

    def traced(*given: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*given, **more)
        connection.set_trace_callback(
            lambda text: said.append(text) if "synchronous" in text else None
        )
        return connection

    asked = new(tracked)
    monkeypatch.setattr(sqlite3, "connect", traced)
    run_id, _ = writers[1].create(asked)
    writers[1].log(run_id, [Point("a", 1.0, 1, 0)], {}, {})
    writers[1].log(run_id, [Point("best/a", 1.0, 1, 0)], {}, {}, durable=False)
    writers[1].end(run_id, "FINISHED", {})

    assert [text.rpartition(" ")[2] for text in said] == ["normal", "full", "normal", "normal"]
