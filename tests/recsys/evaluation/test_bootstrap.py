import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.evaluation import bootstrap
from recsys.evaluation.beyond import coverage, gini
from recsys.evaluation.bootstrap import (
    Estimate,
    _deviations,
    excludes_zero,
    improvement,
    interval,
    paired,
)
from recsys.evaluation.report import Report

Values = npt.NDArray[np.float64]


def report(values: Values, exposed: list[int] | None = None, first_user: int = 0) -> Report:
    """A report of one metric, `ndcg@10`, or of several by column."""
    table = values.reshape(len(values), -1)
    users = np.arange(first_user, first_user + len(values), dtype=np.int32)
    per_user = pd.DataFrame(
        table,
        index=pd.Index(users, name="user"),
        columns=["ndcg@10", *(f"m{j}@10" for j in range(1, table.shape[1]))],
    )
    return Report(per_user, np.full(len(values), 10, np.int32), {10: np.array(exposed or [1, 1])})


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def width(estimate: Estimate) -> float:
    low, high = ends(estimate)
    return high - low


@settings(max_examples=20)
@given(
    st.lists(st.floats(0, 1, allow_subnormal=False), min_size=2, max_size=60), st.integers(0, 99)
)
def test_an_interval_lies_within_the_values_and_around_their_mean(
    values: list[float], seed: int
) -> None:
    estimate = interval(report(np.array(values)), seed, n_resamples=200)["ndcg@10"]

    low, high = ends(estimate)
    assert estimate.mean == np.mean(values)
    assert low <= high
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_about_95_of_100_intervals_contain_the_true_mean(rng: np.random.Generator) -> None:
    # Each column is one study: 400 studies of 100 users each, true mean 0.
    studies = report(rng.normal(0, 1, (100, 400)))

    estimates = list(interval(studies, seed=4, n_resamples=1000).values())[:400]

    share = np.mean([low <= 0 <= high for e in estimates for low, high in [ends(e)]])
    assert 0.91 < share < 0.98


def test_resampled_means_equal_a_slow_loop_over_drawn_users(
    rng: np.random.Generator,
) -> None:
    values = rng.random((30, 2)) * [1, 1e6]

    [deviations] = _deviations([values], seed=5, n_resamples=50)

    again = np.random.default_rng(5)
    for row in deviations:
        drawn = values[again.integers(0, 30, 30)]
        np.testing.assert_allclose(row, drawn.mean(axis=0) - values.mean(axis=0), rtol=1e-9)


@pytest.mark.parametrize("block_bytes", [1, 4 * 333 * 7, 2**30])
@pytest.mark.parametrize("users_at_once", [1, 50, 333])
def test_the_size_of_a_block_changes_no_bit(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    block_bytes: int,
    users_at_once: int,
) -> None:
    values = rng.random((333, 5)) * 10.0 ** np.arange(-4, 1)
    [whole] = _deviations([values], 6, 100)

    monkeypatch.setattr(bootstrap, "_USERS_AT_ONCE", users_at_once)
    [deviations] = _deviations([values], 6, 100, block_bytes=block_bytes)

    np.testing.assert_array_equal(deviations, whole)


def test_exact_sums_give_the_same_bits_in_whole_number_arithmetic(
    rng: np.random.Generator,
) -> None:
    values = rng.random((40, 1)) - 0.5
    bits = 53 - 6 + 1  # values below a half: of 40 users one more bit fits
    whole = [round(value * 2**bits) for value in values[:, 0].tolist()]

    [deviations] = _deviations([values], seed=3, n_resamples=20)

    again = np.random.default_rng(3)
    for row in deviations[:, 0].tolist():
        drawn = sum(whole[user] for user in again.integers(0, 40, 40))
        assert row == (drawn / 40 - sum(whole) / 40) / 2**bits


def test_every_block_of_resamples_is_reported(rng: np.random.Generator) -> None:
    reports: list[tuple[str, int, int | None]] = []
    one = report(rng.random(50))

    _deviations([rng.random((50, 2))], 1, 20, lambda *now: reports.append(now), 4 * 50 * 8)
    interval(one, seed=1, n_resamples=21, progress=lambda *now: reports.append(now))
    paired(one, one, seed=1, n_resamples=30, progress=lambda *now: reports.append(now))

    counts = [(8, 20), (16, 20), (20, 20), (21, 21), (30, 30)]
    assert reports == [("bootstrap resamples", *each) for each in counts]


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(
    rng: np.random.Generator,
) -> None:
    one = report(rng.random(100))

    assert interval(one, seed=7) == interval(one, seed=7)
    assert interval(one, seed=7) != interval(one, seed=8)


def test_values_that_are_all_equal_have_an_interval_without_width() -> None:
    estimates = interval(report(np.full((77, 2), [0.1, 0.0])), seed=1)

    assert width(estimates["ndcg@10"]) == 0
    assert estimates["m1@10"] == Estimate(0, 0, 0)


