from dataclasses import replace

import numpy as np

from recsys.data.ids import strings
from recsys.evaluation.sample_user import sample_user, shown_to
from recsys.models import build
from recsys.models.als import AlsConfig
from recsys.models.popularity import PopularityConfig
from recsys.splitting.split import Fold, random_split
from recsys.splitting.users import user_split
from tests.conftest import cells_of, two_camps

POPULAR = PopularityConfig(kind="popularity-users")


def fold() -> Fold:
    """u00 plays B, C and D, A and E are held out; A is the most popular, then F.

    F is held out of u03, so that it is no hit for u00.
    """
    plays = cells_of(
        [[9, 1, 5, 3, 8, 0], [1, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1], [1, 1, 0, 0, 0, 1]]
    )
    plays = replace(plays, items=plays.items.named(strings("ABCDEF")))
    hidden = np.isin(plays.keys, [0, 4, 3 * 6 + 5])
    train = plays.where(~hidden)
    return Fold(train, train, plays.where(hidden))


def test_a_sample_user_has_names_with_only_their_own_hits_marked() -> None:
    model = build(POPULAR, 1).fit(fold().train)

    shown = shown_to(model, fold(), user=0, k=3)

    assert shown.user == "u00"
    assert shown.history == [("C", 5), ("D", 3), ("B", 1)]
    assert shown.held_out == [("A", 9), ("E", 8)]
    assert shown.recommended == [("A", True), ("F", False), ("E", True)]


def test_only_the_most_played_are_shown_and_a_short_list_stays_short() -> None:
    model = build(POPULAR, 1).fit(fold().train)

    assert shown_to(model, fold(), user=0, k=1).history == [("C", 5)]
    assert shown_to(model, fold(), user=0, k=1).held_out == [("A", 9)]
    assert len(shown_to(model, fold(), user=0, k=50).recommended) == 3


def test_a_new_user_is_shown_with_the_history() -> None:
    data = cells_of(two_camps(12, 12, of_other=1))
    held = user_split(data, (0.2, 0.2), 0.8, (1, 2)).test
    model = build(AlsConfig(factors=2, iterations=5), 1).fit(held.train)
    user = sample_user(held, seed=0)

    shown = shown_to(model, held, user, k=4)

    assert len(shown.recommended) == 4
    known = {name for name, _ in shown.history}
    assert not known & {name for name, _ in shown.recommended}
    assert len(held.history.where(held.history.rows == user)) >= len(known) > 0


def test_the_sample_user_is_a_seeded_draw_from_the_judged_users() -> None:
    data = cells_of(two_camps(40, 12))
    data = data.where((data.rows % 3 != 0) | (data.cols < 4))  # every third has too few
    held = random_split(data, 0.2, 5, (1, 2)).test
    drawn = {sample_user(held, seed) for seed in range(30)}

    assert sample_user(held, 7) == sample_user(held, 7)
    assert len(drawn) > 5
    assert drawn <= set(held.judged.tolist())
    assert set(held.judged.tolist()) < set(range(40))
