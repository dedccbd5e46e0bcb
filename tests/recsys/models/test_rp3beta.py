"""Walks by powers of the dense matrix of the whole graph."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.models.rp3beta import Rp3beta, Rp3betaConfig
from recsys.models.weighting import Weighting, Weights
from tests.conftest import cells_of, plays_of

plays = plays_of(5, 6)


def two_steps(weights: npt.NDArray[np.float64], alpha: float) -> npt.NDArray[np.float64]:
    """Slow reference: the square of the transitions between all users and all items."""
    m, n = weights.shape
    graph = np.zeros((m + n, m + n))
    graph[:m, m:], graph[m:, :m] = weights, weights.T
    for row in graph:
        if row.sum():
            row[:] = (row / row.sum()) ** alpha * (row > 0)
    return np.asarray(np.linalg.matrix_power(graph, 2)[m:, m:])


@pytest.mark.parametrize("weighting", ["share", "log", "binary"])
@settings(max_examples=25)
@given(dense=plays, alpha=st.sampled_from([0.4, 1.0, 1.7]), beta=st.sampled_from([0.0, 0.6, 1.0]))
def test_links_are_walks_divided_by_popularity(
    weighting: Weighting, dense: npt.NDArray[np.int32], alpha: float, beta: float
) -> None:
    config = Rp3betaConfig(weighting=weighting, alpha=alpha, beta=beta, neighbours=6)
    weights = Weights(config, cells_of(dense))(cells_of(dense)).toarray().astype(float)

    links = Rp3beta(config).fit(cells_of(dense)).links.toarray()

    expected = two_steps(weights, alpha) / np.maximum((dense > 0).sum(axis=0), 1) ** beta
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(links, expected, rtol=1e-5, atol=1e-9)
