from pathlib import Path

import numpy as np
import pytest

from recsys.data.interactions import Interactions
from recsys.splitting.split import Fold, last_split, random_split
from recsys.splitting.store import load_fold, save_fold
from recsys.splitting.users import user_split
from tests.conftest import cells_of, events_of, triples, two_camps
from tests.recsys.data.test_store import assert_same_ids, put_pickle


def assert_same_cells(one: Interactions, other: Interactions) -> None:
    assert triples(one) == triples(other)
    for mine, theirs in ((one.first, other.first), (one.last, other.last)):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            np.testing.assert_array_equal(mine, theirs)
    assert [a.dtype for a in (one.rows, one.cols, one.plays)] == [
        a.dtype for a in (other.rows, other.cols, other.plays)
    ]


def folds() -> dict[str, Fold]:
    cells = cells_of(two_camps(12, 14))
    log = [(u, i, 1 + i, u + i + again) for u in range(6) for i in range(7) for again in (0, 50)]
    timed = events_of(log).cells()  # each pair is played twice: first and last differ
    return {
        "random": random_split(cells, 0.2, 5, (1, 2)).test,
        "timed": last_split(timed, 2).validation,
        "users": user_split(cells, (0.2, 0.2), 0.8, (1, 2)).test,
    }


@pytest.mark.parametrize("kind", ["random", "timed", "users"])
def test_a_loaded_fold_equals_the_saved_one(tmp_path: Path, kind: str) -> None:
    fold = folds()[kind]

    save_fold(fold, tmp_path)
    back = load_fold(tmp_path)

    assert back.folds_in == fold.folds_in == (kind == "users")
    assert (back.history is back.train) == (kind != "users")
    assert_same_ids(back.train.users, fold.train.users)
    assert_same_ids(back.train.items, fold.train.items)
    for part in ("train", "history", "held_out"):
        assert_same_cells(getattr(back, part), getattr(fold, part))
    assert back.judged.tolist() == fold.judged.tolist()


def test_a_stored_fold_that_leaks_is_refused(tmp_path: Path) -> None:
    save_fold(folds()["random"], tmp_path)
    (tmp_path / "held_out.npz").write_bytes((tmp_path / "train.npz").read_bytes())

    with pytest.raises(ValueError, match="both in train and in held out"):
        load_fold(tmp_path)


def test_a_pickle_in_a_fold_is_refused(tmp_path: Path) -> None:
    save_fold(folds()["random"], tmp_path)
    put_pickle(tmp_path / "train.npz")

    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_fold(tmp_path)
