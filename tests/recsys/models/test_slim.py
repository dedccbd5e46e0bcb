"""Coordinate descent against the conditions of the optimum and against scikit-learn."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet

from recsys.models import slim
from recsys.models.item_knn import ItemKnn, ItemKnnConfig
from recsys.models.slim import Slim, SlimConfig
from recsys.models.weighting import Weighting, Weights
from tests.conftest import cells_of, plays_of, two_camps

Doubles = npt.NDArray[np.float64]

N_ITEMS = 7
plays = plays_of(6, N_ITEMS)
weightings = pytest.mark.parametrize("weighting", ["share", "log", "binary"])
ENOUGH = 2000


def scaled(config: SlimConfig, dense: npt.ArrayLike) -> Doubles:
    """The weights with a mean square of 1."""
    weights = Weights(config, cells_of(dense))(cells_of(dense)).toarray().astype(float)
    return np.asarray(weights / np.sqrt(np.mean(weights[weights > 0] ** 2)))


@weightings
@settings(max_examples=25, deadline=None)
@given(
    dense=plays,
    l1=st.sampled_from([0.0, 0.1, 2.0]),
    l2=st.sampled_from([0.5, 5.0]),
    neighbours=st.integers(1, N_ITEMS),
)
def test_the_conditions_of_the_optimum_hold(
    weighting: Weighting, dense: npt.NDArray[np.int32], l1: float, l2: float, neighbours: int
) -> None:
    """Karush, Kuhn, Tucker: no slope where a coefficient is above 0, none downwards at 0."""
    config = SlimConfig(weighting=weighting, l1=l1, l2=l2, neighbours=neighbours, iterations=ENOUGH)
    weights = scaled(config, dense)
    cosine = ItemKnnConfig(weighting=weighting, neighbours=neighbours, shrinkage=0)
    allowed = ItemKnn(cosine).fit(cells_of(dense)).links.toarray().T > 0

    links = Slim(config).fit(cells_of(dense)).links.toarray().astype(float)

    assert (links >= 0).all()
    assert (links[~allowed] == 0).all()
    gram = weights.T @ weights
    slope = gram @ links - gram + l2 * links + l1
    close = 1e-3 * max(1.0, gram.max())
    assert np.abs(slope[links > 0]).max(initial=0) <= close
    assert slope[allowed].min(initial=0) >= -close


@weightings
@pytest.mark.parametrize(("l1", "l2"), [(0.05, 0.5), (1.0, 3.0)])
def test_scikit_learn_finds_the_same(weighting: Weighting, l1: float, l2: float) -> None:
    rng = np.random.default_rng(7)
    dense = rng.poisson(0.7, (30, 12)) * rng.integers(1, 50, (30, 12))
    config = SlimConfig(weighting=weighting, l1=l1, l2=l2, iterations=ENOUGH)
    weights = scaled(config, dense)
    expected = np.zeros((12, 12))
    for item in range(12):
        others = [other for other in range(12) if other != item]
        net = ElasticNet(
            alpha=(l1 + l2) / len(weights),
            l1_ratio=l1 / (l1 + l2),
            positive=True,
            fit_intercept=False,
            max_iter=10_000,
            tol=1e-8,
        )
        expected[others, item] = net.fit(weights[:, others], weights[:, item]).coef_

    links = Slim(config).fit(cells_of(dense)).links.toarray()

    np.testing.assert_allclose(links, expected, atol=1e-4)


def test_parts_of_items_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = two_camps(14, 11, of_other=3)
    config = SlimConfig(l1=0.1, l2=1.0, neighbours=4)
    whole = Slim(config).fit(cells_of(dense)).links.toarray()

    monkeypatch.setattr(slim, "PART", 1)
    one_by_one = Slim(config).fit(cells_of(dense)).links.toarray()

    np.testing.assert_array_equal(one_by_one, whole)
    assert (whole > 0).any()


def test_a_high_l1_leaves_nothing() -> None:
    model = Slim(SlimConfig(l1=1e6)).fit(cells_of(two_camps(9, 7)))

    assert model.links.nnz == 0
    assert model.recommend(np.array([0], np.int32), 9).items[0, :3].tolist() == [0, 1, 3]
