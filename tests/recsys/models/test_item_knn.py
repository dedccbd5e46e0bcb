"""Cosine by loops."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.models.item_knn import ItemKnn, ItemKnnConfig
from recsys.models.weighting import Weighting, Weights
from tests.conftest import cells_of, plays_of

plays = plays_of(5, 6)


def cosine_by_loops(weights: list[list[float]], shrinkage: float) -> list[list[float]]:
    """Slow reference: all pairs, none cut."""
    users, items = range(len(weights)), range(len(weights[0]))
    cells = [w for row in weights for w in row if w]
    spread = sum(w * w for w in cells) / len(cells)
    length = [math.sqrt(sum(weights[u][i] ** 2 for u in users)) for i in items]
    links = [[0.0] * len(items) for _ in items]
    for i in items:
        for j in items:
            common = sum(weights[u][i] * weights[u][j] for u in users)
            if i != j and common > 0:
                links[i][j] = common / (length[i] * length[j] + shrinkage * spread)
    return links


@pytest.mark.parametrize("weighting", ["share", "log", "binary", "linear"])
@settings(max_examples=25)
@given(dense=plays, shrinkage=st.sampled_from([0.0, 0.5, 20.0]))
def test_links_are_the_cosines_of_weighted_columns(
    weighting: Weighting, dense: npt.NDArray[np.int32], shrinkage: float
) -> None:
    config = ItemKnnConfig(weighting=weighting, shrinkage=shrinkage, neighbours=6)
    weights = Weights(config, cells_of(dense))(cells_of(dense)).toarray().astype(float)

    links = ItemKnn(config).fit(cells_of(dense)).links.toarray()

    expected = cosine_by_loops(weights.tolist(), shrinkage)
    np.testing.assert_allclose(links, expected, rtol=1e-5, atol=1e-7)


@settings(max_examples=25)
@given(dense=plays, neighbours=st.integers(1, 5))
def test_each_item_keeps_its_nearest(dense: npt.NDArray[np.int32], neighbours: int) -> None:
    whole = ItemKnn(ItemKnnConfig(neighbours=6)).fit(cells_of(dense)).links.toarray()

    cut = ItemKnn(ItemKnnConfig(neighbours=neighbours)).fit(cells_of(dense)).links.toarray()

    for row, all_of_it in zip(cut, whole, strict=True):
        order = sorted(range(6), key=lambda col: (-all_of_it[col], col))[:neighbours]
        assert row.tolist() == [all_of_it[col] if col in order else 0 for col in range(6)]
