"""Ctrl-C and SIGTERM end a command, whatever it is doing.

Python raises KeyboardInterrupt in the midst of whatever the main thread does. In a callback of a
weak reference, in a destructor, or below a library that catches it, the exception disappears and
the work continues. So a signal is remembered as well. While the work continues it is raised again:
by `check`, which every report of progress calls, and by a thread, several times a second.

A gap is left: while Prefect begins a flow, SIGTERM goes to Prefect's handler, and nothing raises it
again.
"""

import _thread
import os
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
WRITING = ("sqlalchemy", "mlflow.store", "optuna.storages")
LONGEST_WRITE = 2.0  # seconds that a database is left to come to the end of what it does


class Interrupts:
    """The signals that this process has received since `listening` began."""

    def __init__(self) -> None:
        """Listen to nothing, so far."""
        self._raises = False
        self._say: Callable[[str], object] = str
        self._forget()

    def _forget(self) -> None:
        self._first: signal.Signals | None = None
        self._at = 0.0
        self._is_reminder = False

    @property
    def came(self) -> bool:
        """Whether a signal came that asks the command to end."""
        return self._first is not None

    def forget(self) -> None:
        """Take the signal as dealt with: the work it was to end has ended, as was wanted."""
        self._forget()

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
        self._raises = True
        for number in ours:
            signal.signal(number, self._handle)
        shown, sys.unraisablehook = sys.unraisablehook, _show_other
        try:
            yield
        finally:
            self._raises, sys.unraisablehook = False, shown
            for number in ours:
                signal.signal(number, known[number])

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal, and raise KeyboardInterrupt where that does no harm."""
        reminder, self._is_reminder = self._is_reminder, False
        if reminder and not (self.came and self._raises):
            return
        now = time.monotonic()
        if self._first is None:
            self._first, self._at = signal.Signals(number), now
            _thread.start_new_thread(self._remind, (threading.get_ident(),))
        elif not reminder and now - self._at > APART:
            self._say("interrupted again: ended at once")
            os._exit(CODE)
        if not self._raises or _is_ending() or (_writes(frame) and now - self._at < LONGEST_WRITE):
            return
        raise KeyboardInterrupt

    def _remind(self, main_thread: int) -> None:
        """Have the handler called again and again, until what the signal ends has ended."""
        while True:
            time.sleep(AGAIN)
            number = self._first
            if number is None or not self._raises:
                return
            self._is_reminder = True
            signal.pthread_kill(main_thread, number)


def _is_ending() -> bool:
    """Whether this is called while KeyboardInterrupt is passing, by what cleans up after it."""
    error = sys.exception()
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _writes(frame: FrameType | None) -> bool:
    """Whether a database is at work, which is left with half a transaction by an exception."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(WRITING):
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
