import math
import tracemalloc
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.models.recommender import NO_ITEM, Recommendations
from recsys.models.user_knn import UserKnn, UserKnnConfig
from recsys.models.weighting import Weights
from tests.conftest import cells_of, plays_of, profiles_of, two_camps

PLAIN = UserKnnConfig(metric="euclidean", weighting="share")
N_USERS, N_ITEMS = 6, 7
ALL = np.arange(N_USERS, dtype=np.int32)
plays = plays_of(N_USERS, N_ITEMS)
Described = tuple[float | None, str | None, str | None]  # age, gender, country


def brute_force(
    dense: npt.NDArray[np.int32], described: Sequence[Described], config: UserKnnConfig
) -> npt.NDArray[np.float64]:
    """Scores of every item for every user, by loops over pairs of users."""
    cells = cells_of(dense)
    weighted = Weights(config, cells)(cells).toarray().astype(float)
    share = [row / row.sum() if row.sum() else row for row in weighted]
    ages = [age for age, _, _ in described if age is not None]
    mean = sum(ages) / len(ages) if ages else 0.0

    def features(user: int) -> dict[tuple[str, str], float]:
        age, gender, country = described[user]
        named = {("i", str(n)): config.plays_weight * x for n, x in enumerate(share[user])}
        if age is not None:
            named["age", ""] = config.age_weight * (age - mean) / 100
        if gender is not None:
            named["gender", gender] = config.gender_weight
        if country is not None:
            named["country", country] = config.country_weight
        return named

    def distance(one: int, other: int) -> float:
        a, b = features(one), features(other)
        if config.metric == "euclidean":
            return math.sqrt(sum((a.get(f, 0) - b.get(f, 0)) ** 2 for f in {*a, *b}))
        lengths = math.sqrt(sum(x * x for x in a.values()) * sum(x * x for x in b.values()))
        return 1 - sum(a[f] * b[f] for f in {*a} & {*b}) / lengths if lengths else 1.0

    scores = np.zeros((len(dense), dense.shape[1]))
    for user in range(len(dense)):
        others = [v for v in range(len(dense)) if v != user and share[v].sum() > 0]
        near = sorted((distance(user, v), v) for v in others)[: config.neighbours]
        for d, v in near:
            equal = near[-1][0] - near[0][0] < 1e-6
            scores[user] += (1 if equal else 1 - d / near[-1][0]) * share[v]
    return scores


described = st.lists(
    st.tuples(
        st.none() | st.integers(10, 80).map(float),
        st.none() | st.sampled_from("mf"),
        st.none() | st.sampled_from(["Chile", "Iceland"]),
    ),
    min_size=N_USERS,
    max_size=N_USERS,
)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("weighting", ["share", "binary"])
@given(dense=plays, described=described)
def test_scores_are_those_of_a_loop_over_all_pairs(
    metric: str, weighting: str, dense: npt.NDArray[np.int32], described: list[Described]
) -> None:
    config = UserKnnConfig(
        neighbours=N_USERS,  # all: which of two equally far ones is left out is rounding
        metric=metric,
        weighting=weighting,
        age_weight=0.7,
        gender_weight=0.2,
        country_weight=0.4,
    )
    cells = cells_of(dense)
    ages, genders, countries = zip(*described, strict=True)
    profiles = profiles_of(cells.users, countries, ages, genders)
    model = UserKnn(config, profiles).fit(cells)

    recs = model.recommend(ALL, N_ITEMS)

    expected = brute_force(dense, described, config)
    for user, row in enumerate(recs.items):
        shown = row[row != NO_ITEM]
        np.testing.assert_allclose(
            recs.scores[user, : len(shown)], expected[user, shown], rtol=1e-4, atol=1e-5
        )


def test_only_the_nearest_users_have_a_vote() -> None:
    """User 0 shares all with 1, half with 2 and little with 3."""
    dense = [
        [5, 5, 0, 0, 0, 0],
        [5, 5, 0, 1, 0, 0],
        [5, 0, 0, 0, 5, 0],
        [1, 0, 0, 0, 0, 9],
    ]
    first = np.array([0], np.int32)

    def ranked(neighbours: int) -> list[int]:
        model = UserKnn(PLAIN.model_copy(update={"neighbours": neighbours})).fit(cells_of(dense))
        recs = model.recommend(first, 6)
        return recs.items[0, np.nan_to_num(recs.scores[0]) > 0].tolist()

    assert ranked(1) == [3]
    assert ranked(2) == [3]  # the second is the farthest of them: its vote is 1 - 1
    assert ranked(3) == [4, 3]


COUNTRIES = ["Chile" if user % 2 else "Iceland" for user in range(6)]


def by_country(cells: Interactions) -> UserKnn:
    """Four neighbours: more than a country has, so that its farthest has a vote too."""
    config = PLAIN.model_copy(update={"neighbours": 4, "country_weight": 2.0})
    return UserKnn(config, profiles_of(cells.users, COUNTRIES)).fit(cells)


