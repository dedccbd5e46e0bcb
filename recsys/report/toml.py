"""Settings as the TOML that `--config` reads."""

import json
from collections.abc import Mapping
from typing import Any


def as_toml(table: Mapping[str, Any]) -> str:
    """A table of settings, JSON values, as TOML; a table in it gets a heading of its own."""
    plain = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
    inner = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    parts = ["\n".join(f"{_key(name)} = {_value(value)}" for name, value in plain.items())]
    for name, settings in inner.items():
        lines = [f"{_key(each)} = {_value(value)}" for each, value in settings.items()]
        parts.append("\n".join([f"[{_key(name)}]", *lines]))
    return "\n\n".join(part for part in parts if part)


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return repr(value)
    # JSON's escapes are those of TOML, but for the letter that ends ASCII.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
