"""ALS against the equations of Hu, Koren and Volinsky 2008, solved densely in the test."""

import numpy as np
import numpy.typing as npt
import pytest
from threadpoolctl import threadpool_info

from recsys.config import AlsConfig
from recsys.interactions import Interactions
from recsys.models.als import Als, Factors, Iteration
from recsys.weighting import Weights
from tests.conftest import cells_of

Dense = npt.NDArray[np.float64]
WEIGHTINGS = ["linear", "log", "share", "bm25", "tfidf", "binary"]


def listening(n_users: int = 25, n_items: int = 18, seed: int = 7) -> Interactions:
    rng = np.random.default_rng(seed)
    heard = rng.random((n_users, n_items)) < 0.3
    return cells_of(heard * rng.integers(1, 40, (n_users, n_items)))


def confidence(config: AlsConfig, train: Interactions, plays: Interactions) -> Dense:
    """c = 1 + alpha f(r), and 1 where there is no cell; f is tested beside its definition."""
    f = Weights(config, train.matrix())(plays.matrix())
    return np.asarray(1 + config.alpha * f.toarray().astype(np.float64))


def preference(plays: Interactions) -> Dense:
    return (plays.matrix().toarray() > 0).astype(np.float64)


def solved(c: Dense, p: Dense, others: Factors, regularization: float) -> Dense:
    """Equation 4, row by row: x = (Y' C Y + lambda I)^-1 Y' C p."""
    y = others.astype(np.float64)
    rows = []
    for each, wanted in zip(c, p, strict=True):
        left = y.T @ np.diag(each) @ y + regularization * np.eye(y.shape[1])
        rows.append(np.linalg.solve(left, y.T @ np.diag(each) @ wanted))
    return np.array(rows)


def slow_loss(c: Dense, p: Dense, x: Factors, y: Factors, regularization: float) -> float:
    """Equation 3 over all pairs, over the sum of all confidences."""
    total = 0.0
    for user in range(len(x)):
        for item in range(len(y)):
            score = float(x[user].astype(np.float64) @ y[item].astype(np.float64))
            total += c[user, item] * (p[user, item] - score) ** 2
    norms = float((x.astype(np.float64) ** 2).sum() + (y.astype(np.float64) ** 2).sum())
    return (total + regularization * norms) / float(c.sum())


