"""The filters against their polynomials, written with dense matrices and loops."""

import numpy as np
import pytest

from recsys.dtypes import Float64Array
from recsys.errors import InputError
from recsys.models import turbo_cf
from recsys.models.turbo_cf import TurboCf, TurboCfConfig
from recsys.models.weighting import Weighting, Weights
from tests.conftest import cells_of
from tests.recsys.models.test_low_rank import random_plays


def filtered(w: Float64Array, alpha: float, sharpness: float, order: int) -> Float64Array:
    """Slow reference: B from weights without an empty line."""
    n = np.zeros_like(w)
    for u, i in np.ndindex(*w.shape):
        n[u, i] = w[u, i] / (w[u].sum() ** alpha * w[:, i].sum() ** (1 - alpha))
    p = (n.T @ n) ** sharpness
    squared, cubed = p @ p, p @ p @ p
    return (p, 2 * p - squared, p + 0.01 * (-cubed + 10 * squared - 29 * p))[order - 1]


@pytest.mark.parametrize("weighting", ["binary", "log", "share"])
@pytest.mark.parametrize(("alpha", "sharpness"), [(0.5, 1.0), (0.3, 0.7), (1.0, 1.6)])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_links_are_those_of_the_paper(
    weighting: Weighting,
    alpha: float,
    sharpness: float,
    order: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turbo_cf, "ROWS", 3)
    dense = random_plays(9, 7)
    config = TurboCfConfig(weighting=weighting, alpha=alpha, sharpness=sharpness, order=order)
    w = Weights(config, cells_of(dense))(cells_of(dense)).toarray().astype(float)

    links = TurboCf(config).fit(cells_of(dense)).links

    assert links.dtype == np.float32
    np.testing.assert_allclose(links, filtered(w, alpha, sharpness, order), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("order", "matrices"), [(1, 1), (2, 2), (3, 2)])
def test_links_that_do_not_fit_into_the_memory_are_refused(order: int, matrices: int) -> None:
    cells = cells_of(np.ones((2, 300)))
    config = TurboCfConfig(order=order)
    need = config.need(2, 300, 600)
    enough = int(need.memory / 0.8) + 1

    assert need.pair == 4 * matrices
    with pytest.raises(InputError, match=r"turbo-cf needs .*300 items.*set top_items to 299 or"):
        TurboCf(config, available=enough - 2).fit(cells)
    TurboCf(config, available=enough).fit(cells)


def test_only_the_items_with_most_users_are_learned() -> None:
    dense = np.array([[0, 1, 0, 2, 4], [0, 3, 1, 1, 0], [0, 2, 2, 2, 2], [1, 0, 0, 0, 0]])

    cut = TurboCf(TurboCfConfig(weighting="binary", top_items=3)).fit(cells_of(dense))

    assert cut.shown.tolist() == [1, 2, 3]
    assert cut.recommend(np.array([3], np.int32), 3).items.tolist() == [[-1, -1, -1]]
