"""Stored paths are found again after a move, and nothing outside a workspace is removed."""

from pathlib import Path

import pytest

from recsys.errors import InputError
from tasks.workspace.cleaning import remove, unused
from tasks.workspace.layout import Workspace
from tasks.workspace.places import (
    check_inside,
    found_path,
    found_request,
    is_inside,
    stored_path,
    stored_request,
)


def file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x", encoding="utf-8")
    return path


@pytest.fixture
def old(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "project" / "runs")


def test_a_path_in_the_workspace_is_stored_relative_to_it(old: Workspace, tmp_path: Path) -> None:
    file(old.sample_plays)
    text = stored_path(old, old.sample_plays)

    assert text == "sample/plays.tsv"
    assert found_path(old, text) == old.sample_plays
    assert found_path(Workspace.at(tmp_path / "new"), text) == tmp_path / "new/sample/plays.tsv"
    assert stored_path(old, tmp_path / "plays.tsv") == str(tmp_path / "plays.tsv")


@pytest.mark.parametrize("folder", ["sample", "incoming"])
def test_a_whole_path_of_an_earlier_version_is_found_after_a_move(
    folder: str, tmp_path: Path
) -> None:
    new = Workspace.at(tmp_path / "new")
    gone = str(tmp_path / "old" / folder / "plays.tsv")
    assert found_path(new, gone) == Path(gone)

    plays = file(new.root / folder / "plays.tsv")

    assert found_path(new, gone) == plays


def test_a_file_that_is_there_is_the_one_that_is_meant(old: Workspace, tmp_path: Path) -> None:
    theirs = file(tmp_path / "theirs" / "sample" / "plays.tsv")
    file(old.sample_plays)

    assert found_path(old, str(theirs), "sample/plays.tsv") == theirs


def test_plays_beside_a_workspace_are_found_when_both_moved(old: Workspace, tmp_path: Path) -> None:
    plays = file(tmp_path / "project" / "plays.tsv")
    request = stored_request(old, {"seed": 1}, plays, None)
    assert found_request(old, request) == {
        "config": {"seed": 1},
        "plays": str(plays),
        "profiles": None,
    }

    (tmp_path / "project").rename(tmp_path / "renamed")
    new = Workspace.at(tmp_path / "renamed" / "runs")

    assert found_request(new, request)["plays"] == str(tmp_path / "renamed" / "plays.tsv")


def test_nothing_that_links_or_dots_lead_out_of_the_workspace_is_removed(
    old: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (old.root / "link").symlink_to(tmp_path / "other")
    for path in (old.root / "link" / "a", old.root / ".." / "a", tmp_path / "other", old.root):
        assert not is_inside(old, path)
        with pytest.raises(InputError, match=r"outside the workspace .*nothing is removed"):
            check_inside(old, path)

    for path in (old.artifacts, old.root / "link" / ".." / "artifacts"):
        assert is_inside(old, path) == (path == old.artifacts)


def test_a_workspace_behind_a_link_is_inside_itself(old: Workspace, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(old.root)

    check_inside(Workspace(tmp_path / "link"), tmp_path / "link" / "artifacts" / "a")
    check_inside(Workspace.at(tmp_path / "link"), old.artifacts)


def test_cleaning_refuses_a_folder_that_leads_out(tracked: Workspace, tmp_path: Path) -> None:
    file(tmp_path / "other" / "plays.parquet")
    tracked.incoming.symlink_to(tmp_path / "other")

    with pytest.raises(InputError, match=r"incoming leads to .*other"):
        unused(tracked, now=1e12, days=0)


def test_cleaning_removes_a_link_and_not_what_it_leads_to(
    tracked: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    theirs = file(tmp_path / "other" / "plays.parquet")
    tracked.incoming.mkdir()
    links = [tracked.incoming / "file", tracked.incoming / "folder"]
    links[0].symlink_to(theirs)
    links[1].symlink_to(theirs.parent)

    remove(tracked, unused(tracked, now=1e12, days=0))

    assert list(tracked.incoming.iterdir()) == []
    assert theirs.exists()
