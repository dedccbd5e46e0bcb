"""ALS against the equations of Hu, Koren and Volinsky 2008, solved densely in the test."""

import numpy as np
import numpy.typing as npt
import pytest
from threadpoolctl import threadpool_info

from recsys.data.interactions import Interactions
from recsys.dtypes import Float32Array
from recsys.models.als import Als, AlsConfig
from recsys.models.iterative import Iteration, OnIteration, State, StopTraining
from recsys.models.recommender import NO_ITEM
from recsys.models.weighting import Weights
from tests.conftest import cells_of, two_camps

Dense = npt.NDArray[np.float64]
WEIGHTINGS = ["linear", "log", "share", "bm25", "tfidf", "binary"]


def random_cells(n_users: int = 25, n_items: int = 18, seed: int = 7) -> Interactions:
    rng = np.random.default_rng(seed)
    played = rng.random((n_users, n_items)) < 0.3
    return cells_of(played * rng.integers(1, 40, (n_users, n_items)))


def confidence(config: AlsConfig, train: Interactions, plays: Interactions) -> Dense:
    """c = 1 + alpha f(r), and 1 where there is no cell; f is tested beside its definition."""
    f = Weights(config, train)(plays)
    return np.asarray(1 + config.alpha * f.toarray().astype(np.float64))


def preference(plays: Interactions) -> Dense:
    return (plays.matrix().toarray() > 0).astype(np.float64)


def solved(c: Dense, p: Dense, others: Float32Array, regularization: float) -> Dense:
    """Equation 4, row by row: x = (Y' C Y + lambda I)^-1 Y' C p."""
    y = others.astype(np.float64)
    rows = []
    for each, wanted in zip(c, p, strict=True):
        left = y.T @ np.diag(each) @ y + regularization * np.eye(y.shape[1])
        rows.append(np.linalg.solve(left, y.T @ np.diag(each) @ wanted))
    return np.array(rows)


