"""One contract for every model; a new model is one more line in MODELS."""

import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.models import build
from recsys.models.als import AlsConfig
from recsys.models.arrays import StoredArrays, save_arrays
from recsys.models.bpr import BprConfig
from recsys.models.config import ModelConfig
from recsys.models.ease import EaseConfig
from recsys.models.ensemble import EnsembleConfig
from recsys.models.fm import FmConfig
from recsys.models.item_knn import ItemKnnConfig
from recsys.models.popularity import PopularityConfig
from recsys.models.recommender import (
    NO_ITEM,
    Explaining,
    Recommendations,
    Recommender,
    Relating,
    Scoring,
    padded,
)
from recsys.models.rp3beta import Rp3betaConfig
from recsys.models.slim import SlimConfig
from recsys.models.user_knn import UserKnnConfig
from tests.conftest import cells_of, two_camps

BY_PLAYS = PopularityConfig(kind="popularity-plays")
BY_LISTENERS = PopularityConfig(kind="popularity-users")
SMALL = AlsConfig(factors=3, iterations=3, regularization=0.1)
BY_DOCUMENT = SMALL.model_copy(update={"weighting": "bm25"})  # it learns from the artists too
BY_FREQUENCY = SMALL.model_copy(update={"nu": 0.5})
LINEAR = [ItemKnnConfig(), Rp3betaConfig(), EaseConfig(), SlimConfig(l1=0.01, l2=1.0)]
BPR = BprConfig(factors=3, iterations=20, learning_rate=0.05)
FM = FmConfig(factors=3, iterations=5)
MODELS: list[ModelConfig] = [
    *(BY_PLAYS, BY_LISTENERS, SMALL, BY_FREQUENCY),
    *(*LINEAR, UserKnnConfig(), BPR, FM),
    EnsembleConfig(members=(SMALL, ItemKnnConfig())),
]
every_model = pytest.mark.parametrize(
    "config", MODELS, ids=lambda config: config.kind + "-nu" * bool(getattr(config, "nu", 0))
)

N_USERS, N_ITEMS = 5, 7
EVERYBODY = np.arange(N_USERS, dtype=np.int32)
plays = arrays(np.int32, (N_USERS, N_ITEMS), elements=st.integers(-4, 9)).map(
    lambda dense: np.maximum(dense, 0)
)


def fitted(config: ModelConfig, dense: npt.ArrayLike, seed: int = 1) -> Recommender:
    return build(config, seed).fit(cells_of(dense))


def told(recs: Recommendations) -> tuple[list[int], list[list[int]], bytes]:
    """All of a recommendation, NaN comparable."""
    return recs.users.tolist(), recs.items.tolist(), recs.scores.tobytes()


def lists(recs: Recommendations) -> list[list[int]]:
    """What is shown, without the padding."""
    return [[item for item in row if item != NO_ITEM] for row in recs.items.tolist()]


def assert_well_formed(recs: Recommendations, users: npt.NDArray[np.int32], k: int) -> None:
    assert recs.users.tolist() == users.tolist()
    assert recs.items.shape == recs.scores.shape == (len(users), k)
    assert (recs.items.dtype, recs.scores.dtype) == (np.int32, np.float32)
    assert ((recs.items == NO_ITEM) == np.isnan(recs.scores)).all()
    ended = np.diff((recs.items == NO_ITEM).astype(int), axis=1)
    assert (ended >= 0).all(), "padding stands before an item"
    shown = np.nan_to_num(recs.scores, nan=-np.inf)
    assert (shown[:, 1:] <= shown[:, :-1]).all(), "a worse item stands before a better one"
    assert all(len(set(row)) == len(row) for row in lists(recs)), "an item stands twice"
    assert recs.items.max(initial=NO_ITEM) < N_ITEMS


