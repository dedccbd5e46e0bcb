"""The two readers of what MLflow has recorded give the same answers."""

import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tasks.tracking import client_reader, reading
from tasks.tracking.client import open_client
from tasks.tracking.client_reader import ClientReader
from tasks.tracking.reading import SCHEMA, DatabaseReader, open_reader, schema_of
from tasks.tracking.recorded import PARENT_RUN, Recorded
from tasks.workspace.layout import Workspace
from tests.conftest import copy_database

QUOTED = "it's `odd`"  # a value that MLflow's queries cannot express
Ask = Callable[[Any], Any]  # a Reader; Any, as its answers may be None


def fill_runs(client: MlflowClient) -> None:
    """Runs of three experiments, of which the last is deleted; a run of the second is, too."""
    first, second, gone = (client.create_experiment(name) for name in ("a/plays", "b", "gone"))
    study = client.create_run(first, 2_000, {"stage": "study", "study": QUOTED}, "the study")
    parent = study.info.run_id
    client.log_param(parent, "study.metric", "ndcg@10")
    runs = [parent]
    for n in range(5):  # two of them began at one time
        tags = {"stage": "final", "study": QUOTED, PARENT_RUN: parent, "model": f"als {n % 2}"}
        run = client.create_run(first, 3_000 + n // 2, tags, f"final {n}").info.run_id
        for step in range(3):
            client.log_metric(run, "test/ndcg_at_10", n + step / 10, step=step)
        client.log_metric(run, "whole", n)
        client.log_metric(run, "nan", math.nan)
        client.log_metric(run, "inf", math.inf)
        client.log_param(run, "factors", "8")
        client.set_terminated(run, "FAILED" if n == 4 else "FINISHED")
        runs.append(run)
    for experiment in (second, second, gone):
        tags = {"stage": "final", "study": "other", "empty": ""}
        run = client.create_run(experiment, 1_000, tags).info.run_id
        client.set_terminated(run, "FINISHED")
        runs.append(run)
    client.delete_run(runs[6])
    client.delete_experiment(gone)
    client.restore_run(runs[8])  # it was deleted with its experiment


def fill_registry(client: MlflowClient) -> None:
    """A model with versions, one of them deleted, and one without."""
    for name in ("recsys", "empty"):
        client.create_registered_model(name)
    for n in range(1, 4):
        tags = {"number": str(n), "quoted": QUOTED}
        client.create_model_version("recsys", f"/files/{n}", tags=tags)
    client.set_registered_model_alias("recsys", "champion", "3")
    client.set_registered_model_alias("recsys", "previous", "1")
    client.delete_model_version("recsys", "2")


@pytest.fixture(scope="module")
def filled(mlflow_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace.at(tmp_path_factory.mktemp("read") / "a #%25 'folder'")
    copy_database(mlflow_database, workspace.tracking_database)
    client = open_client(workspace)
    fill_runs(client)
    fill_registry(client)
    return workspace


@pytest.fixture
def runs(filled: Workspace) -> list[str]:
    """Ids of all runs, in the order they were made."""
    with closing(sqlite3.connect(filled.tracking_database)) as connection:
        return [run for (run,) in connection.execute("select run_uuid from runs order by rowid")]


def plain(answer: Any) -> Any:
    """An answer that can be compared: nan equals itself."""
    if isinstance(answer, Recorded):
        metrics = {name: repr(value) for name, value in answer.metrics.items()}
        return replace(answer, metrics=metrics)
    return [plain(each) for each in answer] if isinstance(answer, list | Iterator) else answer


QUESTIONS: dict[str, tuple[Ask, int]] = {
    "all runs": (lambda reader: reader.runs({}), 7),
    "finished": (lambda reader: reader.runs({"stage": "final"}, status="FINISHED"), 5),
    "failed": (lambda reader: reader.runs({"study": QUOTED}, status="FAILED"), 1),
    "quoted": (lambda reader: reader.runs({"stage": "study", "study": QUOTED}), 1),
    "two tags": (lambda reader: reader.runs({"study": QUOTED, "model": "als 1"}), 2),
    "an empty value": (lambda reader: reader.runs({"empty": ""}), 1),
    "another case": (lambda reader: reader.runs({"stage": "FINAL"}), 0),
    "experiment": (lambda reader: reader.runs({}, experiment="2"), 1),
    "deleted experiment": (lambda reader: reader.runs({}, experiment="3", status="FINISHED"), 1),
    "no ids": (lambda reader: reader.runs({}, ids=[]), 0),
    "unknown id": (lambda reader: reader.runs({}, ids=["0" * 32]), 0),
    "no such run": (lambda reader: [reader.run(each) for each in ("0" * 32, "no id", "'")], 3),
    "aliases": (lambda reader: sorted(reader.aliases("recsys").items()), 2),
    "no aliases": (lambda reader: reader.aliases("empty"), 0),
    "no such model": (lambda reader: [reader.aliases("unknown"), reader.aliases("")], 2),
    "versions": (lambda reader: sorted(reader.versions("recsys"), key=lambda e: e.number), 2),
    "no versions": (lambda reader: reader.versions("empty"), 0),
}


@pytest.mark.parametrize("page", [2, 100])
@pytest.mark.parametrize("question", QUESTIONS)
def test_both_readers_answer_alike(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch, question: str, page: int
) -> None:
    for module in (reading, client_reader):
        monkeypatch.setattr(module, "_PAGE", page)
    ask, size = QUESTIONS[question]

    quick = plain(list(ask(DatabaseReader(filled.tracking_database))))

    assert quick == plain(list(ask(ClientReader(filled))))
    assert len(quick) == size


def test_both_readers_find_each_run_by_its_id(filled: Workspace, runs: list[str]) -> None:
    quick, client = DatabaseReader(filled.tracking_database), ClientReader(filled)

    by_id = [plain(quick.run(run)) for run in runs]
    assert by_id == [plain(client.run(run)) for run in runs]
    assert [run.deleted for run in by_id] == [number == 6 for number in range(len(runs))]
    assert by_id[1].metrics["nan"] == "nan"
    assert plain(quick.runs({}, ids=runs)) == plain(client.runs({}, ids=runs))


def test_a_database_of_our_mlflow_is_read_without_it(filled: Workspace) -> None:
    assert schema_of(filled.tracking_database) == SCHEMA
    assert isinstance(open_reader(filled), DatabaseReader)
    assert PARENT_RUN == MLFLOW_PARENT_RUN_ID


@pytest.mark.parametrize("state", ["another schema", "no schema", "no database"])
def test_whatever_else_is_asked_through_the_client(
    tracked: Workspace, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(client_reader, "reading_client", lambda workspace: "a client")
    change = {"another schema": "update alembic_version set version_num = 'f00'"}
    with closing(sqlite3.connect(tracked.tracking_database)) as connection, connection:
        connection.execute(change.get(state, "delete from alembic_version"))
    if state == "no database":
        tracked.tracking_database.unlink()
        tracked.tracking_database.write_bytes(b"text" * 2000)

    assert isinstance(open_reader(tracked), ClientReader)


def test_a_database_that_is_missing_is_not_made_to_be_read(tracked: Workspace) -> None:
    tracked.tracking_database.unlink()

    reader = open_reader(tracked)

    assert (reader.run("0" * 32), list(reader.runs({})), reader.versions("recsys")) == (
        None,
        [],
        [],
    )
    assert reader.aliases("recsys") is None
    assert not tracked.tracking_database.exists()


def test_a_server_is_asked_through_the_client(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_reader, "reading_client", lambda workspace: "a client")

    assert isinstance(open_reader(replace(filled, tracking="http://mlflow:5000")), ClientReader)


def test_a_reader_waits_for_no_writer_and_sees_one_state(
    filled: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PAGE", 1)
    database = workspace.tracking_database
    copy_database(filled.tracking_database, database)
    reader = DatabaseReader(database)
    before = plain(reader.runs({}))
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("pragma journal_mode = wal")  # as `tasks.tracking.client` sets it
        writer.execute("begin immediate")
        writer.execute("update tags set value = 'changed'")
        during = reader.runs({})
        pages = [next(during)]
        writer.commit()
        pages += during
        after = list(reader.runs({}))

    assert plain(pages) == before
    assert {run.tags["study"] for run in after} == {"changed"}
