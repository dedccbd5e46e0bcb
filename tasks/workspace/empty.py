"""New databases of libraries, as copies of an empty one: their migrations take seconds.

The empty database of a version of a library is made once for an installation, by the library, and
lies beside this file, as compiled code does. Where nothing may be written there, the library makes
each database itself.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from recsys.files import atomic_file, temporary_folder

KEPT = Path(__file__).parent / "__pycache__"
_ALONE = """
import os
for name in [*os.environ]:
    if name.startswith(("PREFECT_", "MLFLOW_")):
        del os.environ[name]
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
"""


@dataclass(frozen=True, slots=True)
class Maker:
    """How a library makes its database.

    Attributes:
        library: Its name.
        program: In Python; makes the SQLite database that its first argument names.
    """

    library: str
    program: str


def make_database(database: Path, maker: Maker) -> None:
    """Make an SQLite database that is missing, whole or not at all.

    It stays missing where no empty one can be kept, or the library does not make one this way.
    """
    if database.exists() or (empty := _empty(maker)) is None:
        return
    with temporary_folder(database.parent, f".{database.name}-") as folder:
        new = folder / database.name
        shutil.copyfile(empty, new)
        with suppress(OSError):  # another process was first, or the disk knows no links
            os.link(new, database)


def _empty(maker: Maker) -> Path | None:
    """The empty database of the installed version; None where there is none and none can be."""
    path = KEPT / f"{maker.library}-{version(maker.library)}.db"
    if path.exists():
        return path
    with (
        suppress(OSError, subprocess.CalledProcessError),
        atomic_file(path) as new,
        made(maker, new.parent) as database,
    ):
        shutil.move(database, new)
    return path if path.exists() else None


@contextmanager
def made(maker: Maker, folder: Path) -> Iterator[Path]:
    """An empty database that the library makes in a folder, with nothing of it in other files.

    Raises:
        CalledProcessError: it cannot make one this way.
        FileNotFoundError: it made none.
    """
    database = folder / "made.db"
    command = [sys.executable, "-P", "-c", _ALONE + maker.program, str(database)]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    with closing(sqlite3.connect(database.resolve(strict=True))) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        connection.execute("pragma journal_mode = delete")
        connection.execute("vacuum")
    yield database
