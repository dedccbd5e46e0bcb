"""Walks by powers of the dense matrix of the whole graph."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys.models.rp3beta import Rp3beta, Rp3betaConfig
from recsys.models.weighting import Weighting, Weights
from tests.conftest import cells_of, two_camps

plays = arrays(np.int32, (5, 6), elements=st.integers(-4, 9)).map(lambda x: np.maximum(x, 0))


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
    dense[0, 0] = 1
    config = Rp3betaConfig(weighting=weighting, alpha=alpha, beta=beta, neighbours=6)
    weights = Weights(config, cells_of(dense))(cells_of(dense)).toarray().astype(float)

    links = Rp3beta(config).fit(cells_of(dense)).links.toarray()

    expected = two_steps(weights, alpha) / np.maximum((dense > 0).sum(axis=0), 1) ** beta
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(links, expected, rtol=1e-5, atol=1e-9)


@settings(max_examples=25)
@given(dense=plays)
def test_without_exponents_a_list_is_the_walk_of_three_steps(dense: npt.NDArray[np.int32]) -> None:
    """alpha = 1, beta = 0, and no way back to the history: P3, for every user."""
    dense[0, 0] = 1
    config = Rp3betaConfig(weighting="linear", alpha=1, beta=0, neighbours=6)
    model = Rp3beta(config).fit(cells_of(dense))
    walked = dense @ two_steps(dense.astype(float), 1.0)

    recs = model.recommend(np.arange(5, dtype=np.int32), 6)

    for user in range(5):
        shown = recs.items[user][recs.items[user] >= 0]
        assert set(shown) == (set(np.flatnonzero(dense[user] == 0)) if dense[user].any() else set())
        np.testing.assert_allclose(recs.scores[user, : len(shown)], walked[user, shown], rtol=1e-5)


def test_the_probabilities_of_an_item_sum_to_one() -> None:
    """Without exponents, the links of an item and the way back to it add up to 1."""
    dense = two_camps(9, 7, of_other=2)
    config = Rp3betaConfig(weighting="linear", alpha=1, beta=0, neighbours=7)

    links = Rp3beta(config).fit(cells_of(dense)).links.toarray()

    back = np.diag(two_steps(dense, 1.0))
    np.testing.assert_allclose(links.sum(axis=1) + back, 1, rtol=1e-5)


def test_beta_lowers_popular_items() -> None:
    """Item 1 has five users, item 2 two; one of each plays item 0."""
    dense = [[1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 1], [1, 1, 0]]

    def first(beta: float) -> int:
        config = Rp3betaConfig(weighting="binary", beta=beta)
        return int(Rp3beta(config).fit(cells_of(dense)).similar(0, 1)[0][0])

    assert first(0.0) == 1
    assert first(1.0) == 2
