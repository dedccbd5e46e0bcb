"""Lists merged by reciprocal rank."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from recsys.models.als import AlsConfig
from recsys.models.ensemble import Ensemble, EnsembleConfig
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
