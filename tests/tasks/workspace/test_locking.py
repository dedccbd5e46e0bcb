import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import IO

import pytest

from recsys.errors import InputError
from tasks.workspace.locking import FileLocks, Locks, locked, open_locks
from tasks.workspace.postgres import PostgresLocks, masked, split_password, sqlalchemy_url

WORKER = """
import os, sys
from pathlib import Path
from tasks.workspace.locking import open_locks
locks = open_locks(Path(sys.argv[1]), os.environ.get("STORAGE"))
"""
HOLD_ONE = """
print("asking", flush=True)
with getattr(locks, sys.argv[2])(sys.argv[3]):
    print("held", flush=True)
    sys.stdin.readline()
    with open("log", "a") as log:
        log.write(sys.argv[4])
print("left", flush=True)
sys.stdin.read()
"""
COUNT = """
counter = Path("counter")
for _ in range(20):
    with locks.exclusive("counter"):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


class Shared:
    """Locks, as several processes open them."""

    def __init__(self, folder: Path, storage: str | None) -> None:
        self._folder = folder
        self._storage = {} if storage is None else {"STORAGE": storage}
        self.locks: Locks = open_locks(folder / "locks", storage)

    def start(self, code: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", WORKER + code, str(self._folder / "locks"), *arguments],
            cwd=self._folder,
            env=os.environ | self._storage,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def asking(self, kind: str, name: str, mark: str = "") -> Iterator[subprocess.Popen[str]]:
        """A process that asks for a lock, and leaves it when it is told to."""
        with self.start(HOLD_ONE, kind, name, mark) as process:
            try:
                assert said(process) == "asking"
                yield process
            finally:
                process.kill()

    @contextmanager
    def holding(self, kind: str, name: str, mark: str = "") -> Iterator[subprocess.Popen[str]]:
        with self.asking(kind, name, mark) as process:
            assert said(process) == "held"
            yield process

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("leave\n")
    process.stdin.flush()


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it becomes true: a server notices within moments that its client is dead."""
    deadline = time.monotonic() + 30
    while not (reached := condition()) and time.monotonic() < deadline:
        pass
    return reached


@pytest.fixture(params=["files", pytest.param("postgres", marks=pytest.mark.postgres)])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Shared:
    storage = request.getfixturevalue("postgres") if request.param == "postgres" else None
    return Shared(tmp_path, storage)


def test_a_lock_that_another_process_holds_is_an_error_in_the_words_given(tmp_path: Path) -> None:
    shared = Shared(tmp_path, None)
    with shared.holding("exclusive", "study") as holder:
        (path,) = (tmp_path / "locks").glob("*.lock")
        with pytest.raises(InputError, match="study s is busy"), locked(path, "study s is busy"):
            raise AssertionError("both hold it")
        holder.kill()
        holder.wait()

        with locked(path, "busy"):
            pass


def test_processes_share_a_lock_and_one_that_wants_it_alone_is_refused(shared: Shared) -> None:
    with shared.holding("shared", "study") as holder, shared.locks.shared("study"):
        tell(holder)
        assert said(holder) == "left"
        with (
            pytest.raises(InputError, match="study is open"),
            shared.locks.exclusive("study", "study is open"),
        ):
            raise AssertionError("it is alone and not alone")

    with shared.locks.exclusive("study", "study is open"):
        pass


def test_a_lock_is_shared_only_when_one_that_is_alone_has_left(shared: Shared) -> None:
    with (
        shared.holding("exclusive", "study", "alone ") as holder,
        shared.asking("shared", "study", "together ") as waiter,
    ):
        tell(waiter)
        tell(holder)

        assert said(waiter) == "held"
        assert said(waiter) == "left"
        assert shared.log == "alone together "


def test_a_waiting_process_enters_after_the_holder_has_left(shared: Shared) -> None:
    with (
        shared.holding("exclusive", "study", "first ") as holder,
        shared.asking("exclusive", "study", "second ") as waiter,
    ):
        tell(waiter)
        tell(holder)

        assert said(waiter) == "held"
        assert said(waiter) == "left"
        assert shared.log == "first second "


