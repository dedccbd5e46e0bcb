import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, unquote

import numpy as np
import pytest
from mlflow import MlflowClient

from recsys.errors import InputError
from tasks.tracking import database as database_module
from tasks.tracking.client import open_client
from tasks.tracking.copying import copy_run, delete_runs
from tasks.tracking.experiments import experiment_id
from tasks.tracking.queries import children, find_running_study, running_children
from tasks.tracking.recorded import DataSet, metric_name
from tasks.tracking.runs import MEASURED, Run, compare_url, find_measured, reopen_run, start_run
from tasks.workspace import empty
from tasks.workspace.layout import Workspace

EXPERIMENT = Path("/listens/plays.tsv")  # not the one that the shared database holds
DATA = DataSet("music/plays.tsv", "abcd1234", "/data/music/plays.tsv", {"users": 3, "items": 4})


def started(workspace: Workspace, parent: str | None = None, name: str = "trial 000") -> Run:
    experiment = experiment_id(workspace, EXPERIMENT)
    tags = {"study": "s", "trial": "0", "data": "abcd"}
    return start_run(workspace, experiment, name, {"factors": 8}, tags, DATA, parent)


def names_of_files(run: Run, folder: str | None = None) -> set[str]:
    return {file.path for file in run.client.list_artifacts(run.id, folder)}


OPEN = """
import sys
from pathlib import Path
from tasks.tracking.experiments import experiment_id
from tasks.workspace.layout import Workspace
print("ready", flush=True)
sys.stdin.readline()
print(experiment_id(Workspace.at(Path(sys.argv[1])), Path("/music/plays.tsv")))
"""


@pytest.mark.slow
def test_two_processes_that_open_a_fresh_workspace_at_once_share_one_experiment(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path / "mlruns")]
    pipe = subprocess.PIPE
    both = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    (one, errors), (other, more_errors) = (process.communicate(timeout=120) for process in both)

    assert [process.returncode for process in both] == [0, 0], errors + more_errors
    assert one == other


def test_a_run_holds_its_parameters_tags_name_and_data_set(tracked: Workspace) -> None:
    experiment = experiment_id(tracked, EXPERIMENT)
    params = {"factors": 64, "alpha": 0.5, "weighting": "log", "seed": 0}

    run = start_run(tracked, experiment, "trial 007", params, {"trial": "7"}, DATA)

    found = open_client(tracked).get_run(run.id)
    assert found.info.run_name == "trial 007"
    assert found.info.status == "RUNNING"
    assert found.data.params == {
        "factors": "64",
        "alpha": "0.5",
        "weighting": "log",
        "seed": "0",
    }
    assert found.data.tags["trial"] == "7"
    assert found.inputs is not None
    (used,) = found.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("music/plays.tsv", "abcd1234")
    assert json.loads(used.dataset.source) == {"uri": "/data/music/plays.tsv"}
    assert json.loads(used.dataset.profile or "") == {"users": 3, "items": 4}


def test_a_run_with_a_parent_is_its_child(tracked: Workspace) -> None:
    parent = started(tracked)
    child = started(tracked, parent.id)

    tags = open_client(tracked).get_run(child.id).data.tags
    assert tags["mlflow.parentRunId"] == parent.id


def test_curves_keep_their_steps_and_values(tracked: Workspace) -> None:
    run = started(tracked)

    run.log_curves(
        {
            "curve/loss": [(1, 0.5), (2, 0.25)],
            "curve/ndcg@10": [(1, 0.1), (2, 0.2)],
            "validation/ndcg@10": [(0, 0.2)],
        }
    )

    def points(name: str) -> list[tuple[int, float]]:
        return [(m.step, m.value) for m in run.client.get_metric_history(run.id, name)]

    assert points("curve/loss") == [(1, 0.5), (2, 0.25)]
    assert points("curve/ndcg_at_10") == [(1, 0.1), (2, 0.2)]
    assert points("validation/ndcg_at_10") == [(0, 0.2)]


