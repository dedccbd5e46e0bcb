"""Whether a disk is full, in words: libraries say it in many ways, or not at all."""

import shutil
from pathlib import Path

LITTLE = 1 << 20  # bytes; with less, a failure has this reason


def full_disk(*places: Path) -> str | None:
    """What to do about the first of the disks that is full; None where none is."""
    return next((no_room(place) for place in places if 0 <= _free(place) < LITTLE), None)


def no_room(place: Path) -> str:
    """What to do where a file at `place`, or in it, found no room."""
    folder, free = _folder(place), _free(place)
    left = f" ({free / 1e6:.1f} MB free)" if free >= 0 else ""
    return f"no space left on the disk of {folder}{left}; make room, and repeat the command"


def _free(place: Path) -> int:
    """Bytes; -1 where they cannot be asked."""
    try:
        return shutil.disk_usage(_folder(place)).free
    except OSError:
        return -1


def _folder(place: Path) -> Path:
    """The folder at a place, or the nearest one above it that is there."""
    return next((each for each in (place, *place.parents) if each.is_dir()), place)
