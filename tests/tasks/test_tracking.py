import json
import math
import threading
from pathlib import Path
from urllib.parse import parse_qs, unquote

import numpy as np
import pytest
from mlflow import MlflowClient

from recsys.errors import InputError
from tasks.tracking import (
    DataSet,
    Run,
    compare_url,
    end_run,
    end_unfinished,
    experiment_id,
    metric_name,
    open_client,
    reopen_run,
    start_run,
)
from tasks.workspace import Workspace
from tests.tasks.conftest import Opened

EXPERIMENT = Path("/listens/plays.tsv")  # not the one that the shared database holds
DATA = DataSet("music/plays.tsv", "abcd1234", "/data/music/plays.tsv", {"users": 3, "items": 4})


def started(workspace: Workspace, parent: str | None = None, name: str = "trial 000") -> Run:
    experiment = experiment_id(workspace, EXPERIMENT)
    tags = {"study": "s", "trial": "0", "data": "abcd"}
    return start_run(workspace, experiment, name, {"factors": 8}, tags, DATA, parent)


def names_of_files(run: Run, folder: str | None = None) -> set[str]:
    return {file.path for file in run.client.list_artifacts(run.id, folder)}


def test_two_processes_that_open_a_fresh_workspace_at_once_share_one_experiment(
    opened_at_once: Opened,
) -> None:
    assert opened_at_once.codes == [0, 0], opened_at_once.errors
    assert opened_at_once.said[0] == opened_at_once.said[1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("validation/ndcg@10", "validation/ndcg_at_10"), ("curve/loss", "curve/loss")],
)
def test_metric_names_have_no_at_sign(name: str, expected: str) -> None:
    assert metric_name(name) == expected


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

    run.files(folder)
    run.files(folder / "factors", "again")

    assert names_of_files(run) == {"again", "factors", "note.txt"}
    (kept,) = tracked.artifacts.rglob("factors/users.npy")
    assert np.load(kept, allow_pickle=False).tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    run.drop("factors")
    assert names_of_files(run) == {"again", "note.txt"}
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


def test_taking_back_what_was_never_attached_changes_nothing(tracked: Workspace) -> None:
    run = started(tracked)

    run.drop("factors")

    assert names_of_files(run) == set()


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


def test_a_run_can_be_opened_again_and_then_tells_nothing_of_the_old_error(
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

    end_run(tracked, run.id, "KILLED", {"error": "its process died"})

    found = run.client.get_run(run.id)
    assert found.info.status == "KILLED"
    assert found.data.tags["error"] == "its process died"


def test_only_the_unfinished_children_of_one_parent_are_ended(tracked: Workspace) -> None:
    parent, other = started(tracked, name="one"), started(tracked, name="other")
    open_one, theirs = started(tracked, parent.id), started(tracked, other.id)
    finished = started(tracked, parent.id)
    finished.end("FINISHED")

    end_unfinished(tracked, experiment_id(tracked, EXPERIMENT), parent.id, "cut off")

    found = [open_client(tracked).get_run(r.id) for r in (open_one, theirs, finished, parent)]
    assert [r.info.status for r in found] == ["KILLED", "RUNNING", "FINISHED", "RUNNING"]
    assert found[0].data.tags["error"] == "cut off"


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


def test_a_run_that_was_deleted_is_not_gone_on_with(tracked: Workspace) -> None:
    run = started(tracked)
    run.client.delete_run(run.id)

    with pytest.raises(InputError, match=f"{run.id}.*was deleted.*--study"):
        reopen_run(tracked, run.id)


def test_the_compare_address_holds_the_runs_and_their_experiment() -> None:
    url = compare_url("7", ["aa11", "bb22"])

    assert url.startswith("http://127.0.0.1:5000/#/compare-runs?")
    assert not set(url) & set('"[] ')
    query = parse_qs(url.partition("?")[2])
    assert json.loads(query["runs"][0]) == ["aa11", "bb22"]
    assert json.loads(unquote(query["experiments"][0])) == ["7"]