def test_more_points_than_a_batch_may_hold_are_all_recorded(tracked: Workspace) -> None:
    run = started(tracked)
    curve = [(step, math.sqrt(step)) for step in range(2_500)]

    run.log_curves({"curve/loss": curve}, tags={"long": "yes"})

    history = run.client.get_metric_history(run.id, "curve/loss")
    assert [(m.step, m.value) for m in history] == curve
    assert run.client.get_run(run.id).data.tags["long"] == "yes"


def test_values_at_one_step_and_tags_alone_can_be_recorded(tracked: Workspace) -> None:
    run = started(tracked)

    run.log({"best/ndcg@10": 0.3}, step=4)
    run.log({}, tags={"best_trial": "4"})

    (point,) = run.client.get_metric_history(run.id, "best/ndcg_at_10")
    assert (point.step, point.value) == (4, 0.3)
    assert run.client.get_run(run.id).data.tags["best_trial"] == "4"


def test_files_are_attached_below_the_workspace_and_can_be_taken_back(
    tracked: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    (folder / "factors").mkdir(parents=True)
    np.save(folder / "factors" / "users.npy", np.arange(6.0).reshape(2, 3))
    (folder / "note.txt").write_text("note", encoding="utf-8")
    run = started(tracked)

    run.files(folder, "first")
    assert not [path for path in folder.rglob("*") if path.is_file()]  # moved, not copied
    assert names_of_files(run) == {"first"}
    (kept,) = tracked.artifacts.rglob("first/factors/users.npy")
    assert np.load(kept, allow_pickle=False).tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]

    run.drop("first/factors")

    assert names_of_files(run, "first") == {"first/note.txt"}
    assert not list(tracked.artifacts.rglob("factors"))


@pytest.mark.parametrize("name", ["a/b.tsv", "50%2F/ö x.tsv", "../up.tsv"])
def test_files_can_be_taken_back_whatever_the_name_of_the_data(
    tracked: Workspace, tmp_path: Path, name: str
) -> None:
    (tmp_path / "made" / "factors").mkdir(parents=True)
    (tmp_path / "made" / "factors" / "users.npy").touch()
    run = start_run(tracked, experiment_id(tracked, Path("/", name)), "r", {}, {}, DATA)
    run.files(tmp_path / "made")

    run.drop("factors")

    assert names_of_files(run) == set()
    assert not list(tmp_path.rglob("mlruns/**/factors"))


def test_a_run_that_ends_well_is_finished(tracked: Workspace) -> None:
    run = started(tracked)
    with run.closing():
        pass

    found = run.client.get_run(run.id)
    assert found.info.status == "FINISHED"
    assert found.info.end_time >= found.info.start_time
    assert "error" not in found.data.tags


def test_a_run_that_fails_is_failed_with_its_error_and_raises_it(tracked: Workspace) -> None:
    run = started(tracked)
    with pytest.raises(ZeroDivisionError), run.closing():
        raise ZeroDivisionError("by 0")

    found = run.client.get_run(run.id)
    assert found.info.status == "FAILED"
    assert found.data.tags["error"] == "ZeroDivisionError: by 0"


def test_an_error_of_any_length_fits_into_its_tag(tracked: Workspace) -> None:
    run = started(tracked)
    with pytest.raises(ValueError, match="xxx"), run.closing():
        raise ValueError("x" * 100_000)

    assert run.client.get_run(run.id).data.tags["error"].startswith("ValueError: xxx")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_a_run_that_is_interrupted_is_killed(
    tracked: Workspace, interrupt: type[BaseException]
) -> None:
    run = started(tracked)
    with pytest.raises(interrupt), run.closing():
        raise interrupt

    found = run.client.get_run(run.id)
    assert found.info.status == "KILLED"
    assert found.data.tags["error"] == "interrupted"


def test_a_run_that_is_interrupted_as_it_ends_is_killed(
    tracked: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Run, status: str, tags: Mapping[str, str] | None = None) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    run = started(tracked)
    monkeypatch.setattr(Run, "end", interrupted)
    with pytest.raises(KeyboardInterrupt), run.closing():
        pass

    assert run.client.get_run(run.id).info.status == "KILLED"


