"""The text with which Prefect's clients log in to a server that can start commands."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from recsys.errors import InputError

USER = "recsys"
_OWNER_ALONE = 0o600


def new_secret() -> str:
    """A new `name:password`, as Prefect's settings want it."""
    return f"{USER}:{secrets.token_urlsafe(32)}"


def kept_secret(file: Path) -> str:
    """The secret in a file that its owner alone can read; made by the first caller, atomically.

    Raises:
        InputError: the file is empty, or cannot be read or written.
    """
    try:
        if not file.exists():
            _write_once(file)
        file.chmod(_OWNER_ALONE)
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; let its owner start the server") from error
    if not text:
        raise InputError(f"{file} is empty; remove it, and the server makes a new secret")
    return text


def _write_once(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _OWNER_ALONE), "w") as made:
        made.write(f"{new_secret()}\n")
    with suppress(FileExistsError):  # another process was first: its secret counts
        os.link(part, file)
    part.unlink()
