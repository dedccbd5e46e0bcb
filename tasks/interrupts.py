"""Ctrl-C and SIGTERM end a command, whatever it is doing.

Python raises KeyboardInterrupt in the midst of whatever the main thread does. In a callback of a
weak reference, in a destructor, or below a library that catches it, the exception disappears and
the work continues. So a signal is remembered as well. While the work continues it is raised again:
by `check`, which every report of progress calls, and by a thread, several times a second.

A library may put its own handler in place of ours: Prefect does as a flow begins. That handler's
exception can disappear, too. So the thread reads the number of each signal from a pipe, into which
Python writes it whatever handler there is (`signal.set_wakeup_fd`).
"""

import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

CODE = 130
"""The exit code of an interrupted command."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN = 0.2  # seconds until a signal is raised again
APART = 0.5  # seconds after which a second signal is a wish of its own: a shell may send two
DATABASES = ("sqlalchemy", "mlflow.store", "optuna.storages")
LOADERS = ("importlib._bootstrap", "_frozen_importlib", "numba", "llvmlite")
UNINTERRUPTED = DATABASES + LOADERS  # else a transaction, a module or a lock is left half done
LONGEST = 2.0  # seconds that they are left to come to the end of what they do


class Interrupts:
    """The signals that this process has received since `listening` began."""

    def __init__(self) -> None:
        """Listen to nothing, so far."""
        self._listens = self._raises = False
        self._say: Callable[[str], object] = str
        self._forget()

    def _forget(self, now: float = -math.inf) -> None:
        self._heard: float | None = None  # when the thread heard of the first signal
        self._handled: float | None = None  # when our handler was called first
        self._forgotten = now

    @property
    def came(self) -> bool:
        """Whether a signal came that asks the command to end."""
        return self._heard is not None or self._handled is not None

    def begin(self) -> None:
        """From here on a signal raises KeyboardInterrupt, also one that came since `listening`.

        Call it where that exception is caught.
        """
        self._raises = self._listens
        self.check()

    def forget(self) -> None:
        """Take the signal as dealt with: the work it was to end has ended, as was wanted."""
        self._forget(time.monotonic())

    def stop(self) -> None:
        """Raise nothing any more: the command has ended. A signal is noticed as before."""
        self._raises = False

    def leave_to_others(self) -> None:
        """Give the signals back to Python, for a library that ends its work by itself."""
        if self._raises:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, _raise)
            self._raises = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came and nothing is ending because of it.

        Within a flow Prefect has its own handler of SIGTERM: from here on it is ours again.
        """
        if not self._raises or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) != self._handle:
            signal.signal(signal.SIGTERM, self._handle)
        if self.came and not _is_ending():
            raise KeyboardInterrupt

    @contextmanager
    def listening(self, say: Callable[[str], object]) -> Iterator[None]:
        """Within the block signals are remembered; afterwards the handlers are as before.

        They raise nothing before `begin`.

        Args:
            say: Gets a line when a second signal ends the process at once.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # Python allows handlers in the main thread alone
            return
        self._forget()
        self._say = say
        known = {number: signal.getsignal(number) for number in SIGNALS}
        # A shell has what it runs in the background ignore Ctrl-C: that stays.
        ours = [n for n in SIGNALS if n == signal.SIGTERM or known[n] != signal.SIG_IGN]
        with self._hearing(ours[0]):
            self._listens = True
            for number in ours:
                signal.signal(number, self._handle)
            shown, sys.unraisablehook = sys.unraisablehook, _show_other
            try:
                yield
            finally:
                self._listens = self._raises = False
                sys.unraisablehook = shown
                for number in ours:
                    signal.signal(number, known[number])

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal, and raise KeyboardInterrupt where that does no harm."""
        now = time.monotonic()
        is_ending = _is_ending()
        if now - self._forgotten < APART or (is_ending and self._raises):
            return
        if self._handled is None:
            self._handled = now
        if self._raises and not (now - self._handled < LONGEST and _is_uninterrupted(frame)):
            raise KeyboardInterrupt

    @contextmanager
    def _hearing(self, reminder: signal.Signals) -> Iterator[None]:
        """Within the block a thread hears of signals, and sends `reminder` until all has ended."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        main_thread = threading.get_ident()
        thread = threading.Thread(
            target=self._hear, args=(reading, main_thread, reminder), name="signals", daemon=True
        )
        thread.start()
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            os.write(writing, b"\0")  # which ends the thread
            thread.join()
            os.close(writing)
            os.close(reading)

    def _hear(self, reading: int, main_thread: int, reminder: signal.Signals) -> None:
        """Note each signal; have our handler called until what a signal ends has ended.

        A second signal ends the process, also where the main thread is in code that is not Python.
        """
        due, is_reminded = 0.0, False
        while True:
            waits = self.came and self._raises
            wait = max(0.0, due - time.monotonic()) if waits else None
            if select.select([reading], [], [], wait)[0]:
                numbers = [*os.read(reading, 64)]
                if 0 in numbers:
                    return
                if is_reminded and reminder in numbers:
                    numbers.remove(reminder)
                    is_reminded = False
                if not {*numbers}.isdisjoint(SIGNALS):
                    self._note(time.monotonic())
                if not waits:
                    due = time.monotonic() + AGAIN
            elif waits and self.came and self._raises:
                due = time.monotonic() + AGAIN
                if not is_reminded:  # else the last one has not yet arrived
                    is_reminded = True
                    signal.pthread_kill(main_thread, reminder)

    def _note(self, now: float) -> None:
        """Note that a signal came which is no reminder."""
        if not self._raises or now - self._forgotten < APART:
            return
        if self._heard is None:
            self._heard = now
        # Where Prefect handled it first, Prefect sends it again once it has dealt with it.
        elif now > (self._heard + LONGEST if self._handled is None else self._handled + APART):
            self._say("interrupted again: ended at once")
            os._exit(CODE)


def _is_ending() -> bool:
    """Whether a signal's exception is passing, ours or Prefect's, and something cleans up."""
    error = sys.exception()
    while error is not None:
        if not isinstance(error, Exception | GeneratorExit):
            return True
        error = error.__context__
    return False


def _is_uninterrupted(frame: FrameType | None) -> bool:
    """Whether a database, an import or a compiler is at work."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(UNINTERRUPTED):
            return True
        frame = frame.f_back
    return False


def _show_other(ignored: "sys.UnraisableHookArgs") -> None:
    """Show an exception that disappears, as Python does; ours comes again, and is no news."""
    if not issubclass(ignored.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(ignored)


def _raise(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


INTERRUPTS = Interrupts()
"""Of this process: it has one set of handlers."""
