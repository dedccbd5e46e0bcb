import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console, RenderableType

from flows.cli import experiment_tables
from flows.cli.experiment_tables import Teller, estimate_text, teller, value_text
from flows.result import Result
from recsys.evaluation.bootstrap import Estimate
from tests.flows.conftest import Lab


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the time is: the only entry."""
    now = [100.0]
    monkeypatch.setattr(
        "flows.cli.experiment_tables.time", SimpleNamespace(monotonic=lambda: now[0])
    )
    return now


def drawn(part: RenderableType, width: int = 160) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(part)
    return stream.getvalue()


def test_progress_in_a_file_is_a_line_now_and_then(clock: list[float]) -> None:
    stream = io.StringIO()
    tell = Teller(stream)
    for rows in range(0, 12_000, 1_000):  # a second each
        tell("rows read", rows, None)
        clock[0] += 1

    assert stream.getvalue() == "rows read\nrows read: 5,000\nrows read: 10,000\n"


def test_progress_on_a_terminal_is_one_line_that_moves(clock: list[float]) -> None:
    stream = Terminal()
    tell = Teller(stream)
    for users in (1_000, 2_000, 3_000):
        tell("judging users", users, 3_000)
        clock[0] += 1

    assert "\n" not in stream.getvalue()
    lines = stream.getvalue().split("\r\033[K")
    assert lines == ["", *(f"judging users: {n},000 of 3,000" for n in (1, 2, 3))]


def test_progress_faster_than_one_can_read_is_left_out_but_for_the_end(clock: list[float]) -> None:
    stream = Terminal()
    tell = Teller(stream)
    for users in range(1, 101):
        tell("judging users", users, 100)

    assert stream.getvalue().count("judging") == 2
    assert stream.getvalue().endswith("100 of 100")


def test_something_else_is_told_at_once(clock: list[float]) -> None:
    stream = io.StringIO()
    tell = Teller(stream)
    tell("rows read", 1, None)
    tell("trials, best 0.1000", 1, 3)
    tell("trials, best 0.2000", 2, 3)

    assert stream.getvalue() == "rows read: 1\ntrials, best 0.1000: 1 of 3\n"


def test_a_teller_leaves_a_clean_line_behind(clock: list[float]) -> None:
    stream = Terminal()
    with teller(stream) as told:
        told("rows read", 1, None)

    assert stream.getvalue().endswith("\r\033[K")


def test_a_line_that_stays_takes_the_moving_one_away(clock: list[float]) -> None:
    stream = Terminal()
    told = Teller(stream)
    told("rows read", 1, None)
    told.say("done")

    assert stream.getvalue().endswith("rows read: 1\r\033[Kdone\n")


def test_nothing_is_written_where_nothing_was_told() -> None:
    for stream in (io.StringIO(), Terminal()):
        with teller(stream):
            pass

        assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.12345, 0.1, 0.2), "0.1235 [0.1000, 0.2000]"),
        (Estimate(0.5), "0.5000"),
        (Estimate(123.456, 120.0, 130.06), "123.5 [120.0, 130.1]"),
        (Estimate(-0.25, -0.5, 0.0), "-0.2500 [-0.5000, 0.0000]"),
    ],
)
def test_an_estimate_is_shown_with_its_interval_if_it_has_one(
    estimate: Estimate, text: str
) -> None:
    assert estimate_text(estimate) == text


def test_parameters_are_shown_short() -> None:
    shown = [value_text(value) for value in (None, 64, 0.123456789, 1e-9, "share", True)]

    assert shown == ["", "64", "0.1235", "1e-09", "share", "True"]


@pytest.mark.flow
def test_the_data_table_counts_what_was_read_kept_and_cut(first: Result) -> None:
    text = drawn(experiment_tables.data_table(first))

    for step in first.facts["filter"]["steps"]:
        (row,) = [line for line in text.splitlines() if f" {step['name']} " in line]
        assert all(f"{step[name]:,}" in row for name in ("users", "items", "rows", "cells"))
    assert f"read {first.facts['ingest']['rows']:,} rows as lastfm-360k" in text
    for side in ("validation", "test"):
        fold = first.facts["split"][side]
        assert f"{side}: {fold['judged_users']:,} users judged on {fold['held_out']:,}" in text
    assert "from the cache" not in text


@pytest.mark.flow
def test_the_data_table_names_what_came_from_the_cache(first: Result) -> None:
    again = replace(first, reused=dict.fromkeys(first.reused, True))

    assert "from the cache, unchanged: ingest, filter, split" in drawn(
        experiment_tables.data_table(again)
    )


@pytest.mark.flow
def test_the_data_table_says_where_rejected_rows_are(first: Result) -> None:
    ingest = {**first.facts["ingest"], "rejected": 3, "reasons": {"no user": 1, "no plays": 2}}
    result = replace(first, facts={**first.facts, "ingest": ingest}, rejects="/w/rejects.tsv")

    text = drawn(experiment_tables.data_table(result))

    assert "rejected 3: 1 no user, 2 no plays; see /w/rejects.tsv" in text


@pytest.mark.flow
def test_the_leaderboard_ranks_the_trials(lab: Lab, first: Result) -> None:
    text = drawn(experiment_tables.leaderboard(first))

    ranked = sorted(first.trials, key=lambda trial: -trial.value)
    shown = [line for line in text.splitlines() if any(f"{t.value:.4f}" in line for t in ranked)]
    assert len(shown) == len(ranked) == 3
    for line, trial in zip(shown, ranked, strict=True):
        assert f"{trial.value:.4f}" in line
        assert all(value_text(value) in line for value in trial.params.values())


@pytest.mark.flow
def test_the_leaderboard_shows_five_trials_and_says_of_how_many(first: Result) -> None:
    known = first.chosen.ranked[0]
    many = tuple(
        replace(known, done=replace(known.done, slot=n), estimate=Estimate(n / 100))
        for n in reversed(range(8))
    )
    chosen = replace(first.chosen, ranked=many)

    text = drawn(
        experiment_tables.leaderboard(replace(first, trials=first.trials[:1] * 8, chosen=chosen))
    )

    assert "top 5 of 8 trials" in text
    assert [value in text for value in ("0.0700", "0.0300", "0.0200")] == [True, True, False]


@pytest.mark.flow
def test_the_leaderboard_warns_of_a_best_value_on_its_bound_and_of_failures(first: Result) -> None:
    factors = first.best.params["factors"]
    result = replace(
        first, at_bound={"factors": "highest of 4..8"}, failed={7: "MemoryError: 8 TiB"}
    )

    text = drawn(experiment_tables.leaderboard(result))

    assert f"best factors = {factors} is the highest of 4..8: widen it" in text
    assert "--set search.factors=" in text
    assert "trial 7 failed: MemoryError: 8 TiB" in text


@pytest.mark.flow
def test_the_comparison_shows_every_metric_of_both_models(first: Result) -> None:
    text = drawn(experiment_tables.comparison_table(first))

    assert f"On test: {first.comparison.n_users:,} users" in text
    for row in first.comparison.rows:
        (line,) = [line for line in text.splitlines() if f" {row.metric} " in line]
        assert estimate_text(row.a) in line
        assert estimate_text(row.b) in line
        assert row.improvement is None or f"{row.improvement:+.1%}" in line


@pytest.mark.flow
def test_a_difference_that_may_be_none_is_marked(first: Result) -> None:
    row = first.comparison["ndcg@10"]
    unsure = replace(row, difference=Estimate(0.01, -0.01, 0.03))
    sure = replace(row, difference=Estimate(0.02, 0.01, 0.03))

    texts = [
        drawn(
            experiment_tables.comparison_table(
                replace(first, comparison=replace(first.comparison, rows=(each,)))
            )
        )
        for each in (unsure, sure)
    ]

    assert ["(may be 0)" in text for text in texts] == [True, False]


@pytest.mark.flow
@pytest.mark.parametrize("user", ["a[/b]c", "[deleted]"])
def test_a_user_whose_name_looks_like_markup_is_shown_as_it_is(first: Result, user: str) -> None:
    shown = {kind: {**of, "user": user} for kind, of in first.listeners.items()}

    text = drawn(experiment_tables.listener_table(replace(first, listeners=shown)))

    assert f"One listener: {user}" in text


def test_the_listener_is_shown_with_what_both_models_recommend(first: Result) -> None:
    text = drawn(experiment_tables.listener_table(first))

    for kind in ("als", first.config.judge.baseline):
        for name, hit in first.listeners[kind]["recommended"]:
            assert (f"* {name}" if hit else name) in text
    for name, plays in first.listeners["als"]["history"]:
        assert f"{name} ({plays:,.0f})" in text
