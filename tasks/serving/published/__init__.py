"""Published lists: computed ahead, for readers without the model.

    PATH.parquet             one file
    FOLDER                   published.parquet in it
    sqlite:///FILE           tables recsys_* of a database
    postgresql://...         the same tables

To publish is atomic: a reader sees the old publication or the new one. A file is written beside
the old one and renamed over it; tables are filled anew in one transaction. Reading imports nothing
slow.
"""

from pathlib import Path

from recsys.errors import InputError
from tasks.serving.published.store import ListStore
from tasks.workspace.postgres import is_postgres, masked
from tasks.workspace.readable import check_output

_SQLITE = "sqlite:///"
_DATABASES = (".db", ".sqlite", ".sqlite3")


def check_place(address: str) -> None:
    """Refuse a file that cannot be written, before what is to be published is made.

    Raises:
        InputError: the address is no place for published lists, or not one to write to.
    """
    store = open_store(address)
    if not is_postgres(address):
        check_output(Path(store.place.removeprefix(_SQLITE)))


def open_store(address: str) -> ListStore:
    """The store at an address; nothing is opened before it is used.

    Args:
        address: As above. It may hold a password: show `place` of the store.

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
