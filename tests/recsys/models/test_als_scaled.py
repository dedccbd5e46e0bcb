"""The scaled lambda: its definition, and its relation to implicit and to the paper."""

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from recsys.models.als import Als, AlsConfig
from recsys.models.als_scaled import Regularization
from recsys.models.weighting import Weights
from tests.conftest import cells_of
from tests.recsys.models import als_equations
from tests.recsys.models.als_equations import bits, lambdas, preference, random_cells, solved


def config_of(**settings: object) -> AlsConfig:
    return als_equations.config_of(**{"alpha": 3.0, "nu": 0.5, **settings})


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


def test_with_its_engine_the_factors_are_those_of_implicit_to_the_bit() -> None:
    config, train = (
        config_of(nu=0, factors=7, iterations=3, engine="implicit"),
        random_cells(200, 60),
    )
    weights = Weights(config, train)(train)
    weights.data = 1 + np.float32(config.alpha) * weights.data

    model = Als(config, 5).fit(train)
    with threadpool_limits(1, "blas"):
        theirs = AlternatingLeastSquares(7, 2.0, alpha=1.0, iterations=3, random_state=5)
        theirs.fit(weights, show_progress=False)

    assert bits(model) == (theirs.user_factors.tobytes(), theirs.item_factors.tobytes())


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
        frequency = mask.sum(axis=1) + alpha0 * mask.shape[1]
        target = mask / (1 + alpha0)  # so that the right side of the equation is the sum of p
        expected = solved(mask + alpha0, target, others, regularization * frequency**nu)
        np.testing.assert_allclose(mine, expected, atol=2e-3)


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

    w = Weights(fair, train)(train).toarray().astype(np.float64)
    frequency = p.sum(axis=1) + alpha0 * p.shape[1]
    expected = solved(w + alpha0, p, model.item_factors, 0.4 * frequency**0.5)
    np.testing.assert_allclose(model.user_factors, expected, atol=2e-3)
    assert model.item_factors.any()
