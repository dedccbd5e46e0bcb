from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.evaluation.beyond import (
    coverage,
    diversity,
    exposure,
    gini,
    novelty,
    popularity,
    popularity_lift,
)
from recsys.models.recommender import NO_ITEM, Recommendations
from tests.conftest import cells_of

N_ITEMS = 6
exposures = st.lists(st.integers(0, 1000), min_size=1, max_size=40).map(np.array)


def lists(*rows: list[int]) -> Recommendations:
    items = np.array(rows, dtype=np.int32).reshape(len(rows), -1)
    return Recommendations(
        np.arange(len(rows), dtype=np.int32), items, np.zeros(items.shape, np.float32)
    )


@st.composite
def ragged(draw: st.DrawFn) -> Recommendations:
    """Lists of 0 to 4 of six items, filled up with NO_ITEM."""
    row = st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=4)
    rows = draw(st.lists(row, min_size=1, max_size=6))
    return lists(*[[*row, *[NO_ITEM] * (4 - len(row))] for row in rows])


@given(ragged())
def test_exposure_counts_the_lists_that_show_an_item_within_k(recs: Recommendations) -> None:
    counted = exposure(recs, N_ITEMS, [3, 1, 4])

    assert list(counted) == [1, 3, 4]
    for k, counts in counted.items():
        shown = [item for row in recs.items.tolist() for item in row[:k] if item != NO_ITEM]
        assert counts.dtype == np.int64
        assert counts.tolist() == [shown.count(item) for item in range(N_ITEMS)]


def test_coverage_is_the_share_of_the_catalogue_that_is_shown() -> None:
    counts = exposure(lists([0, 1], [0, NO_ITEM]), N_ITEMS, [1, 2])

    assert coverage(counts[1]) == 1 / 6
    assert coverage(counts[2]) == 2 / 6


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_gini_is_0_for_equal_exposure_and_n_minus_one_over_n_for_one_item(n: int) -> None:
    one = np.where(np.arange(n) == n // 2, 31, 0)

    assert gini(np.full(n, 13)) == 0
    assert gini(one) == (n - 1) / n


def test_gini_and_coverage_are_zero_when_nothing_was_shown() -> None:
    nothing = exposure(lists([NO_ITEM]), N_ITEMS, [1])[1]

    assert (gini(nothing), coverage(nothing)) == (0, 0)


@given(exposures)
def test_gini_is_twice_the_area_between_lorenz_curve_and_diagonal(
    counts: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> None:
    counts[0] += 1
    lorenz = np.concatenate([[0], np.cumsum(np.sort(counts)) / counts.sum()])

    area = np.trapezoid(lorenz, dx=1 / len(counts))

    assert gini(counts) == pytest.approx(1 - 2 * area, abs=1e-12)


@given(ragged(), st.lists(st.integers(0, 20), min_size=N_ITEMS, max_size=N_ITEMS))
def test_novelty_and_popularity_equal_a_slow_loop(
    recs: Recommendations, users_per_item: list[int]
) -> None:
    ks = [1, 2, 4]

    novel = novelty(recs, np.array(users_per_item), 20, ks)
    popular = popularity(recs, np.array(users_per_item), ks)

    for u, row in enumerate(recs.items.tolist()):
        for j, k in enumerate(ks):
            shown = [users_per_item[item] for item in row[:k] if item != NO_ITEM]
            bits = [-np.log2(max(count, 1) / 20) for count in shown]
            assert popular[u, j] == pytest.approx(np.mean(shown) if shown else 0)
            assert novel[u, j] == pytest.approx(np.mean(bits) if bits else 0)


vectors = st.lists(
    st.lists(st.floats(-3, 3, width=16), min_size=3, max_size=3), min_size=N_ITEMS, max_size=N_ITEMS
).map(np.array)


@given(ragged(), vectors, st.integers(1, 4))
def test_diversity_equals_a_slow_loop_over_pairs_with_blocks_of_any_size(
    recs: Recommendations, item_vectors: npt.NDArray[np.float64], k: int
) -> None:
    values = diversity(recs, item_vectors, k)

    assert values.dtype == np.float64
    assert ((values >= 0) & (values <= 2)).all()
    np.testing.assert_array_equal(diversity(recs, item_vectors, k, block_bytes=1), values)
    for u, row in enumerate(recs.items.tolist()):
        shown = [item_vectors[item] for item in row[:k] if item != NO_ITEM]
        distances = []
        for one, other in combinations(shown, 2):
            lengths = np.linalg.norm(one) * np.linalg.norm(other)
            distances.append(1 - (one @ other / lengths if lengths else 0))
        assert values[u] == pytest.approx(np.mean(distances) if distances else 0, abs=1e-9)


def test_diversity_is_0_of_the_same_1_of_the_unrelated_and_2_of_opposites() -> None:
    item_vectors = np.array([[1, 0], [2, 0], [0, 5], [-3, 0], [0, 0], [0, 0]], np.float32)
    recs = lists([0, 1], [0, 2], [0, 3], [4, 5], [0, NO_ITEM], [NO_ITEM, NO_ITEM])

    assert diversity(recs, item_vectors, 2).tolist() == [0, 1, 2, 1, 0, 0]
    assert diversity(recs, item_vectors, 1).tolist() == 6 * [0]


@given(ragged(), st.lists(st.integers(0, 20), min_size=N_ITEMS, max_size=N_ITEMS), st.data())
def test_popularity_lift_equals_a_slow_loop(
    recs: Recommendations, users_per_item: list[int], data: st.DataObject
) -> None:
    row = st.lists(st.integers(0, 1), min_size=N_ITEMS, max_size=N_ITEMS)
    history = data.draw(st.lists(row, min_size=len(recs.users), max_size=len(recs.users)))
    k = data.draw(st.integers(1, 4))

    values = popularity_lift(recs, cells_of(history), np.array(users_per_item), k)

    for u, items in enumerate(recs.items.tolist()):
        shown = [users_per_item[item] for item in items[:k] if item != NO_ITEM]
        known = [n for n, there in zip(users_per_item, history[u], strict=True) if there]
        expected = np.mean(shown) / np.mean(known) - 1 if shown and sum(known) else 0
        assert values[u] == pytest.approx(expected, abs=1e-12)
