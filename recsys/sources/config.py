"""The `[data]` table: how the plays are read."""

from typing import Annotated

from pydantic import Field

from recsys.settings import Config
from recsys.sources.layout import Decimal, Format, ItemKey


class DataConfig(Config):
    """How the plays are read."""

    format: Format = "auto"
    """Of the file; auto: recognised by its first rows."""
    columns: dict[str, str | int] | None = None
    """What is read (user, item, plays, name, time) to a column, by its name or number."""
    item_key: ItemKey = "mbid-else-name"
    """What tells items apart where a file has both identifiers of MusicBrainz and names."""
    decimal: Decimal | None = None
    """The mark of fractions in plays; the other one separates thousands."""
    profile_columns: dict[str, str | int] | None = None
    """What is read of profiles (user, gender, age, country, signup) to a column."""
    strict: bool = False
    """Whether the first row that cannot be used is an error."""
    min_value: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Rows with a lower value, such as ratings below 4, are left out and counted."""
