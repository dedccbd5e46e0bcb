import subprocess
import sys
from pathlib import Path

import pytest

from recsys.errors import InputError
from tasks.locking import locked

HOLD = """
import sys
from pathlib import Path
from tasks.locking import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "study.lock"


def held_elsewhere(path: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until its input ends or it is killed."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_lock_that_another_process_holds_is_refused_in_the_words_given(path: Path) -> None:
    with held_elsewhere(path) as holder:
        with pytest.raises(InputError, match="study s is busy"), locked(path, "study s is busy"):
            raise AssertionError("both hold it")
        holder.communicate()


def test_without_words_one_waits_until_the_other_is_done(path: Path) -> None:
    with held_elsewhere(path) as holder:
        waiting = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

        assert waiting.poll() is None
        holder.communicate()
        assert waiting.communicate(timeout=30)[0] == "held\n"


def test_a_lock_is_free_when_its_owner_was_killed(path: Path) -> None:
    with held_elsewhere(path) as holder:
        holder.kill()
        holder.wait()

        with locked(path, "busy"):
            pass


def test_a_lock_is_free_after_an_error_inside(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(path, "busy"):
        raise ZeroDivisionError

    with locked(path, "busy"):
        pass


def test_different_locks_do_not_disturb_each_other(path: Path) -> None:
    with locked(path, "busy"), locked(path.with_name("other.lock"), "busy"):
        pass