@every_model
@settings(max_examples=25)
@given(dense=plays, k=st.integers(1, N_ITEMS + 3))
def test_lists_are_ranked_padded_without_repeats_and_never_show_what_is_known(
    config: ModelConfig, dense: npt.NDArray[np.int32], k: int
) -> None:
    dense[0, 0] = 1
    model = fitted(config, dense)

    for recs in (
        model.recommend(EVERYBODY, k),
        model.fold_in(cells_of(dense), EVERYBODY, k),
    ):
        assert_well_formed(recs, EVERYBODY, k)
        for user, row in enumerate(lists(recs)):
            assert not set(row) & set(np.flatnonzero(dense[user]))


@every_model
@settings(max_examples=25)
@given(dense=plays)
def test_the_catalogue_is_never_cut(config: ModelConfig, dense: npt.NDArray[np.int32]) -> None:
    """Whoever is known gets every item they do not know, however unpopular, and no more."""
    dense[0, 0] = 1
    known = dense.any(axis=1)

    recs = fitted(config, dense).recommend(EVERYBODY, N_ITEMS + 3)

    for user in np.flatnonzero(known):
        assert set(lists(recs)[user]) == set(np.flatnonzero(dense[user] == 0))


@every_model
def test_the_same_seed_gives_the_same_bits(config: ModelConfig) -> None:
    dense = two_camps(N_USERS, N_ITEMS)

    once = fitted(config, dense).recommend(EVERYBODY, 4)
    again = fitted(config, dense).recommend(EVERYBODY, 4)

    assert told(once) == told(again)


@pytest.mark.parametrize("config", [*MODELS, BY_DOCUMENT])
def test_a_second_fit_forgets_the_first(config: ModelConfig) -> None:
    first, second = two_camps(N_USERS, N_ITEMS), two_camps(N_USERS, N_ITEMS)[:, ::-1]
    model = fitted(config, first)
    before = told(model.recommend(EVERYBODY, 4))

    model.fit(cells_of(second))
    expected = fitted(config, second)

    assert before != told(expected.recommend(EVERYBODY, 4))
    assert told(model.recommend(EVERYBODY, 4)) == told(expected.recommend(EVERYBODY, 4))
    history = cells_of(first)
    assert told(model.fold_in(history, EVERYBODY, 4)) == told(
        expected.fold_in(history, EVERYBODY, 4)
    )


@every_model
def test_a_second_fit_may_be_on_another_catalogue(config: ModelConfig) -> None:
    small, large = two_camps(4, 5), two_camps(9, 11)
    model = fitted(config, large).fit(cells_of(small))

    recs = model.recommend(np.arange(4, dtype=np.int32), 5)

    assert told(recs) == told(fitted(config, small).recommend(np.arange(4, dtype=np.int32), 5))


@every_model
def test_recommending_and_folding_in_change_nothing_that_was_learned(config: ModelConfig) -> None:
    dense = two_camps(N_USERS, N_ITEMS)
    model = fitted(config, dense)
    before = told(model.recommend(EVERYBODY, 3))

    model.fold_in(cells_of(dense[::-1]), EVERYBODY, 3)

    assert told(model.recommend(EVERYBODY, 3)) == before


@every_model
@settings(max_examples=20)
@given(dense=plays, users=st.lists(st.integers(0, N_USERS - 1), unique=True))
def test_whom_else_is_asked_for_makes_no_difference(
    config: ModelConfig, dense: npt.NDArray[np.int32], users: list[int]
) -> None:
    dense[0, 0] = 1
    some = np.array(users, dtype=np.int32)
    model, history = fitted(config, dense), cells_of(dense[::-1])

    for ask in (model.recommend, lambda users, k: model.fold_in(history, users, k)):
        everybody, few = ask(EVERYBODY, 4), ask(some, 4)
        assert few.users.tolist() == users
        assert few.items.shape == (len(users), 4)
        np.testing.assert_allclose(few.scores, everybody.scores[some], rtol=1e-5, atol=1e-6)


