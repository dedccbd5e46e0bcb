"""New artists against the equations, solved densely in the test."""

import numpy as np
import pytest

from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.evaluation.new_items import OTHERS, Hidden, hide, judge_newcomers, welcomed
from recsys.models import build
from recsys.models.als import Als
from recsys.models.params import AlsConfig, PopularityConfig
from recsys.models.weighting import Weights
from recsys.serving.answers import Served, fold_in_history, known_user, similar
from tests.conftest import cells_of, two_camps

CONFIG = AlsConfig(factors=4, iterations=6, regularization=0.5, alpha=4.0)
WEIGHTINGS = ["linear", "log", "share", "bm25", "tfidf", "binary"]
NEW = 6


def listening(n_users: int = 60, n_items: int = 20, seed: int = 4) -> Interactions:
    rng = np.random.default_rng(seed)
    heard = rng.random((n_users, n_items)) < 0.5
    return cells_of(heard * rng.integers(1, 40, (n_users, n_items)))


def without(cells: Interactions, artist: int) -> Interactions:
    """The cells over a map without the artist."""
    hidden = Hidden(cells, cells, np.array([artist], np.int32), [np.zeros(0, np.int32)], 0)
    kept = np.ones(len(cells.items), dtype=np.bool_)
    kept[artist] = False
    rest = hidden.cells.where(kept[cells.cols])
    cols = (np.cumsum(kept) - 1).astype(np.int32)[rest.cols]
    return Interactions(cells.users, cells.items.where(kept), rest.rows, cols, rest.plays)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_new_artist_is_the_solution_for_its_listeners_weighed_in_their_whole_history(
    weighting: str,
) -> None:
    config = CONFIG.model_copy(update={"weighting": weighting})
    cells = listening()
    model = Als(config, 1).fit(without(cells, NEW))
    x = model.user_factors.astype(np.float64)
    f = Weights(config, cells)(cells).toarray()[:, NEW].astype(np.float64)
    c = np.where(f > 0, 1 + config.alpha * f, 1)
    p = (cells.matrix().toarray()[:, NEW] > 0).astype(np.float64)
    left = x.T @ np.diag(c) @ x + config.regularization * np.eye(x.shape[1])
    solved = np.linalg.solve(left, x.T @ np.diag(c) @ p)

    factors = model.fold_in_items(cells, np.array([NEW], dtype=np.int32))

    np.testing.assert_allclose(factors[0], solved, rtol=2e-3, atol=2e-4)


def test_cells_of_other_users_are_refused() -> None:
    model = Als(CONFIG, 1).fit(listening(n_users=9))

    with pytest.raises(ValueError, match="10 users, but the model was fitted on 9"):
        model.fold_in_items(listening(n_users=10), np.array([0], dtype=np.int32))


@pytest.fixture(scope="module")
def guest() -> tuple[Served, Served]:
    """Two camps trained without an artist of the even one, and the same with it folded in."""
    cells = cells_of(two_camps(40, 12))
    train = without(cells, NEW)
    served = Served(CONFIG, build(CONFIG, 1).fit(train), train)
    return served, welcomed(served, cells)


def test_a_new_artist_is_recommended_within_its_camp(guest: tuple[Served, Served]) -> None:
    _, served = guest

    (best,) = known_user(served, NEW, 1).items
    assert best.id == f"i{NEW:02}"
    shown = [each.id for each in fold_in_history(served, {0: 1.0, 2: 1.0, 4: 1.0}, 3).items]
    assert f"i{NEW:02}" in shown


def test_a_new_artist_has_similar_ones_and_is_similar_to_them(
    guest: tuple[Served, Served],
) -> None:
    _, served = guest

    assert {int(each.id[1:]) % 2 for each in similar(served, NEW, 5)} == {0}
    assert f"i{NEW:02}" in {each.id for each in similar(served, 0, 5)}


def test_what_was_known_stays_bit_for_bit(guest: tuple[Served, Served]) -> None:
    before, after = guest
    assert isinstance(before.model, Als)
    assert isinstance(after.model, Als)

    at = after.cells.items.find(before.cells.items.ids)
    np.testing.assert_array_equal(after.model.item_factors[at], before.model.item_factors)
    np.testing.assert_array_equal(after.model.user_factors, before.model.user_factors)


def test_an_artist_known_by_name_alone_is_new_too() -> None:
    cells = cells_of(two_camps(40, 12))
    train = cells.where(cells.cols != NEW)
    served = Served(CONFIG, build(CONFIG, 1).fit(train), train)
    assert f"i{NEW:02}" not in {each.id for each in similar(served, 0, 11)}

    assert f"i{NEW:02}" in {each.id for each in similar(welcomed(served, cells), 0, 5)}


