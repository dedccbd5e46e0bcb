"""What every configuration class shares, and how settings are written as text."""

import tomllib
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt
from pydantic.fields import FieldInfo


def _listed(value: Any) -> Any:
    """A single value where a list is meant: --set filter.countries=Germany."""
    return value if isinstance(value, list | tuple) else [value]


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]


Cutoffs = Annotated[tuple[PositiveInt, ...], BeforeValidator(_listed), Field(min_length=1)]


class Config(BaseModel):
    """A table of settings: frozen, and a name it does not have is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Use = Literal["points", "stop"]  # see recsys.identity


def setting(default: Any, *, identity: bool | Use) -> Any:  # a default has any type, as its field
    """A field that does not count into the identity of every result, as others do.

    Args:
        default: Its value where none is given.
        identity: False: no result depends on it. A use: only what `recsys.identity` names so does.
    """
    return Field(default, json_schema_extra={"identity": identity})


def use_of(field: FieldInfo) -> bool | Use:
    """What the identity of a result depends on a field for; True: always."""
    extra = field.json_schema_extra
    marked = extra.get("identity", True) if isinstance(extra, dict) else True
    return cast("bool | Use", marked)


Overrides = dict[str, Any]


def parse_value(text: str) -> Any:  # a TOML value has any type
    """What `text` says: a TOML value, a list of them by commas, or the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if "," in text and not text.startswith(("{", "[")):
            return [parse_value(part.strip()) for part in text.split(",") if part.strip()]
        return text
