import logging

import pytest

from recsys.errors import InputError, NoRows
from tasks.orchestration.one_line import OneLine


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    """A logger with the filter, at the level that Prefect's loggers have here."""
    chosen = OneLine()
    chosen.types = (InputError,)
    logger = logging.getLogger("of runs")
    logger.setLevel(logging.WARNING)
    logger.filters = [chosen]
    return logger


def failed(log: logging.Logger, error: Exception) -> None:
    """What Prefect logs of a task and its flow that an error ends."""
    for what in ("Task run failed with exception", "Encountered exception during execution"):
        try:
            raise error
        except type(error):
            log.exception("%s: %r", what, error)
    said = f"Task run encountered an exception {type(error).__name__}: {error}"
    log.error(f"Finished in state Failed({said!r})")


@pytest.mark.parametrize("kind", [InputError, NoRows])
def test_an_input_error_is_one_line_without_a_traceback(
    kind: type[InputError], log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    failed(log, kind("plays.tsv does not exist;\n give another"))

    assert caplog.messages == ["plays.tsv does not exist; give another"]
    assert "Traceback" not in caplog.text


def test_any_other_error_is_logged_as_ever(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    failed(log, ValueError("a fault of ours"))

    assert len(caplog.messages) == 3
    assert caplog.text.count("Traceback") == 2


def test_the_end_of_the_task_is_told_to_who_wants_to_know_more(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    log.setLevel(logging.INFO)
    caplog.set_level(logging.INFO)
    failed(log, InputError("no"))

    assert [each.levelname for each in caplog.records] == ["ERROR", "INFO"]
