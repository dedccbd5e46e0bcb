"""A workspace that was copied, moved, renamed or linked to: all commands, and nothing outside.

Cases 01 (a study deleted in a copy) and 02 (a moved workspace cannot go on). One workspace is
prepared; each test has a copy, and everything around it is compared byte by byte.
"""

import json
import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from tests.cases.prepared import FAST, READING, Here
from tests.flows.processes import RECSYS

pytestmark = pytest.mark.slow


@pytest.fixture
def here(prepared: Path, tmp_path: Path) -> Here:
    """The prepared folder in a new place: the workspace in it was moved already."""
    shutil.copytree(prepared, tmp_path / "here", symlinks=True)
    return Here(tmp_path / "here")


def seen(folder: Path, without: Path) -> dict[str, tuple[str, int]]:
    """Every file and folder below one: its content or its names, and its time of change."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        if path == without or path.is_relative_to(without):
            continue
        if path.is_dir():
            names = sorted(each.name for each in path.iterdir() if each != without)
            found[str(path)] = " ".join(names), 0 if without.parent == path else _time(path)
        else:
            found[str(path)] = sha256(path.read_bytes()).hexdigest(), _time(path)
    return found


def _time(path: Path) -> int:
    return path.lstat().st_mtime_ns


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, symlinks=True)
    return target


def kept_files(workspace: Path) -> int:
    return sum(path.is_file() for path in (workspace / "artifacts").rglob("*"))


def addresses(workspace: Path) -> list[str]:
    """Of all runs and models, as MLflow knows them."""
    query = "select artifact_uri from runs union select artifact_location from logged_models"
    with closing(sqlite3.connect(workspace / "mlflow.db")) as connection:
        return [address for (address,) in connection.execute(query)]


def test_no_command_in_a_copy_touches_the_original_or_anything_else(here: Here) -> None:
    """Cases 01 and 02, for every command that writes."""
    original, copy = here.folder / "runs", here.folder / "copy of runs"
    here.recsys(original, "clean")  # brought up to date
    copied(original, copy)
    before = seen(here.folder, copy)
    request = ("--plays", here.plays, *READING, *FAST)
    days = ("--plays", here.days, *READING, "--trials", 0, "--gate", "always")
    commands: list[tuple[object, ...]] = [
        ("study", "resume", "s1", "--trials", 3, "--quiet"),
        ("experiment", "--study", "new", *request, "--seed", 2),
        ("study", "work", "s2", "--trials", 3),
        ("compare", "--models", "popularity-plays,als", "--seeds", 1, "--name", "c", *request),
        ("register", "--run", "s2"),
        ("rollback",),
        ("promote", "s2"),
        ("publish", "--again"),
        ("retrain", *days, "--set", "judge.resamples=50", "--seed", 5),
        ("inspect", here.plays, *READING),
        ("sample", "--users", 50, "--items", 30),
        ("clean", "--days", 0),
        ("study", "delete", "new"),
        ("study", "delete", "c-als-0"),
    ]
    for command in commands:
        said = here.recsys(copy, *command)
        assert seen(here.folder, copy) == before, command
        if command is commands[0]:
            assert f"copied or moved from {original}" in said
        else:
            assert "copied or moved" not in said, command
    assert all(each.startswith((copy / "artifacts").as_uri()) for each in addresses(copy))

    here.recsys(copy, "promote", 1)
    here.recsys(copy, "study", "delete", "s2")  # neither champion nor previous would be
    assert seen(here.folder, copy) == before
    after = seen(here.folder, original)
    here.recsys(original, "study", "resume", "s2", "--trials", 3, "--quiet")
    assert seen(here.folder, original) == after


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("absent", "with blank, # and 50% 音楽"),
        ("other contents", "moved"),
        ("read only", "moved"),
    ],
    ids=["02-old place absent", "old place has other contents", "old place read only"],
)
def test_a_moved_workspace_goes_on(old: str, name: str, here: Here) -> None:
    """Case 02: answers before anything is written, then a longer study, then MLflow's client."""
    runs, new = here.folder / "runs", here.folder / name
    here.recsys(runs, "clean")
    if old == "read only":
        copied(runs, new)
        for path in [runs, *runs.rglob("*")]:
            path.chmod(path.stat().st_mode & ~0o222)
    else:
        runs.rename(new)
    if old == "other contents":
        (runs / "artifacts" / "here-plays.csv").mkdir(parents=True)
        (runs / "artifacts" / "notes.txt").write_text("of somebody else", encoding="utf-8")
    before = seen(here.folder, new)
    n_files = kept_files(new)

    for command in (("recommend", "--user", "u1"), ("lookup", "u1"), ("models",)):
        assert "copied or moved" not in here.recsys(new, *command)
    said = here.recsys(new, "study", "resume", "s1", "--trials", 3, "--quiet")

    assert said.count("copied or moved from") == 1
    assert kept_files(new) > n_files
    assert seen(here.folder, new) == before
    assert here.load(new) == 5
    versions = json.loads(here.recsys(new, "models", "--json"))
    assert [each["number"] for each in versions] == [2, 1]
    here.recsys(new, "publish", "--again", "--quiet")
    assert seen(here.folder, new) == before
    for path in [runs, *runs.rglob("*")] if old == "read only" else []:
        path.chmod(path.stat().st_mode | 0o200)


def test_the_folder_that_holds_plays_and_workspace_is_renamed(here: Here) -> None:
    here.recsys(here.folder / "runs", "clean")
    request = ("--plays", here.plays, *READING, *FAST)
    here.recsys(here.folder / "runs", "experiment", "--study", "s3", *request)
    renamed = Here(here.folder.rename(here.folder.with_name("renamed")))

    said = renamed.recsys(
        renamed.folder / "runs", "study", "resume", "s3", "--trials", 3, "--quiet"
    )

    assert "copied or moved from" in said
    assert not here.folder.exists()


def test_a_workspace_behind_a_link_or_a_relative_path_and_a_copy_of_a_copy(here: Here) -> None:
    runs = here.folder / "runs"
    (here.folder / "link").symlink_to(runs)
    here.recsys(here.folder / "link", "clean")
    assert "copied" not in here.recsys(Path("../link"), "study", "resume", "s1", "--quiet")
    copy = copied(runs, here.folder / "copy")
    second = copied(copy, here.folder / "copy" / "second")
    before = seen(here.folder, second)

    assert "copied" in here.recsys(Path("../copy/second"), "study", "delete", "s2")

    assert seen(here.folder, second) == before
    assert kept_files(second) < kept_files(copy)


def test_files_behind_a_link_that_leads_out_are_never_deleted(here: Here) -> None:
    runs, disk = here.folder / "runs", here.folder / "disk"
    here.recsys(runs, "clean")
    (runs / "artifacts").rename(disk)
    (runs / "artifacts").symlink_to(disk)
    before = seen(disk, disk / "none")

    words = (*RECSYS, "study", "delete", "s2", "--workspace", runs)
    code, out, err = here.run(words, {})

    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "outside the workspace" in err
    assert seen(disk, disk / "none") == before
    here.recsys(runs, "study", "resume", "s2", "--quiet")  # it is all there
