"""What a process writes into a workspace, one by one; a signal strikes just before one of them."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

_MAKING = os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NOT_OURS = ("home", "prefect")  # of libraries; nothing is read from there
_READS = ("SELECT", "PRAGMA")


def strike_before(
    place: Path, which: int, number: signal.Signals, note: Path
) -> Callable[[], None]:
    """What makes a process strike itself.

    Args:
        place: The workspace.
        which: Of its writes, from 1: files that are opened for writing, names that change,
            transactions of MLflow's database that change it. Not those within a folder that
            nobody but the worker looks into.
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
        path = _changed(name, args)
        if path is not None and (inner := _inside(place, path)):
            about_to(f"{name} {inner}")

    def executes(connection: Connection, _: Any, statement: str, *more: Any) -> None:
        if statement.lstrip().upper().startswith(_READS):
            return
        writes = connection.info.setdefault("writes", [])
        writes.append(" ".join(statement.split()[:3]))
        # Raised while committing, KeyboardInterrupt leaves SQLAlchemy with half a transaction.
        if number == signal.SIGINT and len(writes) == 1:
            about_to(f"transaction of {writes[0]}")

    def commits(connection: Connection) -> None:
        writes = connection.info.pop("writes", None)
        if writes and number != signal.SIGINT:
            about_to(f"commit of {', '.join(dict.fromkeys(writes))}")

    def install() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        event.listen(Engine, "before_cursor_execute", executes)
        event.listen(Engine, "commit", commits)
        sys.addaudithook(audit)

    return install


def _changed(name: str, args: tuple[Any, ...]) -> Any:
    """The path that an audited event is about to change, if it is."""
    match name:
        case "open" if isinstance(args[2], int) and args[2] & _MAKING:
            return args[0]
        case "os.mkdir" if not os.path.exists(args[0]) and os.path.exists(os.path.dirname(args[0])):
            return args[0]
        case "os.remove" | "os.rmdir" | "os.truncate" | "shutil.rmtree" if os.path.exists(args[0]):
            return args[0]
        case "os.link" | "os.rename":
            return args[1]
    return None


def _inside(place: Path, path: Any) -> str | None:
    """A path within the workspace, relative to it; where others look."""
    if not isinstance(path, str | os.PathLike):
        return None
    text = str(path)
    if not text.startswith(f"{place}{os.sep}"):
        return None
    inner = text[len(str(place)) + 1 :]
    first, _, rest = inner.partition(os.sep)
    locks = first == "locks" and not rest.startswith("workers" + os.sep)
    private = (first == "cache" and "/." in inner) or (first == "tmp" and os.sep in rest)
    return None if locks or private or first in _NOT_OURS else inner
