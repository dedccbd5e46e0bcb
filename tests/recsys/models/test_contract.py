"""One contract for every model of the table; a new line in `MODELS` is tested here at once."""

import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.interactions import Interactions
from recsys.models import MODELS, build, config_class, make_config
from recsys.models.arrays import StoredArrays, save_arrays
from recsys.models.config import ModelConfig
from recsys.models.recommender import (
    NO_ITEM,
    Explaining,
    Recommendations,
    Recommender,
    Relating,
    RelatingMany,
    Scoring,
)
from recsys.models.weighting import WeightedConfig
from tests.conftest import cells_of as untimed
from tests.conftest import lists, plays_of, timed, two_camps

SMALL: Mapping[str, dict[str, Any]] = {
    "als": {"factors": 3, "iterations": 3, "regularization": 0.1},
    "slim": {"l1": 0.01, "l2": 1.0},
    "pair-ease": {"pairs": 4},
    "bpr": {"factors": 3, "iterations": 20, "learning_rate": 0.05},
    "fm": {"factors": 3, "iterations": 5},
    "ncf": {"factors": 3, "iterations": 4, "learning_rate": 0.05},
    "mult-vae": {"factors": 3, "iterations": 5, "learning_rate": 0.05},
    "recvae": {"hidden": 6, "factors": 3, "iterations": 3, "learning_rate": 0.02},
    "sasrec": {"factors": 4, "iterations": 3, "length": 5, "learning_rate": 0.01},
}
"""Parameters that make a fit to a small matrix fast; other models are fast by default."""


def cells_of(dense: npt.ArrayLike) -> Interactions:
    """With times, as some models need them."""
    return timed(untimed(dense))


def small(kind: str, **more: Any) -> ModelConfig:
    return make_config(kind, {**SMALL.get(kind, {}), **more})


CONFIGS = {
    **{kind: small(kind) for kind in MODELS},
    "als-nu": small("als", nu=0.5),
    "als-bm25": small("als", weighting="bm25"),  # learns from the items too
    "mult-vae-deep": small("mult-vae", hidden=4, weighting="share"),
    "ensemble": make_config("ensemble", {"members": (small("als"), small("item-knn"))}),
}


def marks(config: ModelConfig) -> list[pytest.MarkDecorator]:
    """Models that need PyTorch are tested where it is installed."""
    if config.library is None:
        return []
    there = find_spec("torch") is not None
    reason = "PyTorch is not installed: `make test-neural` does it"
    return [pytest.mark.neural, pytest.mark.skipif(not there, reason=reason)]


def of_models(configs: Mapping[str, ModelConfig]) -> pytest.MarkDecorator:
    cases = [pytest.param(each, id=name, marks=marks(each)) for name, each in configs.items()]
    return pytest.mark.parametrize("config", cases)


every_model = of_models(CONFIGS)

N_USERS, N_ITEMS = 5, 7
ALL = np.arange(N_USERS, dtype=np.int32)
plays = plays_of(N_USERS, N_ITEMS)


def fitted(config: ModelConfig, dense: npt.ArrayLike, seed: int = 1) -> Recommender:
    return build(config, seed).fit(cells_of(dense))


def bits(recs: Recommendations) -> tuple[list[int], list[list[int]], bytes]:
    """All of a recommendation, NaN comparable."""
    return recs.users.tolist(), recs.items.tolist(), recs.scores.tobytes()


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
@settings(max_examples=16)
@given(dense=plays, k=st.integers(1, N_ITEMS + 3))
def test_lists_are_ranked_and_padded_without_repeats_or_known_items(
    config: ModelConfig, dense: npt.NDArray[np.int32], k: int
) -> None:
    model = fitted(config, dense)

    for recs in (
        model.recommend(ALL, k),
        model.fold_in(cells_of(dense), ALL, k),
    ):
        assert_well_formed(recs, ALL, k)
        for user, row in enumerate(lists(recs)):
            assert not set(row) & set(np.flatnonzero(dense[user]))


