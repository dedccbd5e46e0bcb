"""How the program `recsys` begins and ends: also there Ctrl-C is a line and not a traceback."""

import atexit
import os
import signal
import sys
from contextlib import suppress
from types import FrameType

from flows.cli.outside import use_utf8

INTERRUPTED = 130


def main() -> int:
    """Run the command that was typed; returns its exit code.

    Until it begins there is nothing to clean up, and after it has ended nothing to interrupt.
    """
    _on_signals(_leave)
    atexit.register(_on_signals, signal.SIG_IGN)  # the last of all: Python then drops handlers
    use_utf8()
    from flows.cli.main import main as run  # the other imports take their time

    code = run()

    def leave_with_code(number: int, frame: FrameType | None) -> None:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)

    _on_signals(leave_with_code)
    if code == INTERRUPTED:
        exec("")  # else Python (-m) ends by SIGINT if an interrupt passed through an exec
    return code


def _on_signals(handler: "signal._HANDLER") -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"recsys: interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
