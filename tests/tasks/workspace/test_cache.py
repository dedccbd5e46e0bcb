import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import InputError
from tasks.progress import Level, Stage, reporting_to
from tasks.workspace import cache
from tasks.workspace.cache import MANIFEST, file_hash, stage
from tasks.workspace.code import READING, SPLITTING, code_parts
from tasks.workspace.layout import Workspace


class Maker:
    """Writes two files, and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> dict[str, Any]:
        self.calls += 1
        (folder / "deep").mkdir()
        (folder / "values.bin").write_bytes(b"values")
        (folder / "deep" / "names.txt").write_text("names", encoding="utf-8")
        return {"rows": (3, 3), "calls": self.calls}


def test_a_stage_is_made_once_and_then_reused(workspace: Workspace) -> None:
    make = Maker()

    first = stage(workspace, "split", {"of": "a", "b": 1}, make)
    second = stage(workspace, "split", {"b": 1, "of": "a"}, make)

    assert (first.reused, second.reused, make.calls) == (False, True, 1)
    assert (second.folder, second.facts) == (first.folder, {"rows": [3, 3], "calls": 1})
    assert second.facts == first.facts
    assert (second.folder / "deep" / "names.txt").read_text(encoding="utf-8") == "names"


@pytest.mark.parametrize(
    ("name", "inputs"), [("split", {"of": "b"}), ("split", {"of": "a", "x": 0}), ("filter", {})]
)
def test_other_inputs_or_another_stage_are_another_entry(
    workspace: Workspace, name: str, inputs: dict[str, Any]
) -> None:
    known = stage(workspace, "split", {"of": "a"}, Maker())

    other = stage(workspace, name, inputs, Maker())

    assert not other.reused
    assert other.key != known.key
    assert stage(workspace, "split", {"of": "a"}, Maker()).reused


class Lines:
    """A display of the lines that stay."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, what: str, done: int, total: int | None) -> None: ...

    def stage(self, level: Level, stage: Stage | None) -> None: ...

    def keep(self, line: str) -> None:
        self.lines.append(line)


CODE = {"recsys/data": "1", "recsys/splitting": "1"}


def test_what_other_code_made_is_made_again_and_the_folder_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, display = dict(CODE), Lines()
    monkeypatch.setattr(cache, "code_parts", lambda scope: code)
    stage(workspace, "split", {}, Maker())

    code["recsys/data"] = "2"
    with reporting_to(display):
        again = stage(workspace, "split", {}, Maker())

    assert (again.reused, again.changed) == (False, "recsys/data changed")
    (line,) = display.lines
    assert line.startswith("split: other code made it (recsys/data changed), so it is made again")
    code["recsys/data"] = "1"
    assert stage(workspace, "split", {}, Maker()).reused  # the first is still there


@pytest.mark.parametrize(
    ("known", "changed"),
    [(CODE, "recsys/data changed"), ("0123456789abcdef", "an earlier version of recsys")],
)
def test_what_other_code_made_is_used_where_it_is_adopted(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, known: Any, changed: str
) -> None:
    make = Maker()
    monkeypatch.setattr(cache, "code_parts", lambda scope: known)
    first = stage(workspace, "split", {"of": "a"}, make)
    monkeypatch.setattr(cache, "code_parts", lambda scope: {**CODE, "recsys/data": "2"})

    entry = stage(workspace, "split", {"of": "a"}, make, adopt=True)

    assert (entry.folder, entry.key, entry.facts) == (first.folder, first.key, first.facts)
    assert (entry.reused, entry.changed, make.calls) == (True, changed, 1)
    assert not stage(workspace, "split", {"of": "b"}, make, adopt=True).reused
    alter(first.folder)
    assert not stage(workspace, "split", {"of": "a"}, make, adopt=True).reused


def alter(folder: Path) -> None:
    (folder / "values.bin").write_bytes(b"VALUES")  # as long as before


def alter_the_smaller_file(folder: Path) -> None:
    (folder / "deep" / "names.txt").write_bytes(b"NAMES")  # as long as before


def shorten(folder: Path) -> None:
    (folder / "values.bin").write_bytes(b"val")


def lose_a_file(folder: Path) -> None:
    (folder / "deep" / "names.txt").unlink()


def lose_the_manifest(folder: Path) -> None:
    (folder / cache.MANIFEST).unlink()


def break_the_manifest(folder: Path) -> None:
    (folder / cache.MANIFEST).write_text('{"files": {', encoding="utf-8")


def alter_the_manifest(folder: Path) -> None:
    manifest = folder / cache.MANIFEST
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"calls": 1', '"calls": 9'))


