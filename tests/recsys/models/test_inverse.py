"""The inverse in blocks against numpy's, which works in float64 and as a whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.models import inverse
from recsys.models.inverse import invert


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 23), side=st.integers(1, 9), seed=st.integers(0, 99))
def test_blocks_of_any_size_give_the_inverse(n: int, side: int, seed: int) -> None:
    half = np.random.default_rng(seed).normal(size=(n + 2, n))
    matrix = half.T @ half + np.eye(n)
    found = np.tril(matrix).astype(np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inverse, "SIDE", side)
        assert invert(found)

    np.testing.assert_allclose(np.tril(found), np.tril(np.linalg.inv(matrix)), atol=2e-5)


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inverse, "SIDE", 16)
    half = np.random.default_rng(3).normal(size=(150, 100)).astype(np.float32)
    one, many = (half.T @ half for _ in range(2))

    assert invert(one, threads=1)
    assert invert(many, threads=5)

    assert np.tril(one).tobytes() == np.tril(many).tobytes()


@pytest.mark.parametrize("side", [1, 2, 9])
def test_a_matrix_that_is_not_positive_definite_has_none(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inverse, "SIDE", side)

    assert not invert(np.diag([1, 1, -1, 1]).astype(np.float32))
    assert not invert(np.ones((3, 3), np.float32))
