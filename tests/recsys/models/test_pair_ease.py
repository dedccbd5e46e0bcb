"""The closed form against the problem it solves, and against EASE where there are no pairs."""

from itertools import combinations

import numpy as np
import pytest

from recsys.dtypes import Float64Array
from recsys.errors import InputError
from recsys.models import pair_ease
from recsys.models.ease import Ease, EaseConfig
from recsys.models.pair_ease import PairEase, PairEaseConfig, strongest_pairs
from recsys.models.weighting import Weighting, Weights
from tests.conftest import cells_of
from tests.recsys.models.test_low_rank import random_plays

DENSE = random_plays(40, 9)
weightings = pytest.mark.parametrize("weighting", ["share", "log", "binary", "linear"])


def weights_of(config: PairEaseConfig) -> Float64Array:
    cells = cells_of(DENSE)
    return np.asarray(Weights(config, cells)(cells).toarray(), dtype=np.float64)


def strongest(w: Float64Array, most: int) -> list[tuple[int, int]]:
    """Slow reference: the pairs with the largest inner products."""
    pairs = sorted(combinations(range(9), 2), key=lambda pair: -(w[:, pair[0]] @ w[:, pair[1]]))
    return sorted(pairs[:most])


@weightings
@pytest.mark.parametrize("n_pairs", [5, 36])
def test_the_links_are_optimal_and_no_item_is_learned_from_itself(
    weighting: Weighting, n_pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient V'(V B - W) + penalties * B is 0 where a link may differ from 0; V = [W Z]."""
    monkeypatch.setattr(pair_ease, "ROWS", 4)
    config = PairEaseConfig(
        weighting=weighting, regularization=3.0, pair_regularization=20.0, pairs=n_pairs
    )
    w = weights_of(config)
    pairs = strongest(w, n_pairs)
    z = np.stack([np.sqrt(w[:, a] * w[:, b]) for a, b in pairs], axis=1)
    v = np.hstack([w, z])
    penalties = np.repeat([3.0, 20.0], [9, n_pairs]) * np.mean(w[w > 0] ** 2)

    links = np.asarray(PairEase(config).fit(cells_of(DENSE)).links, dtype=np.float64)

    own = np.vstack([np.eye(9), [[item in pair for item in range(9)] for pair in pairs]]) > 0
    assert (links[own] == 0).all()
    gradient = v.T @ (v @ links - w) + penalties[:, None] * links
    assert np.abs(gradient[~own]).max() <= 1e-5 * (np.abs(v.T @ v).max() + penalties.max())


def test_pairs_that_count_for_nothing_leave_ease() -> None:
    same = {"weighting": "share", "regularization": 3.0}

    whole = Ease(EaseConfig.model_validate(same)).fit(cells_of(DENSE)).links
    config = PairEaseConfig.model_validate({**same, "pair_regularization": 1e7, "pairs": 6})
    links = np.asarray(PairEase(config).fit(cells_of(DENSE)).links)

    np.testing.assert_allclose(links[:9], whole, rtol=1e-2, atol=1e-4)
    assert np.abs(links[9:]).max() < 1e-4


def test_of_equal_pairs_the_lower_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_ease, "ROWS", 2)
    products = np.zeros((5, 5), np.float32)
    for (a, b), value in {(0, 4): 1, (1, 2): 3, (1, 4): 1, (2, 3): 1}.items():
        products[a, b] = products[b, a] = value

    assert strongest_pairs(products, 3).tolist() == [[0, 4], [1, 2], [1, 4]]
    assert strongest_pairs(products, 9).tolist() == [[0, 4], [1, 2], [1, 4], [2, 3]]
    assert strongest_pairs(np.eye(2, dtype=np.float32), 9).shape == (0, 2)


def test_what_does_not_fit_into_the_memory_is_refused() -> None:
    with pytest.raises(InputError, match=r"pair-ease needs .* items and pairs"):
        PairEase(PairEaseConfig(pairs=9), available=1000).fit(cells_of(DENSE))