def empty_the_manifest(folder: Path) -> None:
    (folder / cache.MANIFEST).write_text("[]", encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        *(alter, alter_the_smaller_file, shorten, lose_a_file, lose_the_manifest),
        *(alter_the_manifest, break_the_manifest, empty_the_manifest, shutil.rmtree),
    ],
)
def test_a_damaged_entry_is_made_again(
    workspace: Workspace, damage: Callable[[Path], None]
) -> None:
    make = Maker()
    damage(stage(workspace, "split", {}, make).folder)

    again = stage(workspace, "split", {}, make)

    assert (again.reused, make.calls) == (False, 2)
    assert (again.folder / "values.bin").read_bytes() == b"values"
    assert again.facts["calls"] == 2
    assert stage(workspace, "split", {}, make).reused
    assert list((workspace.cache / "split").iterdir()) == [again.folder]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_stage_that_fails_leaves_nothing_behind(
    workspace: Workspace, error: type[BaseException]
) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        (folder / "half.bin").write_bytes(b"half")
        raise error

    with pytest.raises(error):
        stage(workspace, "split", {}, fail)

    assert list((workspace.cache / "split").iterdir()) == []
    assert not stage(workspace, "split", {}, Maker()).reused


@pytest.mark.parametrize("scope", [READING, SPLITTING])
def test_an_entry_stores_its_inputs_and_the_code_of_its_scope(
    workspace: Workspace, scope: tuple[str, ...]
) -> None:
    folder = stage(workspace, "split", {"of": "a"}, Maker(), scope).folder

    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert (manifest["stage"], manifest["inputs"]) == ("split", {"of": "a"})
    assert manifest["code"] == code_parts(scope)
    assert set(manifest["files"]) == {"values.bin", "deep/names.txt"}


TOGETHER = """
import sys
from pathlib import Path
from tasks.workspace.cache import stage
from tasks.workspace.layout import Workspace
def make(folder):
    print("making", flush=True)
    sys.stdin.readline()
    (folder / "values.bin").write_bytes(b"values" * 1000)
    return {"who": sys.argv[2]}
entry = stage(Workspace(Path(sys.argv[1])), "split", {}, make)
assert (entry.folder / "values.bin").read_bytes() == b"values" * 1000
print("done", entry.key, flush=True)
"""


@pytest.mark.parametrize("damaged", [pytest.param(False, marks=pytest.mark.slow), True])
def test_processes_that_make_an_entry_at_once_all_get_a_whole_one(
    workspace: Workspace, damaged: bool
) -> None:
    if damaged:
        entry = stage(workspace, "split", {}, Maker())
        alter(entry.folder)
    all_of_them = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, str(workspace.root), str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    for process in all_of_them:
        assert process.stdout is not None
        assert process.stdout.readline() == "making\n"
    for process in all_of_them:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    ends = [process.communicate(timeout=60)[0] for process in all_of_them]

    assert [process.returncode for process in all_of_them] == [0] * 4
    assert len(set(ends)) == 1
    assert stage(workspace, "split", {}, Maker()).reused


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that was read to be hashed."""
    found: list[Path] = []
    hashed = cache._hash

    def noting(path: Path) -> str:
        found.append(path)
        return hashed(path)

    monkeypatch.setattr(cache, "_hash", noting)
    return found


def test_a_file_is_hashed_once_while_it_stays_as_it_is(
    workspace: Workspace, tmp_path: Path, reads: list[Path]
) -> None:
    file = tmp_path / "plays.tsv"
    file.write_bytes(b"abc")

    hashes = {file_hash(workspace, file) for _ in range(3)}

    # SHA-256 of "abc", FIPS 180-2, appendix B.1
    assert hashes == {"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    assert reads == [file]


def change_time(file: Path) -> None:
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))


def change_bytes(file: Path) -> None:
    at = file.stat().st_mtime_ns
    file.write_bytes(b"abcd")
    os.utime(file, ns=(at, at))


def replace_it(file: Path) -> None:
    at = file.stat().st_mtime_ns
    other = file.with_suffix(".new")
    other.write_bytes(b"xyz")
    os.utime(other, ns=(at, at))
    other.replace(file)


@pytest.mark.parametrize("change", [change_time, change_bytes, replace_it])
def test_a_file_that_changed_in_any_way_is_hashed_again(
    workspace: Workspace, tmp_path: Path, reads: list[Path], change: Callable[[Path], None]
) -> None:
    file = tmp_path / "plays.tsv"
    file.write_bytes(b"abc")
    before = file_hash(workspace, file)
    change(file)

    after = file_hash(workspace, file)

    assert reads == [file, file]
    assert (after == before) == (change is change_time)


def test_a_broken_index_of_files_only_costs_hashing_again(
    workspace: Workspace, tmp_path: Path, reads: list[Path]
) -> None:
    file = tmp_path / "plays.tsv"
    file.write_bytes(b"abc")
    before = file_hash(workspace, file)
    workspace.files.write_text("{broken", encoding="utf-8")

    assert file_hash(workspace, file) == before
    assert len(reads) == 2


def test_a_process_killed_at_the_index_of_files_leaves_nothing_after_the_next_one(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(path: Path, target: Path) -> None:
        raise KeyboardInterrupt

    file = tmp_path / "plays.tsv"
    file.write_bytes(b"abc")
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            file_hash(workspace, file)
    file_hash(workspace, file)

    assert list(workspace.cache.iterdir()) == [workspace.files]


def test_a_file_that_cannot_be_read_is_an_error_with_a_remedy(
    workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"plays.tsv: No such file or directory; pass a file"):
        file_hash(workspace, tmp_path / "plays.tsv")
    with pytest.raises(InputError, match="Is a directory; pass a file"):
        file_hash(workspace, tmp_path)
