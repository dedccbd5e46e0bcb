"""numba's njit, with a cache that knows all kernels and that may be missing.

Machine code lies beside the source, or where that may not be written in the cache folder of the
user, so it is compiled once for an installation and not for each workspace. numba compares the
file of a function with the cached one; code of other files is inside the machine code, so here
all files of this folder count. Where no place may be written, each process compiles anew.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, config

FOLDER = Path(__file__).parent


@cache
def fingerprint(folder: Path) -> str:
    """A hash of all source files of a folder."""
    contents = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        contents.update(hashlib.sha256(path.read_bytes()).digest())
    return contents.hexdigest()


class _Stamped:
    """A place whose contents hold for the file of a function and all kernels as they are now."""

    def get_source_stamp(self) -> tuple[object, str]:
        """What numba compares."""
        return super().get_source_stamp(), fingerprint(FOLDER)  # type: ignore[misc]


class Given(_Stamped, caching.UserProvidedCacheLocator):
    """The folder of NUMBA_CACHE_DIR, where that is set."""


class Beside(_Stamped, caching.InTreeCacheLocator):
    """`__pycache__` beside the source."""


class OfUser(_Stamped, caching.UserWideCacheLocator):
    """The cache folder of the user."""


if not config.CACHE_LOCATOR_CLASSES:  # type: ignore[attr-defined]
    names = (f"{__name__}.{each.__name__}" for each in (Given, Beside, OfUser))
    config.CACHE_LOCATOR_CLASSES = ",".join(names)  # type: ignore[attr-defined]


def njit(*signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """As `numba.njit`; without a cache where none may be written."""

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(*signature, **options)(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            return numba.njit(*signature, **{**options, "cache": False})(function)

    return compiled
