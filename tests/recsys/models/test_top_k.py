"""The best k, against a full sort."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random_array

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
