"""From the bytes of a known format to events and profiles, and the rejected rows with reasons.

These names are loaded when they are first used: `recsys.sources.config` needs none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.sources.detect import companions as companions
    from recsys.sources.layout import Format as Format
    from recsys.sources.layout import ItemKey as ItemKey
    from recsys.sources.named import Columns as Columns
    from recsys.sources.named import parse_columns as parse_columns
    from recsys.sources.profiles import ProfilesReading as ProfilesReading
    from recsys.sources.profiles import read_profiles as read_profiles
    from recsys.sources.reading import Reading as Reading
    from recsys.sources.reading import read as read
    from recsys.sources.rejects import Reason as Reason
    from recsys.sources.rejects import Rejects as Rejects
    from recsys.sources.stream import check_file as check_file

_HOME = {
    "companions": "detect",
    "Format": "layout",
    "ItemKey": "layout",
    "Columns": "named",
    "parse_columns": "named",
    "ProfilesReading": "profiles",
    "read_profiles": "profiles",
    "Reading": "reading",
    "read": "reading",
    "Reason": "rejects",
    "Rejects": "rejects",
    "check_file": "stream",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
