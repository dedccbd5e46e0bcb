"""How long work tells where it stands, without knowing who listens."""

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Called as progress(what, done, total); total is None where it is not known."""


def silent(what: str, done: int, total: int | None) -> None:
    """Tell nobody."""
