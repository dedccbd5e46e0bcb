"""The steps that all models with an item-item matrix share, with given links."""

from typing import Self

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_matrix

from recsys.data.interactions import Interactions
from recsys.models import linear
from recsys.models.linear import Linear, Links, Worth, strongest
from recsys.models.weighting import WeightedConfig
from tests.conftest import cells_of, lists

N_USERS, N_ITEMS = 4, 6
ALL = np.arange(N_USERS, dtype=np.int32)
LINKS = np.array(
    [
        [0, 3, 0, 0, 1, 0],
        [3, 0, 0, 0, 0, 2],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, -1],
        [0, 2, 2, 2, 0, 0],
        [0, 0, 0, 4, 4, 0],
    ],
    dtype=np.float32,
)
DENSE = np.array(
    [[1, 0, 0, 0, 2, 0], [0, 0, 3, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 5, 0, 0]], dtype=float
)
small = arrays(np.int8, (5, 6), elements=st.integers(0, 3))


dense_and_sparse = pytest.mark.parametrize(
    "links", [LINKS, csr_matrix(LINKS)], ids=["dense", "sparse"]
)


class Given(Linear):
    """A model with given links."""

    def __init__(self, links: Links, config: WeightedConfig | None = None) -> None:
        super().__init__(config or WeightedConfig(kind="given", weighting="linear"))
        self._given = links

    def _linked(self, weighted: csr_matrix) -> Links:
        return self._given


class Cut(Given):
    """Recommends the last three items alone."""

    def _chosen(self, train: csr_matrix) -> npt.NDArray[np.int32]:
        return np.array([3, 4, 5], np.int32)

    def fit(self, train: Interactions) -> Self:
        self._given = LINKS[3:, 3:]
        return super().fit(train)


@dense_and_sparse
def test_a_score_is_the_sum_of_weights_times_links(links: Links) -> None:
    model = Given(links).fit(cells_of(DENSE))

    recs = model.recommend(ALL, N_ITEMS)

    assert lists(recs) == [[1, 2, 3, 5], [0, 1, 3, 4, 5], [], [2, 0, 1, 4, 5]]
    assert recs.scores[0, :4].tolist() == [1 * 3 + 2 * 2, 4, 4, 0]
    assert recs.scores[1, :5].tolist() == [0, 0, 0, 0, 0]
    assert recs.scores[3, :5].tolist() == [5, 0, 0, 0, -5]


@dense_and_sparse
def test_blocks_of_users_change_nothing(links: Links, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Given(links).fit(cells_of(DENSE))
    whole = model.recommend(ALL, 4)

    monkeypatch.setattr(linear, "SCORES", 1)
    one_by_one = model.recommend(ALL, 4)

    assert one_by_one.items.tolist() == whole.items.tolist()
    assert one_by_one.scores.tobytes() == whole.scores.tobytes()


@dense_and_sparse
def test_similar_items_are_recommended_to_a_user_of_one_item(links: Links) -> None:
    model = Given(links).fit(cells_of(DENSE))

    items, scores = model.similar(4, 2)

    assert (items.dtype, scores.dtype) == (np.int32, np.float32)
    assert (items.tolist(), scores.tolist()) == ([1, 2], [2, 2])
    assert model.similar(4, 9)[0].tolist() == [1, 2, 3]
    assert model.similar(3, 9)[0].tolist() == [2]
    assert model.similar(2, 9)[0].tolist() == []


@dense_and_sparse
def test_a_contribution_is_a_weight_times_a_link(links: Links) -> None:
    model, history = Given(links).fit(cells_of(DENSE)), cells_of(DENSE)

    assert model.contributions(history, 0, 1).tolist() == [1 * 3, 2 * 2]
    assert model.score(history, 0).tolist() == [0, 7, 4, 4, 1, 0]


def test_a_user_without_history_has_no_score() -> None:
    model = Given(LINKS).fit(cells_of(DENSE))

    assert (model.score(cells_of(DENSE), 2) == -np.inf).all()


def test_an_item_that_is_not_learned_is_neither_recommended_nor_counted() -> None:
    model = Cut(LINKS).fit(cells_of(DENSE))

    recs = model.recommend(ALL, N_ITEMS)
    folded = model.fold_in(cells_of(DENSE), ALL, N_ITEMS)

    assert lists(recs) == lists(folded) == [[3, 5], [], [], [4, 5]]
    assert recs.scores[0, :2].tolist() == [4, 0]
    assert model.similar(5, 5)[0].tolist() == [3, 4]
    assert model.similar(1, 5)[0].tolist() == []
    assert model.score(cells_of(DENSE), 0).tolist() == [-np.inf] * 3 + [4, 0, 0]
    assert (model.score(cells_of(DENSE), 1) == -np.inf).all()
    assert model.contributions(cells_of(DENSE), 0, 3).tolist() == [0, 4]
    assert model.contributions(cells_of(DENSE), 0, 1).tolist() == [0, 0]


@settings(max_examples=60)
@given(
    dense=small,
    k=st.integers(1, 7),
    products=st.sampled_from([1, 7, 1 << 23]),
    added=st.sampled_from([0.0, 1.0]),
    diagonal=st.booleans(),
)
def test_the_strongest_are_those_of_the_whole_product(
    dense: npt.NDArray[np.int8], k: int, products: int, added: float, diagonal: bool
) -> None:
    left = dense.T.astype(np.float32)
    columns = np.arange(6.0)
    worth = Worth(1 / (1 + columns), columns / 2, added, diagonal)
    below = np.outer(columns / 2, columns / 2) + added
    whole = (left @ dense) * worth.factor / np.where(below > 0, below, 1)
    expected = np.zeros((6, 6), np.float32)
    for row in range(6):
        among = [col for col in range(6) if diagonal or col != row]
        others = [col for col in among if whole[row, col] > 0]
        for col in sorted(others, key=lambda col: (-np.float32(whole[row, col]), col))[:k]:
            expected[row, col] = whole[row, col]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "PRODUCTS", products)
        cut = strongest(
            csr_matrix(left),
            csr_matrix(dense.astype(np.float32)),
            k,
            worth,
        )

    assert cut.toarray().tolist() == expected.tolist()
    assert cut.has_sorted_indices
