"""What a process writes into a workspace, one by one; a signal strikes just before one of them."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

_CHANGED = {  # what is done to a name, and which of its arguments is that name
    "os.link": 1,
    "os.mkdir": 0,
    "os.remove": 0,
    "os.rename": 0,
    "os.rmdir": 0,
    "os.truncate": 0,
}
_NOT_READING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_NOT_OURS = ("home", "prefect")  # of libraries; nothing is read from there
_READS = ("SELECT", "PRAGMA")


def strike_before(place: Path, which: int, number: signal.Signals, note: Path) -> Callable[[], None]:
    """What makes a process strike itself.

    Args:
        place: The workspace.
        which: Of its writes, from 1: files that are opened for writing, names that change,
            transactions of MLflow's database that change it.
        number: The signal.
        note: Takes what was about to be written.
    """
    n_writes = 0

    def about_to(write: str) -> None:
        nonlocal n_writes
        n_writes += 1
        if n_writes == which:
            note.write_text(write, encoding="utf-8")
            os.kill(os.getpid(), number)

    def audit(name: str, args: tuple[Any, ...]) -> None:
        at = _CHANGED.get(name)
        if name == "open" and isinstance(args[2], int) and args[2] & _NOT_READING:
            at = 0
        if at is not None and (path := _inside(place, args[at])) is not None:
            about_to(f"{name} {path}")

    def begins(connection: Connection, _: Any, statement: str, *more: Any) -> None:
        if not statement.lstrip().upper().startswith(_READS):
            connection.info.setdefault("writes", []).append(" ".join(statement.split()[:3]))

    def commits(connection: Connection) -> None:
        if writes := connection.info.pop("writes", None):
            about_to(f"commit of {', '.join(dict.fromkeys(writes))}")

    def install() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        event.listen(Engine, "before_cursor_execute", begins)
        event.listen(Engine, "commit", commits)
        sys.addaudithook(audit)

    return install


def _inside(place: Path, path: Any) -> str | None:
    """A path within the workspace, relative to it; locks are no writes, but for those of workers."""
    if not isinstance(path, str | os.PathLike):
        return None
    text = os.fspath(path)
    if not isinstance(text, str) or not text.startswith(f"{place}{os.sep}"):
        return None
    inner = text[len(str(place)) + 1 :]
    first, _, rest = inner.partition(os.sep)
    if first in _NOT_OURS or (first == "locks" and not rest.startswith("workers")):
        return None
    return inner
