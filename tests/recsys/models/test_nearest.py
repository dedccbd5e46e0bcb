"""The nearest rows beside a sort of all distances.

Features are whole numbers, so sums have the same bits in any order and ties are exact.
"""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_matrix

from recsys.models.nearest import KnownRows, rounded

Ints = npt.NDArray[np.int64]
N_ROWS = 900


def made_up(seed: int) -> Ints:
    """Rows of whole numbers, each three times; feature 0 is negative for half of them.

    Some rows are empty, features 1 to 3 are those of most rows, and the others of few.
    """
    rng = np.random.default_rng(seed)
    chances = np.append([0.5, 0.9, 0.6, 0.5], np.full(36, 0.05))
    dense = rng.integers(1, 4, (300, 40)) * (rng.random((300, 40)) < chances)
    dense[:, 4:] *= 3
    dense[::2, 0] *= -1
    dense[rng.random(300) < 0.03] = 0
    return np.tile(dense, (3, 1))


def sorted_distances(row: Ints, dense: Ints, k: int, hidden: npt.NDArray[np.bool_], cosine: bool):
    """The k nearest by (distance, number), by rising number, and their distances."""
    products, own, others = dense @ row, row @ row, (dense**2).sum(1)
    if cosine:
        lengths = np.sqrt((own * others).astype(float))
        distances = 1 - np.where(lengths > 0, products / np.maximum(lengths, 1e-9), 0)
    else:
        distances = np.sqrt((own + others - 2 * products).astype(float))
    distances = distances.astype(np.float32)
    order = np.lexsort((np.arange(len(dense)), distances))
    near = np.sort(order[~hidden[order]][:k])
    return near, distances[near]


def known(monkeypatch: pytest.MonkeyPatch, dense: Ints, cosine: bool, tile: int) -> KnownRows:
    monkeypatch.setattr("recsys.models.nearest.TILE", tile)
    return KnownRows(csr_matrix(dense.astype(float)), np.arange(N_ROWS) % 50 == 7, cosine)


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize(("k", "tile"), [(1, 64), (3, 7), (40, 1 << 14), (200, 64), (2000, 500)])
def test_the_nearest_are_the_first_by_distance_and_number(
    cosine: bool, k: int, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = made_up(k)
    rows = known(monkeypatch, dense, cosine, tile)
    asked = np.arange(0, N_ROWS, 11, dtype=np.int32)

    near, distances, sizes = rows.find(rows.rows[asked], asked, k)

    for i, row in enumerate(asked):
        hidden = (np.arange(N_ROWS) % 50 == 7) | (np.arange(N_ROWS) == row)
        expected, far = sorted_distances(dense[row], dense, k, hidden, cosine)
        assert near[i, : sizes[i]].tolist() == expected.tolist()
        assert distances[i, : sizes[i]].tolist() == far.tolist()


@pytest.mark.parametrize("cosine", [True, False])
def test_rows_that_are_not_known_have_neighbours_too(
    cosine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense, strangers = made_up(1), made_up(2)[:30]
    rows = known(monkeypatch, dense, cosine, 64)
    features = rounded(csr_matrix(strangers.astype(float)))

    near, distances, sizes = rows.find(features, np.full(30, -1, np.int32), 5)

    hidden = np.arange(N_ROWS) % 50 == 7
    for row, found, far, size in zip(strangers, near, distances, sizes, strict=True):
        expected, distance = sorted_distances(row, dense, 5, hidden, cosine)
        assert found[:size].tolist() == expected.tolist()
        assert far[:size].tolist() == distance.tolist()


def test_rows_that_have_nothing_in_common_are_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """All cosines of the first row are 0, so the lowest numbers are its neighbours."""
    dense = np.zeros((N_ROWS, 5), np.int64)
    dense[0, 0] = 1
    dense[1:, 1:] = np.random.default_rng(4).integers(1, 3, (N_ROWS - 1, 4))
    rows = known(monkeypatch, dense, True, 64)

    near, distances, sizes = rows.find(rows.rows[:1], np.zeros(1, np.int32), 10)

    assert near[0].tolist() == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
    assert distances[0].tolist() == [1.0] * 10
    assert sizes.tolist() == [10]


def test_rows_of_zeros_are_nearer_than_opposite_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cosines of -1, more than a buffer holds, come before those of 0 at the end."""
    dense = np.zeros((N_ROWS, 2), np.int64)
    dense[0, 0], dense[1:700, 0] = 1, -1
    rows = known(monkeypatch, dense, True, 64)

    near, distances, _ = rows.find(rows.rows[:1], np.zeros(1, np.int32), 5)

    assert near[0].tolist() == [700, 701, 702, 703, 704]
    assert distances[0].tolist() == [1.0] * 5


def test_the_given_features_stay_as_they_are() -> None:
    features = csr_matrix(made_up(3)[:20].astype(np.float32))
    before = features.copy()

    KnownRows(features, np.zeros(20, np.bool_), True)

    assert (features != before).nnz == 0
    assert features.indices.tolist() == before.indices.tolist()