def test_only_what_fits_the_model_is_taken_in(guest: tuple[Served, Served]) -> None:
    before, after = guest
    config = PopularityConfig(kind="popularity-plays")
    popular = Served(config, build(config, 1).fit(before.cells), before.cells)

    with pytest.raises(InputError, match="popularity-plays cannot take in new artists"):
        welcomed(popular, after.cells)
    with pytest.raises(ValueError, match="users of the cells are not those"):
        welcomed(before, cells_of(two_camps(41, 12)))
    with pytest.raises(ValueError, match="artist 'i06' of the model is not in the map"):
        welcomed(after, before.cells)


@pytest.fixture(scope="module")
def hidden() -> Hidden:
    return hide(listening(), 5, 10, seed=3)


def test_hidden_artists_are_nowhere_in_training(hidden: Hidden) -> None:
    names = hidden.train.items.ids.to_pylist()

    assert len(hidden.artists) == 5
    assert not {hidden.cells.items.id(artist) for artist in hidden.artists} & set(names)
    assert len(hidden.train) + sum(map(len, hidden.listeners)) == len(hidden.cells)
    assert hidden.train.users is hidden.cells.users


def test_known_listeners_are_the_first_and_the_asked_are_never_known(hidden: Hidden) -> None:
    for n in (1, 3, 10):
        known = hidden.known(n)
        for at, artist in enumerate(hidden.artists):
            theirs = set(known.rows[known.cols == artist].tolist())

            assert theirs == set(hidden.listeners[at][:n].tolist())
            assert not theirs & set(hidden.asked(at).tolist())
            assert len(hidden.asked(at)) >= OTHERS
        assert len(known) == len(hidden.train) + n * len(hidden.artists)


def test_the_same_seed_hides_the_same(hidden: Hidden) -> None:
    again, other = (hide(listening(), 5, 10, seed) for seed in (3, 4))

    assert again.artists.tolist() == hidden.artists.tolist()
    for one, two in zip(again.listeners, hidden.listeners, strict=True):
        assert one.tolist() == two.tolist()
    assert other.artists.tolist() != hidden.artists.tolist()


def test_too_few_listeners_are_refused() -> None:
    with pytest.raises(InputError, match="fewer than two artists have 70 listeners"):
        hide(listening(), 5, 60, seed=0)


def test_hit_rates_are_those_of_a_slow_count(hidden: Hidden) -> None:
    model = Als(CONFIG, 1).fit(hidden.train)
    played = hidden.train.matrix().toarray() > 0
    listeners = hidden.train.per_item()
    ks = (2, 5)
    everyone = sorted({int(u) for at in range(5) for u in hidden.asked(at)})
    for worth in judge_newcomers(hidden, model, (1, 10), ks):
        factors = model.fold_in_items(hidden.known(worth.known), hidden.artists)
        for k in ks:
            mine, theirs, popular = [], [], []
            for at in range(5):
                asked = set(hidden.asked(at).tolist())
                hits = {}
                for user in everyone:
                    rivals = model.item_factors[~played[user]] @ model.user_factors[user]
                    score = factors[at] @ model.user_factors[user]
                    hits[user] = int((rivals >= score).sum()) < k
                mine.append(np.mean([hits[user] for user in asked]))
                others = set(everyone) - set(hidden.listeners[at].tolist())
                theirs.append(np.mean([hits[user] for user in others]))
                counts = [(listeners[~played[u]] >= worth.known).sum() < k for u in asked]
                popular.append(np.mean(counts))

            assert worth.hit_rate["als"][k] == pytest.approx(np.mean(mine))
            assert worth.elsewhere["als"][k] == pytest.approx(np.mean(theirs))
            assert worth.hit_rate["popularity"][k] == pytest.approx(np.mean(popular))
        assert worth.asked == sum(len(hidden.asked(at)) for at in range(5))


def test_more_listeners_than_were_set_aside_cannot_be_known(hidden: Hidden) -> None:
    with pytest.raises(ValueError, match="11 known listeners, but 10"):
        judge_newcomers(hidden, Als(CONFIG, 1).fit(hidden.train), (1, 11))


def test_who_is_as_popular_as_the_last_that_is_shown_is_not_shown() -> None:
    dense = np.zeros((40, 8))
    for item in range(6):
        dense[(5 * item + np.arange(12)) % 40, item] = 1
    dense[:30, 6:] = 1
    hidden = hide(cells_of(dense), 1, 12, seed=0)
    model = Als(CONFIG, 1).fit(hidden.train)

    fewer, as_many = judge_newcomers(hidden, model, (11, 12), (1,))

    assert fewer.hit_rate["popularity"][1] == as_many.hit_rate["popularity"][1] == 0
