import numpy as np
import pytest

from recsys.models.recommender import NO_ITEM, Recommendations, padded


def test_padding_widens_to_exactly_k() -> None:
    users = np.array([4, 2], np.int32)

    recs = padded(users, np.array([[1], [0]]), np.array([[0.5], [0.25]]), 3)

    assert recs.items.tolist() == [[1, NO_ITEM, NO_ITEM], [0, NO_ITEM, NO_ITEM]]
    assert recs.scores[:, 0].tolist() == [0.5, 0.25]
    assert np.isnan(recs.scores[:, 1:]).all()


def test_recommendations_of_unequal_shape_cannot_be_built() -> None:
    items, scores = np.zeros((2, 3), np.int32), np.zeros((2, 3), np.float32)

    with pytest.raises(ValueError, match="do not fit"):
        Recommendations(np.zeros(2, np.int32), items, scores[:, :2])
    with pytest.raises(ValueError, match="do not fit"):
        Recommendations(np.zeros(3, np.int32), items, scores)
