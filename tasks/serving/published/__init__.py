"""Lists that were computed ahead, where others read them without the model.

    PATH.parquet             one file
    FOLDER                   published.parquet in it
    sqlite:///FILE           tables recsys_* of a database
    postgresql://...         the same tables

Whoever reads sees one publication, the old or the new one. A file is written beside the old one and
takes its name; tables are filled anew in one transaction. Nothing slow is imported to read.
"""

from pathlib import Path

from recsys.errors import InputError
from tasks.serving.published.store import ListStore
from tasks.workspace.postgres import is_postgres, masked

_SQLITE = "sqlite:///"
_DATABASES = (".db", ".sqlite", ".sqlite3")


def open_store(address: str) -> ListStore:
    """Where an address leads; nothing is opened before it is used.

    Args:
        address: As above. It may hold a password: show `place` of the shelf.

    Raises:
        InputError: it is none of these.
    """
    if is_postgres(address):
        from tasks.serving.published.postgres import PostgresStore

        return PostgresStore(address)
    if address.startswith(_SQLITE) and len(address) > len(_SQLITE):
        from tasks.serving.published.sqlite import SqliteStore

        return SqliteStore(Path(address.removeprefix(_SQLITE)))
    path = Path(address)
    if "://" in address or not address or path.suffix in _DATABASES:
        raise InputError(
            f"{masked(address)!r} is no place to publish to; give PATH.parquet, a folder, "
            "sqlite:///FILE or postgresql://user:password@host:5432/database"
        )
    from tasks.serving.published.parquet import ParquetStore

    return ParquetStore(path if path.suffix == ".parquet" else path / "published.parquet")