def test_a_reopened_run_has_no_old_error(
    tracked: Workspace,
) -> None:
    run = started(tracked)
    with pytest.raises(KeyboardInterrupt), run.closing():
        raise KeyboardInterrupt

    with reopen_run(tracked, run.id).closing():
        assert run.client.get_run(run.id).info.status == "RUNNING"

    found = run.client.get_run(run.id)
    assert found.info.status == "FINISHED"
    assert "error" not in found.data.tags


def test_a_run_that_another_process_left_open_can_be_closed(tracked: Workspace) -> None:
    run = started(tracked)

    Run.of(tracked, run.id).end("KILLED", {"error": "its process died"})

    found = run.client.get_run(run.id)
    assert found.info.status == "KILLED"
    assert found.data.tags["error"] == "its process died"


def test_a_parent_knows_its_children_and_those_that_are_open(tracked: Workspace) -> None:
    parent, other = started(tracked, name="one"), started(tracked, name="other")
    left, theirs = started(tracked, parent.id), started(tracked, other.id)
    also_left, finished = started(tracked, parent.id), started(tracked, parent.id)
    finished.end("FINISHED")
    experiment = experiment_id(tracked, EXPERIMENT)

    assert set(running_children(tracked, experiment, parent.id)) == {left.id, also_left.id}
    every = children(tracked, experiment, parent.id)
    assert set(every) == {left.id, also_left.id, finished.id}
    assert every[left.id]["study"] == "s"
    assert set(running_children(tracked, experiment, other.id)) == {theirs.id}


def test_an_open_run_of_a_study_is_found_by_its_name_alone(tracked: Workspace) -> None:
    experiment = experiment_id(tracked, EXPERIMENT)
    tags = {"study": "s", "stage": "study"}
    run = start_run(tracked, experiment, "s", {}, tags, DATA)
    started(tracked, run.id)  # a trial of it is none

    assert find_running_study(tracked, experiment, "s") == run.id
    assert find_running_study(tracked, experiment, "other") is None
    run.end("KILLED")
    assert find_running_study(tracked, experiment, "s") is None


def measuring(workspace: Workspace, key: str, parent: str | None = None) -> Run:
    experiment = experiment_id(workspace, EXPERIMENT)
    return start_run(workspace, experiment, "r", {}, {MEASURED: key}, DATA, parent)


def test_the_finished_runs_that_measured_the_same_are_found_oldest_first(
    tracked: Workspace,
) -> None:
    experiment = experiment_id(tracked, EXPERIMENT)
    parent = started(tracked)
    running, failed, first, second = (measuring(tracked, "key") for _ in range(4))
    other, child = measuring(tracked, "other key"), measuring(tracked, "key", parent.id)
    assert find_measured(tracked, experiment, "key") == []
    failed.end("FAILED")
    for run in (second, first, other, child):
        run.end("FINISHED")

    found = find_measured(tracked, experiment, "key")
    under = find_measured(tracked, experiment, "key", parent.id)

    assert [run.id for run in found] == [first.id, second.id, child.id]
    assert [run.id for run in under] == [child.id]
    assert find_measured(tracked, experiment, "key", first.id) == []
    assert find_measured(tracked, experiment, "no key") == []
    assert running.client.get_run(running.id).info.status == "RUNNING"


def test_a_run_is_known_by_its_id_in_every_thread(tracked: Workspace) -> None:
    run = started(tracked)
    thread = threading.Thread(target=lambda: run.log({"value": 1.0}))
    thread.start()
    thread.join()

    assert run.client.get_run(run.id).data.metrics == {"value": 1.0}


def test_an_experiment_keeps_its_id_and_its_own_folder_of_artifacts(tracked: Workspace) -> None:
    one, again = (experiment_id(tracked, Path("/a b/ö.tsv")) for _ in range(2))
    other = experiment_id(tracked, Path("/c/d.tsv"))

    assert one == again != other
    client: MlflowClient = open_client(tracked)
    places = [client.get_experiment(each).artifact_location for each in (one, other)]
    assert places[0] != places[1]
    assert all(Path(place.removeprefix("file://")).parent == tracked.artifacts for place in places)


def test_files_of_one_name_in_folders_of_one_name_have_their_own_experiments(
    tracked: Workspace,
) -> None:
    places = [Path("/one/data/plays.tsv"), Path("/two/data/plays.tsv")]

    ids = [[experiment_id(tracked, path) for path in places] for _ in range(2)]

    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


