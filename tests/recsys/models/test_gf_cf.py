"""The filter against the formula of the paper, written with dense matrices and loops."""

import tracemalloc

import numpy as np
import pytest

from recsys.dtypes import Float64Array
from recsys.models import low_rank, products
from recsys.models.gf_cf import GfCf, GfCfConfig
from recsys.models.weighting import Weighting, Weights
from tests.conftest import cells_of
from tests.recsys.models.test_low_rank import dense_vectors, random_plays

ALL = np.arange(9, dtype=np.int32)


def filtered(w: Float64Array, factors: int, alpha: float) -> Float64Array:
    """Slow reference: W (N'N + alpha D_i^-1/2 V V' D_i^1/2) of matrices without an empty line."""
    n = np.zeros_like(w)
    for u, i in np.ndindex(*w.shape):
        n[u, i] = w[u, i] / np.sqrt(w[u].sum() * w[:, i].sum())
    v = dense_vectors(n, factors)
    root = np.diag(np.sqrt(w.sum(axis=0)))
    ideal = np.linalg.inv(root) @ v @ v.T @ root
    return np.asarray(w @ (n.T @ n + alpha * ideal))


@pytest.mark.parametrize("weighting", ["binary", "log", "share"])
@pytest.mark.parametrize(("factors", "alpha"), [(1, 0.3), (4, 0.3), (3, 2.0), (30, 0.0)])
@pytest.mark.parametrize("share", [0.0, 1.0], ids=["dense users", "sparse users"])
def test_scores_are_those_of_the_paper(
    weighting: Weighting,
    factors: int,
    alpha: float,
    share: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(products, "DENSE", share)
    dense = random_plays(9, 7)
    config = GfCfConfig(weighting=weighting, factors=factors, alpha=alpha)
    w = Weights(config, cells_of(dense))(cells_of(dense)).toarray().astype(float)

    model = GfCf(config).fit(cells_of(dense))

    found = [model.score(cells_of(dense), user) for user in ALL]
    np.testing.assert_allclose(found, filtered(w, factors, alpha), rtol=2e-5, atol=1e-6)


def test_a_catalogue_whose_pairs_do_not_fit_is_ranked_from_narrow_matrices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """60,000 items: 14 GB as a matrix of all pairs."""
    monkeypatch.setattr(low_rank, "SIDE", 10)
    dense = np.zeros((40, 60_000))
    rng = np.random.default_rng(5)
    for user in range(40):
        dense[user, rng.choice(60_000, 20, replace=False)] = 1
    cells = cells_of(dense)

    tracemalloc.start()
    recs = GfCf(GfCfConfig(factors=3)).fit(cells).recommend(ALL, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 50e6
    assert (recs.items >= 0).all()
