from random import Random
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.evaluation.ties import tied_with_best

Values = npt.NDArray[np.float64]


def slowly_tied(values: Values, seed: int, n_resamples: int, level: float) -> list[bool]:
    """The definition, trial by trial and user by user drawn, with the same resamples."""
    m, n = values.shape
    again = np.random.default_rng(seed)
    drawn = [again.integers(0, m, m) for _ in range(n_resamples)]
    tied = []
    for i in range(n):
        observed, by_chance = [0.0], [[0.0] * n_resamples]
        for j in range(n):
            gap = values[:, j] - values[:, i]
            centred = [gap[users].mean() - gap.mean() for users in drawn]
            if np.std(centred) > 0:
                observed.append(gap.mean() / np.std(centred))
                by_chance.append([value / np.std(centred) for value in centred])
        quantile = np.quantile([max(row) for row in zip(*by_chance, strict=True)], level)
        tied.append(max(observed) <= quantile)
    return tied


def ruled_out(
    n_studies: int, shape: tuple[int, int], better_by: float, correlated: float = 1.0
) -> Values:
    """How often each trial is ruled out over many studies; the first is truly better."""
    rng, seen = np.random.default_rng(8), np.zeros(shape[1])
    for study in range(n_studies):
        values = correlated * rng.normal(0, 1, (shape[0], 1)) + rng.normal(0, 1, shape)
        values[:, 0] += better_by
        seen += ~tied_with_best(values, study, n_resamples=400)
    return seen / n_studies


@settings(max_examples=40)
@given(st.integers(0, 999), st.integers(2, 6), st.sampled_from([0.5, 0.8, 0.95]))
def test_ties_equal_the_definition_as_loops(seed: int, n_trials: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    # Skewed and of unequal spread, so that neither the sign nor the scale of a gap is arbitrary.
    own = rng.exponential(1, (15, n_trials)) * rng.choice([0.1, 1, 3], n_trials)
    values = rng.random((15, 1)) + own * rng.choice([-1, 1], n_trials)
    values += rng.random(n_trials) - values.mean(axis=0)

    tied = tied_with_best(values, seed, 100, level)

    assert tied.dtype == np.bool_
    assert tied.tolist() == slowly_tied(values, seed, 100, level)


@pytest.mark.slow
def test_of_equal_trials_the_true_best_is_ruled_out_in_about_5_of_100_studies() -> None:
    # All are truly best, so each counts. 300 studies: the mean rate of 12 trials has a standard
    # error of at most 0.0126 around 0.05; without the correction for many it is above 0.2.
    rate = ruled_out(300, (150, 12), better_by=0.0).mean()

    assert 0.02 < rate < 0.05 + 3 * 0.0126


@pytest.mark.slow
def test_a_true_best_that_leads_by_little_is_ruled_out_in_less_than_5_of_100_studies() -> None:
    rates = ruled_out(300, (150, 12), better_by=0.15)

    assert rates[0] < 0.05
    assert rates[1:].min() > rates[0]


@given(st.integers(0, 999), st.randoms(use_true_random=False), st.sampled_from(["C", "F"]))
def test_the_order_of_trials_and_the_layout_in_memory_change_nothing(
    seed: int, random: Random, layout: Literal["C", "F"]
) -> None:
    values = np.random.default_rng(seed).random((40, 8))
    order = list(range(8))
    random.shuffle(order)
    shuffled = np.array(values[:, order], order=layout)

    tied = tied_with_best(values, seed, 100)

    assert tied_with_best(shuffled, seed, 100).tolist() == tied[order].tolist()


def test_a_trial_alone_is_the_best(rng: np.random.Generator) -> None:
    assert tied_with_best(rng.random((30, 1)), seed=1).tolist() == [True]


def test_duplicates_share_the_verdict_of_their_original(rng: np.random.Generator) -> None:
    values = rng.normal(0, 1, (200, 3)) + np.array([1.0, 0.0, 0.95])

    tied = tied_with_best(np.hstack([values, values, values[:, :1]]), seed=3)

    assert tied.tolist() == [True, False, True, True, False, True, True]


def test_trials_that_are_all_the_same_all_tie(rng: np.random.Generator) -> None:
    assert tied_with_best(np.repeat(rng.random((50, 1)), 4, axis=1), seed=1).all()
    assert tied_with_best(np.zeros((50, 3)), seed=1).all()


def test_differences_as_small_as_rounding_count_as_0(rng: np.random.Generator) -> None:
    values = rng.random((500, 1)) + 0.5
    nearly = np.hstack([values, np.nextafter(values, 2), np.nextafter(values, 0)])

    assert tied_with_best(nearly, seed=1).all()


def test_a_trial_that_is_better_by_the_same_for_every_user_stands_alone(
    rng: np.random.Generator,
) -> None:
    values = rng.random((50, 1)) + np.array([0.0, 0.25, 0.125])

    assert tied_with_best(values, seed=1).tolist() == [False, True, False]
    assert tied_with_best(np.tile([0.25, 0.5], (50, 1)), seed=1).tolist() == [False, True]


def test_a_single_user_rules_out_nothing() -> None:
    assert tied_with_best(np.array([[0.1, 0.9, 0.5]]), seed=1).all()


def test_values_do_not_change_and_resamples_are_reported(
    rng: np.random.Generator,
) -> None:
    values, reports = rng.random((50, 4)), list[tuple[str, int, int | None]]()
    before = values.copy()

    tied_with_best(values, 1, 30, progress=lambda *now: reports.append(now))

    assert reports == [("bootstrap resamples", 30, 30)]
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,)])
def test_values_without_users_or_trials_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="values have shape"):
        tied_with_best(np.zeros(shape), seed=1)


def test_values_that_are_not_finite_are_refused_by_their_number() -> None:
    with pytest.raises(ValueError, match="2 values are not finite"):
        tied_with_best(np.array([[0.1, np.nan], [np.inf, 0.2]]), seed=1)
