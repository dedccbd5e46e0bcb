"""Progress with a clock of the test: on a terminal, in a file, and not at all."""

import io
from dataclasses import dataclass

import pytest

from flows.cli.progress import EVERY, ProgressDisplay, Standing, duration, showing_progress
from tasks.progress import Stage, report_progress, report_result, report_stage


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def in_trial(clock: Clock) -> Standing:
    """Three trials of 15 were there before; one more took 31 s and the next is at its third."""
    standing = Standing(clock)
    standing.stage("trial", Stage("trial 4/15, 64 factors", 3, 15, 0.2))
    clock.now += 31
    standing.stage("trial", Stage("trial 5/15, 128 factors", 4, 15, 0.2177))
    standing.step("iteration", 3, 15)
    return standing


def test_a_line_says_trial_size_iteration_best_and_time(in_trial: Standing) -> None:
    # 1.18 trials took 31 s, 10.82 are left.
    assert in_trial.share == pytest.approx(4.18 / 15)
    assert in_trial.text() == (
        "trial 5/15, 128 factors, iteration 3/15, best 0.2177, 0:31, about 4:44 left"
    )


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (60, "trial 5/15, 128 factors, best 0.2177, 0:31, about 4:44 left"),
        (50, "trial 5/15, best 0.2177, 0:31, about 4:44 left"),
        (20, "0:31"),
    ],
)
def test_a_narrow_terminal_loses_whole_words(in_trial: Standing, width: int, text: str) -> None:
    assert in_trial.text(width) == text


def test_iterations_outside_of_a_trial_say_of_what(clock: Clock) -> None:
    standing = Standing(clock)
    standing.step("fitting on all the data, iterations", 2, 3)

    assert standing.text() == "fitting on all the data, iteration 2/3, 0:00"


def test_a_comparison_adds_model_and_split(clock: Clock) -> None:
    standing = Standing(clock)
    standing.stage("model", Stage("als, split 2/5", 11, 50))
    standing.stage("trial", Stage("trial 1/4, 128 factors", 0, 4))
    clock.now += 4

    assert standing.text() == "als, split 2/5, trial 1/4, 128 factors, 0:04"

    standing.step("iteration", 8, 16)
    assert standing.share == pytest.approx((11 + 0.45 / 4) / 50)
    standing.stage("model", Stage("ease, split 2/5", 12, 50))
    assert standing.text() == "ease, split 2/5, 0:04, about 2:32 left"


def test_a_file_gets_a_line_every_few_seconds_and_every_result(clock: Clock) -> None:
    stream = io.StringIO()
    show = ProgressDisplay(stream, clock)
    for rows in range(0, 12_000, 1_000):  # a second each
        show("reading rows", rows, None)
        clock.now += 1
    show.stage("model", Stage("als, split 1/2", 0, 4))
    show.stage("trial", Stage("trial 1/2", 0, 2))
    show("iteration", 1, 2)  # the first of a trial is written at once
    show("iteration", 2, 2)
    show.keep("trial 1/2: ndcg@10 0.2000")

    assert EVERY == 5
    assert stream.getvalue().splitlines() == [
        "reading rows, 0:00",
        "reading rows: 5,000, 0:05",
        "reading rows: 10,000, 0:10",
        "als, split 1/2, trial 1/2, iteration 1/2, 0:12",
        "als, split 1/2, trial 1/2: ndcg@10 0.2000",
    ]


def test_a_terminal_has_one_line_that_moves_and_leaves_results_behind(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    show = ProgressDisplay(stream, clock, refreshes=False)
    show.stage("trial", Stage("trial 1/2, 8 factors", 0, 2))
    show("iteration", 1, 2)
    show.keep("trial 1/2, 8 factors: ndcg@10 0.2000")
    show.close()

    text = stream.getvalue()
    assert "━" in text
    assert "trial 1/2, 8 factors, iteration 1/2, 0:00" in text
    assert text.count("ndcg@10 0.2000\n") == 1
    assert text.endswith("\x1b[2K")  # the line is taken away
    assert "\x1b[3" not in text  # no colour


def test_quiet_shows_nothing() -> None:
    stream = io.StringIO()
    with showing_progress(stream, quiet=True):
        report_progress("reading rows", 1, None)
        report_stage("trial", Stage("trial 1/2", 0, 2))
        report_result("trial 1/2: ndcg@10 0.2000")

    assert stream.getvalue() == ""


def test_durations_have_hours_where_there_are_any() -> None:
    assert [duration(s) for s in (0, 31, 70, 3723)] == ["0:00", "0:31", "1:10", "1:02:03"]
