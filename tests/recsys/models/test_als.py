"""ALS against its equations, with one lambda for all rows (nu = 0) and with scaled ones."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from recsys.models.als import Als, AlsConfig
from recsys.models.als_scaled import Regularization
from recsys.models.iterative import Iteration, StopTraining
from tests.recsys.models.als_equations import (
    WEIGHTINGS,
    bits,
    confidence,
    config_of,
    lambdas,
    preference,
    random_cells,
    solved,
)

every_weighting = pytest.mark.parametrize(
    ("weighting", "nu"),
    [(each, 0.0) for each in WEIGHTINGS] + [("share", 0.5), ("bm25", 0.5), ("binary", 1.0)],
)
both_lambdas = pytest.mark.parametrize("nu", [0.0, 0.5])


@every_weighting
def test_each_sweep_solves_the_item_factors_for_the_user_factors(weighting: str, nu: float) -> None:
    """Conjugate gradient is exact after as many steps as factors, three; scaled after sweeps."""
    config = config_of(weighting=weighting, nu=nu, iterations=4 if nu else 1)
    train = random_cells()

    model = Als(config, seed=1).fit(train)

    c, p = confidence(config, train, train), preference(train)
    expected = solved(c.T, p.T, model.user_factors, lambdas(config, train)[1])
    np.testing.assert_allclose(model.item_factors, expected, rtol=2e-3, atol=5e-4)


@every_weighting
def test_after_many_sweeps_both_sides_solve_each_other(weighting: str, nu: float) -> None:
    config, train = config_of(weighting=weighting, nu=nu, iterations=150), random_cells()

    model = Als(config, seed=1, threads=1).fit(train)

    c, p = confidence(config, train, train), preference(train)
    of_users, of_items = lambdas(config, train)
    users = solved(c, p, model.item_factors, of_users)
    items = solved(c.T, p.T, model.user_factors, of_items)
    np.testing.assert_allclose(model.user_factors, users, atol=2e-3)
    np.testing.assert_allclose(model.item_factors, items, atol=2e-3)


@every_weighting
def test_a_fold_in_solves_a_history_with_its_lambda_and_the_item_statistics_of_the_training(
    weighting: str, nu: float
) -> None:
    config = config_of(weighting=weighting, nu=nu, factors=6, iterations=4)
    train, history = random_cells(), random_cells(seed=8)
    model, users = Als(config, seed=1).fit(train), np.array([3, 11, 0, 3], np.int32)

    recs = model.fold_in(history, users, k=5)

    c, p = confidence(config, train, history)[users], preference(history)[users]
    scaled = Regularization.of(config, train.matrix())
    mine = scaled.of_users(p.sum(axis=1).astype(np.int64))
    expected = solved(c, p, model.item_factors, mine) @ model.item_factors.T
    np.testing.assert_allclose(model.score(history, 11), expected[1], rtol=1e-3, atol=1e-4)
    expected[p > 0] = -np.inf
    np.testing.assert_allclose(recs.scores, -np.sort(-expected)[:, :5], rtol=1e-3, atol=1e-4)
    shown = np.take_along_axis(expected, recs.items.astype(np.int64), axis=1)
    np.testing.assert_allclose(shown, recs.scores, rtol=1e-3, atol=1e-4)


@every_weighting
def test_the_loss_is_the_weighted_squared_error_over_all_pairs(weighting: str, nu: float) -> None:
    """Equation 3 with the lambda of each row, over the sum of all confidences."""
    config, train = config_of(weighting=weighting, nu=nu, factors=5, iterations=4), random_cells()
    train = train.where(~np.isin(train.rows, [4, 9]))  # two users without a cell count too
    c, p = confidence(config, train, train), preference(train)
    of_users, of_items = lambdas(config, train)
    losses: list[float] = []
    expected: list[float] = []

    def compute(step: Iteration) -> None:
        x, y = (f.astype(np.float64) for f in (step.model.user_factors, step.model.item_factors))
        norms = of_users @ (x**2).sum(axis=1) + of_items @ (y**2).sum(axis=1)
        losses.append(step.loss)
        expected.append(float(((c * (p - x @ y.T) ** 2).sum() + norms) / c.sum()))

    Als(config, 1).fit(train, on_iteration=compute)

    assert losses == pytest.approx(expected, rel=1e-4)
    assert (np.diff(losses) <= 1e-6).all()


@both_lambdas
@pytest.mark.parametrize("threads", [0, 2, 3])
def test_the_number_of_threads_changes_no_bit(threads: int, nu: float) -> None:
    config, train = config_of(factors=16, iterations=3, nu=nu), random_cells(300, 90)
    users = np.arange(300, dtype=np.int32)

    one, many = (Als(config, 1, threads=n).fit(train) for n in (1, threads))

    assert bits(one) == bits(many)
    for method, history in (("recommend", ()), ("fold_in", (train,))):
        single, several = (getattr(model, method)(*history, users, 10) for model in (one, many))
        np.testing.assert_array_equal(single.items, several.items)
        np.testing.assert_array_equal(single.scores, several.scores)


@both_lambdas
def test_factors_have_one_row_per_id_and_zeros_without_a_cell(nu: float) -> None:
    train = random_cells()
    train = train.where((train.rows != 4) & (train.cols != 16))

    model = Als(config_of(factors=5, nu=nu), 1).fit(train)

    assert (model.user_factors.shape, model.item_factors.shape) == ((25, 5), (18, 5))
    assert (model.user_factors.dtype, model.item_factors.dtype) == (np.float32, np.float32)
    assert np.flatnonzero(~model.user_factors.any(axis=1)).tolist() == [4]
    assert np.flatnonzero(~model.item_factors.any(axis=1)).tolist() == [16]
    assert np.isfinite(model.user_factors).all()


def test_blas_has_one_thread_while_training_and_its_threads_back_afterwards() -> None:
    def counts() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before, during = counts(), set[int]()

    Als(config_of(), 1).fit(random_cells(), on_iteration=lambda _: during.update(counts()))

    assert during == {1}
    assert counts() == before


@pytest.mark.parametrize("more", ["factors", "iterations", "users", "items", "cells"])
def test_a_training_costs_more_with_more_factors_iterations_rows_or_cells(more: str) -> None:
    sizes = {"factors": 8, "iterations": 5, "users": 100, "items": 50, "cells": 1_000}

    def cost(factors: int, iterations: int, users: int, items: int, cells: int) -> float:
        return AlsConfig(factors=factors, iterations=iterations).cost(users, items, cells)

    assert 0 < cost(**sizes) < cost(**{**sizes, more: sizes[more] + 1})
    assert cost(**{**sizes, "iterations": 10}) == 2 * cost(**sizes)


def test_parameters_that_take_no_time_cost_nothing() -> None:
    one, other = AlsConfig(alpha=1.0, weighting="log"), AlsConfig(alpha=9.0, weighting="linear")

    assert one.cost(10, 20, 30) == other.cost(10, 20, 30)


def test_a_recommendation_is_scored_by_the_inner_product() -> None:
    config, train = config_of(factors=6, iterations=4), random_cells()
    model, users = Als(config, seed=1).fit(train), np.array([2, 20], np.int32)

    recs = model.recommend(users, k=6)

    expected = model.user_factors[users] @ model.item_factors.T
    expected[preference(train)[users] > 0] = -np.inf
    np.testing.assert_allclose(recs.scores, -np.sort(-expected)[:, :6], rtol=1e-5)


def test_a_stopped_training_with_factors_that_are_not_finite_is_an_error() -> None:
    train = random_cells()

    def spoil(step: Iteration) -> None:
        step.model.user_factors[0, 0] = np.nan
        raise StopTraining

    with pytest.raises(Exception, match="NaN"):
        Als(config_of(iterations=9), 1).fit(train, on_iteration=spoil)