def test_a_report_does_not_differ_from_itself(rng: np.random.Generator) -> None:
    one = report(rng.random((500, 3)))

    rows = paired(one, one, seed=9).rows[:3]

    assert [row.difference for row in rows] == [Estimate(0, 0, 0)] * 3
    assert [row.improvement for row in rows] == [0, 0, 0]
    assert not any(excludes_zero(row.difference) for row in rows)


def test_the_difference_is_b_minus_a_and_the_improvement_relative_to_a(
    rng: np.random.Generator,
) -> None:
    a = rng.random(300)
    b = a + rng.normal(0.2, 0.01, 300)

    row = paired(report(a), report(b), seed=1)["ndcg@10"]

    low, high = ends(row.difference)
    assert row.a.mean == a.mean()
    assert row.b.mean == b.mean()
    assert row.difference.mean == pytest.approx(0.2, abs=0.01)
    assert 0.15 < low < row.difference.mean < high < 0.25
    assert row.improvement == pytest.approx(b.mean() / a.mean() - 1)
    assert excludes_zero(row.difference)


def test_the_paired_interval_is_that_of_the_differences_per_user(
    rng: np.random.Generator,
) -> None:
    a, b = rng.random(200), rng.random(200)

    difference = paired(report(a), report(b), seed=4)["ndcg@10"].difference

    direct = interval(report(b - a), seed=4)["ndcg@10"]
    assert ends(difference) == pytest.approx(ends(direct), rel=1e-9)


def test_a_model_has_the_same_interval_alone_and_in_a_comparison(
    rng: np.random.Generator,
) -> None:
    a, b = report(rng.random((200, 3))), report(rng.random((200, 3)))

    comparison = paired(a, b, seed=5)

    assert {row.metric: row.a for row in comparison.rows} == interval(a, seed=5)
    assert {row.metric: row.b for row in comparison.rows} == interval(b, seed=5)


def test_coverage_and_gini_are_given_without_an_interval(rng: np.random.Generator) -> None:
    a, b = report(rng.random(50), [4, 0, 0, 0]), report(rng.random(50), [1, 3, 0, 0])

    comparison = paired(a, b, seed=6)

    for name, of in (("coverage@10", coverage), ("gini@10", gini)):
        row, (of_a, of_b) = comparison[name], (of(a.exposure[10]), of(b.exposure[10]))
        assert row.a == interval(a, seed=6)[name] == Estimate(of_a, None, None)
        assert row.b == Estimate(of_b, None, None)
        assert row.difference == Estimate(of_b - of_a, None, None)
        assert row.improvement == of_b / of_a - 1
        assert not excludes_zero(row.difference)


def test_a_comparison_has_its_sizes_and_refuses_unknown_metrics(
    rng: np.random.Generator,
) -> None:
    one = report(rng.random(20))

    comparison = paired(one, one, seed=11, n_resamples=30)

    assert (comparison.n_users, comparison.n_resamples, comparison.seed) == (20, 30, 11)
    with pytest.raises(KeyError, match="ndcg@3"):
        comparison["ndcg@3"]


def test_the_frame_has_a_row_per_metric_and_gaps_where_there_is_no_value(
    rng: np.random.Generator,
) -> None:
    comparison = paired(report(np.zeros(50)), report(rng.random(50)), seed=7)

    frame = comparison.frame()

    assert list(frame.index) == ["ndcg@10", "coverage@10", "gini@10"]
    assert (frame.dtypes == np.float64).all()
    assert frame.loc["ndcg@10", "high_b"] == comparison["ndcg@10"].b.high
    assert frame.loc["ndcg@10", "mean_difference"] == comparison["ndcg@10"].difference.mean
    assert pd.isna(frame.loc["ndcg@10", "improvement"])
    assert frame.loc["coverage@10", ["low_a", "high_a"]].isna().all()


def test_an_improvement_over_0_is_undefined() -> None:
    assert improvement(0.0, 0.5) is None
    assert improvement(0.2, 0.3) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("low", "high", "excluded"),
    [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.2, False), (0.0, 0.2, False), (-1, 0.0, False)],
)
def test_a_difference_is_claimed_only_when_its_interval_excludes_zero(
    low: float, high: float, excluded: bool
) -> None:
    assert excludes_zero(Estimate((low + high) / 2, low, high)) is excluded


def test_reports_of_different_users_or_metrics_are_not_compared(rng: np.random.Generator) -> None:
    values = rng.random(10)

    with pytest.raises(ValueError, match="4 users are in one of the two reports only"):
        paired(report(values), report(values, first_user=2), seed=1)
    with pytest.raises(ValueError, match=r"metrics differ: \['m1@10'\]"):
        paired(report(rng.random((9, 1))), report(rng.random((9, 2))), seed=1)
