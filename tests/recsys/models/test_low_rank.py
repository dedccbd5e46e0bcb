"""Singular vectors against those of dense matrices."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.dtypes import Float64Array
from recsys.models import low_rank
from recsys.models.low_rank import right_vectors


def random_plays(n_users: int, n_items: int, seed: int = 3) -> Float64Array:
    """Dense plays with many zeros, of every user and every item at least one."""
    rng = np.random.default_rng(seed)
    plays = rng.integers(1, 9, (n_users, n_items)) * (rng.random((n_users, n_items)) < 0.5)
    at = np.arange(max(n_users, n_items))
    plays[at % n_users, at % n_items] += 1
    return plays.astype(np.float64)


def dense_vectors(matrix: Float64Array, k: int) -> Float64Array:
    """Slow reference: the right singular vectors by the products of the columns, n by k."""
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    kept = [n for n in np.argsort(-values)[:k] if values[n] > 1e-9 * values.max()]
    return np.asarray(vectors[:, kept])


@pytest.mark.parametrize("side", [1, 1024], ids=["one by one", "all at once"])
@pytest.mark.parametrize("shape", [(30, 17), (17, 30)], ids=["many users", "many items"])
def test_they_are_the_strongest(
    side: int, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(low_rank, "SIDE", side)
    matrix = random_plays(*shape)

    found = right_vectors(csr_matrix(matrix), 4)

    expected = dense_vectors(matrix, 4)
    assert (found.shape, found.dtype) == ((shape[1], 4), np.float32)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-6)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-5)
    assert (found[np.abs(found).argmax(axis=0), np.arange(4)] > 0).all()
    assert right_vectors(csr_matrix(matrix), 4).tobytes() == found.tobytes()


@pytest.mark.parametrize("shape", [(3, 8), (8, 3), (8, 8)])
def test_past_the_rank_there_are_zeros(shape: tuple[int, int]) -> None:
    matrix = np.outer(np.arange(1, shape[0] + 1), np.arange(1, shape[1] + 1))

    found = right_vectors(csr_matrix(matrix), 5)

    assert found.shape == (shape[1], min(5, *shape))
    direction = np.arange(1, shape[1] + 1)
    np.testing.assert_allclose(found[:, 0], direction / np.linalg.norm(direction), rtol=1e-6)
    assert not found[:, 1:].any()
