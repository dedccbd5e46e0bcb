"""Make room in the workspace."""

import time
from dataclasses import dataclass
from typing import Any

from recsys.errors import InputError
from tasks.orchestration.interfaces import UNUSED_DAYS
from tasks.workspace import cleaning
from tasks.workspace.layout import Workspace


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Entries that were removed, or could be.

    Attributes:
        entries: How many.
        size: In bytes.
        days: For which they were unused.
        removed: Whether they are removed.
    """

    entries: int
    size: int
    days: float
    removed: bool

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "entries": self.entries,
            "bytes": self.size,
            "days": self.days,
            "removed": self.removed,
        }

    @property
    def line(self) -> str:
        """In words."""
        done = "removed" if self.removed else "could be removed"
        return (
            f"{self.entries:,} entries, {self.size / 1e6:,.1f} MB, unused for {self.days:g} days: "
            f"{done}"
        )


def clean(workspace: Workspace, days: float = UNUSED_DAYS, dry_run: bool = False) -> Cleaned:
    """Remove entries that can be computed again and were unused for so many days.

    Raises:
        InputError: days is below 0, or a link leads out of the workspace.
    """
    unused = cleaning.unused(workspace, time.time(), days)
    if not dry_run:
        cleaning.remove(workspace, unused)
    return Cleaned(len(unused), sum(each.size for each in unused), days, not dry_run)


def clean_after(workspace: Workspace) -> Cleaned | None:
    """`clean` at the end of other work; None where `recsys clean` has to say why it cannot."""
    try:
        return clean(workspace)
    except InputError:
        return None
