"""The links against small dense systems, and against EASE where all items are neighbours."""

import numpy as np
import pytest

from recsys.errors import InputError
from recsys.models import sparse_ease
from recsys.models.ease import Ease, EaseConfig
from recsys.models.sparse_ease import SparseEase, SparseEaseConfig
from recsys.models.weighting import Weighting, Weights
from tests.conftest import cells_of
from tests.recsys.models.test_low_rank import random_plays

DENSE = random_plays(40, 11)
weightings = pytest.mark.parametrize("weighting", ["share", "log", "binary", "linear"])


@weightings
def test_with_all_items_as_neighbours_it_is_ease(weighting: Weighting) -> None:
    same = {"weighting": weighting, "regularization": 3.0}

    whole = Ease(EaseConfig(**same)).fit(cells_of(DENSE)).links
    links = SparseEase(SparseEaseConfig(**same, neighbours=11)).fit(cells_of(DENSE)).links

    np.testing.assert_allclose(links.toarray(), whole, rtol=1e-3, atol=1e-5)


@weightings
def test_links_solve_the_equations_of_the_neighbours(
    weighting: Weighting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow reference: for each item the three items of the highest cosine, and their equations."""
    monkeypatch.setattr(sparse_ease, "PART", 4)
    config = SparseEaseConfig(weighting=weighting, regularization=3.0, neighbours=3)
    w = Weights(config, cells_of(DENSE))(cells_of(DENSE)).toarray().astype(float)
    penalty = 3.0 * float(np.mean(w[w > 0] ** 2))
    expected = np.zeros((11, 11))
    for j in range(11):
        cosines = w.T @ w[:, j] / np.linalg.norm(w, axis=0)
        cosines[j] = -1
        near = np.argsort(-cosines)[:3]
        left = w[:, near].T @ w[:, near] + penalty * np.eye(3)
        expected[near, j] = np.linalg.solve(left, w[:, near].T @ w[:, j])

    links = SparseEase(config).fit(cells_of(DENSE)).links

    np.testing.assert_allclose(links.toarray(), expected, rtol=1e-3, atol=1e-5)


def test_equations_without_a_solution_are_refused() -> None:
    """Three items with the same users, and next to no regularization."""
    model = SparseEase(SparseEaseConfig(weighting="binary", regularization=1e-30))

    with pytest.raises(InputError, match="raise regularization"):
        model.fit(cells_of(np.ones((4, 3))))


def test_what_it_needs_is_said_and_grows_with_the_links() -> None:
    few, many = (SparseEaseConfig(neighbours=n).need(20_000, 67_000, 1_400_000) for n in (50, 200))

    assert few.memory < many.memory < 1e9
    assert 5 < few.seconds < many.seconds