@every_model
def test_a_shorter_list_is_the_beginning_of_a_longer_one(config: ModelConfig) -> None:
    model = fitted(config, two_camps(N_USERS, N_ITEMS, of_other=1))
    full = model.recommend(EVERYBODY, N_ITEMS)

    for k in range(1, N_ITEMS):
        assert model.recommend(EVERYBODY, k).items.tolist() == full.items[:, :k].tolist()


def restored(model: Recommender, config: ModelConfig, cells: Interactions) -> Recommender:
    """The model that was fitted on these cells, made again from what it learned."""
    with tempfile.TemporaryDirectory() as folder:
        save_arrays(model.learned(), Path(folder))
        return build(config, 1).restore(cells, StoredArrays(Path(folder)))


def answered(model: Recommender, history: Interactions) -> list[object]:
    """All that a model says about a history, and to whom it was fitted on."""
    found: list[object] = [
        told(model.recommend(EVERYBODY, 4)),
        told(model.fold_in(history, EVERYBODY, 4)),
    ]
    if isinstance(model, Scoring):
        found += [model.score(history, user).tobytes() for user in EVERYBODY]
    if isinstance(model, Relating):
        found += [part.tobytes() for item in range(N_ITEMS) for part in model.similar(item, 4)]
    if isinstance(model, Explaining):
        found += [
            model.contributions(history, item % N_USERS, item).tobytes() for item in range(N_ITEMS)
        ]
    return found


@every_model
@settings(max_examples=15)
@given(dense=plays)
def test_a_model_made_again_from_what_it_learned_answers_with_the_same_bits(
    config: ModelConfig, dense: npt.NDArray[np.int32]
) -> None:
    dense[0, 0] = 1
    cells, history = cells_of(dense), cells_of(dense[::-1])
    model = build(config, 1).fit(cells)

    again = restored(model, config, cells)

    assert answered(again, history) == answered(model, history)


@every_model
def test_a_restored_model_may_be_fitted_and_restored_on_other_cells(config: ModelConfig) -> None:
    first, second = (cells_of(two_camps(N_USERS, N_ITEMS, of_other=n)) for n in (0, 2))
    one, other = build(config, 1).fit(first), build(config, 1).fit(second)
    model = restored(one, config, first)

    with tempfile.TemporaryDirectory() as folder:
        save_arrays(other.learned(), Path(folder))
        model.restore(second, StoredArrays(Path(folder)))

    assert answered(model, first) == answered(other, first)
    assert answered(model.fit(first), second) == answered(one, second)


def popular(counts: npt.NDArray[np.float64], seen: npt.NDArray[np.bool_], k: int) -> list[int]:
    """Slow reference: highest count first, of equals the lower item number, none seen."""
    order = sorted(range(len(counts)), key=lambda item: (-counts[item], item))
    return [item for item in order if not seen[item]][:k]


@pytest.mark.parametrize("config", [BY_PLAYS, BY_LISTENERS], ids=lambda config: config.kind)
@given(dense=plays, history=plays, k=st.integers(1, N_ITEMS + 2))
def test_popularity_ranks_by_its_count_and_ties_by_number(
    config: PopularityConfig, dense: npt.NDArray[np.int32], history: npt.NDArray[np.int32], k: int
) -> None:
    dense[0, 0] = 1
    counted = dense if config is BY_PLAYS else dense > 0
    counts = counted.sum(axis=0).astype(float)
    model = fitted(config, dense)

    recs, folded = model.recommend(EVERYBODY, k), model.fold_in(cells_of(history), EVERYBODY, k)

    assert model.scores.tolist() == counts.tolist()
    for user in EVERYBODY:
        assert lists(recs)[user] == popular(counts, dense[user] > 0, k)
        assert lists(folded)[user] == popular(counts, history[user] > 0, k)
        shown = lists(recs)[user]
        assert recs.scores[user, : len(shown)].tolist() == counts[shown].tolist()


