import numpy as np
import pytest

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.models.recommender import NO_ITEM, Recommendations
from recsys.report import fold_tables
from recsys.report.tables import People, Ranks
from recsys.sources.layout import Nouns
from recsys.splitting.split import Fold
from tests.conftest import cells_of

USERS, ITEMS = IdMap.of(["ann", "bob", "cy"]), IdMap.of(list("abcdefghij"))


def cells(*triples: tuple[int, int, float]) -> Interactions:
    rows, cols, plays = zip(*sorted(triples), strict=True)
    return Interactions(
        USERS,
        ITEMS,
        np.array(rows, np.int32),
        np.array(cols, np.int32),
        np.array(plays, np.float64),
    )


@pytest.fixture
def fold() -> Fold:
    train = cells((0, 0, 5), (0, 1, 9), (1, 0, 2), (1, 2, 1), (2, 0, 4))
    return Fold(train, train, cells((0, 3, 1), (2, 1, 7)))


def lists(*rows: tuple[int, list[int]]) -> Recommendations:
    items = np.array([row for _, row in rows], np.int32)
    scores = np.where(items == NO_ITEM, np.nan, 1.0).astype(np.float32)
    return Recommendations(np.array([user for user, _ in rows], np.int32), items, scores)


def test_a_list_shows_the_history_most_played_first_and_marks_hits(fold: Fold) -> None:
    found = fold_tables.people(fold, {"als": lists((0, [3, 2]), (2, [4, NO_ITEM]))}, seed=0)

    users = {each.user: each for each in found.users}
    ann, cy = users["ann"], users["cy"]
    assert users.keys() == {"ann", "cy"}
    assert named(found, ann.history) == ["b", "a"]
    assert ann.history.scores == [9.0, 5.0]
    assert (named(found, ann.lists[0]), ann.lists[0].hits) == (["d", "c"], [0])
    assert (named(found, cy.lists[0]), cy.lists[0].hits) == (["e"], [])
    assert (found.shown, found.judged, ann.n_history, ann.n_held_out) == (2, 2, 2, 1)


def named(of: People, ranks: Ranks) -> list[str]:
    return [of.names[item] for item in ranks.items]


def test_no_more_users_are_held_than_a_small_page_has_room_for(
    fold: Fold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_tables, "MOST", 1)

    found = fold_tables.people(fold, {"als": lists((0, [3]), (2, [4]))}, seed=0)

    assert (len(found.users), found.judged) == (1, 2)


def test_exposure_is_shared_out_from_the_best_known_tenth_to_the_least(fold: Fold) -> None:
    only_first = np.zeros(10, np.int64)
    only_first[0] = 8  # item a, with most users

    found = fold_tables.exposure(fold, {"popularity": only_first})

    assert found["popularity"] == (1.0, *[0.0] * 9)
    assert found["plays"][:4] == (0.6, 0.2, 0.2, 0.0)


def test_items_with_alike_factors_lie_together(fold: Fold) -> None:
    factors = np.zeros((10, 3), np.float32)
    factors[:5, 0], factors[5:, 0] = 1.0, -1.0
    factors[:, 1] = 0.01 * np.arange(10)

    mapped, explained = fold_tables.factor_map(factors, fold.train)

    sides = {each.name: each.x > 0 for each in mapped}
    assert {name for name, right in sides.items() if right} == set("abcde")
    assert mapped[0].name == "a"
    assert explained == pytest.approx(1.0)


def test_items_with_the_same_users_lie_together_however_well_known_they_are() -> None:
    plays = np.zeros((30, 6))
    plays[:20, :3] = 1 + np.arange(60).reshape(20, 3) % 7
    plays[20:, 3:] = 900.0
    plays[19, 3] = 1.0  # one user of both
    train = cells_of(plays)

    mapped, explained = fold_tables.factor_map(fold_tables.shared_vectors(train), train)

    sides = {each.name: each.x > 0 for each in mapped}
    assert len({sides[f"i0{n}"] for n in (0, 1, 2)}) == 1
    assert len({sides[f"i0{n}"] for n in (3, 4, 5)}) == 1
    assert sides["i00"] != sides["i03"]
    assert explained > 0.8


def test_vectors_by_users_are_those_of_a_singular_value_decomposition() -> None:
    plays = np.random.default_rng(3).integers(0, 5, (12, 7)) + np.eye(12, 7)
    weights = np.log1p(plays)
    weights /= np.linalg.norm(weights, axis=0)

    found = fold_tables.shared_vectors(cells_of(plays))

    np.testing.assert_allclose(found @ found.T, weights.T @ weights, atol=1e-12)
    sizes = np.linalg.svd(weights, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), sizes, atol=1e-9)


def test_factors_that_do_not_span_a_plane_have_no_map(fold: Fold) -> None:
    assert fold_tables.factor_map(np.ones((10, 4), np.float32), fold.train) == ([], 0.0)
    assert fold_tables.factor_map(np.ones((10, 1), np.float32), fold.train) == ([], 0.0)


def test_histograms_count_what_is_trained_and_judged_on(fold: Fold) -> None:
    plays, per_user, per_item = fold_tables.histograms(fold, Nouns())

    assert (plays.title, sum(plays.counts)) == ("Plays per pair", 7)
    assert (per_user.title, sum(per_user.counts), per_user.median) == ("Items per user", 3, 2.0)
    assert (per_item.title, per_item.high) == ("Users per item", 3.0)


def test_without_profiles_there_are_no_groups_of_users(fold: Fold) -> None:
    assert fold_tables.profile_counts(fold) == {}
