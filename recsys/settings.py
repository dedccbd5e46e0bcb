"""What every configuration class shares, and how settings are written as text."""

import tomllib
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt


def _listed(value: Any) -> Any:
    """A single value where a list is meant: --set filter.countries=Germany."""
    return value if isinstance(value, list | tuple) else [value]


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]


Cutoffs = Annotated[tuple[PositiveInt, ...], BeforeValidator(_listed), Field(min_length=1)]


class Config(BaseModel):
    """A table of settings: frozen, and a name it does not have is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Overrides = dict[str, Any]


def parse_value(text: str) -> Any:  # a TOML value has any type
    """What `text` says: a TOML value, a list of them by commas, or the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if "," in text and not text.startswith(("{", "[")):
            return [parse_value(part.strip()) for part in text.split(",") if part.strip()]
        return text