def test_a_user_without_plays_gets_items_of_their_country() -> None:
    dense = two_camps(6, 6)
    dense[[0, 1]] = 0
    cells, users = cells_of(dense), np.array([0, 1], np.int32)
    model = by_country(cells)

    for recs in (model.recommend(users, 3), model.fold_in(cells, users, 3)):
        assert [set(row) for row in recs.items.tolist()] == [{0, 2, 4}, {1, 3, 5}]


def test_a_new_user_gets_items_by_their_profile() -> None:
    model = by_country(cells_of(two_camps(6, 6)))
    history = cells_of(np.zeros((3, 6)))
    theirs = profiles_of(history.users, ["Chile", "Iceland", None])
    users = np.arange(3, dtype=np.int32)

    recs = model.fold_in(history, users, 3, theirs)
    unknown = model.fold_in(history, users, 3)

    assert [set(row) for row in recs.items.tolist()] == [{1, 3, 5}, {0, 2, 4}, {NO_ITEM}]
    assert (unknown.items == NO_ITEM).all()


def test_a_history_over_the_users_of_training_has_their_profiles() -> None:
    dense = two_camps(6, 6)
    dense[[0, 1]] = 0
    cells = cells_of(dense)

    folded = by_country(cells).fold_in(cells, np.array([0, 1], np.int32), 3)

    assert [set(row) for row in folded.items.tolist()] == [{0, 2, 4}, {1, 3, 5}]


def bits(recs: Recommendations) -> tuple[list[list[int]], bytes]:
    return recs.items.tolist(), recs.scores.tobytes()


@pytest.mark.parametrize(("name", "size"), [("CELLS", 70), ("ROWS", 7)])
def test_the_size_of_a_block_changes_no_bit(
    name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    cells = cells_of(rng.poisson(0.3, (30, 20)))
    users = np.arange(30, dtype=np.int32)
    model = UserKnn(UserKnnConfig(neighbours=4)).fit(cells)
    whole = model.recommend(users, 5)

    monkeypatch.setattr(f"recsys.models.user_knn.{name}", size)

    assert bits(model.recommend(users, 5)) == bits(whole)


def test_tiles_of_users_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = cells_of(np.random.default_rng(6).poisson(0.3, (30, 20)))
    users = np.arange(30, dtype=np.int32)
    config = UserKnnConfig(neighbours=4)
    whole = UserKnn(config).fit(cells).recommend(users, 5)

    monkeypatch.setattr("recsys.models.nearest.TILE", 7)

    assert bits(UserKnn(config).fit(cells).recommend(users, 5)) == bits(whole)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("neighbours", [1, 3, 40, 200])
def test_the_nearest_of_many_are_those_of_a_sort(
    metric: Literal["euclidean", "cosine"], neighbours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More users than the buffer of the kernel holds; each has some with equal plays."""
    monkeypatch.setattr("recsys.models.nearest.TILE", 64)
    dense = np.tile(np.random.default_rng(8).poisson(0.2, (300, 12)), (3, 1))
    cells = cells_of(dense)
    rows = dense / np.maximum(dense.sum(1, keepdims=True), 1)
    lengths = np.linalg.norm(rows, axis=1)
    config = UserKnnConfig(metric=metric, neighbours=neighbours, weighting="linear")
    model = UserKnn(config).fit(cells)
    some = np.array([0, 299, 300, 700], np.int32)

    votes = model._votes(model._known.rows[some], some)

    for user, found in zip(some, np.split(votes.indices, votes.indptr[1:-1]), strict=True):
        if metric == "cosine":
            distances = 1 - rows @ rows[user] / np.maximum(lengths * lengths[user], 1e-300)
        else:
            distances = np.linalg.norm(rows - rows[user], axis=1)
        distances[(lengths == 0) | (np.arange(900) == user)] = np.inf
        order = np.lexsort((np.arange(900), np.round(distances, 6)))
        assert sorted(np.round(distances[found], 6)) == sorted(
            np.round(distances[order[:neighbours]], 6)
        )


@pytest.mark.slow
def test_neither_users_by_users_nor_users_by_items_is_held() -> None:
    """4,000 users: 64 MB as float32 distances to each other; a block of them is far less."""
    n_users, n_items = 4_000, 3_000
    rng = np.random.default_rng(3)
    keys = np.unique(rng.integers(0, n_users * n_items, 20_000))
    users, items = (
        IdMap.of(f"{name}{n:05}" for n in range(size))
        for name, size in (("u", n_users), ("i", n_items))
    )
    at = (keys // n_items).astype(np.int32), (keys % n_items).astype(np.int32)
    cells = Interactions(users, items, *at, np.ones(len(keys)))
    model = UserKnn(UserKnnConfig(neighbours=10)).fit(cells)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recsys.models.user_knn.CELLS", 1 << 18)
        tracemalloc.start()
        model.recommend(np.arange(n_users, dtype=np.int32), 10)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peak < 20e6


def test_a_history_of_zero_weight_is_a_history() -> None:
    """All users play item 0: its inverse document frequency is log 1."""
    model = UserKnn(UserKnnConfig(weighting="tfidf")).fit(cells_of([[1, 0, 0], [1, 2, 0]]))

    assert model.recommend(np.array([0], np.int32), 2).items.tolist() == [[1, 2]]
