"""The `[data]` table: how the plays are read."""

from recsys.settings import Config
from recsys.sources.layout import Decimal, Format, ItemKey


class DataConfig(Config):
    """How the plays are read."""

    format: Format = "auto"
    columns: dict[str, str | int] | None = None
    item_key: ItemKey = "mbid-else-name"
    decimal: Decimal | None = None
    profile_columns: dict[str, str | int] | None = None
    strict: bool = False
