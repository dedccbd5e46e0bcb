"""Parquet files: columns keep their types; the row number takes the place of the line number."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.errors import InputError
from recsys.sources.fields import Rows
from recsys.sources.ids import is_binary, texts_of
from recsys.sources.layout import Layout, Role
from recsys.sources.named import LOG, Columns, Roles, check_columns, guessed, positions
from recsys.sources.numbers import Column

BATCH = 1 << 18
_TEXTS = {"user", "item", "name", "gender", "country"}


def layout(
    path: Path, columns: Columns | None, roles: Roles = LOG, option: str = "--columns"
) -> Layout:
    """The layout of a Parquet file by the names or positions of its columns.

    Raises:
        InputError: no columns given, one is not there or of a type that cannot play its role,
            or the file is damaged.
    """
    schema = names_and_types(path)
    if columns is None:
        raise InputError(
            f"{path} is a Parquet file with the columns {', '.join(schema.names)}; assign "
            f"them, as in --columns {guessed(schema.names) or 'user=uid,item=track'}"
        )
    check_columns(columns, roles, option)
    fields = positions(path, schema.names, len(schema.names), columns, option)
    for role, at in fields.items():
        if not _fits(role, _plain(schema.types[at])):
            raise InputError(
                f"{path}: column {schema.names[at]!r} is of type {schema.types[at]}, which cannot "
                f"be a {role}; name another column in {option}"
            )
    return Layout("columns", fields, width=len(schema.names))


def names_and_types(path: Path) -> Any:
    """The Arrow schema of a Parquet file.

    Raises:
        InputError: the file is damaged.
    """
    return _open(path).schema_arrow


def rows(path: Path, layout: Layout) -> Iterator[Rows]:
    """The rows in batches.

    Raises:
        InputError: the file is damaged.
    """
    file = _open(path)
    names = {role: file.schema_arrow.names[at] for role, at in layout.fields.items()}
    first = 1
    try:
        for batch in file.iter_batches(BATCH, columns=sorted(set(names.values()))):
            table = pa.table(batch)
            columns = {role: _column(role, table[name], name) for role, name in names.items()}
            lines = np.arange(first, first + len(table), dtype=np.int64)
            first += len(table)
            yield Rows(lines, _texts(list(columns.values())), columns)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def _open(path: Path) -> Any:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is a damaged Parquet file ({error}); write or get it again")


def _plain(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _fits(role: Role, kind: Any) -> bool:
    is_ = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return role in _TEXTS and is_binary(kind.storage_type)
    text = is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind)
    number = is_.is_integer(kind) or is_.is_floating(kind) or is_.is_decimal(kind)
    if text or number or is_binary(kind):
        return True
    return role in {"time", "signup"} and bool(is_.is_timestamp(kind) or is_.is_date(kind))


def _column(role: Role, chunked: Any, name: str) -> Column:
    """One array: strings for ids and names and wherever the file has text; missing is ""."""
    if pa.types.is_dictionary(chunked.type):
        chunked = chunked.cast(chunked.type.value_type)
    column = chunked.combine_chunks()
    column = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    number = pa.types.is_primitive(column.type) or pa.types.is_decimal(column.type)
    if number and role not in _TEXTS:
        return column
    return pc.utf8_trim_whitespace(texts_of(column, name))


def _texts(columns: list[Column]) -> Column:
    """The text of a row in the table of rejects: the columns read, joined by tabs."""
    cells = [pc.fill_null(column.cast(pa.string()), "") for column in columns]
    joined = pc.binary_join_element_wise(*cells, "\t")
    return pc.replace_substring_regex(joined, "[\r\n]+", " ")
