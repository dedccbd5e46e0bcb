import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_matrix

from recsys.data.interactions import Interactions
from recsys.models.bpr import Bpr, BprConfig
from recsys.models.recommender import NO_ITEM
from tests.conftest import cells_of, two_camps

SMALL = BprConfig(factors=4, learning_rate=0.1, regularization=0.02, iterations=60)


def trained() -> tuple[Bpr, Interactions]:
    rng = np.random.default_rng(4)
    cells = cells_of(two_camps(60, 40, of_other=3) * rng.integers(0, 2, (60, 40)))
    config = BprConfig(factors=6, learning_rate=0.05, regularization=0.05, iterations=150)
    return Bpr(config, 1).fit(cells), cells


def slope(model: Bpr, x: npt.NDArray[np.float32], known: set[int]) -> npt.NDArray[np.float64]:
    """Of the folded factor of one user, by a loop over the pairs (i, j)."""
    q, b = model.item_factors[:, :-1].astype(float), model.item_factors[:, -1].astype(float)
    total, n = np.zeros(q.shape[1]), 0
    for i in known:
        for j in model.rivals:
            if j not in known:
                margin = x @ (q[i] - q[j]) + b[i] - b[j]
                total += (q[i] - q[j]) / (1 + math.exp(margin))
                n += 1
    return total / max(n, 1) - SLOPE_REGULARIZATION * x


SLOPE_REGULARIZATION = 0.05


def test_the_gradient_vanishes_at_a_folded_factor() -> None:
    model, cells = trained()
    users = np.arange(60)
    factors = model.folded(cells.matrix())

    for user in users[::7]:
        known = set(cells.cols[cells.rows == user].tolist())
        x = factors[user, :-1].astype(float)
        start = slope(model, np.zeros_like(x), known)

        assert np.abs(slope(model, x, known)).max() < 0.02 * np.abs(start).max()


def test_the_size_of_a_block_changes_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    model, cells = trained()
    users = np.arange(60, dtype=np.int32)
    whole = model.fold_in(cells, users, 5)

    monkeypatch.setattr("recsys.models.bpr.PAIRS", 700)

    assert model.fold_in(cells, users, 5).items.tolist() == whole.items.tolist()


def test_a_user_without_history_gets_the_items_with_the_highest_b() -> None:
    model, _ = trained()

    recs = model.fold_in(cells_of(np.zeros((1, 40))), np.array([0], np.int32), 3)

    assert recs.items[0].tolist() == np.argsort(-model.item_factors[:, -1])[:3].tolist()


def test_an_item_without_users_comes_last_for_a_new_user() -> None:
    dense = two_camps(20, 16)
    dense[:, 5] = 0
    model = Bpr(SMALL, 1).fit(cells_of(dense))

    nothing = csr_matrix((1, 16), dtype=np.float32)
    recs = model.fold_in(cells_of(nothing.toarray()), np.array([0], np.int32), 16)

    assert NO_ITEM not in recs.items
    assert recs.scores[0, recs.items[0] == 5] == recs.scores.min()
