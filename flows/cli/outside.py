"""What a process finds when it begins: its streams, its encoding, its limits. Imports nothing slow.

The command works with what there is, or says in one line what it lacks.
"""

import os
import resource
import select
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import UnsupportedOperation
from typing import TextIO

from recsys.errors import InputError

OPEN_FILES = 64  # without a margin a search needs half as many
WANTED = 4096


def use_utf8() -> None:
    """Begin again in Python's UTF-8 mode where names of files would be read as anything else.

    The libraries beneath take every name for UTF-8. The locale of the user stays as it is.
    """
    if sys.getfilesystemencoding().lower() not in ("utf-8", "utf8"):
        os.environ["PYTHONUTF8"] = "1"  # for the processes that are started, too
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def check_words(words: Sequence[str]) -> None:
    """Refuse a word that is no text.

    Raises:
        InputError: it is not.
    """
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{word!a} is not written in UTF-8; rename what it names") from error


def open_standard_streams() -> None:
    """Put the null device where a standard stream is closed, before a file gets its number.

    Else what is printed would end in the first file that is opened, such as a database.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (stays)


def write_line(stream: TextIO, text: str) -> None:
    """Write a line that may be lost: where the stream takes no more, the work is done unseen."""
    try:
        stream.write(text + "\n")
        stream.flush()
    except OSError:
        silence(stream)


def is_broken(stream: TextIO) -> bool:
    """Whether the reader of a stream has gone; what failed to be written is not held any more."""
    try:
        stream.flush()
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except OSError as error:
        return not isinstance(error, UnsupportedOperation)  # of a stream without a descriptor


def silence(stream: TextIO) -> None:
    """Let a stream that cannot be written end in the null device, with what it still holds."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def allow_open_files() -> None:
    """Let this process open as many files as it may allow itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check_open_files() -> None:
    """Refuse to begin a search where it would run out of open files, in the middle of a library.

    Raises:
        InputError: so few may be open.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        raise InputError(
            f"only {soft} files may be open at once, and this command needs {OPEN_FILES}; allow "
            f"more with `ulimit -n {WANTED}`"
        )
