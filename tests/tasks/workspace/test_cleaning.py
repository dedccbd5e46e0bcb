"""Which files are removed, and which stay."""

import os
from pathlib import Path

import pytest

from recsys.errors import InputError
from tasks.workspace.cache import MANIFEST, stage
from tasks.workspace.cleaning import DAY, remove, unused
from tasks.workspace.layout import Workspace

NOW = 2_000_000_000.0


def aged(path: Path, days: float) -> Path:
    """As if it and all in it had been changed so many days ago."""
    for each in (path, *path.rglob("*")):
        os.utime(each, (NOW - days * DAY,) * 2)
    return path


def of_stage(workspace: Workspace, name: str) -> Path:
    def make(folder: Path) -> dict[str, int]:
        (folder / "values.bin").write_bytes(b"1234")
        return {}

    return stage(workspace, "split", {"of": name}, make).folder


def left(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12")
    return path


def test_entries_not_used_for_long_are_removed_and_the_rest_stays(workspace: Workspace) -> None:
    going = [
        aged(of_stage(workspace, "old"), 31),
        aged(left(workspace.cache / "split" / ".key-of-a-killed-one", "values.bin").parent, 31),
        aged(left(workspace.incoming, "query-old.parquet"), 31),
        aged(left(workspace.scratch / "final-old", "report.npz").parent, 31),
    ]
    staying = [
        aged(of_stage(workspace, "new"), 29),
        aged(left(workspace.incoming, "query-new.parquet"), 29),
        aged(left(workspace.scratch / "paths-long", "0.npy").parent, 31),
        aged(left(workspace.root, "published.db"), 1000),
        aged(left(workspace.artifacts, "run/model.npy"), 1000),
        aged(left(workspace.cache, "files.json"), 1000),
    ]
    aged(left(workspace.scratch / "paths-long", "1.npy"), 0)  # a worker uses it

    found = unused(workspace, NOW)
    remove(workspace, found)

    assert {each.path for each in found} == set(going)
    assert sum(each.size for each in found) > 4 + 2 + 2 + 2
    assert not any(path.exists() for path in going)
    assert all(path.exists() for path in staying)
    assert unused(workspace, NOW) == []


def test_using_a_stage_keeps_it(workspace: Workspace) -> None:
    folder = aged(of_stage(workspace, "old"), 31)

    assert [each.path for each in unused(workspace, NOW)] == [folder]
    assert of_stage(workspace, "old") == folder
    assert unused(workspace, (folder / MANIFEST).stat().st_mtime + DAY) == []


def test_two_processes_that_clean_at_once_do_not_disturb_each_other(workspace: Workspace) -> None:
    aged(of_stage(workspace, "old"), 31)
    found = unused(workspace, NOW)

    remove(workspace, found)
    remove(workspace, found)

    assert of_stage(workspace, "old").exists()


def test_days_below_0_are_refused(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="--days -1: give a number of days, 0 or more"):
        unused(workspace, NOW, -1)