def test_two_processes_are_never_inside_together(shared: Shared, tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    counters = [shared.start(COUNT) for _ in range(3)]
    for counter in counters:
        counter.communicate(timeout=60)

    assert (tmp_path / "counter").read_text() == "60"


def test_two_threads_exclude_each_other_too(shared: Shared) -> None:
    log: list[str] = []

    def enter() -> None:
        for _ in range(20):
            with shared.locks.exclusive("study"):
                log.append("in")
                os.sched_yield()
                log.append("out")

    threads = [Thread(target=enter) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert log == ["in", "out"] * 60


def test_the_lock_of_a_killed_holder_goes_to_the_waiting_process(shared: Shared) -> None:
    with (
        shared.holding("exclusive", "study") as holder,
        shared.asking("exclusive", "study") as waiter,
    ):
        holder.kill()

        assert said(waiter) == "held"


def test_other_names_and_other_kinds_are_other_locks(shared: Shared) -> None:
    with (
        shared.locks.exclusive("a/b"),
        shared.locks.exclusive("a-b"),
        shared.locks.exclusive("a/b" * 200),
        shared.locks.living("a-b"),
    ):
        assert [shared.locks.lives("a-b") for _ in range(3)] == [True] * 3  # its own worker
        assert not shared.locks.lives("a/b")
    assert not shared.locks.lives("a-b")


def test_an_error_inside_frees_the_lock(shared: Shared) -> None:
    with pytest.raises(ZeroDivisionError), shared.locks.exclusive("study"):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), shared.locks.living("me"):
        raise ZeroDivisionError

    with shared.locks.exclusive("study"):
        assert not shared.locks.lives("me")


@pytest.mark.parametrize("killed", [True, False])
def test_a_worker_lives_until_it_is_killed_or_leaves_the_block(
    shared: Shared, killed: bool
) -> None:
    with shared.holding("living", "worker") as worker:
        before = shared.locks.lives("worker")
        if killed:
            worker.kill()
            worker.wait()
        else:
            tell(worker)
            assert said(worker) == "left"

        assert before
        assert soon(lambda: not shared.locks.lives("worker"))


def workers(folder: Path) -> list[Path]:
    return list((folder / "locks" / "workers").iterdir())


def test_a_worker_leaves_no_file_and_that_of_a_dead_one_is_removed(tmp_path: Path) -> None:
    shared = Shared(tmp_path, None)
    with shared.locks.living("worker"):
        inside = len(workers(tmp_path))
    after = len(workers(tmp_path))
    with shared.holding("living", "worker") as worker:
        worker.kill()
    left = len(workers(tmp_path))

    assert not shared.locks.lives("worker")
    assert (inside, after, left, len(workers(tmp_path))) == (1, 0, 1, 0)


def test_two_processes_that_look_at_once_do_not_take_each_other_for_the_worker(
    tmp_path: Path,
) -> None:
    shared = Shared(tmp_path, None)
    with shared.holding("living", "worker") as worker:
        worker.kill()
    (left,) = workers(tmp_path)

    with left.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)  # another one, in the middle of lives()
        assert not shared.locks.lives("worker")


def test_a_worker_whose_new_file_was_taken_for_a_dead_ones_makes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks, lock = FileLocks(tmp_path / "locks"), fcntl.flock
    took: list[bool] = []

    def interrupted(handle: IO[str], operation: int) -> None:
        if operation == fcntl.LOCK_EX and not took:
            took.append(locks.lives("worker"))  # between the file's making and its locking
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", interrupted)
    with locks.living("worker"):
        assert took == [False]
        assert locks.lives("worker")


def all_ended(url: str) -> bool:
    """End all other sessions on the database, as a lost connection does; whether all are gone."""
    import psycopg

    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid) {others}".encode())
        row = connection.execute(f"SELECT count(*) {others}".encode()).fetchone()
    return row == (0,)


