"""Errors that say it all, as one line in the logs of a run: Prefect adds tracebacks and repeats.

Prefect logs an exception of a task with its traceback, then the state that the task ended in, and
the same exception with a longer traceback for the flow.
"""

import logging
import re

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
_FINISHED = re.compile(r"Finished in state Failed\(.Task run encountered an exception (\w+): ")
_TOLD = "_told_in_one_line"  # on an exception that was logged


class OneLine(logging.Filter):
    """Logs an exception of some types by its message, once, and not where it comes by again."""

    def __init__(self) -> None:
        """Begin without types."""
        super().__init__()
        self.types: tuple[type[Exception], ...] = ()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is logged; one of these types is changed in place."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if isinstance(error, self.types):
            record.exc_info, record.exc_text = None, None
            record.msg, record.args = "%s", (" ".join(str(error).split()),)
            was_told = hasattr(error, _TOLD)
            setattr(error, _TOLD, True)
            return not was_told
        found = _FINISHED.match(str(record.msg))
        if found and any(found[1] == each.__name__ for each in _with_subclasses(self.types)):
            record.levelno, record.levelname = logging.INFO, "INFO"  # as Prefect does for flows
            return logging.getLogger(record.name).isEnabledFor(logging.INFO)
        return True


_FILTER = OneLine()


def log_in_one_line(*types: type[Exception]) -> None:
    """Have exceptions of these types logged by their message alone, in this process; idempotent."""
    _FILTER.types = tuple(dict.fromkeys([*_FILTER.types, *types]))
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)  # a filter is added once


def _with_subclasses(types: tuple[type[Exception], ...]) -> list[type[Exception]]:
    below = [each for kind in types for each in kind.__subclasses__()]
    return [*types, *(_with_subclasses(tuple(below)) if below else [])]
