"""New databases of libraries from a stored schema: the migrations of the libraries take seconds.

A schema is an SQL script. Its first line names the library and the version that makes the same
database; another version makes its database itself.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

from recsys.files import temporary_folder


def make_database(database: Path, script: Path) -> None:
    """Make an SQLite database that is missing, whole or not at all.

    Args:
        database: Where it is to be; one that is there stays.
        script: A stored schema; that of another version of its library is not used.
    """
    if database.exists():
        return
    text = script.read_text(encoding="utf-8")
    library = text.split(maxsplit=2)[1]
    if not text.startswith(_title(library)):
        return
    with temporary_folder(database.parent, f".{database.name}-") as folder:
        new = folder / database.name
        with closing(sqlite3.connect(new)) as connection:
            connection.executescript(f"begin;\n{text}commit;\n")
        with suppress(OSError):  # another process was first, or the disk knows no links
            os.link(new, database)


def schema_of(database: Path, library: str, tables: Sequence[str]) -> str:
    """The script that makes the tables and indexes of a database, with the rows of some tables."""
    with closing(sqlite3.connect(database)) as connection:
        made = "select sql from sqlite_master where sql is not null order by rowid"
        parts = [f"{sql};\n" for (sql,) in connection.execute(made)]
        for table in tables:
            for row in connection.execute(f'select * from "{table}"').fetchall():
                values = ", ".join(
                    connection.execute("select quote(?)", [value]).fetchone()[0] for value in row
                )
                parts.append(f'insert into "{table}" values ({values});\n')
    return _title(library) + "".join(parts)


def _title(library: str) -> str:
    return f"-- {library} {version(library)}\n"