@pytest.mark.parametrize("config", [BY_PLAYS, BY_LISTENERS], ids=lambda config: config.kind)
@given(dense=plays)
def test_popularity_folds_a_user_in_exactly_as_it_recommends_to_them(
    config: PopularityConfig, dense: npt.NDArray[np.int32]
) -> None:
    dense[0, 0] = 1
    model = fitted(config, dense)

    folded = model.fold_in(cells_of(dense), EVERYBODY, 5)

    assert told(folded) == told(model.recommend(EVERYBODY, 5))


def test_a_listener_who_has_heard_nearly_everything_costs_no_memory_for_the_others() -> None:
    """3,000 lists beside one listener of 19,995 of 20,000 items: 60 MB as a table of booleans."""
    n_users, n_items, k = 3_000, 20_000, 10
    rng = np.random.default_rng(3)
    heard = {0: np.setdiff1d(np.arange(n_items), rng.choice(n_items, 5, replace=False))}
    heard |= {user: np.sort(rng.choice(60, 20, replace=False)) for user in range(1, n_users)}
    rows = np.repeat(np.arange(n_users, dtype=np.int32), [len(heard[u]) for u in range(n_users)])
    cols = np.concatenate([heard[user] for user in range(n_users)]).astype(np.int32)
    maps = (
        IdMap.of(f"{name}{n:05}" for n in range(n)) for name, n in (("u", n_users), ("i", n_items))
    )
    everybody = np.arange(n_users, dtype=np.int32)
    model = build(BY_LISTENERS, 1).fit(Interactions(*maps, rows, cols, np.ones(len(rows))))

    tracemalloc.start()
    recs = model.recommend(everybody, k)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 20e6
    order = np.argsort(-np.bincount(cols, minlength=n_items), kind="stable")
    for user in range(0, n_users, 50):
        assert lists(recs)[user] == order[~np.isin(order, heard[user])][:k].tolist()


