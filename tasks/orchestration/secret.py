"""The text with which Prefect's clients log in to a server that can start commands."""

import os
import secrets
import tempfile
from pathlib import Path

from recsys.errors import InputError

USER = "recsys"
_OWNER_ALONE, _OTHERS = 0o600, 0o077


def new_secret() -> str:
    """A new `name:password`, as Prefect's settings want it."""
    return f"{USER}:{secrets.token_urlsafe(32)}"


def kept_secret(file: Path) -> str:
    """The secret in a file that its owner alone can read; made by the first caller, atomically.

    Raises:
        InputError: the file holds no secret, or cannot be read or written.
    """
    try:
        if not file.exists():
            _write_once(file)
        if file.stat().st_mode & _OTHERS:
            file.chmod(_OWNER_ALONE)
        text = file.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; let its owner start the server") from error
    if not text or not text.isascii() or not text.isprintable():
        raise InputError(f"{file} holds no secret; remove it, and the server makes a new one")
    return text


def _write_once(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)  # its owner's
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as made:
            made.write(f"{new_secret()}\n")
        try:
            os.link(name, file)
        except FileExistsError:  # another process was first: its secret counts
            return
        except OSError:  # a disk without links
            os.replace(name, file)
    finally:
        Path(name).unlink(missing_ok=True)
