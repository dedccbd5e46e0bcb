"""Making room: files that can be made again and were not used for long.

    cache/STAGE/KEY     a stage; the next use makes it again
    cache/STAGE/.*      the rest of one whose process was killed
    incoming/*          plays that a retraining merged, unless their model serves
    tmp/*               files on their way

The time of change of an entry is that of its last use: `tasks.workspace.cache` and
`tasks.data.new_plays` touch it. Runs, studies, models and published lists always stay.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from recsys.errors import InputError
from tasks.orchestration.interfaces import UNUSED_DAYS
from tasks.tracking.registry import models, versions
from tasks.tuning import has_study, stored_request
from tasks.workspace.cache import MANIFEST
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import locked
from tasks.workspace.places import check_inside

DAY = 24 * 60 * 60
_REMOVED = ".removed-"


@dataclass(frozen=True, slots=True)
class Unused:
    """Something that can be removed.

    Attributes:
        path: A file or a folder.
        size: In bytes.
    """

    path: Path
    size: int


def unused(workspace: Workspace, now: float, days: float = UNUSED_DAYS) -> list[Unused]:
    """Entries that were not used for so many days.

    Args:
        workspace: Holds it.
        now: Seconds since 1970.
        days: At least 0.

    Raises:
        InputError: days is below 0, or a link leads out of the workspace.
    """
    if not days >= 0:
        raise InputError(f"--days {days:g}: give a number of days, 0 or more")
    before = now - days * DAY
    kept = _served(workspace)
    return [
        Unused(path, _size(path))
        for path in _all(workspace)
        if path.resolve() not in kept and _used(path) < before
    ]


def remove(workspace: Workspace, entries: list[Unused]) -> None:
    """Remove entries, each atomically."""
    for each in entries:
        with locked(workspace.lock("cache")):
            removed = each.path.with_name(f"{_REMOVED}{uuid4().hex}")
            try:
                each.path.rename(removed)
            except FileNotFoundError:
                continue  # another process cleans, too
        if removed.is_dir() and not removed.is_symlink():
            shutil.rmtree(removed)
        else:
            removed.unlink()


def _all(workspace: Workspace) -> Iterator[Path]:
    for place in (*workspace.cache.glob("*/"), workspace.incoming, workspace.scratch):
        if place.is_dir():
            check_inside(workspace, place)
            yield from sorted(place.iterdir())


def _served(workspace: Workspace) -> set[Path]:
    """Plays of the models that serve, or would after a rollback.

    A study that is not here was searched in another workspace of the same MLflow server, and so
    its plays are not here either.
    """
    plays = set()
    for name in models(workspace):
        for each in versions(workspace, name):
            if each.aliases and has_study(workspace, each.study):
                path = Path(stored_request(workspace, each.study)["plays"])
                # In a copy of a workspace an earlier version named those of the original.
                plays |= {path.resolve(), (workspace.incoming / path.name).resolve()}
    return plays


def _used(path: Path) -> float:
    """When it was used last: a stage's manifest says so, and the newest file of anything else."""
    manifest = path / MANIFEST
    files = [manifest] if manifest.exists() else [path, *path.rglob("*")]
    return max((each.stat().st_mtime for each in files if each.exists()), default=0.0)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(each.stat().st_size for each in files if each.is_file())
