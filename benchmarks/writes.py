"""What a process writes into a workspace, one by one; a signal strikes just before one of them."""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from tasks.serving.published import sqlite as published
from tasks.tracking import writing

_MAKING = os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NOT_OURS = ("home", "prefect")  # of libraries; nothing is read from there
_READS = ("SELECT", "PRAGMA")
_CODE = "/artifacts/code/"  # of a registered model: dozens of files, one like the other


def strike_before(
    place: Path, which: int, number: signal.Signals, note: Path
) -> Callable[[], None]:
    """What makes a process strike itself.

    Args:
        place: The workspace.
        which: Of its writes, from 1: files that are opened for writing, names that change,
            transactions of MLflow's database that change it, statements that change what is
            published. Not those within a folder of the worker alone; a copy
            of our code is one write.
        number: The signal.
        note: Takes the writes before it, a line each, and what was about to be written.
    """
    writes: list[str] = []

    def about_to(write: str) -> None:
        writes.append(write)
        if len(writes) == which:
            note.write_text("\n".join(writes), encoding="utf-8")
            os.kill(os.getpid(), number)

    def audit(name: str, args: tuple[Any, ...]) -> None:
        path = _changed(name, args)
        if path is None or not (inner := _inside(place, path)):
            return
        if not (_CODE in inner and writes and _CODE in writes[-1]):
            about_to(f"{name} {inner}")

    def executes(connection: Connection, _: Any, statement: str, *more: Any) -> None:
        if statement.lstrip().upper().startswith(_READS):
            return
        said = connection.info.setdefault("writes", [])
        said.append(_begin(statement))
        # Raised while committing, KeyboardInterrupt leaves SQLAlchemy with half a transaction.
        if number == signal.SIGINT and len(said) == 1:
            about_to(f"transaction of {said[0]}")

    def commits(connection: Connection) -> None:
        said = connection.info.pop("writes", None)
        if said and number != signal.SIGINT:
            about_to(f"commit of {', '.join(dict.fromkeys(said))}")

    def install() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        event.listen(Engine, "before_cursor_execute", executes)
        event.listen(Engine, "commit", commits)
        published._connected = _told(about_to)
        writing._connected = _told_of_runs(about_to, number == signal.SIGINT)
        sys.addaudithook(audit)

    return install


def struck_before(note: Path) -> str:
    """What was about to be written when the signal came."""
    return note.read_text(encoding="utf-8").splitlines()[-1]


def _told(about_to: Callable[[str], None]) -> Callable[..., sqlite3.Connection]:
    """In place of the function that opens what is published: tells of each change to come."""

    class Told(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if not statement.startswith("SELECT"):
                about_to(f"published: {_begin(statement)}")
            return super().execute(statement, *values)

        def executemany(self, statement: str, *values: Any) -> sqlite3.Cursor:
            about_to(f"published: {_begin(statement)}")
            return super().executemany(statement, *values)

    def connected(place: str, uri: bool = False) -> sqlite3.Connection:
        kind = sqlite3.Connection if uri else Told  # who only reads gives a URI
        return sqlite3.connect(
            place, timeout=published.WAIT, isolation_level=None, uri=uri, factory=kind
        )

    return connected


def _told_of_runs(
    about_to: Callable[[str], None], at_first: bool
) -> Callable[[Path], sqlite3.Connection]:
    """In place of the function that opens MLflow's database to write runs: tells of transactions.

    Args:
        about_to: Is told.
        at_first: Before the first change of each, and not before its commit.
    """

    class Told(sqlite3.Connection):
        said: tuple[str, ...] = ()

        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            self._say(statement)
            return super().execute(statement, *values)

        def executemany(self, statement: str, *values: Any) -> sqlite3.Cursor:
            self._say(statement)
            return super().executemany(statement, *values)

        def _say(self, statement: str) -> None:
            if statement == "commit":
                if self.said and not at_first:
                    about_to(f"commit of {', '.join(dict.fromkeys(self.said))}")
            elif statement.startswith(("insert", "update", "delete")):
                self.said = (*self.said, _begin(statement))
                if at_first and len(self.said) == 1:
                    about_to(f"transaction of {self.said[0]}")

    def connected(database: Path) -> sqlite3.Connection:
        address = f"{database.absolute().as_uri()}?mode=rw"
        return sqlite3.connect(
            address,
            uri=True,
            timeout=published.WAIT,
            isolation_level=None,
            check_same_thread=False,
            factory=Told,
        )

    return connected


def _begin(statement: str) -> str:
    return " ".join(statement.split()[:3])


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
