"""JSON lines: one object a line, columns by their keys; "a.b" is key b of the object at key a."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys.dtypes import Int8Array
from recsys.errors import InputError
from recsys.sources.layout import Layout
from recsys.sources.named import LOG, Columns, Roles, check_columns, guessed, positions
from recsys.sources.rejects import Reason
from recsys.sources.stream import Lines

_ARRAY = "is a JSON array, not a table; write one object a line, as with jq -c '.[]' FILE"


def is_json(path: Path, head: Sequence[str]) -> bool:
    """Whether these are JSON lines.

    Raises:
        InputError: it is JSON of another form.
    """
    first = next((_bare(line) for line in head if _bare(line)), "")
    if first.startswith("[") and _is_list(first):
        raise InputError(f"{path} {_ARRAY}")
    if first.startswith("[") and (first == "[" or first[1:].lstrip()[:1] in {"{", "["}):
        raise InputError(f"{path} {_ARRAY}")
    if not first.startswith("{"):
        return False
    found = _object(first)
    rows = sum(bool(_bare(line)) for line in head[:2])
    if found and rows == 1 and all(isinstance(each, dict | list) for each in found.values()):
        raise InputError(f"{path} is one JSON object, not a table; write one object a row and line")
    if not found:
        if first == "{" or first.startswith('{"'):
            raise InputError(f"{path} is JSON, not a table; write one object a line, or a CSV")
        return False
    return True


def _bare(line: str) -> str:
    """Without blanks around, and the mark that begins a text of a JSON sequence."""
    return line.strip().removeprefix("\x1e")


def _is_list(line: str) -> bool:
    try:
        return isinstance(json.loads(line), list)
    except ValueError:
        return False


def layout(
    path: Path,
    head: Sequence[str],
    columns: Columns | None,
    roles: Roles = LOG,
    option: str = "--columns",
) -> Layout:
    """The layout by the names of keys.

    Raises:
        InputError: no columns are given, or one is no key.
    """
    keys = keys_of(head)
    if columns is None:
        raise InputError(
            f"{path} holds JSON lines with the keys {', '.join(keys)}; assign them, as in "
            f"{option} {guessed(keys, roles) or roles.example.partition(' ')[0]}"
        )
    check_columns(columns, roles, option)
    if isinstance(columns["user"], int):
        raise InputError(f"{path} holds JSON lines; name their keys in {option}: {', '.join(keys)}")
    fields = positions(path, [key.strip() for key in keys], len(keys), columns, option)
    return Layout("columns", fields, width=len(keys), keys=tuple(keys), trim=True)


def keys_of(head: Sequence[str]) -> list[str]:
    """The keys of the first objects, in their order."""
    objects = [found for line in head[:1000] if (found := _object(line))]
    return list(dict.fromkeys(key for each in objects for key in _keys(each)))


def cells_of(block: Lines, layout: Layout) -> tuple[dict[Any, Any], Int8Array]:
    """A pyarrow array of texts for each role, and why a line has none, all of shape (n,)."""
    codes = np.zeros(len(block), dtype=np.int8)
    columns: dict[Any, list[str]] = {role: [] for role in layout.fields}
    for at, line in enumerate(block.texts.to_pylist()):
        row = _object(line)
        values = {role: _value(row, layout.keys[key]) for role, key in layout.fields.items()}
        if row is None or not all(_fits(role, value) for role, value in values.items()):
            codes[at] = Reason.NOT_JSON
        for role, value in values.items():
            columns[role].append(_text(value))
    return {role: pa.array(texts, pa.string()) for role, texts in columns.items()}, codes


def _fits(role: str, value: object) -> bool:
    """Whether a value can play a role; a text with half of a surrogate pair is no text."""
    if isinstance(value, bool):
        return role not in {"user", "item"}
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    return not isinstance(value, dict | list)


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(_bare(line))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _keys(row: dict[str, Any], above: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in row.items():
        keys += _keys(value, f"{above}{key}.") if isinstance(value, dict) else [above + key]
    return keys


def _value(row: dict[str, Any] | None, key: str) -> Any:  # a JSON value has any type
    if row is None:
        return None
    if key in row:
        return row[key]
    first, dot, rest = key.partition(".")
    inner = row.get(first)
    return _value(inner, rest) if dot and isinstance(inner, dict) else None


def _text(value: object) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return json.dumps(value)