def test_an_experiment_that_was_deleted_comes_back_with_its_data_set(tracked: Workspace) -> None:
    path = Path("/deleted/plays.tsv")
    experiment = experiment_id(tracked, path)
    open_client(tracked).delete_experiment(experiment)

    again = experiment_id(tracked, path)

    assert again == experiment
    assert start_run(tracked, again, "r", {}, {}, DATA).id


def test_a_deleted_run_is_not_resumed(tracked: Workspace) -> None:
    run = started(tracked)
    run.client.delete_run(run.id)

    with pytest.raises(InputError, match=f"{run.id}.*was deleted.*--study"):
        reopen_run(tracked, run.id)


def test_the_compare_address_is_at_the_server_where_one_is_used(tmp_path: Path) -> None:
    team = Workspace(tmp_path, tracking="http://mlflow:5000/")

    assert compare_url(team, "7", ["aa11"]).startswith("http://mlflow:5000/#/compare-runs?")


def test_the_compare_address_holds_the_runs_and_their_experiment(tmp_path: Path) -> None:
    url = compare_url(Workspace(tmp_path), "7", ["aa11", "bb22"])

    assert url.startswith("http://127.0.0.1:5000/#/compare-runs?")
    assert not set(url) & set('"[] ')
    query = parse_qs(url.partition("?")[2])
    assert json.loads(query["runs"][0]) == ["aa11", "bb22"]
    assert json.loads(unquote(query["experiments"][0])) == ["7"]
    assert query["workflowType"] == ["machine_learning"]


def folder_of(place: Path, **texts: str) -> Path:
    """A folder with a file for each text; __ stands for a deeper folder."""
    for name, text in texts.items():
        path = place / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return place


