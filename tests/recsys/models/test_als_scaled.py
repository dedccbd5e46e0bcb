"""Regularization scaled by frequency against the equations, solved densely in the test."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from recsys.data.interactions import Interactions
from recsys.dtypes import Float32Array
from recsys.models import als_scaled
from recsys.models.als import Als, AlsConfig
from recsys.models.als_scaled import Regularization
from recsys.models.iterative import Iteration
from recsys.models.weighting import Weights
from tests.conftest import cells_of

Dense = npt.NDArray[np.float64]


def random_cells(n_users: int = 25, n_items: int = 18, seed: int = 7) -> Interactions:
    """Artists of very different popularity."""
    rng = np.random.default_rng(seed)
    played = rng.random((n_users, n_items)) < np.linspace(0.05, 0.8, n_items)
    return cells_of(played * rng.integers(1, 40, (n_users, n_items)))


def config_of(**settings: Any) -> AlsConfig:
    usual = {"factors": 3, "iterations": 1, "regularization": 2.0, "alpha": 3.0, "nu": 0.5}
    return AlsConfig.model_validate({**usual, **settings})


def preference(cells: Interactions) -> Dense:
    return (cells.matrix().toarray() > 0).astype(np.float64)


def confidence(config: AlsConfig, train: Interactions, cells: Interactions) -> Dense:
    weights = Weights(config, train)(cells).toarray().astype(np.float64)
    return np.asarray(1 + config.alpha * weights)


def lambdas(config: AlsConfig, train: Interactions) -> tuple[Dense, Dense]:
    """Of users and items: (|I_u| + |I| / alpha)^nu, over their mean, times regularization."""
    p = preference(train)
    alpha0 = 1 / config.alpha
    n_users, n_items = (int((p.sum(axis=axis) > 0).sum()) for axis in (1, 0))
    of_users = np.array([(sum(row) + alpha0 * n_items) ** config.nu for row in p])
    of_items = np.array([(sum(row) + alpha0 * n_users) ** config.nu for row in p.T])
    there = np.concatenate([of_users[p.any(axis=1)], of_items[p.any(axis=0)]])
    unit = config.regularization / there.mean()
    return of_users * unit, of_items * unit


def solved(c: Dense, p: Dense, others: Float32Array, regularization: Dense) -> Dense:
    """Row by row x = (Y' C Y + lambda_u I)^-1 Y' C p."""
    y = others.astype(np.float64)
    rows = []
    for each, wanted, mine in zip(c, p, regularization, strict=True):
        left = y.T @ np.diag(each) @ y + mine * np.eye(y.shape[1])
        rows.append(np.linalg.solve(left, y.T @ np.diag(each) @ wanted))
    return np.array(rows)


def bits(model: Als) -> tuple[bytes, bytes]:
    return model.user_factors.tobytes(), model.item_factors.tobytes()


@pytest.mark.parametrize("nu", [0.0, 0.3, 1.0])
def test_lambda_rises_with_frequency_and_its_mean_is_the_regularization(nu: float) -> None:
    config, train = config_of(nu=nu), random_cells()
    p = preference(train)
    scaled = Regularization.of(config, train.matrix())

    of_users = scaled.of_users(p.sum(axis=1).astype(np.int64))
    of_items = scaled.of_items(p.sum(axis=0).astype(np.int64))

    users, items = lambdas(config, train)
    np.testing.assert_allclose(of_users, users)
    np.testing.assert_allclose(of_items, items)
    there = np.concatenate([users[p.any(axis=1)], items[p.any(axis=0)]])
    assert there.mean() == pytest.approx(2.0)
    assert (items.max() > 1.1 * items.min()) == (nu > 0)


def test_without_nu_lambda_is_the_regularization_exactly() -> None:
    scaled = Regularization.of(config_of(nu=0, regularization=0.1), random_cells().matrix())

    assert scaled.of_users(np.array([1, 7, 300])).tolist() == [0.1, 0.1, 0.1]


def test_users_and_items_without_cells_change_no_lambda() -> None:
    dense = random_cells().matrix().toarray()
    wider = np.zeros((30, 40))
    wider[:25, :18] = dense

    one, other = (Regularization.of(config_of(), cells_of(d).matrix()) for d in (dense, wider))

    assert one == other


def test_without_nu_the_factors_are_those_of_implicit_to_the_bit() -> None:
    config, train = config_of(nu=0, factors=7, iterations=3), random_cells(200, 60)
    weights = Weights(config, train)(train)
    weights.data = 1 + np.float32(config.alpha) * weights.data

    model = Als(config, 5).fit(train)
    with threadpool_limits(1, "blas"):
        theirs = AlternatingLeastSquares(7, 2.0, alpha=1.0, iterations=3, random_state=5)
        theirs.fit(weights, show_progress=False)

    assert bits(model) == (theirs.user_factors.tobytes(), theirs.item_factors.tobytes())


def test_a_tiny_nu_is_close_to_none() -> None:
    train = random_cells(300, 90)
    one, other = (Als(config_of(nu=nu, factors=4, iterations=60), 1).fit(train) for nu in (0, 1e-9))

    scores = [model.user_factors @ model.item_factors.T for model in (one, other)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-2)


@pytest.mark.parametrize("weighting", ["share", "bm25", "binary"])
@pytest.mark.parametrize("nu", [0.5, 1.0])
def test_a_sweep_solves_each_item_with_its_own_lambda(weighting: str, nu: float) -> None:
    """Three steps of conjugate gradient are exact for three factors, so few sweeps tell."""
    config, train = config_of(weighting=weighting, nu=nu, iterations=4), random_cells()

    model = Als(config, 1).fit(train)

    c, p = confidence(config, train, train), preference(train)
    expected = solved(c.T, p.T, model.user_factors, lambdas(config, train)[1])
    np.testing.assert_allclose(model.item_factors, expected, rtol=2e-3, atol=5e-4)


@pytest.mark.parametrize("weighting", ["share", "bm25", "binary"])
def test_after_many_sweeps_both_sides_solve_each_other(weighting: str) -> None:
    config, train = config_of(weighting=weighting, iterations=150, nu=0.8), random_cells()

    model = Als(config, 1).fit(train)

    c, p = confidence(config, train, train), preference(train)
    of_users, of_items = lambdas(config, train)
    users = solved(c, p, model.item_factors, of_users)
    items = solved(c.T, p.T, model.user_factors, of_items)
    np.testing.assert_allclose(model.user_factors, users, atol=2e-3)
    np.testing.assert_allclose(model.item_factors, items, atol=2e-3)


def test_the_loss_has_the_lambda_of_each_row() -> None:
    config, train = config_of(factors=5, iterations=4, nu=0.7), random_cells()
    train = train.where(~np.isin(train.rows, [4, 9]))
    c, p = confidence(config, train, train), preference(train)
    of_users, of_items = lambdas(config, train)
    losses: list[float] = []
    expected: list[float] = []

    def tell(step: Iteration) -> None:
        x, y = (f.astype(np.float64) for f in (step.model.user_factors, step.model.item_factors))
        norms = of_users @ (x**2).sum(axis=1) + of_items @ (y**2).sum(axis=1)
        losses.append(step.loss)
        expected.append(float(((c * (p - x @ y.T) ** 2).sum() + norms) / c.sum()))

    Als(config, 1).fit(train, on_iteration=tell)

    assert losses == pytest.approx(expected, rel=1e-4)
    assert (np.diff(losses) <= 1e-6).all()


def test_a_fold_in_has_the_lambda_of_its_own_history() -> None:
    config, train, history = (
        config_of(factors=6, iterations=4),
        random_cells(),
        random_cells(seed=8),
    )
    model = Als(config, 1).fit(train)
    users = np.array([3, 11, 0, 3], np.int32)

    recs = model.fold_in(history, users, k=5)

    p = preference(history)[users]
    c = confidence(config, train, history)[users]
    scaled = Regularization.of(config, train.matrix())
    mine = scaled.of_users(p.sum(axis=1).astype(np.int64))
    expected = solved(c, p, model.item_factors, mine) @ model.item_factors.T
    np.testing.assert_allclose(model.score(history, 11), expected[1], rtol=1e-3, atol=1e-4)
    expected[p > 0] = -np.inf
    np.testing.assert_allclose(recs.scores, -np.sort(-expected)[:, :5], rtol=1e-3, atol=1e-4)


def test_contributions_add_up_to_the_score_of_the_fold_in() -> None:
    config, train = config_of(factors=6, iterations=4, nu=1.0), random_cells()
    model = Als(config, 1).fit(train)

    scores = model.score(train, 7)

    for item in range(18):
        total = model.contributions(train, 7, item).sum()
        assert total == pytest.approx(scores[item], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("threads", [0, 2, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    config, train = config_of(factors=16, iterations=3), random_cells(300, 90)

    one, many = (Als(config, 1, threads=n).fit(train) for n in (1, threads))

    assert bits(one) == bits(many)


@pytest.mark.parametrize("most", [(1, 4096), (7, 4096), (1024, 1), (1024, 30)])
def test_the_size_of_blocks_changes_next_to_nothing(
    monkeypatch: pytest.MonkeyPatch, most: tuple[int, int]
) -> None:
    config, train = config_of(factors=3, iterations=5), random_cells()
    usual = Als(config, 1).fit(train)

    monkeypatch.setattr(als_scaled, "ROWS", most[0])
    monkeypatch.setattr(als_scaled, "CELLS", most[1])
    cut = Als(config, 1).fit(train)

    np.testing.assert_allclose(cut.item_factors, usual.item_factors, atol=2e-3)


def test_factors_without_cells_are_zeros() -> None:
    train = random_cells()
    train = train.where((train.rows != 4) & (train.cols != 16))

    model = Als(config_of(), 1).fit(train)

    assert not model.user_factors[4].any()
    assert not model.item_factors[16].any()
    assert np.isfinite(model.user_factors).all()


@pytest.mark.parametrize("nu", [0.0, 0.6])
@pytest.mark.parametrize("alpha0", [0.2, 3.0])
def test_the_weight_of_all_pairs_in_the_paper_is_our_alpha(alpha0: float, nu: float) -> None:
    """Theirs: observed 1, all pairs alpha0; the factors that solve ours solve it, scaled."""
    train = random_cells()
    p = preference(train)
    fair = config_of(
        factors=2, weighting="binary", alpha=1 / alpha0, nu=nu, iterations=200, regularization=1
    )
    unit = Regularization.of(fair, train.matrix()).unit
    regularization = 0.4  # their lambda
    wanted = regularization * (1 + alpha0) / alpha0 / unit
    model = Als(fair.model_copy(update={"regularization": wanted}), 1).fit(train)

    t = 1 / (1 + alpha0)
    x, y = (np.sqrt(t) * f.astype(np.float64) for f in (model.user_factors, model.item_factors))

    for mine, others, mask in ((x, y, p), (y, x, p.T)):
        for row, cells in zip(mine, mask, strict=True):
            frequency = cells.sum() + alpha0 * len(cells)
            theirs = others[cells > 0]
            left = theirs.T @ theirs + alpha0 * others.T @ others
            left += regularization * frequency**nu * np.eye(2)
            expected = np.linalg.solve(left, theirs.sum(axis=0))
            np.testing.assert_allclose(row, expected * (cells.any()), atol=2e-3)


@pytest.mark.parametrize("alpha0", [0.2, 3.0])
def test_for_any_plays_it_is_our_alpha_if_observed_pairs_weigh_alpha0_more(alpha0: float) -> None:
    train = random_cells()
    p = preference(train)
    fair = config_of(
        factors=2, weighting="share", alpha=1 / alpha0, iterations=200, regularization=1
    )
    scaled = Regularization.of(fair, train.matrix())
    wanted = 0.4 / alpha0 / scaled.unit
    model = Als(fair.model_copy(update={"regularization": wanted}), 1).fit(train)

    x, y = (f.astype(np.float64) for f in (model.user_factors, model.item_factors))

    w = Weights(fair, train)(train).toarray().astype(np.float64)
    frequency = p.sum(axis=1) + alpha0 * p.shape[1]
    expected = solved(w + alpha0, p, model.item_factors, 0.4 * frequency**0.5)
    np.testing.assert_allclose(x, expected, atol=2e-3)
    assert y.any()
