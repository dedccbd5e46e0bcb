import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from flows.cli import experiment_tables
from flows.cli.experiment_tables import estimate_text, value_text
from flows.result import Result
from recsys.evaluation.bootstrap import Estimate
from tests.flows.conftest import Lab


def drawn(part: RenderableType, width: int = 160) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(part)
    return stream.getvalue()


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