def test_attached_files_and_their_names_are_on_disk_for_good(
    tracked: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(tracked)
    folder = folder_of(tmp_path / "made", one="1", deep__two="2")
    synced: set[tuple[int, int]] = set()
    real = os.fsync

    def noting(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.add((status.st_dev, status.st_ino))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noting)

    run.files(folder, "into")

    (place,) = tracked.artifacts.rglob(f"{run.id}/artifacts")
    written = [place / "into" / name for name in ("", "one", "deep", "deep/two")]
    for path in (*written, place, place.parent, place.parent.parent):
        status = path.stat()
        assert (status.st_dev, status.st_ino) in synced, path


def test_an_attached_file_is_whole_or_not_there(
    tracked: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A move within a file system is one step; a copy that was killed would leave a half."""
    run = started(tracked)
    folder = folder_of(tmp_path / "made", one="1", two="2")
    inodes = {path.name: path.stat().st_ino for path in folder.iterdir()}

    run.files(folder)

    (place,) = tracked.artifacts.rglob(f"{run.id}/artifacts")
    assert {path.name: path.stat().st_ino for path in place.iterdir()} == inodes


@pytest.fixture(params=["here", "far"])
def reached(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether attached files are on this machine, or behind a server."""
    if request.param == "far":
        monkeypatch.setattr(Run, "place", lambda self: None)
    return str(request.param)


def test_attached_files_are_found_and_fetched_by_name(
    tracked: Workspace, tmp_path: Path, reached: str
) -> None:
    run = started(tracked)
    assert not run.has("factors")

    run.files(folder_of(tmp_path / "made", one="1", factors__two="2"))

    assert all(run.has(name) for name in ("one", "factors", "factors/two"))
    assert not any(run.has(name) for name in ("two", "factors/one", "absent", "absent/one"))
    assert run.fetch("one", tmp_path / "a").read_text(encoding="utf-8") == "1"
    assert (run.fetch("factors", tmp_path / "b") / "two").read_text(encoding="utf-8") == "2"
    assert (run.fetch("", tmp_path / "c") / "factors" / "two").exists()
    assert (tmp_path / "b").exists() == (reached == "far")
    run.drop("factors")
    assert not run.has("factors")
    assert run.has("one")


def test_a_copy_has_the_values_the_curves_and_the_files_of_its_source_and_a_link_to_it(
    tracked: Workspace, tmp_path: Path, reached: str
) -> None:
    source, target = started(tracked), started(tracked, name="copy")
    curves = {"curve/loss": [(1, 0.5), (2, 0.25)], "curve/ndcg@5": [(1, 0.1), (2, 0.3)]}
    source.log_curves({**curves, "validation/ndcg@5": [(0, 0.1 + 0.2)]})
    source.files(folder_of(tmp_path / "made", one="1", factors__two="2"))
    source.end("FINISHED")

    copied = copy_run(source, target, tmp_path / "scratch")

    run = target.client.get_run(target.id)
    assert run.data.metrics == source.client.get_run(source.id).data.metrics
    for name, expected in curves.items():
        history = target.client.get_metric_history(target.id, metric_name(name))
        assert [(m.step, m.value) for m in history] == expected
        assert copied.curves[metric_name(name)] == expected
    assert copied.metrics["validation/ndcg_at_5"] == 0.1 + 0.2
    assert copied.params == {"factors": "8"}
    assert run.data.tags["source_run"] == source.id
    assert run.data.tags["source_factors"].endswith(f"{source.id}/artifacts/factors")
    assert run.info.status == "RUNNING"
    delete_runs(tracked, [source.id])
    assert target.fetch("one", tmp_path / "a").read_text(encoding="utf-8") == "1"
    assert (target.fetch("factors", tmp_path / "b") / "two").read_text(encoding="utf-8") == "2"


def test_a_linked_copy_takes_no_room_and_one_that_cannot_be_linked_is_copied(
    tracked: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, linked, copied = (started(tracked) for _ in range(3))
    source.files(folder_of(tmp_path / "made", one="1"))
    copy_run(source, linked, tmp_path)

    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    copy_run(source, copied, tmp_path)

    first, second, third = (run.fetch("one", tmp_path) for run in (source, linked, copied))
    assert first.samefile(second)
    assert not first.samefile(third)
    assert third.read_text(encoding="utf-8") == "1"


def test_deleted_runs_are_gone_with_their_files_and_others_stay(
    tracked: Workspace, tmp_path: Path
) -> None:
    gone, stays = started(tracked), started(tracked)
    for run in (gone, stays):
        run.files(folder_of(tmp_path / run.id, one="1"))

    delete_runs(tracked, [gone.id])

    assert gone.client.get_run(gone.id).info.lifecycle_stage == "deleted"
    assert stays.client.get_run(stays.id).info.lifecycle_stage == "active"
    assert not list(tracked.artifacts.rglob(f"{gone.id}/**/one"))
    assert stays.has("one")


def test_it_is_known_at_which_steps_a_metric_has_values(tracked: Workspace) -> None:
    run = started(tracked)
    assert run.steps("best/ndcg@10") == set()

    for step in (4, 0):
        run.log({"best/ndcg@10": 0.3}, step=step)

    assert run.steps("best/ndcg@10") == {0, 4}


def test_a_parameter_can_be_added_and_one_that_was_recorded_stays(tracked: Workspace) -> None:
    run = started(tracked)

    run.params({"iterations": 7})
    run.params({"iterations": 7, "factors": 8})

    assert run.client.get_run(run.id).data.params == {"factors": "8", "iterations": "7"}


def test_the_database_lets_readers_read_while_a_writer_writes(tracked: Workspace) -> None:
    started(tracked)

    with closing(sqlite3.connect(tracked.tracking_database)) as connection:
        (mode,) = connection.execute("pragma journal_mode").fetchone()

    assert mode == "wal"


def test_a_half_made_database_is_made_again_and_a_whole_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no empty one can be kept: MLflow makes its tables itself."""
    database = tmp_path / "mlflow.db"
    monkeypatch.setattr(empty, "KEPT", Path("/dev/null/kept"))

    def killed() -> None:
        with database_module.made_whole(database):
            database.write_text("half of its tables")
            (tmp_path / "mlflow.db-wal").write_text("and more")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    with database_module.made_whole(database):
        assert list(tmp_path.iterdir()) == [tmp_path / "mlflow.making"]
        database.write_text("whole")
    with database_module.made_whole(database):
        assert database.read_text() == "whole"

    assert list(tmp_path.iterdir()) == [database]
