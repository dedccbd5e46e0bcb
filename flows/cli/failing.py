"""How a failure is said: what the outside world caused in one line, a fault of ours with a report.

The world outside: a disk that is full, files that may not be written, limits of the system,
databases that are damaged. The line says what to do; the command exits with 2. Any other exception
is a bug: its traceback is shown, and where the report lies that says all that is needed.
"""

import errno
import os
import re
import resource
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from flows.cli import session
from tasks.workspace.readable import may_not
from tasks.workspace.room import full_disk, no_room

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
TOO_MANY = {errno.EMFILE, errno.ENFILE}
BUSY = {errno.EAGAIN, errno.ENOMEM}
BROKEN = {errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENODEV, errno.ENOTCONN, errno.ETIMEDOUT}
IN_THE_WAY = {errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.EEXIST}
DEPTH = 20  # causes of causes that are looked at

_DATABASE = {
    "database or disk is full": "{full}",
    "attempt to write a readonly database": "{unwritable}",
    "unable to open database file": "a database {place} cannot be opened; check that you may write "
    "there, or pass --workspace with another folder",
    "disk i/o error": "{failing}",
    "database disk image is malformed": "{damaged}",
    "file is not a database": "{damaged}",
    "file is encrypted": "{damaged}",
    "unsupported file format": "{damaged}",
    "database schema is corrupt": "{damaged}",
    "malformed database schema": "{damaged}",
    "database is locked": "another process holds a database {place}; repeat the command when it "
    "has ended",
    "out-of-date database schema": "{newer}",
    "can't locate revision": "{newer}",
}


def sentence(error: BaseException) -> str | None:
    """What the outside world did, and what to do, in one line; None for an error of ours."""
    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, MemoryError):
            return (
                "there is not enough memory; close other programs, give the search smaller models, "
                "or use a part of the data (filter.fraction)"
            )
        if isinstance(each, OSError) and (text := _of_system(each)):
            return text
        if isinstance(each, UnicodeEncodeError) and each.reason == "surrogates not allowed":
            return f"{ascii(each.object)[:200]} is not written in UTF-8; rename what it names"
    for each in chain:
        lowered = str(each).lower()
        for words, text in _DATABASE.items():
            if words in lowered:
                return _filled(text)
        if text := _of_text(lowered):
            return text
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what caused it."""
    for _ in range(DEPTH):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _of_system(error: OSError) -> str | None:
    what = f"{error.filename}: {error.strerror}" if error.filename else _reason(error)
    if error.errno in NO_ROOM:
        return _no_room(error, what)
    if error.errno in NOT_ALLOWED:
        return _not_allowed(error, what)
    if error.errno in TOO_MANY:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"{what}; {limit} may be open at once: allow more with `ulimit -n 4096`"
    if error.errno in BUSY:
        return f"{what}; the system gives no more processes or memory: end others, and repeat"
    if error.errno in BROKEN:
        return f"{what}; check the disk or the connection, and repeat the command"
    if error.errno == errno.ENAMETOOLONG and error.filename:
        return f"{what}; use a shorter name"
    if error.errno in IN_THE_WAY and error.filename:
        return f"{what}; use another name, or move what is there"
    if error.errno == errno.ENOENT and not error.filename and _is_homeless():
        return "the current folder is not there any more; change into another one"
    if "No usable temporary directory" in str(error):
        return "there is no folder for temporary files; set TMPDIR to one that you may write"
    return None


def _reason(error: OSError) -> str:
    """What the system says, without its number; as a sentence begins."""
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]


def _is_homeless() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _no_room(error: OSError, what: str) -> str:
    if error.errno == errno.EFBIG:
        return f"{what}; allow larger files with `ulimit -f unlimited`, and repeat the command"
    if error.filename:
        return no_room(Path(os.fsdecode(error.filename)).parent.absolute())
    return _full() or f"{what}; make room, and repeat the command"


def _full() -> str | None:
    """What to do about the disk of the workspace, or of temporary files, where it is full."""
    root = session.opened_root()
    return full_disk(*([root] if root else []), Path(os.environ.get("TMPDIR", "/tmp")))


def _not_allowed(error: OSError, what: str) -> str:
    root = session.opened_root()
    path = Path(os.fsdecode(error.filename)) if error.filename else None
    if root and path and path.is_relative_to(root):
        return f"{may_not(root, 'only be read' if _is_readable(path) else 'not be read')} ({what})"
    return f"{what}; use a place that you may write, or one that you may read"


def _is_readable(path: Path) -> bool:
    """Whether the path may be read, or else the folder that it would be made in."""
    while not _is_there(path) and path != path.parent:
        path = path.parent
    return os.access(path, os.R_OK)


def _is_there(path: Path) -> bool:
    """Whether something is at the path, as far as it can be seen."""
    try:
        return path.exists()
    except OSError:
        return False


def _of_text(lowered: str) -> str | None:
    """Limits that libraries report in words of their own."""
    if "too many open files" in lowered:
        return _of_system(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    if "no space left on device" in lowered or "disk quota exceeded" in lowered:
        return _full() or "no space left for a file; make room, and repeat the command"
    if "500 internal server error" in lowered:
        return _full()  # all that a server says when its database has no room
    if "read-only file system" in lowered:
        return _unwritable()
    if "can't start new thread" in lowered:
        return "the system gives no more threads; raise `ulimit -u`, or end other programs"
    if "could not determine home directory" in lowered:
        return "your home folder is not known; set HOME to a folder"
    return None


def _filled(text: str) -> str:
    place = f"in {session.opened_root()}" if session.opened_root() else "in the workspace"
    return text.format(
        place=place,
        unwritable=_unwritable(),
        full=no_room(session.opened_root() or Path.cwd()),
        failing=_full()
        or f"the disk under a database {place} fails; check its space and its health, and repeat "
        "the command",
        damaged=f"a database {place} is damaged, or is no database of SQLite; bring it back from a "
        "copy, or pass --workspace with another folder",
        newer=f"the database {place} was made by another version of MLflow than this one; use the "
        "version that made it, or pass --workspace with another folder",
    )


def _unwritable() -> str:
    return may_not(session.opened_root() or "of the command", "only be read")


def report_bugs(typed: Sequence[str], versions: Callable[[], str]) -> None:
    """Let an exception that ends the program be followed by what to report."""

    def hook(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, frames)
        if not issubclass(kind, Exception):
            return
        lines = traceback.format_exception(kind, error, frames)
        command = without_passwords(shlex.join(["recsys", *typed]))
        file = _kept("\n".join([command, "", versions(), "", without_passwords("".join(lines))]))
        attached = f", and attach {file}: it has" if file else ":"
        print(
            f"recsys: this is a fault of recsys; please report it{attached} the command "
            f"`{command}`, the versions that `recsys --version` shows and the lines above",
            file=sys.stderr,
        )

    sys.excepthook = hook


def _kept(text: str) -> Path | None:
    """The report in a file beside those for libraries, or among temporary ones."""
    root = session.opened_root()
    for folder in ([root / "home"] if root else []) + [None]:
        try:
            descriptor, name = tempfile.mkstemp(".txt", "recsys-fault-", folder)
            with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError:
            continue
        return Path(name)
    return None


def without_passwords(text: str) -> str:
    """The text with addresses that show no password."""
    return re.sub(r"(?<=://)([^\s:/@]*):[^\s@]*@", r"\1:***@", text)
