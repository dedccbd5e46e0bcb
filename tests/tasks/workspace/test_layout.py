from pathlib import Path

import pytest

from recsys.errors import InputError
from tasks.workspace.layout import Workspace, data_set_name


def test_a_workspace_is_made_where_it_is_missing(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path / "a" / "b")

    assert workspace.root.is_dir()


def test_a_relative_workspace_stays_the_same_place_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    workspace = Workspace.at(Path("mlruns"))

    assert workspace.root == tmp_path.resolve() / "mlruns"
    assert workspace.tracking_uri == f"sqlite:///{tmp_path.resolve()}/mlruns/mlflow.db"


def test_all_state_lies_inside_the_workspace(workspace: Workspace) -> None:
    places = [
        *(workspace.artifacts, workspace.studies, workspace.prefect_home, workspace.cache),
        *(workspace.files, workspace.scratch, workspace.libraries, workspace.sample),
        *(workspace.sample_plays, workspace.sample_profiles),
        *(workspace.inspection(Path("/data/plays.tsv")), workspace.lock("study-s")),
        *(workspace.tracking_database, workspace.locks, workspace.paths("s")),
        workspace.artifacts_of("small/plays.tsv"),
    ]

    assert all(place.is_relative_to(workspace.root) for place in places)
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("name", ["../../etc", "a/b", "/root", "a b\n", ".."])
def test_a_name_from_outside_cannot_leave_its_folder(workspace: Workspace, name: str) -> None:
    for place, parent in (
        (workspace.lock(name), workspace.root / "locks"),
        (workspace.paths(name), workspace.scratch),
    ):
        assert place.resolve().parent == parent


def test_a_workspace_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InputError, match=r"file: File exists; pass --workspace"):
        Workspace.at(tmp_path / "file")


def test_studies_and_runs_may_be_elsewhere_and_files_stay_in_the_folder(tmp_path: Path) -> None:
    storage, tracking = "postgresql://me:secret@host/studies", "http://host:5000"

    workspace = Workspace.at(tmp_path, storage, tracking)

    assert workspace.storage == storage
    assert workspace.tracking_uri == tracking
    assert workspace.artifacts.is_relative_to(tmp_path)
    assert "secret" not in repr(workspace)


def test_an_experiment_of_a_long_path_has_a_short_name() -> None:
    name = data_set_name(Path("d" * 250, "f" * 250))

    assert len(name) < 200
    assert name != data_set_name(Path("d" * 250, "g" * 250))
    assert data_set_name(Path("logs", "plays.tsv")) == "logs/plays.tsv"


def test_the_paths_of_two_studies_have_their_own_folders(workspace: Workspace) -> None:
    assert workspace.paths("a/b") != workspace.paths("a-b")
