import numpy as np
import pytest

from recsys.data.interactions import Interactions
from recsys.evaluation.exchange import Exchange, exchange, random_fold
from recsys.models import make_config
from recsys.splitting.split import Fold, given_split
from tests.conftest import cells_of

POPULARITY = make_config("popularity-users", {})


def log(n_users: int = 400, n_items: int = 40, seed: int = 3) -> Interactions:
    """Listeners of 12 of 40 items, the first ones the most popular."""
    rng = np.random.default_rng(seed)
    weight = 1 / np.arange(1, n_items + 1)
    plays = np.zeros((n_users, n_items))
    for row in plays:
        row[rng.choice(n_items, 12, replace=False, p=weight / weight.sum())] = 1
    return cells_of(plays)


def compared(test: Interactions, rest: Interactions) -> Exchange:
    split = given_split(rest, test, 0.2, 5, seed=1)
    found = exchange(split.validation, split.test, POPULARITY, "ndcg@10", 5, 0, 200)
    assert found is not None
    return found


def test_a_test_side_that_was_cut_at_random_looks_so_though_it_is_larger_than_validation() -> None:
    cells = log()
    held_out = np.random.default_rng(5).random(len(cells)) < 0.4

    found = compared(cells.where(held_out), cells.where(~held_out))

    assert found.test.mean > found.validation.mean + 0.05, "the numbers alone would mislead"
    assert found.reasons == []
    assert found.sentence.startswith("the test side looks like a random cut: popularity ndcg@10 0.")


def test_a_test_side_of_rarer_items_differs_and_the_values_are_named() -> None:
    cells = log()
    rare = (cells.cols > 8) & (np.random.default_rng(5).random(len(cells)) < 0.4)

    found = compared(cells.where(rare), cells.where(~rare))

    assert found.reasons == ["ndcg@10"]
    assert found.test.high is not None
    assert found.random.low is not None
    assert found.test.high < found.random.low
    for value, side in (
        (found.validation, "on validation"),
        (found.test, "on test"),
        (found.random, "on a random cut of its size"),
    ):
        assert f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}] {side}" in found.sentence
    assert found.as_json()["sentence"] == found.sentence


def test_users_and_items_that_only_the_test_side_has_are_a_difference() -> None:
    cells = log()
    test = (cells.rows < 40) | (cells.cols == 30) | (cells.cols % 7 == 0) & (cells.rows % 2 == 0)

    found = compared(cells.where(test), cells.where(~test))

    assert "of its users are not in the log (0.0% in a random cut)" in found.sentence
    assert "of its pairs are of items that nobody in the log has" in found.sentence


def test_a_random_cut_has_the_size_of_the_test_side_and_its_pairs() -> None:
    cells = log()
    held_out = np.random.default_rng(5).random(len(cells)) < 0.25
    split = given_split(cells.where(~held_out), cells.where(held_out), 0.2, 5, seed=1)

    fold = random_fold(split.test, 5, 7)

    assert fold is not None
    assert fold.train.merged(fold.held_out).keys.tolist() == cells.keys.tolist()
    assert len(fold.held_out) == pytest.approx(held_out.sum(), rel=0.1)


def test_there_is_no_random_cut_where_each_user_has_one_item() -> None:
    cells = cells_of(np.eye(6))
    first = np.arange(6) < 3
    train, held_out = cells.where(first), cells.where(~first)
    fold = Fold(train, train, held_out)

    assert random_fold(fold, 5, 1) is None
