"""The best k, against a full sort."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random_array

from recsys.kernels.ranking import WIDTH
from recsys.models import top_k as module
from recsys.models.recommender import NO_ITEM
from recsys.models.top_k import CHUNK, best, top_k


def slow_best(scores: np.ndarray, k: int) -> list[list[int]]:
    lists = []
    for row in scores:
        items = sorted(range(len(row)), key=lambda item: (-row[item], item))
        lists.append([item for item in items if np.isfinite(row[item])][:k])
    return lists


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.sampled_from([1, 3, 20, CHUNK, 5 * CHUNK - 1, 5 * CHUNK, 9 * CHUNK + 17]),
    st.integers(1, 12),
    st.sampled_from([2, 50, 10**6]),
)
def test_best_is_a_full_sort_with_ties_to_the_lower_item(
    seed: int, m: int, n: int, k: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (m, n)).astype(np.float32)
    scores[rng.random((m, n)) < 0.3] = -np.inf

    items, values = best(scores, k)

    assert [[int(i) for i in row if i != NO_ITEM] for row in items] == slow_best(scores, k)
    for row, shown, theirs in zip(scores, items, values, strict=True):
        filled = shown != NO_ITEM
        np.testing.assert_array_equal(theirs[filled], row[shown[filled]])
        assert np.isnan(theirs[~filled]).all()
        assert not filled[np.argmin(filled) :].any() or filled.all()


@pytest.fixture
def factors(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, csr_matrix]:
    users = rng.normal(size=(700, 8)).astype(np.float32)
    items = rng.normal(size=(3000, 8)).astype(np.float32)
    seen = csr_matrix(random_array((700, 3000), density=0.01, rng=rng, dtype=np.float32))
    return users, items, seen


def test_top_k_has_none_of_the_seen_items(
    factors: tuple[np.ndarray, np.ndarray, csr_matrix],
) -> None:
    users, items, seen = factors

    items_of, _ = top_k(users, items, seen, 10)

    scores = users @ items.T
    scores[seen.nonzero()] = -np.inf
    assert [list(map(int, row)) for row in items_of] == slow_best(scores, 10)


def test_the_number_of_threads_changes_no_bit(
    factors: tuple[np.ndarray, np.ndarray, csr_matrix],
) -> None:
    one, three = (top_k(*factors, 10, threads) for threads in (1, 3))

    np.testing.assert_array_equal(one[0], three[0])
    np.testing.assert_array_equal(one[1], three[1])


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small problems take the way of large ones."""
    monkeypatch.setattr(module, "FEW", 1)
    monkeypatch.setattr(module, "SCORES", 0)


@pytest.mark.usefixtures("bounded")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.sampled_from([1, 5, WIDTH, WIDTH + 1, 3 * WIDTH - 1]),
    st.sampled_from([1, 3, 4, 9]),
    st.sampled_from([1, 4, 40, 900]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.0, 0.1, 1.0]),
)
def test_bounds_change_no_list(
    seed: int, m: int, n: int, f: int, k: int, share_seen: float, share_excluded: float
) -> None:
    rng = np.random.default_rng(seed)
    # Whole numbers, so that scores are equal often; some items, and users, are zeros.
    users = rng.integers(-1, 2, (m, f)).astype(np.float32)
    items = (rng.integers(-2, 3, (n, f)) * rng.integers(0, 5, (n, 1))).astype(np.float32)
    known = rng.random((m, n)) < share_seen
    excluded = rng.random(n) < share_excluded

    lists, values = top_k(users, items, csr_matrix(known.astype(np.float32)), k, 1, excluded)

    scores = users @ items.T
    scores[known | excluded] = -np.inf
    assert [[int(i) for i in row if i != NO_ITEM] for row in lists] == slow_best(scores, k)
    for row, shown, theirs in zip(scores, lists, values, strict=True):
        filled = shown != NO_ITEM
        np.testing.assert_array_equal(theirs[filled], row[shown[filled]])
        assert np.isnan(theirs[~filled]).all()


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """Values with so few binary places that float32 holds their products and sums exactly.

    On some processors BLAS sums the rows at the edge of a block in another order, so other scores
    may differ in their last bits.
    """
    return np.asarray(np.round(values * 2.0**bits) / 2.0**bits, np.float32)


@pytest.fixture
def long_and_short(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, csr_matrix]:
    """Factors as trainings leave them: few items are long."""
    users = rounded(rng.normal(size=(900, 10)), 3)
    items = rounded(rng.normal(size=(4000, 10)) / np.arange(1, 4001)[:, None] ** 0.6, 12)
    seen = csr_matrix(random_array((900, 4000), density=0.01, rng=rng, dtype=np.float32))
    return users, items, seen


