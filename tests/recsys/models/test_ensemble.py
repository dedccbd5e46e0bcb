"""Lists merged by rank or by score."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys.models.als import AlsConfig
from recsys.models.ensemble import Ensemble, EnsembleConfig
from recsys.models.merging import worth
from recsys.models.recommender import NO_ITEM, Recommendations
from tests.conftest import cells_of

MEMBERS = (AlsConfig(), AlsConfig(factors=8))
N_ITEMS = 6


class Fixed:
    """A model with the same list for all users."""

    def __init__(self, items: list[int]) -> None:
        self.items = items

    def fit(self, train: object) -> "Fixed":
        return self

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        shown = np.full((len(users), k), NO_ITEM, np.int32)
        scores = np.full((len(users), k), np.nan, np.float32)
        n = min(k, len(self.items))
        shown[:, :n], scores[:, :n] = self.items[:n], -np.arange(n)
        return Recommendations(users, shown, scores)

    def fold_in(
        self, history: object, users: npt.NDArray[np.int32], k: int, profiles: object = None
    ) -> Recommendations:
        return self.recommend(users, k)


def merged(lists: list[list[int]], k: int, constant: float, depth: int) -> list[int]:
    config = EnsembleConfig(members=MEMBERS, constant=constant, depth=depth)
    model = Ensemble(config, [Fixed(items) for items in lists]).fit(cells_of(np.eye(N_ITEMS)))
    recs = model.recommend(np.array([0], np.int32), k)
    return [item for item in recs.items[0].tolist() if item != NO_ITEM]


def expected(lists: list[list[int]], k: int, constant: float, depth: int) -> list[int]:
    sums: dict[int, float] = {}
    for items in lists:
        for rank, item in enumerate(items[:depth], 1):
            sums[item] = sums.get(item, 0.0) + 1.0 / (constant + rank)
    return sorted(sums, key=lambda item: (-np.float32(sums[item]), item))[:k]


@given(
    lists=st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True), min_size=2, max_size=3),
    k=st.integers(1, N_ITEMS),
    constant=st.sampled_from([0.01, 1.0, 60.0]),
    depth=st.integers(N_ITEMS // 2, N_ITEMS),
)
def test_the_first_of_each_list_are_merged_by_the_formula(
    lists: list[list[int]], k: int, constant: float, depth: int
) -> None:
    k = min(k, depth)

    assert merged(lists, k, constant, depth) == expected(lists, k, constant, depth)
    assert merged(lists[::-1], k, constant, depth) == expected(lists, k, constant, depth)


class Scored(Fixed):
    """A model with the same list for all users, and its scores."""

    def __init__(self, items: list[int], scores: list[float]) -> None:
        super().__init__(items)
        self.scores = scores

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        recs = super().recommend(users, k)
        n = min(k, len(self.items))
        recs.scores[:, :n] = self.scores[:n]
        return recs


def scaled(items: list[int], scores: list[float]) -> dict[int, float]:
    """From 0.001 for the lowest score to 1 for the highest."""
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return {
        item: 0.001 + 0.999 * ((score - low) / (high - low) if high > low else 1.0)
        for item, score in zip(items, scores, strict=True)
    }


@given(
    lists=st.lists(
        st.dictionaries(st.integers(0, N_ITEMS - 1), st.floats(-9, 9, width=16)),
        min_size=2,
        max_size=3,
    ),
    k=st.integers(1, N_ITEMS),
    data=st.data(),
)
def test_by_scores_each_list_counts_from_its_lowest_to_its_highest_times_its_weight(
    lists: list[dict[int, float]], k: int, data: st.DataObject
) -> None:
    n = len(lists)
    weights = tuple(data.draw(st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=n, max_size=n)))
    config = EnsembleConfig(members=MEMBERS[:1] * n, merge="scores", weights=weights)
    ordered = [sorted(each, key=lambda item: -each[item]) for each in lists]
    models = [Scored(of, [m[i] for i in of]) for of, m in zip(ordered, lists, strict=True)]
    sums: dict[int, float] = {}
    for model, weight in zip(models, weights, strict=True):
        for item, value in scaled(model.items, model.scores).items():
            sums[item] = sums.get(item, 0.0) + weight * value

    recs = (
        Ensemble(config, models)
        .fit(cells_of(np.eye(N_ITEMS)))
        .recommend(np.array([0], np.int32), k)
    )

    best = sorted(sums, key=lambda item: (-np.float32(sums[item]), item))[:k]
    shown = recs.items[0][recs.items[0] != NO_ITEM]
    assert shown.tolist() == best
    np.testing.assert_allclose(recs.scores[0, : len(best)], [sums[item] for item in best], 1e-6)


def test_a_longer_list_changes_no_place_before_and_falls_after() -> None:
    scores = np.array([[9, 5, 4, 3, 2, np.nan], [7, 7, 7, 6, 1, 0]], np.float32)
    items = np.array([[0, 1, 2, 3, 4, NO_ITEM], [5, 4, 3, 2, 1, 0]], np.int32)
    users = np.arange(2, dtype=np.int32)

    whole = worth(Recommendations(users, items, scores), "scores", 60.0, 3)
    short = worth(Recommendations(users, items[:, :3], scores[:, :3]), "scores", 60.0, 3)

    np.testing.assert_array_equal(whole[:, :3], short)
    np.testing.assert_allclose(short, [[1, 0.2008, 0.001], [1, 1, 1]])
    np.testing.assert_allclose(whole[0, 3:], [0.001 / 1.2, 0.001 / 1.4, 0])
    np.testing.assert_allclose(whole[1, 3:], [0.001 / 2, 0.001 / 7, 0.001 / 8])


def test_a_weight_is_given_for_each_member() -> None:
    with pytest.raises(ValidationError, match="1 weights for 2 members; give one for each"):
        EnsembleConfig(members=MEMBERS, weights=(1.0,))
