"""Scores against the product of dense matrices."""

import numpy as np
import pytest

from recsys.models.puresvd import PureSvd, PureSvdConfig
from recsys.models.weighting import Weighting, Weights
from tests.conftest import cells_of
from tests.recsys.models.test_low_rank import dense_vectors, random_plays

ALL = np.arange(9, dtype=np.int32)


@pytest.mark.parametrize("weighting", ["binary", "log", "share"])
@pytest.mark.parametrize("factors", [1, 3, 30])
def test_scores_are_the_weights_projected_on_the_singular_vectors(
    weighting: Weighting, factors: int
) -> None:
    dense, history = random_plays(9, 7), random_plays(9, 7, seed=4)
    config = PureSvdConfig(weighting=weighting, factors=factors)
    weights = Weights(config, cells_of(dense))
    w, new = (weights(cells_of(each)).toarray().astype(float) for each in (dense, history))
    vectors = dense_vectors(w, factors)

    model = PureSvd(config).fit(cells_of(dense))

    for cells, cell_weights in ((dense, w), (history, new)):
        found = [model.score(cells_of(cells), user) for user in ALL]
        expected = cell_weights @ vectors @ vectors.T
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(w).max())