@pytest.mark.postgres
def test_a_lost_connection_frees_a_lock_and_is_an_error_for_its_holder(postgres: str) -> None:
    locks = PostgresLocks(postgres)

    def lose() -> None:
        with locks.exclusive("study"):
            assert soon(lambda: all_ended(postgres))
            with locks.exclusive("study"):
                pass

    with pytest.raises(InputError, match="terminat"):
        lose()


@pytest.mark.postgres
def test_a_worker_that_lost_its_connection_is_dead_to_all_processes_its_own_too(
    postgres: str,
) -> None:
    locks = PostgresLocks(postgres)
    with locks.living("me"):
        assert soon(lambda: all_ended(postgres))
        assert not locks.lives("me")


@pytest.mark.postgres
def test_the_error_of_a_wrong_password_does_not_show_it(postgres: str) -> None:
    wrong = f"postgresql://recsys:wr%40ng@{postgres.split('@')[1]}"

    with pytest.raises(InputError, match=r"recsys:\*\*\*@.*password authentication") as error:
        PostgresLocks(wrong).lives("anybody")
    assert "ng@" not in str(error.value)


def test_the_error_without_a_server_has_its_address_and_a_remedy() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        locks = PostgresLocks(f"postgres://me:secret@127.0.0.1:{port}/studies")

        with pytest.raises(InputError, match=r"refused.*check that the server runs") as error:
            locks.lives("anybody")
    assert f"postgres://me:***@127.0.0.1:{port}/studies" in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "secret", ["se@cret", "se%cret", "se/cret", "se?cret", "se#cret", "cret@", "@/cret", "se:@cret"]
)
def test_a_password_that_is_not_escaped_is_never_shown(secret: str) -> None:
    with pytest.raises(InputError) as error:
        PostgresLocks(f"postgresql://me:{secret}@127.0.0.1:1/studies").lives("anybody")

    assert "me:***@127.0.0.1:1/studies" in str(error.value)
    assert "cret" not in str(error.value)


@pytest.mark.parametrize(
    ("storage", "shown"),
    [
        ("postgresql://me:secret@host:5432/studies", "postgresql://me:***@host:5432/studies"),
        ("postgres://me@host/studies", "postgres://me@host/studies"),
        ("postgresql://m@e:s:e@c/ret@host/studies", "postgresql://m@e:***@host/studies"),
        ("postgresql://host:5432/studies?user=me", "postgresql://host:5432/studies?user=me"),
        ("postgresql://h/s?password=secret&user=me", "postgresql://h/s?password=***&user=me"),
        ("postgresql://[::1]:5432/studies", "postgresql://[::1]:5432/studies"),
    ],
)
def test_an_address_is_shown_without_its_password(storage: str, shown: str) -> None:
    assert masked(storage) == shown


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_sqlalchemy_is_given_the_driver(scheme: str) -> None:
    assert sqlalchemy_url(f"{scheme}://me@host/s") == "postgresql+psycopg://me@host/s"


def test_locks_are_where_the_studies_are(tmp_path: Path) -> None:
    assert isinstance(open_locks(tmp_path, None), FileLocks)
    assert isinstance(open_locks(tmp_path, "postgresql://host/studies"), PostgresLocks)
    assert isinstance(open_locks(tmp_path, "postgres://host/studies"), PostgresLocks)


def test_without_postgres_its_driver_is_not_loaded() -> None:
    code = WORKER.replace("sys.argv[1]", "'locks'") + "print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("storage", "bare", "password"),
    [
        ("postgresql://me:hu%40sh@host:5/x", "postgresql://me@host:5/x", "hu@sh"),
        (
            "postgresql://me@host/x?password=hush&connect_timeout=3",
            "postgresql://me@host/x?connect_timeout=3",
            "hush",
        ),
        (
            "postgres://host/x?connect_timeout=3&password=hush",
            "postgres://host/x?connect_timeout=3",
            "hush",
        ),
        ("postgresql://me@host/x", "postgresql://me@host/x", None),
    ],
)
def test_the_password_of_an_address_goes_into_the_environment(
    storage: str, bare: str, password: str | None
) -> None:
    expected = {} if password is None else {"PGPASSWORD": password}

    assert split_password(storage) == (bare, expected)
