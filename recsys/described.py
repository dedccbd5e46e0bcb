"""The text and the place of each setting in a JSON schema, which forms such as Prefect's show.

The text is that of the docstrings: below a field, or under Attributes in that of its class.
"""

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from pydantic import ConfigDict

_HEAD = "\n\nAttributes:\n"
_ENTRY = re.compile(r"^(\w+): ", re.MULTILINE)


def describe_fields(schema: dict[str, Any], model: type) -> None:
    """Add to a JSON schema the texts and places of its fields: a hook of pydantic.

    Args:
        schema: Of the class; changed in place.
        model: The class.
    """
    texts = field_texts(model)
    for place, (name, table) in enumerate(schema.get("properties", {}).items()):
        table["position"] = place
        if name in texts:
            table["description"] = texts[name]
    if "description" in schema:
        schema["description"] = schema["description"].partition(_HEAD)[0]


FORM = ConfigDict(json_schema_extra=describe_fields)
"""The `__pydantic_config__` of a dataclass that is a form."""


@functools.cache
def field_texts(model: type) -> Mapping[str, str]:
    """The text of each field that has one, by its name; only when asked for: it reads the source.

    Args:
        model: A class of settings.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, TypeError):  # defined at a prompt
        return {}
    (defined,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return {**dict(_listed(inspect.getdoc(model) or "")), **dict(_below(defined.body))}


def _listed(docstring: str) -> Iterator[tuple[str, str]]:
    """The entries under Attributes."""
    entries = textwrap.dedent(docstring.partition(_HEAD)[2].partition("\n\n")[0])
    parts = _ENTRY.split(entries)[1:]
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        yield name, " ".join(text.split())


def _below(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """The strings right below fields."""
    for field, below in pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield field.target.id, " ".join(str(below.value.value).split())
