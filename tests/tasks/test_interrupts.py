import gc
import importlib.util
import os
import queue
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks import interrupts
from tasks.interrupts import Interrupts
from tasks.progress import report_progress

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
LONG = 20.0  # seconds in which a reminder surely comes


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[Interrupts]:
    """What listens in place of that of the process; a reminder comes when a test asks for it.

    INT is taken though the shell that started the tests in the background had it ignored.
    """
    monkeypatch.setattr(interrupts, "AGAIN", 1e6)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    heard = Interrupts()
    monkeypatch.setattr("tasks.progress.INTERRUPTS", heard)
    said: list[str] = []
    with heard.listening(said.append):
        heard.begin()
        yield heard
    signal.signal(signal.SIGINT, before)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


class LibraryExit(BaseException):
    """What the handler of a library raises."""


def _library_exit(number: int, frame: object) -> None:
    raise LibraryExit


class Held:
    """Something that a weak reference can point to."""


@contextmanager
def ended(listening: Interrupts) -> Iterator[None]:
    """Check that the block is interrupted; no reminder follows it."""
    try:
        yield
    except KeyboardInterrupt:
        listening.stop()
    else:
        raise AssertionError("it was not interrupted")


def swallow(number: signal.Signals) -> None:
    """Have a signal strike within the callback of a weak reference, which loses its exception."""
    held = Held()
    kept = weakref.ref(held, lambda _: send(number))
    del held
    gc.collect()
    assert kept() is None


@BOTH
def test_a_signal_ends_the_work_at_once(listening: Interrupts, number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt):
        send(number)

    assert listening.came


@BOTH
def test_a_signal_in_a_callback_of_a_weak_reference_ends_the_work_at_its_next_step(
    listening: Interrupts, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = []

    with ended(listening):
        for step in range(5):
            if step == 2:
                swallow(number)
            steps.append(step)
            report_progress("steps", step, 5)

    assert steps == [0, 1, 2]
    assert "ignored" not in capsys.readouterr().err


def test_work_without_steps_is_ended_by_a_reminder(
    listening: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "AGAIN", 0.01)

    with ended(listening):
        swallow(signal.SIGINT)
        threading.Event().wait(LONG)


def test_what_cleans_up_is_not_interrupted_again(
    listening: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "AGAIN", 0.001)
    cleaned = []

    with ended(listening):
        try:
            send(signal.SIGINT)
        finally:
            report_progress("cleaning up", 0, None)
            try:
                raise ValueError
            except ValueError:
                end = time.monotonic() + 0.02  # time for some reminders
                while time.monotonic() < end:
                    report_progress("cleaning up", 1, None)
            cleaned.append(True)

    assert cleaned == [True]


def test_a_database_comes_to_the_end_of_what_it_writes(listening: Interrupts) -> None:
    wrote = []

    def write() -> None:
        send(signal.SIGTERM)
        wrote.append(True)

    exec("write()", {"__name__": "sqlalchemy.engine.base", "write": write})

    assert wrote == [True]
    with pytest.raises(KeyboardInterrupt):
        report_progress("the next step", 0, None)


def test_a_database_that_hangs_is_interrupted(
    listening: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "AGAIN", 0.01)
    monkeypatch.setattr(interrupts, "LONGEST", 0.02)

    def hang() -> None:
        send(signal.SIGINT)
        threading.Event().wait(LONG)

    with ended(listening):
        exec("hang()", {"__name__": "sqlalchemy.engine.base", "hang": hang})


def test_an_import_comes_to_its_end(listening: Interrupts, tmp_path: Path) -> None:
    file = tmp_path / "slow_to_load.py"
    file.write_text("import os\nos.kill(os.getpid(), 2)\nis_whole = True\n")
    spec = importlib.util.spec_from_file_location("slow_to_load", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)

    spec.loader.exec_module(module)

    assert module.is_whole
    with pytest.raises(KeyboardInterrupt):
        report_progress("the next step", 0, None)


def test_a_signal_whose_exception_disappears_in_the_handler_of_a_library_ends_the_work(
    listening: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupts, "AGAIN", 0.01)
    signal.signal(signal.SIGTERM, _library_exit)

    with ended(listening):
        swallow(signal.SIGTERM)
        threading.Event().wait(LONG)


def test_the_end_that_a_library_begins_is_not_interrupted_again(
    listening: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Prefect does: it notes the end of the flow, and then sends our handler the signal."""
    monkeypatch.setattr(interrupts, "AGAIN", 0.001)
    monkeypatch.setattr(interrupts, "APART", 0.0)
    ours = signal.signal(signal.SIGTERM, _library_exit)

    def end_with_library() -> None:
        try:
            send(signal.SIGTERM)
        except LibraryExit:
            end = time.monotonic() + 0.02  # time for some reminders
            while time.monotonic() < end:
                pass
            signal.signal(signal.SIGTERM, ours)
            send(signal.SIGTERM)
            listening.stop()
            raise

    with pytest.raises(LibraryExit):
        end_with_library()

    assert listening.came


def test_a_handler_that_a_library_puts_in_place_of_ours_goes_at_the_next_step(
    listening: Interrupts,
) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    report_progress("a step", 0, None)

    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGTERM)


def test_two_signals_at_once_are_one_and_a_later_one_ends_the_process(
    listening: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr(os, "_exit", codes.put)
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)

    at_once = codes.qsize()
    monkeypatch.setattr(interrupts, "APART", 0.0)
    deadline = time.monotonic() + LONG
    while codes.empty() and time.monotonic() < deadline:
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)

    assert (at_once, codes.get_nowait()) == (0, 130)


def test_a_signal_that_was_wanted_is_forgotten(listening: Interrupts) -> None:
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)

    listening.forget()

    report_progress("a step", 0, None)
    assert not listening.came


def test_a_signal_after_the_end_is_noticed_and_raises_nothing(listening: Interrupts) -> None:
    listening.stop()

    send(signal.SIGTERM)

    assert listening.came


def test_afterwards_everything_is_as_before() -> None:
    def before(number: int, frame: object) -> None:
        raise AssertionError

    known = {number: signal.signal(number, before) for number in interrupts.SIGNALS}
    hook = sys.unraisablehook
    try:
        with Interrupts().listening(str):
            pass

        assert {signal.getsignal(number) for number in interrupts.SIGNALS} == {before}
        assert sys.unraisablehook is hook
    finally:
        for number, handler in known.items():
            signal.signal(number, handler)


def test_a_process_that_ignores_ctrl_c_does_so_still() -> None:
    known = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        heard = Interrupts()
        with heard.listening(str):
            heard.begin()
            send(signal.SIGINT)
            report_progress("a step", 0, None)
    finally:
        signal.signal(signal.SIGINT, known)


@BOTH
def test_a_signal_before_the_begin_is_raised_at_the_begin(number: signal.Signals) -> None:
    """There it is caught: earlier it would end the command with a traceback."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    heard = Interrupts()
    try:
        with heard.listening(str):
            send(number)
            with pytest.raises(KeyboardInterrupt):
                heard.begin()
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_nothing_is_listened_to() -> None:
    ran = []

    def run() -> None:
        heard = Interrupts()
        with heard.listening(str):
            heard.begin()
            report_progress("a step", 0, None)
            ran.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert ran == [True]
