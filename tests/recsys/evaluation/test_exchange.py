import numpy as np
import pytest

from recsys.data.interactions import Interactions
from recsys.evaluation.exchange import Exchange, exchange, sides_alike, unevenness
from recsys.models import make_config
from recsys.splitting.split import Fold, given_split, redrawn
from recsys.splitting.users import user_split
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
    return exchange(split.validation, split.test, POPULARITY, "ndcg@10", 0, 200)


def test_a_test_side_that_was_cut_at_random_looks_so_though_it_is_larger_than_validation() -> None:
    cells = log()
    held_out = np.random.default_rng(5).random(len(cells)) < 0.4

    found = compared(cells.where(held_out), cells.where(~held_out))

    assert found.test.mean > found.validation.mean + 0.05, "the numbers alone would mislead"
    assert found.reasons == []
    assert found.sentence.startswith(
        "the test side looks like a random cut of its sizes, but differs from validation: "
        "popularity ndcg@10 0."
    )


def test_a_random_side_of_the_size_of_validation_looks_like_it() -> None:
    cells = log()
    held_out = np.random.default_rng(5).random(len(cells)) < 0.14

    found = compared(cells.where(held_out), cells.where(~held_out))

    assert found.sentence.startswith("the test side looks like a random cut of its sizes: popul")


def test_users_who_give_up_unequal_shares_are_a_difference() -> None:
    """As in the first fifth of MovieLens 100K: half of the users give up 40 %."""
    cells = log()
    half = (cells.rows < 200) & (np.random.default_rng(5).random(len(cells)) < 0.4)

    found = compared(cells.where(half), cells.where(~half))

    assert found.unevenness > 3
    assert "differs from a random cut" in found.sentence
    assert found.sentence.endswith("times a random variance)")


@pytest.mark.parametrize("each", [1, 4])
def test_equal_shares_are_even_and_drawn_ones_have_the_variance_of_draws(each: int) -> None:
    cells = log()
    equal = np.isin(cells.cols, []) | (np.arange(len(cells)) % 12 < each)
    drawn = np.random.default_rng(each).random(len(cells)) < each / 12
    folds = [Fold(t := cells.where(~mask), t, cells.where(mask)) for mask in (equal, drawn)]

    assert unevenness(folds[0]) == 0
    assert unevenness(folds[1]) == pytest.approx(1, abs=0.15)


def test_a_test_side_of_rarer_items_differs_and_the_values_are_named() -> None:
    cells = log()
    rare = (cells.cols > 8) & (np.random.default_rng(5).random(len(cells)) < 0.4)

    found = compared(cells.where(rare), cells.where(~rare))

    assert found.reasons[0] == "ndcg@10"
    assert found.test.high is not None
    assert found.random.low is not None
    assert found.test.high < found.random.low
    for value, side in (
        (found.validation, "on validation"),
        (found.test, "on test"),
        (found.random, "on a random cut of its sizes"),
    ):
        assert f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}] {side}" in found.sentence
    assert found.as_json()["sentence"] == found.sentence


def test_users_and_items_that_only_the_test_side_has_are_a_difference() -> None:
    cells = log()
    test = (cells.rows < 40) | (cells.cols == 30) | (cells.cols % 7 == 0) & (cells.rows % 2 == 0)

    found = compared(cells.where(test), cells.where(~test))

    assert "% of its users are not in the log" in found.sentence
    assert "of its pairs are of items that nobody in the log has" in found.sentence


def test_a_random_cut_has_the_sizes_of_each_user_and_all_pairs() -> None:
    cells = log()
    held_out = np.random.default_rng(5).random(len(cells)) < 0.25
    split = given_split(cells.where(~held_out), cells.where(held_out), 0.2, 5, seed=1)

    fold = redrawn(split.test, 7)

    assert fold.train.merged(fold.held_out).keys.tolist() == cells.keys.tolist()
    assert fold.held_out.per_user().tolist() == split.test.held_out.per_user().tolist()
    assert fold.held_out.keys.tolist() != split.test.held_out.keys.tolist()


def test_users_held_out_at_random_look_exchangeable() -> None:
    split = user_split(log(), (100, 100), 0.8, (1, 2), 5, True, False)

    found = sides_alike(split.validation, split.test, POPULARITY, "ndcg@10", 0, 200)

    assert not found.differs
    assert found.activity == (10, 10), "of 12 items 2 are held out"
    assert found.sentence.startswith("validation and test look exchangeable: popularity ndcg@10 0.")


def test_users_of_the_test_who_play_other_items_are_a_difference() -> None:
    split = user_split(log(), (100, 100), 0.8, (1, 2), 5, True, False)
    test = split.test
    rare = test.held_out.where(test.train.per_item()[test.held_out.cols] < 80)
    other = Fold(test.train, test.history, rare)

    found = sides_alike(split.validation, other, POPULARITY, "ndcg@10", 0, 200)

    assert found.differs
    assert found.difference.mean < 0
    assert found.sentence.startswith("validation and test differ: popularity ndcg@10 0.")
    assert found.as_json()["differs"] is True
