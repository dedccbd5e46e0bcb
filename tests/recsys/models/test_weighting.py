import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.models.als import AlsConfig
from recsys.models.weighting import Weights
from tests.conftest import cells_of

Dense = npt.NDArray[np.float64]
Slow = Callable[[AlsConfig, Dense, Dense, int, int], float]

matrices = arrays(np.float64, (4, 5), elements=st.integers(0, 30).map(float))


def idf(train: Dense, item: int) -> float:
    users = sum(1 for user in range(len(train)) if train[user, item])
    return math.log(n_active(train) / max(users, 1))


def n_active(train: Dense) -> int:
    return sum(1 for user in train if any(user))


def linear(config: AlsConfig, train: Dense, plays: Dense, user: int, item: int) -> float:
    return plays[user, item]


def binary(config: AlsConfig, train: Dense, plays: Dense, user: int, item: int) -> float:
    return 1.0


def log(config: AlsConfig, train: Dense, plays: Dense, user: int, item: int) -> float:
    return math.log(1 + plays[user, item] / config.epsilon)


def share(config: AlsConfig, train: Dense, plays: Dense, user: int, item: int) -> float:
    played = [r for r in plays[user] if r]
    return (plays[user, item] / (sum(played) / len(played))) ** config.power


def tfidf(config: AlsConfig, train: Dense, plays: Dense, user: int, item: int) -> float:
    return math.sqrt(plays[user, item]) * idf(train, item)


def bm25(config: AlsConfig, train: Dense, plays: Dense, user: int, item: int) -> float:
    r, k1, b = plays[user, item], config.k1, config.b
    relative = plays[user].sum() / (train.sum() / n_active(train))
    return r * (k1 + 1) / (r + k1 * (1 - b + b * relative)) * idf(train, item)


SLOW: list[Slow] = [linear, binary, log, share, tfidf, bm25]


def expected(config: AlsConfig, slow: Slow, train: Dense, plays: Dense) -> Dense:
    """f cell by cell; 0 where there is no cell."""
    values = np.zeros(plays.shape)
    for user, item in zip(*np.nonzero(plays), strict=True):
        values[user, item] = slow(config, train, plays, user, item)
    return values


@pytest.mark.parametrize("slow", SLOW)
@given(
    matrices,
    matrices,
    st.floats(0.1, 10),
    st.floats(0.2, 1.5),
    st.floats(1, 100),
    st.floats(0, 1),
)
def test_a_weighting_equals_its_formula_cell_by_cell(
    slow: Slow, train: Dense, plays: Dense, epsilon: float, power: float, k1: float, b: float
) -> None:
    train[0, 0] = 1.0
    config = AlsConfig(weighting=slow.__name__, epsilon=epsilon, power=power, k1=k1, b=b)

    weights = Weights(config, cells_of(train))(cells_of(plays))

    assert weights.dtype == np.float32
    assert weights.nnz == np.count_nonzero(plays)
    np.testing.assert_allclose(weights.toarray(), expected(config, slow, train, plays), rtol=2e-5)


@pytest.mark.parametrize("slow", SLOW)
@given(matrices, matrices, st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_users_without_a_training_cell_change_no_weight(
    slow: Slow, train: Dense, plays: Dense, places: list[int]
) -> None:
    train[0, 0] = 1.0
    config = AlsConfig(weighting=slow.__name__)
    with_idle = cells_of(np.insert(train, places, 0, axis=0))
    history = cells_of(plays)

    weights = Weights(config, with_idle)(history)

    alone = Weights(config, cells_of(train))(history)
    np.testing.assert_array_equal(weights.toarray(), alone.toarray())


@pytest.mark.parametrize("weighting", ["linear", "binary", "log", "share", "tfidf", "bm25"])
def test_weights_leave_the_plays_alone(weighting: str) -> None:
    plays = cells_of([[1, 2, 0], [0, 4, 5]])
    before = plays.matrix().toarray()

    Weights(AlsConfig(weighting=weighting), plays)(plays).data[:] = -1

    np.testing.assert_array_equal(plays.matrix().toarray(), before)


def test_an_item_without_users_in_training_weighs_as_with_one_user() -> None:
    train = cells_of([[1, 1, 0], [1, 0, 0]])

    weights = Weights(AlsConfig(weighting="tfidf"), train)(cells_of([[0, 4, 4]]))

    assert weights.toarray()[0].tolist() == pytest.approx([0, 2 * math.log(2), 2 * math.log(2)])


def timed(dense: npt.ArrayLike, last: list[int]) -> Interactions:
    """The cells of a matrix with the second of the last play of each."""
    cells = cells_of(dense)
    times = np.array(last, dtype=np.int64)
    return replace(cells, first=times, last=times)


def test_plays_decay_with_their_half_life_counted_from_the_last_play_of_training() -> None:
    day = 86_400
    train = timed([[8, 8], [0, 8]], [0, 10 * day, 30 * day])
    weights = Weights(AlsConfig(weighting="linear", half_life=10), train)

    assert weights(train).toarray().tolist() == [[1, 2], [0, 8]]
    later = timed([[8, 8], [0, 0]], [20 * day, 99 * day])
    assert weights(later).toarray().tolist() == [[4, 8], [0, 0]]
    assert weights(later, np.array([1, 0], np.int32)).toarray().tolist() == [[0, 0], [4, 8]]


def test_an_old_play_stays_a_cell() -> None:
    train = timed([[1, 1]], [0, 10**9])

    weights = Weights(AlsConfig(weighting="linear", half_life=0.01), train)(train)

    assert weights.nnz == 2
    assert 0 < weights.data[0] < 1e-5


def test_a_half_life_without_times_is_an_error() -> None:
    with pytest.raises(InputError, match="half_life needs plays with times"):
        Weights(AlsConfig(half_life=10), cells_of([[1, 1]]))
