"""From the bytes of a known format to events and profiles, and the rejected rows with reasons."""

from recsys.sources.detect import companions, detect
from recsys.sources.layout import Format, ItemKey
from recsys.sources.named import Columns, parse_columns
from recsys.sources.profiles import ProfilesReading, read_profiles
from recsys.sources.reading import Reading, read
from recsys.sources.rejects import Reason, Rejects
from recsys.sources.stream import check_file

__all__ = [
    "Columns",
    "Format",
    "ItemKey",
    "ProfilesReading",
    "Reading",
    "Reason",
    "Rejects",
    "check_file",
    "companions",
    "detect",
    "parse_columns",
    "read",
    "read_profiles",
]
