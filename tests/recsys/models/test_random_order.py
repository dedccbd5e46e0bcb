"""Orders that depend on nothing but the ids."""

import numpy as np

from recsys.models import baselines
from recsys.models.random_order import Random
from tests.conftest import cells_of, lists

DENSE = np.eye(6, 9)
ALL = np.arange(6, dtype=np.int32)


def test_the_list_of_a_user_is_the_same_in_any_order_of_users() -> None:
    model = Random(1).fit(cells_of(DENSE))

    forward, back = model.recommend(ALL, 5), model.recommend(ALL[::-1], 5)

    assert lists(back) == lists(forward)[::-1]
    assert back.scores.tobytes() == forward.scores[::-1].tobytes()
    assert len({tuple(row) for row in lists(forward)}) == len(ALL)


def test_another_item_moves_no_others() -> None:
    wide = np.hstack([DENSE, np.zeros((6, 1))])
    few, more = (Random(1).fit(cells_of(each)).recommend(ALL, 10) for each in (DENSE, wide))

    assert [[item for item in row if item != 9] for row in lists(more)] == lists(few)


def test_every_item_is_shown_about_as_often() -> None:
    """Of 4,000 users each of 10 items comes first 400 times, within 5 deviations of 19."""
    users = np.arange(4_000, dtype=np.int32)

    recs = Random(1).fit(cells_of(np.zeros((4_000, 10)))).recommend(users, 1)

    shown = np.bincount(recs.items[:, 0], minlength=10)
    assert np.abs(shown - 400).max() < 95


def test_no_experiment_judges_it_unless_it_is_named() -> None:
    assert baselines() == ["popularity-plays", "popularity-users"]
