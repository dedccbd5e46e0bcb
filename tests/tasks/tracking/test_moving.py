"""Artifact places of a workspace that was copied or moved, pure and in MLflow's database."""

import shutil
import sqlite3
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from recsys.errors import InputError, MovedWarning
from tasks.tracking import moving
from tasks.tracking.client import open_client
from tasks.tracking.copying import delete_runs
from tasks.tracking.experiments import experiment_id
from tasks.tracking.moving import place_of
from tasks.tracking.recorded import DataSet
from tasks.tracking.runs import Run, start_run
from tasks.workspace.layout import Workspace
from tests.conftest import copy_database

RUN, MODEL = "0123456789abcdef" * 2, "models/m-" + "0123456789abcdef" * 2


def made(folder: Path, tail: str) -> Workspace:
    """A workspace with a database and a folder of artifacts."""
    (folder / tail).mkdir(parents=True)
    Workspace(folder).tracking_database.touch()
    return Workspace.at(folder)


@pytest.mark.parametrize("inner", [RUN, MODEL])
@pytest.mark.parametrize("name", ["new", "with blank", "50% of a#b", "Ünïcødé 音楽", "artifacts"])
@pytest.mark.parametrize("way", ["copied", "moved"])
def test_files_are_found_in_the_present_workspace(
    way: str, name: str, inner: str, tmp_path: Path
) -> None:
    tail = f"artifacts/plays.tsv/{inner}/artifacts"
    old = made(tmp_path / "old 1%" / "artifacts", tail)
    address = (old.root / tail).as_uri()
    assert place_of(old, address) == old.root / tail
    if way == "copied":
        shutil.copytree(old.root, tmp_path / name)
    else:
        old.root.rename(tmp_path / name)

    new = Workspace.at(tmp_path / name)

    assert place_of(new, address) == tmp_path / name / tail
    assert place_of(new, f"{address}/factors") == tmp_path / name / tail / "factors"


def test_a_run_without_files_has_its_place_in_the_present_workspace(tmp_path: Path) -> None:
    address = (tmp_path / f"old/artifacts/plays/{RUN}/artifacts").as_uri()
    new = Workspace.at(tmp_path / "new")

    assert place_of(new, address) == new.root / f"artifacts/plays/{RUN}/artifacts"


@pytest.mark.parametrize(
    "address",
    ["s3://bucket/artifacts/plays/run/artifacts", "mlflow-artifacts:/1/run/artifacts", "mlruns/0"],
)
def test_other_stores_have_no_place_here(address: str, tmp_path: Path) -> None:
    assert place_of(Workspace.at(tmp_path), address) is None


def test_places_that_somebody_chose_stay(tmp_path: Path) -> None:
    tail = f"artifacts/plays/{RUN}/artifacts"
    (tmp_path / "disk" / tail).mkdir(parents=True)
    chosen = (tmp_path / "disk" / tail).as_uri()

    assert place_of(Workspace.at(tmp_path / "w"), chosen) == tmp_path / "disk" / tail
    odd = (tmp_path / "elsewhere" / "files").as_uri()
    assert place_of(Workspace.at(tmp_path / "w"), odd) == tmp_path / "elsewhere" / "files"


def test_places_that_a_server_or_its_database_knows_are_left_to_it(tmp_path: Path) -> None:
    tail = f"artifacts/plays/{RUN}/artifacts"
    new = made(tmp_path / "new", tail)
    team = Workspace(new.root, tracking="postgresql://team.example/mlflow")
    address = (tmp_path / "old" / tail).as_uri()

    moving.update(team)  # reads nothing: no such database answers

    assert place_of(team, address) == tmp_path / "old" / tail
    assert place_of(new, address) == new.root / tail


def a_run(workspace: Workspace) -> Run:
    plays = workspace.sample_plays
    plays.parent.mkdir(exist_ok=True)
    plays.write_text("plays", encoding="utf-8")
    data = DataSet("sample/plays.tsv", "abcd", str(plays))
    run = start_run(workspace, experiment_id(workspace, plays), "one", {}, {}, data)
    folder = workspace.root / "on the way"
    folder.mkdir()
    (folder / "one").write_text("1", encoding="utf-8")
    run.files(folder)
    folder.rmdir()
    return run