@every_model
@settings(max_examples=16)
@given(dense=plays)
def test_the_catalogue_is_never_cut(config: ModelConfig, dense: npt.NDArray[np.int32]) -> None:
    """A known user gets every item that is not in the history, however unpopular."""
    known = dense.any(axis=1)

    recs = fitted(config, dense).recommend(ALL, N_ITEMS + 3)

    for user in np.flatnonzero(known):
        assert set(lists(recs)[user]) == set(np.flatnonzero(dense[user] == 0))


@every_model
def test_the_same_seed_gives_the_same_bits(config: ModelConfig) -> None:
    dense = two_camps(N_USERS, N_ITEMS)

    once = fitted(config, dense).recommend(ALL, 4)
    again = fitted(config, dense).recommend(ALL, 4)

    assert bits(once) == bits(again)


@every_model
@pytest.mark.parametrize("shape", [(N_USERS, N_ITEMS), (9, 11)], ids=["same", "another catalogue"])
def test_a_second_fit_forgets_the_first(config: ModelConfig, shape: tuple[int, int]) -> None:
    second = cells_of(two_camps(N_USERS, N_ITEMS))
    model, expected = fitted(config, two_camps(*shape)[:, ::-1]), build(config, 1).fit(second)

    model.fit(second)

    history = cells_of(two_camps(N_USERS, N_ITEMS, of_other=1))
    assert answered(model, history) == answered(expected, history)


@every_model
@settings(max_examples=12)
@given(dense=plays, users=st.lists(st.integers(0, N_USERS - 1), unique=True))
def test_the_other_users_of_a_request_change_nothing(
    config: ModelConfig, dense: npt.NDArray[np.int32], users: list[int]
) -> None:
    some = np.array(users, dtype=np.int32)
    model, history = fitted(config, dense), cells_of(dense[::-1])

    for lists_of in (model.recommend, lambda users, k: model.fold_in(history, users, k)):
        whole, few = lists_of(ALL, 4), lists_of(some, 4)
        assert few.users.tolist() == users
        assert few.items.shape == (len(users), 4)
        np.testing.assert_allclose(few.scores, whole.scores[some], rtol=1e-5, atol=1e-6)


@every_model
def test_a_shorter_list_is_the_beginning_of_a_longer_one(config: ModelConfig) -> None:
    model = fitted(config, two_camps(N_USERS, N_ITEMS, of_other=1))
    full = model.recommend(ALL, N_ITEMS)

    for k in range(1, N_ITEMS):
        assert model.recommend(ALL, k).items.tolist() == full.items[:, :k].tolist()


def restored(model: Recommender, config: ModelConfig, cells: Interactions) -> Recommender:
    """The model that was fitted on these cells, restored from its arrays."""
    with tempfile.TemporaryDirectory() as folder:
        save_arrays(model.arrays(), Path(folder))
        return build(config, 1).restore(cells, StoredArrays(Path(folder)))


def answered(model: Recommender, history: Interactions) -> list[object]:
    """All answers of a model, about a history and to the users it was fitted on."""
    answers: list[object] = [
        bits(model.recommend(ALL, 4)),
        bits(model.fold_in(history, ALL, 4)),
    ]
    if isinstance(model, Scoring):
        answers += [model.score(history, user).tobytes() for user in ALL]
    if isinstance(model, Relating):
        answers += [part.tobytes() for item in range(N_ITEMS) for part in model.similar(item, 4)]
    if isinstance(model, Explaining):
        answers += [
            model.contributions(history, item % N_USERS, item).tobytes() for item in range(N_ITEMS)
        ]
    return answers


@every_model
@settings(max_examples=8)
@given(dense=plays)
def test_a_restored_model_answers_with_the_same_bits(
    config: ModelConfig, dense: npt.NDArray[np.int32]
) -> None:
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
        save_arrays(other.arrays(), Path(folder))
        model.restore(second, StoredArrays(Path(folder)))

    assert answered(model, first) == answered(other, first)
    assert answered(model.fit(first), second) == answered(one, second)


@every_model
@settings(max_examples=10)
@given(dense=plays, history=plays)
def test_contributions_add_up_to_the_score(
    config: ModelConfig, dense: npt.NDArray[np.int32], history: npt.NDArray[np.int32]
) -> None:
    model, cells = fitted(config, dense), cells_of(history)
    if not (isinstance(model, Explaining) and isinstance(model, Scoring)):
        pytest.skip("it explains no score")

    scores = model.score(cells, 0)

    for item in np.flatnonzero(np.isfinite(scores)).tolist():
        total = model.contributions(cells, 0, item).sum()
        assert total == pytest.approx(scores[item], rel=1e-3, abs=1e-3)


