"""Where long work reports how far it is. The command line shows it; otherwise nothing does.

Three kinds of reports: a step of the work ("reading rows"), the stage that the steps belong to (a
trial of a search, a model of a comparison), and a result that is worth a line that stays.
Work can end between two steps, so a report is where it sees whether it is to.

A context variable and not a parameter: Prefect stores the parameters of flows and tasks, and a
function to call is no value to store.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from recsys.progress import Progress, silent
from tasks.interrupts import INTERRUPTS

Level = Literal["model", "trial"]  # a comparison has models, each of which has trials


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the work that has many steps, and how many such parts there are.

    Attributes:
        label: Such as "trial 4/15, 128 factors".
        done: Parts that have ended.
        total: Parts in all.
        best: Best value so far; None without any.
    """

    label: str
    done: int
    total: int
    best: float | None = None


@runtime_checkable
class Display(Protocol):
    """What shows all three; a plain function of `recsys.progress` hears of steps alone."""

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Show a step."""

    def stage(self, level: Level, stage: Stage | None) -> None:
        """Show that a stage begins, or with None that the last one has ended."""

    def keep(self, line: str) -> None:
        """Show a line that stays."""


_display: ContextVar[Progress] = ContextVar("display", default=silent)


def report_progress(what: str, done: int, total: int | None) -> None:
    """Report that `done` of `total` of `what` are done; total is None where it is not known.

    Raises:
        KeyboardInterrupt: the user ended the command, also where that was not noticed so far.
    """
    INTERRUPTS.check()
    _display.get()(what, done, total)


def report_stage(level: Level, stage: Stage | None) -> None:
    """Report that a stage begins, or with None that the last one has ended."""
    INTERRUPTS.check()
    display = _display.get()
    if isinstance(display, Display):
        display.stage(level, stage)


def report_result(line: str) -> None:
    """Report a result, such as the value of a trial."""
    display = _display.get()
    if isinstance(display, Display):
        display.keep(line)


@contextmanager
def reporting_to(display: Progress) -> Iterator[None]:
    """Within the block, reports go to `display`: a function of steps, or a `Display`."""
    token = _display.set(display)
    try:
        yield
    finally:
        _display.reset(token)