def copied(source: Workspace, folder: Path) -> Workspace:
    left = shutil.ignore_patterns(f"{source.tracking_database.name}*")
    shutil.copytree(source.root, folder, ignore=left)
    copy_database(source.tracking_database, folder / source.tracking_database.name)
    return Workspace.at(folder)


def texts(workspace: Workspace) -> list[str]:
    """Every text in the database that has a slash."""
    found = []
    with closing(sqlite3.connect(workspace.tracking_database)) as connection:
        tables = "select name from sqlite_master where type = 'table'"
        for (table,) in connection.execute(tables).fetchall():
            for row in connection.execute(f'select * from "{table}"').fetchall():
                found += [each for each in row if isinstance(each, str) and "/" in each]
    return found


def under(found: Sequence[str], folder: Path) -> list[str]:
    return [each for each in found if f"{folder}/" in each]


def test_the_database_of_a_copy_names_the_copy_after_one_update(
    tracked: Workspace, tmp_path: Path
) -> None:
    run = a_run(tracked)
    known = texts(tracked)
    copy = copied(tracked, tmp_path / "copy")

    with pytest.warns(MovedWarning, match=f"{copy.root} was copied or moved from {tracked.root}"):
        client = open_client(copy)

    found = texts(copy)
    assert not under(found, tracked.root)
    assert len(under(found, copy.root)) == len(under(known, tracked.root)) == 3
    assert client.get_run(run.id).info.artifact_uri.startswith(copy.artifacts.as_uri())
    assert texts(tracked) == known
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moving.update(copy)  # once
    assert Run(run.id, copy).fetch("one", tmp_path).is_relative_to(copy.root)
    assert experiment_id(copy, copy.sample_plays) == client.get_run(run.id).info.experiment_id


def test_a_workspace_under_two_names_is_right_under_both(
    tracked: Workspace, tmp_path: Path
) -> None:
    run = a_run(tracked)
    (tmp_path / "mount").symlink_to(tracked.root)
    mount = Workspace(tmp_path / "mount")  # unresolved, as a second mount is

    for place in (mount, tracked, mount):
        with pytest.warns(MovedWarning):
            moving.update(place)
        for each in (mount, tracked):
            assert Run(run.id, each).fetch("one", tmp_path).parent.parent.name == run.id
            assert Run(run.id, each).fetch("one", tmp_path).is_relative_to(each.root)
    moving_run = start_run(
        tracked, experiment_id(tracked, tracked.sample_plays), "two", {}, {}, None
    )
    place = moving_run.place()
    assert place is not None
    assert place.is_relative_to(tracked.root)
    with pytest.warns(MovedWarning):
        moving.update(tracked)


def test_deleting_runs_in_a_copy_leaves_the_original(tracked: Workspace, tmp_path: Path) -> None:
    run = a_run(tracked)
    copy = copied(tracked, tmp_path / "copy")
    with pytest.warns(MovedWarning):
        open_client(copy)

    delete_runs(copy, [run.id])

    assert not list(copy.artifacts.rglob("one"))
    assert run.fetch("one", tmp_path).read_text(encoding="utf-8") == "1"


def test_runs_whose_files_a_link_leads_to_are_not_deleted_at_all(
    tracked: Workspace, tmp_path: Path
) -> None:
    run = a_run(tracked)
    tracked.artifacts.rename(tmp_path / "disk")
    tracked.artifacts.symlink_to(tmp_path / "disk")

    with pytest.raises(InputError, match="outside the workspace"):
        delete_runs(tracked, [run.id])

    run.drop("")
    assert run.has("one")
    assert run.client.get_run(run.id).info.lifecycle_stage == "active"


def test_missing_files_are_named(tracked: Workspace, tmp_path: Path) -> None:
    run = a_run(tracked)
    shutil.rmtree(tracked.artifacts)

    with pytest.raises(InputError, match=f"run {run.id}: .*one is not there"):
        run.fetch("one", tmp_path)


def test_a_database_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    moving.update(workspace)  # none
    workspace.tracking_database.write_text("", encoding="utf-8")
    moving.update(workspace)  # without tables

    assert workspace.tracking_database.stat().st_size == 0