EXACT = (
    "random",
    "popularity-plays",
    "popularity-users",
    "item-knn",
    "rp3beta",
    "slim",
    "ease",
    "gf-cf",
    "turbo-cf",
    "puresvd",
    "sparse-ease",
    "pair-ease",
    "sasrec",
)


@of_models({name: CONFIGS[name] for name in EXACT})
@settings(max_examples=10)
@given(dense=plays)
def test_a_known_user_is_folded_in_exactly_as_recommended_to(
    config: ModelConfig, dense: npt.NDArray[np.int32]
) -> None:
    model = fitted(config, dense)

    assert bits(model.fold_in(cells_of(dense), ALL, 5)) == bits(model.recommend(ALL, 5))


NEED_HISTORY = (
    "als",
    "item-knn",
    "rp3beta",
    "slim",
    "ease",
    "gf-cf",
    "turbo-cf",
    "puresvd",
    "sparse-ease",
    "pair-ease",
    "mult-vae",
    "mult-vae-deep",
    "recvae",
    "sasrec",
)


@of_models({name: CONFIGS[name] for name in NEED_HISTORY})
def test_a_user_without_history_gets_no_list(config: ModelConfig) -> None:
    dense = two_camps(N_USERS, N_ITEMS)
    dense[2] = 0
    model = fitted(config, dense)

    for recs in (model.recommend(ALL, 4), model.fold_in(cells_of(dense), ALL, 4)):
        assert [bool(row) for row in lists(recs)] == [True, True, False, True, True]


CAMPS: Mapping[str, dict[str, Any]] = {
    "als": {"factors": 2, "iterations": 15, "regularization": 0.1},  # 2 is the true rank
    "item-knn": {},
    "user-knn": {"neighbours": 5},
    "rp3beta": {},
    "slim": {"l1": 0.01, "l2": 1.0},
    "ease": {"regularization": 1.0},
    "sparse-ease": {"regularization": 1.0},
    "pair-ease": {"regularization": 1.0, "pair_regularization": 10.0},
    "gf-cf": {"factors": 2},  # as of als
    "turbo-cf": {},
    "puresvd": {"factors": 2},  # likewise
    "fm": {"factors": 4, "iterations": 30, "learning_rate": 0.1, "dropout": 0.5},
    "bpr": {"factors": 4, "learning_rate": 0.1, "regularization": 0.02, "iterations": 100},
    "ncf": {"factors": 4, "iterations": 60, "learning_rate": 0.02},
    "mult-vae": {"factors": 2, "iterations": 150, "learning_rate": 0.02, "dropout": 0.3},
    "recvae": {"hidden": 8, "factors": 2, "iterations": 60, "learning_rate": 0.02, "dropout": 0.3},
}
"""Parameters with which the hidden item of the camp of a user is the only good answer."""
of_camps = of_models({kind: make_config(kind, values) for kind, values in CAMPS.items()})
WEIGHTINGS = ("linear", "log", "share", "bm25", "tfidf", "binary")


@of_camps
@pytest.mark.parametrize("seed", range(3))
def test_the_hidden_item_of_each_camp_comes_first(config: ModelConfig, seed: int) -> None:
    users = np.arange(12, dtype=np.int32)

    recs = fitted(config, two_camps(12, 12), seed).recommend(users, 1)

    assert recs.items[:, 0].tolist() == users.tolist()


@of_models(
    {
        f"{kind}-{weighting}": make_config(kind, {**CAMPS[kind], "weighting": weighting})
        for kind in CAMPS
        if issubclass(config_class(kind), WeightedConfig)
        and config_class(kind).library is None
        and kind != "fm"
        for weighting in WEIGHTINGS
    }
)
def test_the_hidden_item_comes_first_under_every_weighting(config: ModelConfig) -> None:
    test_the_hidden_item_of_each_camp_comes_first(config, 1)


