"""Publishes lists that show whether they are whole, and can be killed at each step.

python -m tests.tasks.serving.publisher strike SIGKILL|SIGINT PLACE    prints a JSON line per strike
python -m tests.tasks.serving.publisher loop PLACE    version after version, until killed
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.serving.published import open_store, sqlite
from tasks.serving.published.store import ListStore, Published

K = 3
ENDED, STRUCK = 0, 9


def what(version: int, n: int) -> Published:
    """A publication of n users and as many items."""
    at = datetime(2026, 1, 1, 12, 0, version % 60, tzinfo=UTC)
    return Published(str(version), "run", "als", "study", "hash", K, n, n, at)


def blocks(
    version: int, n: int, size: int = 2, about_to: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[str, Any]]:
    """Every score is the version; the lists of the last user and the last item are empty."""
    for kind, letter in (("user", "u"), ("item", "a")):
        for start in range(0, n, size):
            about_to(f"{kind} from {start}")
            yield kind, block(letter, range(start, min(start + size, n)), version, n)
    about_to("end of the lists")


def block(letter: str, numbers: range, version: int, n: int) -> Any:
    rows = [
        {
            "subject": f"{letter}{number:04}",
            "subject_name": f"Name {number:04}",
            "key": f"u{number:04}" if letter == "u" else f"name {number:04}",
            "cells": 5,
            "rank": rank if number < n - 1 else 0,
            "item_id": f"x{rank}" if number < n - 1 else None,
            "name": f"X {rank}" if number < n - 1 else None,
            "score": float(version) if number < n - 1 else None,
        }
        for number in numbers
        for rank in range(1, K + 1 if number < n - 1 else 2)
    ]
    texts = ("subject", "subject_name", "key", "item_id", "name")
    types = {**dict.fromkeys(texts, pa.string()), "cells": pa.int64(), "rank": pa.int32()}
    names = ("subject", "subject_name", "key", "cells", "rank", "item_id", "name", "score")
    return pa.table(
        {
            name: pa.array([row[name] for row in rows], types.get(name, pa.float64()))
            for name in names
        }
    )


def seen(store: ListStore, n: int) -> int:
    """The version that is published, each list of it found whole; 0 for none.

    Raises:
        AssertionError: a list is missing, or is not of that version; or there are more.
    """
    about = store.read()
    if about is None:
        return 0
    for number in range(n):
        whole(store.user(f"u{number:04}"), about, f"u{number:04}", number == n - 1)
        whole(store.item(f"NAME {number:04}"), about, f"a{number:04}", number == n - 1)
    return int(about.version)


def whole(found: Any, about: Published | None, subject: str, empty: bool) -> Published:
    """The publication of a list, which has all its entries."""
    assert found is not None
    assert about is None or found.published == about
    assert found.subject == subject
    ranks = [] if empty else list(range(1, K + 1))
    assert [each.rank for each in found.entries] == ranks
    assert {each.score for each in found.entries} <= {float(found.published.version)}
    return found.published  # type: ignore[no-any-return]


def in_fork(work: Callable[[], int]) -> int:
    """The exit code of work in a forked process, negative for a signal."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = work()
        except KeyboardInterrupt:
            code = STRUCK
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Strikes:
    """A signal to this process just before one of the things that it does to a place."""

    def __init__(self, which: int, number: signal.Signals, note: Path) -> None:
        self._left, self._number, self._note = which, number, note

    def about_to(self, do: str) -> None:
        self._left -= 1
        if self._left == 0:
            self._note.write_text(do, encoding="utf-8")
            os.kill(os.getpid(), self._number)

    def install(self, folder: Path) -> None:
        """Count files that change, statements of SQLite, and what is sent to PostgreSQL."""
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def audit(name: str, args: tuple[Any, ...]) -> None:
            if name in ("os.rename", "os.remove") and str(args[0]).startswith(str(folder)):
                self.about_to(f"{name} {args[0]}")

        sys.addaudithook(audit)
        if self._number == signal.SIGINT:  # an exception there is lost within the libraries
            return
        plain = sqlite._connected

        def traced(*args: Any, **more: Any) -> Any:
            made = plain(*args, **more)
            made.set_trace_callback(self.about_to)
            return made

        sqlite._connected = traced
        import psycopg

        wait = psycopg.Connection.wait

        def waiting(connection: Any, generator: Any, *args: Any, **more: Any) -> Any:
            self.about_to(f"PostgreSQL {generator.__name__}")
            return wait(connection, generator, *args, **more)

        psycopg.Connection.wait = waiting  # type: ignore[method-assign]


def strike_each(place: str, number: signal.Signals, folder: Path, n: int = 3) -> None:
    """Publish version 2 in place of 1, struck at its first act, its second, ... until it ends."""
    store, note = open_store(place), folder / "note"

    def publish(version: int, which: int = 0) -> int:
        strikes = Strikes(which, number, note)
        strikes.install(folder)
        store.replace(what(version, n), blocks(version, n, 2, strikes.about_to), again=True)
        return ENDED

    assert in_fork(lambda: publish(1)) == ENDED
    for which in range(1, 1000):
        code = in_fork(lambda which=which: publish(2, which))  # type: ignore[misc]
        version = in_fork(lambda: seen(store, n))
        files = sorted(path.name for path in folder.iterdir() if path.name != "note")
        told = "" if code == ENDED else note.read_text(encoding="utf-8")
        line = {"code": code, "before": told, "version": version, "files": files}
        sys.stdout.write(json.dumps(line) + "\n")
        if code == ENDED:
            return
        if version == 2:
            assert in_fork(lambda: publish(1)) == ENDED


def loop(place: str, n: int = 40) -> None:
    store = open_store(place)
    for version in range(2, 10**6):
        store.replace(what(version, n), blocks(version, n, 16), again=True)


if __name__ == "__main__":
    mode, *rest = sys.argv[1:]
    if mode == "loop":
        loop(rest[0])
    else:
        strike_each(rest[1], signal.Signals[rest[0]], Path(rest[2]))
