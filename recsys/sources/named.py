"""Any CSV, TSV or Parquet file whose columns the user names or numbers."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from recsys.errors import InputError
from recsys.sources.fields import split_line
from recsys.sources.layout import Layout, Role

Columns = Mapping[str, str | int]

ROLES = ("user", "item", "plays", "time", "name")
_EXAMPLE = "--columns user=uid,item=track,plays=n,time=ts or --columns user=0,item=1"


def parse_columns(text: str) -> dict[str, str | int]:
    """Which column plays which role, from `role=column,...`; columns by name or position from 0.

    Raises:
        InputError: not of that form, an unknown or repeated role, no user or no item, or names
            mixed with positions.
    """
    columns: dict[str, str | int] = {}
    for part in text.split(","):
        role, equals, column = (each.strip() for each in part.partition("="))
        if not equals or not column:
            raise InputError(f"--columns has {part!r}, which is not role=column; write {_EXAMPLE}")
        if role in columns:
            raise InputError(f"--columns gives {role} twice; give each role once")
        columns[role] = int(column) if re.fullmatch("[0-9]+", column) else column
    check_columns(columns)
    return columns


def check_columns(columns: Columns) -> None:
    """Check a choice of columns.

    Raises:
        InputError: see `parse_columns`.
    """
    for role in columns:
        if role not in ROLES:
            raise InputError(
                f"--columns has the unknown role {role!r}; the roles are {', '.join(ROLES)}"
            )
    for role in ("user", "item"):
        if role not in columns:
            raise InputError(f"--columns names no {role} column; write {_EXAMPLE}")
    if len({type(column) for column in columns.values()}) > 1:
        raise InputError("--columns mixes names and positions; give one or the other")
    if columns["user"] == columns["item"]:
        raise InputError("--columns takes user and item from the same column; name two")


def layout(path: Path, head: Sequence[str], columns: Columns) -> Layout:
    """The layout of a text table; names mean it has a header, positions that it has none.

    Raises:
        InputError: no delimiter in line 1, or a column that is not there.
    """
    check_columns(columns)
    delimiter = _delimiter(path, head[0])
    quoted = delimiter != "\t"
    header = isinstance(columns["user"], str)
    cells = [split_line(line, delimiter, quoted) for line in (head[:1] if header else head)]
    width = len(cells[0]) if header else Counter(map(len, cells)).most_common(1)[0][0]
    fields = positions(path, cells[0] if header else None, width, columns)
    return Layout("columns", fields, width, delimiter, header=header, quoted=quoted)


def positions(
    path: Path, names: Sequence[str] | None, width: int, columns: Columns
) -> dict[Role, int]:
    """Position of each role in a table of `width` columns called `names`.

    Raises:
        InputError: a column that is not there, or a name of two columns.
    """
    return {
        role: _position(path, names, width, columns[role])
        for role in get_args(Role)
        if role in columns
    }


def _position(path: Path, names: Sequence[str] | None, width: int, column: str | int) -> int:
    if isinstance(column, int):
        if column >= width:
            raise InputError(
                f"{path}:1: no column at position {column}, rows have {width} fields; give "
                f"positions from 0 to {width - 1} in --columns"
            )
        return column
    if names is None or column not in names:
        raise InputError(
            f"{path}:1: no column {column!r}; name one of {', '.join(names or ())} in --columns"
        )
    if list(names).count(column) > 1:
        raise InputError(f"{path}:1: two columns are called {column!r}; rename one in the file")
    return list(names).index(column)


def _delimiter(path: Path, line: str) -> str:
    bare = re.sub(r'"[^"]*"', "", line)
    if "\t" in line:
        return "\t"
    if "," not in bare and ";" not in bare:
        raise InputError(
            f"{path}:1: neither tab, comma nor semicolon in {line[:80]!r}; --columns needs a table "
            "separated by one of these"
        )
    return ";" if bare.count(";") > bare.count(",") else ","