def test_plays_and_listeners_are_two_popularities() -> None:
    """Item 0 has one devoted listener, item 1 two casual ones."""
    dense = [[100, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]
    last = np.array([3], np.int32)

    assert lists(fitted(BY_PLAYS, dense).recommend(last, 2)) == [[0, 1]]
    assert lists(fitted(BY_LISTENERS, dense).recommend(last, 2)) == [[1, 0]]


@pytest.mark.parametrize("config", [BY_PLAYS, BY_LISTENERS], ids=lambda config: config.kind)
def test_popularity_shows_a_stranger_the_most_popular(config: PopularityConfig) -> None:
    dense = [[1, 2, 3], [0, 2, 3], [0, 0, 3], [0, 0, 0]]

    assert lists(fitted(config, dense).recommend(np.array([3], np.int32), 3)) == [[2, 1, 0]]


def test_als_has_nothing_to_show_a_stranger() -> None:
    dense = two_camps(N_USERS, N_ITEMS)
    dense[2] = 0
    model = fitted(SMALL, dense)
    recs = model.recommend(EVERYBODY, 4)
    folded = model.fold_in(cells_of(dense), EVERYBODY, 4)

    assert lists(recs)[2] == []
    assert lists(folded)[2] == []
    assert all(lists(recs)[user] for user in (0, 1, 3, 4))


@pytest.mark.parametrize("config", LINEAR, ids=lambda config: config.kind)
def test_links_have_nothing_to_show_a_stranger(config: ModelConfig) -> None:
    dense = two_camps(N_USERS, N_ITEMS)
    dense[2] = 0
    model = fitted(config, dense)

    for recs in (
        model.recommend(EVERYBODY, 4),
        model.fold_in(cells_of(dense), EVERYBODY, 4),
    ):
        assert [len(row) for row in lists(recs)] == [4, 4, 0, 4, 4]


WEIGHTINGS = ["linear", "log", "share", "bm25", "tfidf", "binary"]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("seed", range(4))
def test_als_finds_the_hidden_item_of_each_camp(weighting: str, seed: int) -> None:
    """With 2 factors, the true rank, the hidden item of one's camp is the only good answer."""
    dense = two_camps(12, 12)
    config = AlsConfig(factors=2, iterations=15, regularization=0.1, weighting=weighting)
    everybody = np.arange(12, dtype=np.int32)

    recs = fitted(config, dense, seed).recommend(everybody, 1)

    assert recs.items[:, 0].tolist() == everybody.tolist()


def test_als_folds_a_stranger_into_their_camp() -> None:
    config = AlsConfig(factors=2, iterations=15, regularization=0.1)
    model = fitted(config, two_camps(12, 12))
    history = cells_of([[0, 0, 3, 0, 2, 0, 9, 0, 0, 0, 0, 0], [0, 5, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0]])

    recs = model.fold_in(history, np.array([0, 1], np.int32), 3)

    assert {*lists(recs)[0]} <= {0, 8, 10}
    assert {*lists(recs)[1]} <= {5, 7, 9, 11}


def test_als_folds_a_trained_user_in_close_to_where_training_left_them() -> None:
    rng = np.random.default_rng(3)
    dense = two_camps(40, 30, of_other=2) * rng.integers(0, 3, (40, 30))
    everybody = np.arange(40, dtype=np.int32)
    model = fitted(AlsConfig(factors=4, iterations=60, regularization=1.0), dense)

    recs = model.recommend(everybody, 10)
    folded = model.fold_in(cells_of(dense), everybody, 10)

    both = [len({*one} & {*other}) for one, other in zip(lists(recs), lists(folded), strict=True)]
    assert np.mean(both) > 9.5
    np.testing.assert_allclose(recs.scores, folded.scores, atol=5e-3)


@pytest.mark.parametrize("config", [*MODELS, AlsConfig(factors=40, iterations=2)])
def test_a_matrix_of_one_cell_is_enough(config: ModelConfig) -> None:
    model = fitted(config, [[3, 0], [0, 0]])

    assert lists(model.recommend(np.array([0], np.int32), 5)) == [[1]]


@every_model
def test_nobody_asked_nobody_answered(config: ModelConfig) -> None:
    model = fitted(config, two_camps(N_USERS, N_ITEMS))

    recs = model.recommend(np.array([], np.int32), 3)

    assert recs.items.shape == (0, 3)


def test_a_whole_catalogue_heard_leaves_an_empty_list() -> None:
    everything = np.ones((2, 3))

    for config in MODELS:
        recs = fitted(config, everything).recommend(np.array([0, 1], np.int32), 2)
        assert lists(recs) == [[], []]


def test_padding_widens_to_exactly_k() -> None:
    users = np.array([4, 2], np.int32)

    recs = padded(users, np.array([[1], [0]]), np.array([[0.5], [0.25]]), 3)

    assert recs.items.tolist() == [[1, NO_ITEM, NO_ITEM], [0, NO_ITEM, NO_ITEM]]
    assert recs.scores[:, 0].tolist() == [0.5, 0.25]
    assert np.isnan(recs.scores[:, 1:]).all()


def test_recommendations_of_unequal_shape_cannot_be_built() -> None:
    items, scores = np.zeros((2, 3), np.int32), np.zeros((2, 3), np.float32)

    with pytest.raises(ValueError, match="do not fit"):
        Recommendations(np.zeros(2, np.int32), items, scores[:, :2])
    with pytest.raises(ValueError, match="do not fit"):
        Recommendations(np.zeros(3, np.int32), items, scores)


def test_fitting_and_asking_leave_the_cells_alone() -> None:
    cells = cells_of(two_camps(N_USERS, N_ITEMS))
    before = [cells.rows.copy(), cells.cols.copy(), cells.plays.copy()]

    for config in MODELS:
        build(config, 1).fit(cells).recommend(EVERYBODY, 3)

    assert same(before, cells)


def same(columns: list[npt.NDArray[np.generic]], cells: Interactions) -> bool:
    now = (cells.rows, cells.cols, cells.plays)
    return all(np.array_equal(a, b) for a, b in zip(columns, now, strict=True))
