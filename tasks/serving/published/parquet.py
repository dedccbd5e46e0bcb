"""Published lists as one Parquet file, renamed over the old one when it is complete: atomic.

    kind             "user" or "item": whose list it is
    subject ...      as `recsys.serving.lists` has them
    version          of the model
    published        when, UTC

Rows of users come first, and both kinds rise in `key`: so the statistics of the row groups lead to
a list. A reader that has the old file open reads it to its end.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.errors import InputError
from recsys.files import atomic_file
from tasks.serving.published.store import (
    OldStoreError,
    Published,
    PublishedItem,
    PublishedList,
)
from tasks.workspace.locking import locked

ROWS = 500_000  # of a row group, about; a longer list is one group
_METADATA = b"recsys"
_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("subject", pa.string()),
        ("subject_name", pa.string()),
        ("key", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("name", pa.string()),
        ("score", pa.float64()),
        ("version", pa.string()),
        ("published", pa.timestamp("s", "UTC")),
    ]
)
_SOUGHT = ("key", "subject")  # the columns with statistics
_READ = [name for name in _SCHEMA.names if name not in ("version", "published")]


class ParquetStore:
    """A file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        """The path."""
        return str(self._path)

    def read(self) -> Published | None:
        """See `ListStore`."""
        with self._opened() as file:
            return None if file is None else self._published(file)

    def user(self, user: str) -> PublishedList | None:
        """See `ListStore`."""
        return self._find("user", [("key", user)])

    def item(self, text: str) -> PublishedList | None:
        """See `ListStore`; an id, which rows are not ordered by, takes longer than a name."""
        return self._find("item", [("key", text.casefold()), ("subject", text)])

    def replace(self, what: Published, blocks: Iterable[tuple[str, Any]], again: bool) -> Published:
        """See `ListStore`."""
        with self._explained():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._beside("lock")):
                known = self._known()
                if known is not None and what.same_as(known) and not again:
                    return known
                self._write(what, blocks)
        return what

    def _known(self) -> Published | None:
        try:
            return self.read()
        except OldStoreError:
            return None

    def _write(self, what: Published, blocks: Iterable[tuple[str, Any]]) -> None:
        """The caller holds the lock."""
        metadata = {_METADATA: json.dumps({**asdict(what), "at": what.at.isoformat()}).encode()}
        with (
            atomic_file(self._path, durable=True) as new,
            pq.ParquetWriter(
                new,
                _SCHEMA.with_metadata(metadata),
                compression="zstd",
                write_statistics=list(_SOUGHT),
            ) as writer,
        ):
            for kind, block in blocks:
                for rows in _groups(_rows(kind, block, what)):
                    # pyarrow itself would cut at a million rows, in the middle of a list.
                    writer.write_table(rows.cast(writer.schema), row_group_size=len(rows))

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(f".{self._path.name}.{ending}")

    def _find(self, kind: str, wanted: list[tuple[str, str]]) -> PublishedList | None:
        with self._opened() as file:
            if file is None:
                return None
            published = self._published(file)
            for column, value in wanted:
                rows = _subject(file, kind, column, value, published.k)
                if rows:
                    entries = [_entry(row) for row in rows if row["rank"]]
                    first = rows[0]
                    return PublishedList(
                        published, first["subject"], first["subject_name"], tuple(entries)
                    )
            return PublishedList(published, None, "", ())

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The file that has the name now, or None; a later publication is another file."""
        with self._explained():
            try:
                handle = self._path.open("rb")
            except FileNotFoundError:
                handle = None
            if handle is None:
                yield None
                return
            with handle:
                yield pq.ParquetFile(handle)

    def _published(self, file: Any) -> Published:
        try:
            fields = json.loads(file.schema_arrow.metadata[_METADATA])
            if "listeners" not in fields:
                return Published(**{**fields, "at": datetime.fromisoformat(fields["at"])})
        except (TypeError, KeyError, ValueError) as error:
            raise InputError(
                f"{self._path} is a Parquet file that `recsys publish` did not write; give "
                "another path"
            ) from error
        raise OldStoreError(self.place)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except pa.ArrowInvalid as error:
            raise InputError(
                f"{self._path} is no Parquet file ({' '.join(str(error).split())[:200]}); give "
                "another path, or remove it"
            ) from error
        except (PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError) as error:
            raise InputError(
                f"{self._path}: {error.strerror}; give a path that you may use"
            ) from error


def _rows(kind: str, block: Any, what: Published) -> Any:
    constant = {"kind": kind, "version": what.version, "published": what.at}
    columns = [
        pa.repeat(pa.scalar(constant[field.name], field.type), len(block))
        if field.name in constant
        else block[field.name]
        for field in _SCHEMA
    ]
    return pa.table(columns, schema=_SCHEMA)


def _groups(rows: Any) -> Iterator[Any]:
    """Row groups of about ROWS rows that end where a list ends."""
    starts = np.flatnonzero(rows["rank"].to_numpy() <= 1)
    begin = 0
    while begin < len(rows):
        later = starts[starts >= begin + ROWS]
        end = int(later[0]) if len(later) else len(rows)
        yield rows.slice(begin, end - begin)
        begin = end


def _subject(file: Any, kind: str, column: str, value: str, k: int) -> list[dict[str, Any]]:
    """The rows, at most k, of the first subject of a kind with this value in a column."""
    place = _SCHEMA.get_field_index(column)
    for number in range(file.num_row_groups):
        statistics = file.metadata.row_group(number).column(place).statistics
        known = statistics is not None and statistics.has_min_max
        if known and not statistics.min <= value <= statistics.max:
            continue
        group = file.read_row_group(number, columns=_READ, use_threads=False)
        # Lists and not pyarrow.compute, which would load pandas for the sake of one scalar.
        kinds, values = group["kind"].to_pylist(), group[column].to_pylist()
        pairs = zip(kinds, values, strict=True)
        begin = next((at for at, pair in enumerate(pairs) if pair == (kind, value)), None)
        if begin is not None:
            rows = group.slice(begin, k).to_pylist()
            return [row for row in rows if row["subject"] == rows[0]["subject"]]
    return []


def _entry(row: dict[str, Any]) -> PublishedItem:
    return PublishedItem(row["rank"], row["item_id"], row["name"], row["score"])