@of_camps
@pytest.mark.parametrize("seed", range(3))
def test_a_new_user_is_folded_into_their_camp(config: ModelConfig, seed: int) -> None:
    model = fitted(config, two_camps(24, 12), seed)
    history = cells_of([[0, 0, 3, 0, 2, 0, 9, 0, 0, 0, 0, 0], [0, 5, 0, 5, 0, 5, 0, 0, 0, 0, 0, 0]])

    even, odd = lists(model.fold_in(history, np.array([0, 1], np.int32), 3))

    assert {*even} == {0, 8, 10}
    assert {*odd} == {7, 9, 11}


@of_models(
    {
        kind: CONFIGS[kind]
        for kind in ("als", "bpr", "fm", "ncf", "mult-vae", "recvae", "sasrec", "random")
    }
)
def test_another_seed_gives_another_model(config: ModelConfig) -> None:
    dense = two_camps(N_USERS, N_ITEMS)
    one, other = (fitted(config, dense, seed).recommend(ALL, 4) for seed in (1, 2))

    assert bits(one) != bits(other)


@of_models(
    {
        "item-knn": small("item-knn", weighting="linear", shrinkage=3.0),
        "slim": make_config("slim", {"weighting": "linear", "l1": 0.1, "l2": 2.0}),
        "ease": small("ease", weighting="linear", regularization=2.0),
        "sparse-ease": small("sparse-ease", weighting="linear", regularization=2.0),
        **{kind: small(kind, weighting="linear") for kind in ("gf-cf", "turbo-cf", "puresvd")},
    }
)
def test_the_scale_of_the_weights_changes_no_score(config: ModelConfig) -> None:
    dense = two_camps(N_USERS, N_ITEMS, of_other=2)

    one, thousand = (fitted(config, dense * scale).recommend(ALL, 4) for scale in (1, 1000))

    np.testing.assert_allclose(thousand.scores, one.scores * 1000, rtol=1e-3, atol=1e-1)


@of_models({**CONFIGS, "als-wide": small("als", factors=40, iterations=2)})
def test_a_matrix_of_one_cell_is_enough(config: ModelConfig) -> None:
    model = fitted(config, [[3, 0], [0, 0]])

    assert lists(model.recommend(np.array([0], np.int32), 5)) == [[1]]


@every_model
def test_a_user_of_the_whole_catalogue_gets_an_empty_list(config: ModelConfig) -> None:
    recs = fitted(config, np.ones((2, 3))).recommend(np.array([0, 1], np.int32), 2)

    assert lists(recs) == [[], []]


@every_model
def test_recommending_and_folding_in_change_neither_the_model_nor_the_cells(
    config: ModelConfig,
) -> None:
    cells, history = (cells_of(two_camps(N_USERS, N_ITEMS)[::step]) for step in (1, -1))
    columns = [column for of in (cells, history) for column in (of.rows, of.cols, of.plays)]
    before = [column.copy() for column in columns]
    model = build(config, 1).fit(cells)
    first = bits(model.recommend(ALL, 3))

    model.fold_in(history, ALL, 3)

    assert bits(model.recommend(ALL, 3)) == first
    for column, old in zip(columns, before, strict=True):
        np.testing.assert_array_equal(column, old)


@every_model
def test_similar_items_together_are_those_one_by_one(config: ModelConfig) -> None:
    dense = two_camps(N_USERS, N_ITEMS, of_other=1)
    dense[:, 3] = 0
    model = fitted(config, dense)
    if not isinstance(model, RelatingMany):
        pytest.skip("it relates items one by one, or not at all")
    assert isinstance(model, Relating)

    items, scores = model.similar_many(np.arange(N_ITEMS, dtype=np.int32), 3)

    for item in range(N_ITEMS):
        near, cosines = model.similar(item, 3)
        assert items[item, : len(near)].tolist() == near.tolist()
        np.testing.assert_allclose(scores[item, : len(near)], cosines, rtol=1e-5, atol=1e-7)
        assert (items[item, len(near) :] == NO_ITEM).all()


@every_model
def test_every_config_states_its_cost_and_its_profile_parameters(config: ModelConfig) -> None:
    assert config.cost(10, 20, 30) > 0
    assert set(type(config).profile_parameters) <= type(config).model_fields.keys()
    assert isinstance(config, WeightedConfig) == hasattr(config, "weighting")
    assert config_class(config.kind) is type(config)
