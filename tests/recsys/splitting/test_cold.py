"""Users without plays and items with few users, held out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.interactions import Interactions
from recsys.splitting.cold import cold_item_split, cold_user_split
from recsys.splitting.split import Fold
from tests.conftest import cells_of


def cells(seed: int = 0, share: float = 0.4) -> Interactions:
    rng = np.random.default_rng(seed)
    return cells_of((rng.random((30, 20)) < share) * rng.integers(1, 9, (30, 20)))


def users_of(side: Interactions) -> set[int]:
    return set(side.rows.tolist())


@given(seed=st.integers(0, 50))
def test_of_cold_users_nothing_is_known_and_all_is_held_out(seed: int) -> None:
    data = cells(seed)
    split = cold_user_split(data, (0.2, 0.1), seed)
    sizes = data.per_user()

    for fold, n in ((split.validation, 6), (split.test, 3)):
        assert len(fold.judged) == n
        assert fold.folds_in
        assert not len(fold.history)
        assert not users_of(fold.train) & {*fold.judged.tolist()}
        assert (fold.held_out.per_user()[fold.judged] == sizes[fold.judged]).all()
    assert users_of(split.test.train) == users_of(data) - {*split.test.judged.tolist()}
    assert {*split.validation.judged.tolist()} <= users_of(split.test.train)


@pytest.mark.parametrize("known", [0, 1, 3, 10])
@given(seed=st.integers(0, 20))
def test_of_cold_items_so_many_users_are_known(known: int, seed: int) -> None:
    data = cells(seed, share=0.6)  # 18 users an item
    split = cold_item_split(data, (0.2, 0.2), known, (seed, seed + 1))
    sizes = data.per_item()

    for fold in (split.validation, split.test):
        items = np.unique(fold.held_out.cols)
        assert len(items) <= 4
        assert (fold.train.per_item()[items] == np.minimum(known, sizes[items])).all()
        assert users_of(fold.held_out) <= users_of(fold.train)
        assert not fold.folds_in
    assert not {*split.validation.held_out.cols.tolist()} & {*split.test.held_out.cols.tolist()}
    of = {*split.validation.held_out.keys.tolist(), *split.validation.train.keys.tolist()}
    left_out = split.test.train.where(~np.isin(split.test.train.keys, list(of)))
    assert not users_of(left_out) & users_of(split.validation.train)


def test_the_known_users_are_drawn_anew_with_another_seed() -> None:
    one, other = (cold_item_split(cells(), (0.2, 0.2), 3, (1, seed)) for seed in (1, 2))

    assert (
        np.unique(one.test.held_out.cols).tolist() == np.unique(other.test.held_out.cols).tolist()
    )
    assert one.fingerprint != other.fingerprint


def test_a_fold_in_which_some_users_have_a_history_and_others_none_cannot_be_built() -> None:
    data = cells()
    half = data.where(data.rows < 15)
    judged = data.where(data.rows >= 15)
    some = judged.where((judged.rows < 20) & (judged.cols < 10))
    with pytest.raises(ValueError, match="has items held out but no history"):
        Fold(half, some, judged.where(~np.isin(judged.keys, some.keys)))


def test_a_user_of_the_training_is_not_cold() -> None:
    data = cells()
    nothing = data.where(np.zeros(len(data), np.bool_))
    train, held_out = data.where(data.cols < 10), data.where(data.cols >= 10)
    with pytest.raises(ValueError, match="is folded in and trained"):
        Fold(train, nothing, held_out)
