"""What appears whole or not at all, and what leaves nothing."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from recsys.files import atomic_file, atomic_folder, remove_left, temporary_folder

HOLD = """
import sys
from pathlib import Path
from recsys.files import temporary_folder
with temporary_folder(Path(sys.argv[1]), "made-") as folder:
    (folder / "half.bin").write_bytes(b"half")
    print("there", flush=True)
    sys.stdin.read()
"""

Atomic = Callable[[Path], AbstractContextManager[Path]]


def write(new: Path, text: str) -> None:
    (new / "value.txt" if new.is_dir() else new).write_text(text, encoding="utf-8")


def read(path: Path) -> str:
    return (path / "value.txt" if path.is_dir() else path).read_text(encoding="utf-8")


def test_a_temporary_folder_is_there_while_its_process_lives_and_removed_by_the_next_one(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"there\n"
        (theirs,) = tmp_path.iterdir()
        with temporary_folder(tmp_path, "made-") as ours:
            remove_left(tmp_path, "made-")
            meanwhile = set(tmp_path.iterdir())
        holder.kill()
    left = list(tmp_path.iterdir())
    with temporary_folder(tmp_path, "made-") as next_one:
        after = list(tmp_path.iterdir())

    assert meanwhile == {theirs, ours}
    assert left == [theirs]
    assert after == [next_one]
    assert list(tmp_path.iterdir()) == []


def test_the_folders_of_another_prefix_stay(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "[m]ade-1").mkdir()

    with temporary_folder(tmp_path, "[m]ade-"):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("atomic", [atomic_file, atomic_folder])
def test_what_is_atomic_appears_at_the_end_of_the_block(
    tmp_path: Path, atomic: Callable[..., AbstractContextManager[Path]], durable: bool
) -> None:
    path = tmp_path / "new" / "name"

    with atomic(path, durable=durable) as new:
        write(new, "whole")
        inside = path.exists()

    assert not inside
    assert read(path) == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("atomic", [atomic_file, atomic_folder])
def test_what_fails_leaves_nothing(
    tmp_path: Path, atomic: Atomic, error: type[BaseException]
) -> None:
    def fail() -> None:
        with atomic(tmp_path / "name") as new:
            write(new, "half")
            raise error

    with pytest.raises(error):
        fail()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("atomic", "kept"), [(atomic_file, "late"), (atomic_folder, "early")])
def test_a_file_is_replaced_and_a_folder_stays(tmp_path: Path, atomic: Atomic, kept: str) -> None:
    path = tmp_path / "name"
    with atomic(path) as late:
        with atomic(path) as early:
            write(early, "early")
        write(late, "late")

    assert read(path) == kept
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_take_its_name_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError), atomic_folder(tmp_path / "name"):
        pass


def test_a_folder_removed_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, removed = os.open, []

    def removing(path: Path, flags: int) -> int:
        if not removed:
            removed.append(path)
            path.rmdir()
        return opened(path, flags)

    monkeypatch.setattr(os, "open", removing)
    with temporary_folder(tmp_path, "made-") as folder:
        assert folder.is_dir()
        assert [folder] != removed


def test_a_folder_is_removed_though_its_removal_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmtree, calls = shutil.rmtree, iter(range(9))

    def interrupted(folder: Path, ignore_errors: bool) -> None:
        if next(calls) == 0:
            raise KeyboardInterrupt
        rmtree(folder, ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt), temporary_folder(tmp_path, "a-") as folder:
        (folder / "file").touch()

    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_removed_though_its_locking_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fcntl, "flock", interrupted)
    with pytest.raises(KeyboardInterrupt), temporary_folder(tmp_path, "a-"):
        pass

    assert list(tmp_path.iterdir()) == []
