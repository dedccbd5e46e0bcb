"""Where long work says how far it is. The command line listens; otherwise nobody does.

A context variable and not a parameter: Prefect stores the parameters of flows and tasks, and a
function to call is no value to store.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from recsys.progress import Progress, silent

_listener: ContextVar[Progress] = ContextVar("listener", default=silent)


def report_progress(what: str, done: int, total: int | None) -> None:
    """Say that `done` of `total` of `what` are done, to whoever listens."""
    _listener.get()(what, done, total)


@contextmanager
def reporting_to(listener: Progress) -> Iterator[None]:
    """Within the block, progress goes to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
