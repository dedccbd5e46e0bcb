"""The closed form against the problem it solves."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys.errors import InputError
from recsys.models import ease, linear
from recsys.models.arrays import StoredArrays, save_arrays
from recsys.models.ease import Ease, EaseConfig
from recsys.models.weighting import Weighting, Weights
from tests.conftest import cells_of, plays_of, two_camps
from tests.recsys.models.test_low_rank import random_plays

Doubles = npt.NDArray[np.float64]

plays = plays_of(6, 7)
weightings = pytest.mark.parametrize("weighting", ["share", "log", "binary", "linear"])


def problem(config: EaseConfig, dense: npt.ArrayLike) -> tuple[Doubles, float]:
    """The weights and the penalty in their scale."""
    weights = Weights(config, cells_of(dense))(cells_of(dense)).toarray().astype(float)
    return weights, config.regularization * float(np.mean(weights[weights > 0] ** 2))


@weightings
@settings(max_examples=25)
@given(dense=plays, regularization=st.sampled_from([0.1, 1.0, 30.0]))
def test_the_links_are_optimal_with_a_diagonal_of_zeros(
    weighting: Weighting, dense: npt.NDArray[np.int32], regularization: float
) -> None:
    """At the optimum the gradient W'(W B - W) + penalty * B is 0 off the diagonal."""
    config = EaseConfig(weighting=weighting, regularization=regularization)
    weights, penalty = problem(config, dense)

    links = np.asarray(Ease(config).fit(cells_of(dense)).links, dtype=float)

    assert (np.diag(links) == 0).all()
    gradient = weights.T @ (weights @ links - weights) + penalty * links
    np.fill_diagonal(gradient, 0)
    assert np.abs(gradient).max() <= 1e-5 * (np.abs(weights.T @ weights).max() + penalty)


@weightings
def test_blocks_of_rows_give_the_closed_form(
    weighting: Weighting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease, "ROWS", 3)
    monkeypatch.setattr(linear, "GRAM_ROWS", 4)
    dense = two_camps(9, 11, of_other=3)
    config = EaseConfig(weighting=weighting, regularization=2.0)
    weights, penalty = problem(config, dense)
    inverse = np.linalg.inv(weights.T @ weights + penalty * np.eye(11))

    links = Ease(config).fit(cells_of(dense)).links

    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    assert links.dtype == np.float32
    np.testing.assert_allclose(links, expected, rtol=1e-4, atol=1e-6)


def test_links_that_do_not_fit_into_the_memory_are_refused_with_the_remedy() -> None:
    """4 bytes for each pair of items, with a fifth of the memory left free."""
    cells = cells_of(np.ones((2, 300)))
    need = EaseConfig().need(2, 300, 600).memory
    enough = int(need / 0.8) + 1

    with pytest.raises(InputError, match=r"0\.0 GiB.*300 items.*0\.0 GiB.*set top_items to 299 or"):
        Ease(EaseConfig(), available=enough - 2).fit(cells)
    Ease(EaseConfig(), available=enough).fit(cells)
    Ease(EaseConfig(top_items=299), available=enough - 2).fit(cells)


def test_a_matrix_without_an_inverse_is_refused() -> None:
    """Two items with the same users, and next to no regularization."""
    model = Ease(EaseConfig(weighting="binary", regularization=1e-30))

    with pytest.raises(InputError, match="raise regularization"):
        model.fit(cells_of(np.ones((4, 2))))


def test_only_the_items_with_most_users_are_learned_and_recommended() -> None:
    """Users: 1, 3, 2, 3, 2; of the two with 2 the lower number stays."""
    dense = np.array([[0, 1, 0, 2, 4], [5, 3, 1, 1, 0], [0, 2, 2, 2, 2]], dtype=float)
    dense = np.vstack([dense, [1, 0, 0, 0, 0]])
    dense[1, 0] = 0
    config = EaseConfig(weighting="binary", regularization=1.0)
    users = np.arange(4, dtype=np.int32)

    model = Ease(config.model_copy(update={"top_items": 3})).fit(cells_of(dense))

    assert model.shown.tolist() == [1, 2, 3]
    alone = Ease(config).fit(cells_of(dense[:3, 1:4]))
    np.testing.assert_array_equal(model.links, alone.links)
    recs = model.recommend(users, 5)
    assert set(recs.items[0].tolist()) == {2, -1}
    assert (recs.items[3] == -1).all(), "a user without a learned item gets no list"


def test_more_top_items_than_the_catalogue_is_all_of_it() -> None:
    dense = two_camps(9, 11, of_other=3)

    cut, whole = (Ease(EaseConfig(top_items=n)).fit(cells_of(dense)) for n in (99, None))

    np.testing.assert_array_equal(cut.links, whole.links)


@pytest.mark.parametrize("keep", [1, 3, 99])
def test_the_links_farthest_from_zero_of_each_item_stay(
    keep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease, "ROWS", 3)
    cells = cells_of(random_plays(12, 8))
    whole = np.asarray(Ease(EaseConfig(regularization=2.0)).fit(cells).links)
    expected = whole.copy()
    for column in expected.T:
        column[np.argsort(-np.abs(column), kind="stable")[keep:]] = 0

    cut = Ease(EaseConfig(regularization=2.0, keep=keep)).fit(cells).links

    assert isinstance(cut, csr_matrix)
    assert cut.nnz == 8 * min(keep, 7)
    np.testing.assert_array_equal(cut.toarray(), expected)
    assert (whole < 0).any()


def test_links_that_were_cut_are_restored_as_they_were(tmp_path: Path) -> None:
    cells, config = cells_of(random_plays(12, 8)), EaseConfig(keep=2)
    model = Ease(config).fit(cells)

    save_arrays(model.arrays(), tmp_path)
    again = Ease(config).restore(cells, StoredArrays(tmp_path))

    users = np.arange(12, dtype=np.int32)
    assert again.recommend(users, 5).scores.tobytes() == model.recommend(users, 5).scores.tobytes()
    assert (tmp_path / "links.npz").exists()