def config_of(weighting: str, **settings: float) -> AlsConfig:
    usual = {"factors": 3, "iterations": 1, "regularization": 0.7, "alpha": 0.3, "k1": 20.0}
    return AlsConfig.model_validate({"weighting": weighting, **usual, **settings})


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_each_sweep_solves_the_item_factors_for_the_user_factors(weighting: str) -> None:
    """Three steps of conjugate gradient are exact for three factors, so one sweep tells."""
    config, train = config_of(weighting), listening()

    model = Als(config, seed=1).fit(train)

    c = confidence(config, train, train)
    expected = solved(c.T, preference(train).T, model.user_factors, config.regularization)
    np.testing.assert_allclose(model.item_factors, expected, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_after_many_sweeps_both_sides_solve_each_other(weighting: str) -> None:
    config, train = config_of(weighting, iterations=150, regularization=2.0), listening()

    model = Als(config, seed=1, threads=1).fit(train)

    c, p = confidence(config, train, train), preference(train)
    users = solved(c, p, model.item_factors, config.regularization)
    items = solved(c.T, p.T, model.user_factors, config.regularization)
    np.testing.assert_allclose(model.user_factors, users, atol=2e-3)
    np.testing.assert_allclose(model.item_factors, items, atol=2e-3)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_fold_in_solves_a_history_with_what_training_knows_of_the_artists(
    weighting: str,
) -> None:
    config, train = config_of(weighting, factors=6, iterations=4), listening()
    model, history = Als(config, seed=1).fit(train), listening(n_users=25, seed=8)
    strangers = np.array([3, 11, 0], np.int32)

    recs = model.fold_in(history, strangers, k=5)

    c, p = confidence(config, train, history)[strangers], preference(history)[strangers]
    factors = solved(c, p, model.item_factors, config.regularization)
    expected = factors @ model.item_factors.T
    expected[p > 0] = -np.inf
    np.testing.assert_allclose(recs.scores, -np.sort(-expected)[:, :5], rtol=1e-3, atol=1e-4)
    shown = np.take_along_axis(expected, recs.items.astype(np.int64), axis=1)
    np.testing.assert_allclose(shown, recs.scores, rtol=1e-3, atol=1e-4)


def test_a_recommendation_is_scored_by_the_inner_product() -> None:
    config, train = config_of("share", factors=6, iterations=4), listening()
    model, users = Als(config, seed=1).fit(train), np.array([2, 20], np.int32)

    recs = model.recommend(users, k=6)

    expected = model.user_factors[users] @ model.item_factors.T
    expected[preference(train)[users] > 0] = -np.inf
    np.testing.assert_allclose(recs.scores, -np.sort(-expected)[:, :6], rtol=1e-5)


def losses(config: AlsConfig, train: Interactions, seed: int = 1) -> list[float]:
    found: list[float] = []
    Als(config, seed, lambda step: found.append(step.loss)).fit(train)
    return found


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_loss_is_the_weighted_squared_error_over_all_pairs(weighting: str) -> None:
    config, train = config_of(weighting, factors=5, iterations=2), listening()
    train = train.where(~np.isin(train.rows, [4, 9]))  # two users without a cell count too
    c, p = confidence(config, train, train), preference(train)
    expected: list[float] = []

    def slowly(step: Iteration) -> None:
        model = step.model
        lost = slow_loss(c, p, model.user_factors, model.item_factors, config.regularization)
        expected.append(lost)

    model = Als(config, 1, slowly).fit(train)

    assert losses(config, train) == pytest.approx(expected, rel=1e-4)
    assert model.user_factors[[4, 9]].any() == np.False_


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_training_loss_falls(weighting: str) -> None:
    found = losses(config_of(weighting, factors=4, iterations=12), listening())

    assert (np.diff(found) <= 1e-6).all()
    assert found[-1] < found[0]


def test_each_iteration_is_told_once_and_in_order_with_the_model_as_it_is() -> None:
    config, train = config_of("share", iterations=4), listening()
    steps: list[Iteration] = []
    items: list[Factors] = []
    shown: list[list[int]] = []

    def tell(step: Iteration) -> None:
        steps.append(step)
        items.append(step.model.item_factors.copy())
        shown.append(step.model.recommend(np.array([5], np.int32), 3).items[0].tolist())

    model = Als(config, 1, tell).fit(train)

    assert [step.number for step in steps] == [1, 2, 3, 4]
    assert all(step.seconds >= 0 for step in steps)
    for n, seen in enumerate(items, start=1):
        shorter = Als(config.model_copy(update={"iterations": n}), 1).fit(train)
        np.testing.assert_array_equal(seen, shorter.item_factors)
        assert shown[n - 1] == shorter.recommend(np.array([5], np.int32), 3).items[0].tolist()
    np.testing.assert_array_equal(items[-1], model.item_factors)


class EnoughError(Exception):
    """Raised by a listener that has seen enough."""


def test_a_listener_that_raises_stops_the_training() -> None:
    numbers: list[int] = []

    def tell(step: Iteration) -> None:
        numbers.append(step.number)
        if step.number == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        Als(config_of("share", iterations=9), 1, tell).fit(listening())
    assert numbers == [1, 2]


def test_being_listened_to_changes_no_bit() -> None:
    config, train = config_of("log", iterations=3), listening()

    quiet, heard = Als(config, 1).fit(train), Als(config, 1, lambda step: None).fit(train)

    np.testing.assert_array_equal(quiet.item_factors, heard.item_factors)
    np.testing.assert_array_equal(quiet.user_factors, heard.user_factors)


@pytest.mark.parametrize("threads", [0, 2, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    config, train = config_of("share", factors=16, iterations=3), listening(300, 90)
    users = np.arange(300, dtype=np.int32)
    one, many = (Als(config, 1, threads=n).fit(train) for n in (1, threads))

    np.testing.assert_array_equal(one.user_factors, many.user_factors)
    np.testing.assert_array_equal(one.item_factors, many.item_factors)
    for ask in ("recommend", "fold_in"):
        history = () if ask == "recommend" else (train,)
        single, several = (getattr(model, ask)(*history, users, 10) for model in (one, many))
        np.testing.assert_array_equal(single.items, several.items)
        np.testing.assert_array_equal(single.scores, several.scores)


def test_another_seed_starts_elsewhere() -> None:
    config, train = config_of("share"), listening()

    one, other = Als(config, 1).fit(train), Als(config, 2).fit(train)

    assert not np.allclose(one.user_factors, other.user_factors)


def test_factors_have_one_row_per_id_and_zeros_for_who_has_no_cell() -> None:
    train = listening()
    train = train.where((train.rows != 4) & (train.cols != 6))

    model = Als(config_of("share", factors=5), 1).fit(train)

    assert (model.user_factors.shape, model.item_factors.shape) == ((25, 5), (18, 5))
    assert (model.user_factors.dtype, model.item_factors.dtype) == (np.float32, np.float32)
    assert not model.user_factors[4].any()
    assert not model.item_factors[6].any()


def test_blas_has_its_threads_back_after_a_fit() -> None:
    before = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    Als(config_of("share"), 1).fit(listening())

    after = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert after == before


def test_blas_has_one_thread_while_training() -> None:
    counts: set[int] = set()

    def tell(step: Iteration) -> None:
        pools = (pool for pool in threadpool_info() if pool["user_api"] == "blas")
        counts.update(pool["num_threads"] for pool in pools)

    Als(config_of("share"), 1, tell).fit(listening())

    assert counts == {1}
