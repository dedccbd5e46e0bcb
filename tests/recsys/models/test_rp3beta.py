"""Walks by powers of the dense matrix of the whole graph."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.models.rp3beta import Rp3beta, Rp3betaConfig
from recsys.models.weighting import Weighting, Weights
from tests.conftest import cells_of, plays_of
from tests.recsys.models.test_low_rank import random_plays

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
    weights = weights_of(config, dense)

    links = Rp3beta(config).fit(cells_of(dense)).links.toarray()

    popularity = weights.sum(axis=0)
    expected = two_steps(weights, alpha) / np.where(popularity > 0, popularity, 1) ** beta
    np.testing.assert_allclose(links, expected, rtol=1e-5, atol=1e-9)


def weights_of(config: Rp3betaConfig, dense: npt.ArrayLike) -> npt.NDArray[np.float64]:
    weights = Weights(config, cells_of(dense))(cells_of(dense))
    return np.asarray(weights.toarray(), dtype=np.float64)


def irspack(
    x: npt.NDArray[np.float64], alpha: float, beta: float, top_k: int, normalize: bool
) -> npt.NDArray[np.float64]:
    """Scores as irspack documents them: W = P_iu P_ui, held back, cut by columns; X W."""
    raised = x**alpha
    p_iu = raised.T / raised.T.sum(axis=1, keepdims=True)
    p_ui = raised / raised.sum(axis=1, keepdims=True) / x.sum(axis=0) ** beta
    w = p_iu @ p_ui
    for column in w.T:
        column[np.argsort(-column)[top_k:]] = 0
    return np.asarray(x @ (w / w.sum(axis=1, keepdims=True) if normalize else w))


@pytest.mark.parametrize("weighting", ["share", "log", "binary", "linear"])
@pytest.mark.parametrize(("top_k", "normalize"), [(7, False), (7, True), (3, False), (3, True)])
def test_scores_are_those_of_irspack_where_alpha_is_of_the_weights(
    weighting: Weighting, top_k: int, normalize: bool
) -> None:
    dense = random_plays(9, 7) + np.linspace(0, 1e-3, 63).reshape(9, 7)  # no two cells alike
    dense[random_plays(9, 7) == 0] = 0
    config = Rp3betaConfig(
        weighting=weighting,
        alpha=0.7,
        alpha_of="weights",
        beta=0.4,
        neighbours=top_k,
        scaling="l1" if normalize else "none",
    )

    model = Rp3beta(config).fit(cells_of(dense))

    found = [model.score(cells_of(dense), user) for user in range(9)]
    expected = irspack(weights_of(config, dense), 0.7, 0.4, top_k, normalize)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