def slow_loss(c: Dense, p: Dense, x: Float32Array, y: Float32Array, regularization: float) -> float:
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
    config, train = config_of(weighting), random_cells()

    model = Als(config, seed=1).fit(train)

    c = confidence(config, train, train)
    expected = solved(c.T, preference(train).T, model.user_factors, config.regularization)
    np.testing.assert_allclose(model.item_factors, expected, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_after_many_sweeps_both_sides_solve_each_other(weighting: str) -> None:
    config, train = config_of(weighting, iterations=150, regularization=2.0), random_cells()

    model = Als(config, seed=1, threads=1).fit(train)

    c, p = confidence(config, train, train), preference(train)
    users = solved(c, p, model.item_factors, config.regularization)
    items = solved(c.T, p.T, model.user_factors, config.regularization)
    np.testing.assert_allclose(model.user_factors, users, atol=2e-3)
    np.testing.assert_allclose(model.item_factors, items, atol=2e-3)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_fold_in_solves_a_history_with_the_item_statistics_of_the_training(
    weighting: str,
) -> None:
    config, train = config_of(weighting, factors=6, iterations=4), random_cells()
    model, history = Als(config, seed=1).fit(train), random_cells(n_users=25, seed=8)
    users = np.array([3, 11, 0], np.int32)

    recs = model.fold_in(history, users, k=5)

    c, p = confidence(config, train, history)[users], preference(history)[users]
    factors = solved(c, p, model.item_factors, config.regularization)
    expected = factors @ model.item_factors.T
    expected[p > 0] = -np.inf
    np.testing.assert_allclose(recs.scores, -np.sort(-expected)[:, :5], rtol=1e-3, atol=1e-4)
    shown = np.take_along_axis(expected, recs.items.astype(np.int64), axis=1)
    np.testing.assert_allclose(shown, recs.scores, rtol=1e-3, atol=1e-4)


def test_a_recommendation_is_scored_by_the_inner_product() -> None:
    config, train = config_of("share", factors=6, iterations=4), random_cells()
    model, users = Als(config, seed=1).fit(train), np.array([2, 20], np.int32)

    recs = model.recommend(users, k=6)

    expected = model.user_factors[users] @ model.item_factors.T
    expected[preference(train)[users] > 0] = -np.inf
    np.testing.assert_allclose(recs.scores, -np.sort(-expected)[:, :6], rtol=1e-5)


def losses(config: AlsConfig, train: Interactions, seed: int = 1) -> list[float]:
    losses: list[float] = []
    Als(config, seed).fit(train, on_iteration=lambda step: losses.append(step.loss))
    return losses


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_loss_is_the_weighted_squared_error_over_all_pairs(weighting: str) -> None:
    config, train = config_of(weighting, factors=5, iterations=2), random_cells()
    train = train.where(~np.isin(train.rows, [4, 9]))  # two users without a cell count too
    c, p = confidence(config, train, train), preference(train)
    expected: list[float] = []

    def slowly(step: Iteration) -> None:
        model = step.model
        lost = slow_loss(c, p, model.user_factors, model.item_factors, config.regularization)
        expected.append(lost)

    model = Als(config, 1).fit(train, on_iteration=slowly)

    assert losses(config, train) == pytest.approx(expected, rel=1e-4)
    assert model.user_factors[[4, 9]].any() == np.False_


class EnoughError(Exception):
    """Raised by an observer."""


@pytest.mark.parametrize("threads", [0, 2, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    config, train = config_of("share", factors=16, iterations=3), random_cells(300, 90)
    users = np.arange(300, dtype=np.int32)
    one, many = (Als(config, 1, threads=n).fit(train) for n in (1, threads))

    np.testing.assert_array_equal(one.user_factors, many.user_factors)
    np.testing.assert_array_equal(one.item_factors, many.item_factors)
    for ask in ("recommend", "fold_in"):
        history = () if ask == "recommend" else (train,)
        single, several = (getattr(model, ask)(*history, users, 10) for model in (one, many))
        np.testing.assert_array_equal(single.items, several.items)
        np.testing.assert_array_equal(single.scores, several.scores)


def test_another_seed_gives_other_factors() -> None:
    config, train = config_of("share"), random_cells()

    one, other = Als(config, 1).fit(train), Als(config, 2).fit(train)

    assert not np.allclose(one.user_factors, other.user_factors)


def test_factors_have_one_row_per_id_and_zeros_without_a_cell() -> None:
    train = random_cells()
    train = train.where((train.rows != 4) & (train.cols != 6))

    model = Als(config_of("share", factors=5), 1).fit(train)

    assert (model.user_factors.shape, model.item_factors.shape) == ((25, 5), (18, 5))
    assert (model.user_factors.dtype, model.item_factors.dtype) == (np.float32, np.float32)
    assert not model.user_factors[4].any()
    assert not model.item_factors[6].any()


def test_blas_has_its_threads_back_after_a_fit() -> None:
    before = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    Als(config_of("share"), 1).fit(random_cells())

    after = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert after == before


def test_blas_has_one_thread_while_training() -> None:
    counts: set[int] = set()

    def tell(step: Iteration) -> None:
        pools = (pool for pool in threadpool_info() if pool["user_api"] == "blas")
        counts.update(pool["num_threads"] for pool in pools)

    Als(config_of("share"), 1).fit(random_cells(), on_iteration=tell)

    assert counts == {1}


def test_a_training_costs_more_with_more_factors_iterations_rows_or_cells() -> None:
    base = AlsConfig(factors=8, iterations=5).cost(100, 50, 1_000)

    assert base > 0
    assert AlsConfig(factors=9, iterations=5).cost(100, 50, 1_000) > base
    assert AlsConfig(factors=8, iterations=6).cost(100, 50, 1_000) > base
    assert AlsConfig(factors=8, iterations=5).cost(101, 50, 1_000) > base
    assert AlsConfig(factors=8, iterations=5).cost(100, 51, 1_000) > base
    assert AlsConfig(factors=8, iterations=5).cost(100, 50, 1_001) > base
    assert AlsConfig(factors=8, iterations=10).cost(100, 50, 1_000) == 2 * base


def test_parameters_that_take_no_time_cost_nothing() -> None:
    one, other = AlsConfig(alpha=1.0, weighting="log"), AlsConfig(alpha=9.0, weighting="linear")

    assert one.cost(10, 20, 30) == other.cost(10, 20, 30)


def bits(model: Als) -> tuple[bytes, bytes]:
    return model.user_factors.tobytes(), model.item_factors.tobytes()


Folded = list[tuple[int, list[list[int]], bytes]]


def folding(history: Interactions, folded: Folded, stop: int | None = None) -> OnIteration:
    """Folds users in after each iteration, as a curve over new users does."""
    users = np.arange(9, dtype=np.int32)

    def tell(step: Iteration) -> None:
        recs = step.model.fold_in(history, users, 4)
        folded.append((step.number, recs.items.tolist(), recs.scores.tobytes()))
        if step.number == stop:
            raise StopTraining

    return tell


def test_users_are_folded_in_with_the_factors_of_the_iteration() -> None:
    """implicit keeps the products of all item factors from the first fold-in on."""
    config, train, history = (
        config_of("share", factors=4, iterations=5),
        random_cells(),
        random_cells(25, 18, 8),
    )
    folded: Folded = []

    model = Als(config, 1).fit(train, on_iteration=folding(history, folded))

    assert bits(model) == bits(Als(config, 1).fit(train))
    for n, items, scores in folded:
        alone = Als(config.model_copy(update={"iterations": n}), 1).fit(train)
        recs = alone.fold_in(history, np.arange(9, dtype=np.int32), 4)
        assert items == recs.items.tolist()
        assert scores == recs.scores.tobytes()
    assert len({scores for _, _, scores in folded}) == 5


@pytest.mark.parametrize("at", [1, 3])
def test_a_resumed_training_with_users_folded_in_gives_the_same_bits(at: int) -> None:
    config, train, history = (
        config_of("log", factors=4, iterations=5),
        random_cells(),
        random_cells(25, 18, 8),
    )
    whole: Folded = []
    expected = Als(config, 1).fit(train, on_iteration=folding(history, whole))
    first: Folded = []
    stopped = Als(config, 1).fit(train, None, folding(history, first, stop=at))
    rest: Folded = []

    gone_on = Als(config, 1).fit(train, stopped.state(), folding(history, rest))

    assert first + rest == whole
    assert bits(gone_on) == bits(expected)


def test_a_rewound_model_folds_in_with_its_earlier_factors() -> None:
    config, train, history = (
        config_of("share", factors=4, iterations=6),
        random_cells(),
        random_cells(25, 18, 8),
    )
    states: list[State] = []
    users = np.arange(9, dtype=np.int32)

    def tell(step: Iteration) -> None:
        step.model.fold_in(history, users, 4)
        if step.number == 2:
            states.append(step.model.state())

    model = Als(config, 1).fit(train, on_iteration=tell)
    model.fold_in(history, users, 4)
    shorter = Als(config.model_copy(update={"iterations": 2}), 1).fit(train)

    model.rewind(states[0])

    assert bits(model) == bits(shorter)
    for ask in ("recommend", "fold_in"):
        given = () if ask == "recommend" else (history,)
        one, other = (getattr(each, ask)(*given, users, 4) for each in (model, shorter))
        assert one.items.tolist() == other.items.tolist()
        assert one.scores.tobytes() == other.scores.tobytes()


def test_a_stopped_training_with_factors_that_are_not_finite_is_an_error() -> None:
    train = random_cells()

    def tell(step: Iteration) -> None:
        step.model.user_factors[0, 0] = np.nan
        raise StopTraining

    with pytest.raises(Exception, match="NaN"):
        Als(config_of("share", iterations=9), 1).fit(train, on_iteration=tell)


def test_a_trained_user_is_folded_in_close_to_the_trained_factor() -> None:
    rng = np.random.default_rng(3)
    dense = two_camps(40, 30, of_other=2) * rng.integers(0, 3, (40, 30))
    users = np.arange(40, dtype=np.int32)
    model = Als(AlsConfig(factors=4, iterations=60, regularization=1.0), 1).fit(cells_of(dense))

    recs = model.recommend(users, 10)
    folded = model.fold_in(cells_of(dense), users, 10)

    both = [
        len(({*one} & {*other}) - {NO_ITEM})
        for one, other in zip(recs.items.tolist(), folded.items.tolist(), strict=True)
    ]
    assert np.mean(both) > 9.5
    np.testing.assert_allclose(recs.scores, folded.scores, atol=5e-3)