def test_most_items_are_not_multiplied_and_the_lists_are_those_of_all_scores(
    long_and_short: tuple[np.ndarray, np.ndarray, csr_matrix],
) -> None:
    users, items, seen = long_and_short
    bounds = module._Bounds.of(users, items, seen, 10, 1, None)

    lists, values = top_k(users, items, seen, 10)

    _, _, tiles = bounds.of_some(slice(None))
    assert tiles < 0.3 * len(users) * len(bounds.reach)
    expected, scores = module._by_product(users, items, seen, 10, 1, None)
    np.testing.assert_array_equal(lists, expected)
    np.testing.assert_array_equal(values, scores)


def test_items_of_one_length_are_all_multiplied_and_give_the_lists_of_the_product(
    factors: tuple[np.ndarray, np.ndarray, csr_matrix], rng: np.random.Generator
) -> None:
    users, items, seen = rounded(factors[0], 12), factors[1], factors[2]
    lengths = rng.permuted(np.tile(np.arange(1.0, 9.0, dtype=np.float32), (len(items), 1)), axis=1)
    items = np.copysign(lengths, items)

    lists, scores = top_k(users, items, seen, 10)

    expected = module._by_product(users, items, seen, 10, 1, None)
    np.testing.assert_array_equal(lists, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


def test_threads_and_blocks_change_no_bit_of_bounded_lists(
    long_and_short: tuple[np.ndarray, np.ndarray, csr_matrix], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, three = (top_k(*long_and_short, 10, threads) for threads in (1, 3))
    monkeypatch.setattr(module, "BLOCK", 7)
    small = top_k(*long_and_short, 10, 2)

    for other in (three, small):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_columns_of_seen_items_may_come_in_any_order(
    long_and_short: tuple[np.ndarray, np.ndarray, csr_matrix],
) -> None:
    users, items, seen = long_and_short
    mixed = csr_matrix(seen[:, ::-1])[:, ::-1]

    np.testing.assert_array_equal(top_k(users, items, mixed, 5)[0], top_k(users, items, seen, 5)[0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_factors_that_are_no_numbers_are_refused(
    long_and_short: tuple[np.ndarray, np.ndarray, csr_matrix], side: int, value: float
) -> None:
    long_and_short[side][3, 2] = value

    with pytest.raises(ValueError, match=f"factors of {('users', 'items')[side]} hold NaN"):
        top_k(*long_and_short, 5)


@settings(max_examples=20)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.sampled_from([1, 2, 7, 60]),
    st.sampled_from([0, 3, 12]),
    st.sampled_from([1.0, 1e-12, 1e-19, 1e12]),
)
def test_no_score_is_above_the_length_of_the_user_times_the_reach_of_the_tile(
    seed: int, m: int, f: int, decades: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    # Directions of very unequal length, and users and items that are or are nearly parallel.
    spread = 10.0 ** -rng.uniform(0, decades, f)
    users = (rng.normal(size=(m, f)) * spread).astype(np.float32)
    items = (rng.normal(size=(3 * WIDTH, f)) / spread).astype(np.float32) * np.float32(scale)
    items[: m // 2] = users[: m // 2]
    users[: m // 4] = 0
    nothing = csr_matrix((m, len(items)), dtype=np.float32)

    bounds = module._Bounds.of(users, items, nothing, 5, 1, None)

    scores = (users @ items.T)[:, bounds.order].astype(np.float64)
    assert (scores <= bounds.lengths[:, None] * np.repeat(bounds.reach, WIDTH)).all()


@pytest.mark.parametrize("writeable", [True, False])
def test_scores_are_the_bits_of_the_product(
    long_and_short: tuple[np.ndarray, np.ndarray, csr_matrix], writeable: bool
) -> None:
    for factors in long_and_short[:2]:
        factors.flags.writeable = writeable

    _, scores = top_k(*long_and_short, 10)

    np.testing.assert_array_equal(scores, module._by_product(*long_and_short, 10, 1, None)[1])


def test_factors_whose_scores_float32_cannot_hold_are_left_to_the_product(
    long_and_short: tuple[np.ndarray, np.ndarray, csr_matrix],
) -> None:
    users, items, seen = long_and_short

    assert module._Bounds.of(users * np.float32(1e37), items, seen, 10, 1, None).overflow()


def test_a_user_of_zeros_gets_the_lowest_items_however_short_they_are(
    long_and_short: tuple[np.ndarray, np.ndarray, csr_matrix],
) -> None:
    users, items, _ = long_and_short
    users[5] = 0
    nothing = csr_matrix((len(users), len(items)), dtype=np.float32)

    lists, _ = top_k(users, items[::-1], nothing, 6)

    assert lists[5].tolist() == [0, 1, 2, 3, 4, 5]
