import dataclasses
import tracemalloc
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.models.popularity import Popularity, PopularityConfig
from recsys.models.weighting import DAY
from tests.conftest import cells_of, lists, plays_of, profiles_of

N_USERS, N_ITEMS = 6, 7
ALL = np.arange(N_USERS, dtype=np.int32)
plays = plays_of(N_USERS, N_ITEMS)
PLAYS, USERS = "popularity-plays", "popularity-users"
both_kinds = pytest.mark.parametrize("kind", [PLAYS, USERS])


def counted_by(kind: str, dense: npt.ArrayLike) -> Popularity:
    return Popularity(PopularityConfig(kind=kind)).fit(cells_of(dense))


def popular(counts: npt.NDArray[np.float64], seen: npt.NDArray[np.bool_], k: int) -> list[int]:
    """Slow reference: highest count first, of equals the lower item number, none seen."""
    order = sorted(range(len(counts)), key=lambda item: (-counts[item], item))
    return [item for item in order if not seen[item]][:k]


@both_kinds
@given(dense=plays, history=plays, k=st.integers(1, N_ITEMS + 2))
def test_items_are_ranked_by_their_count_and_ties_by_number(
    kind: str, dense: npt.NDArray[np.int32], history: npt.NDArray[np.int32], k: int
) -> None:
    counted = dense if kind == PLAYS else dense > 0
    counts = counted.sum(axis=0).astype(float)
    model = counted_by(kind, dense)

    recs, folded = model.recommend(ALL, k), model.fold_in(cells_of(history), ALL, k)

    assert model.scores.tolist() == counts.tolist()
    for user in ALL:
        assert lists(recs)[user] == popular(counts, dense[user] > 0, k)
        assert lists(folded)[user] == popular(counts, history[user] > 0, k)
        shown = lists(recs)[user]
        assert recs.scores[user, : len(shown)].tolist() == counts[shown].tolist()


def test_a_user_of_nearly_the_whole_catalogue_costs_no_memory_for_the_others() -> None:
    """3,000 lists beside one user of 19,995 of 20,000 items: 60 MB as a table of booleans."""
    n_users, n_items, k = 3_000, 20_000, 10
    rng = np.random.default_rng(3)
    known = {0: np.setdiff1d(np.arange(n_items), rng.choice(n_items, 5, replace=False))}
    known |= {user: np.sort(rng.choice(60, 20, replace=False)) for user in range(1, n_users)}
    rows = np.repeat(np.arange(n_users, dtype=np.int32), [len(known[u]) for u in range(n_users)])
    cols = np.concatenate([known[user] for user in range(n_users)]).astype(np.int32)
    maps = (
        IdMap.of(f"{name}{n:05}" for n in range(n)) for name, n in (("u", n_users), ("i", n_items))
    )
    users = np.arange(n_users, dtype=np.int32)
    model = Popularity(PopularityConfig(kind=USERS)).fit(
        Interactions(*maps, rows, cols, np.ones(len(rows)))
    )

    tracemalloc.start()
    recs = model.recommend(users, k)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 20e6
    order = np.argsort(-np.bincount(cols, minlength=n_items), kind="stable")
    for user in range(0, n_users, 50):
        assert lists(recs)[user] == order[~np.isin(order, known[user])][:k].tolist()


def model(
    within: str,
    dense: npt.ArrayLike,
    countries: list[str | None],
    ages: Sequence[float] = (),
    kind: str = "popularity-users",
) -> Popularity:
    cells = cells_of(dense)
    config = PopularityConfig(kind=kind, within=within, shrinkage=0)
    return Popularity(config, profiles_of(cells.users, countries, ages)).fit(cells)


@both_kinds
@given(
    dense=plays,
    countries=st.lists(
        st.sampled_from(["Chile", "Peru", None]), min_size=N_USERS, max_size=N_USERS
    ),
    k=st.integers(1, N_ITEMS + 2),
)
def test_a_country_is_ranked_by_its_own_count_then_by_the_count_of_all(
    kind: str, dense: npt.NDArray[np.int32], countries: list[str | None], k: int
) -> None:
    counted = dense if kind == "popularity-plays" else (dense > 0).astype(int)

    recs = model("country", dense, countries, kind=kind).recommend(ALL, k)

    of_all = counted.sum(axis=0).tolist()
    for user, country in enumerate(countries):
        same = [country is not None and other == country for other in countries]
        theirs = counted[same].sum(axis=0).tolist()
        if not any(theirs):
            theirs = of_all
        order = sorted(range(N_ITEMS), key=lambda item: (-theirs[item], -of_all[item], item))
        expected = [item for item in order if not dense[user, item]][:k]
        assert lists(recs)[user] == expected
        scores = [theirs[item] for item in expected]
        assert recs.scores[user, : len(expected)].tolist() == scores


LOCAL = [[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]
WHERE = ["Peru", "Peru", "Chile", "Chile", None]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(0, 17, True), (17, 18, False), (18, 24, True), (24, 25, False), (34, 35, False),
     (35, 44, True), (44, 45, False), (54, 55, False), (55, 100, True)],
)  # fmt: skip
def test_age_bands_end_at_their_ages(one: float, other: float, same: bool) -> None:
    """The first has no history; the second plays item 1, which is less popular than 0."""
    dense = [[0, 0], [0, 1], [1, 0], [1, 0]]
    nowhere: list[str | None] = [None] * 4

    recs = model("age", dense, nowhere, [one, other, np.nan, np.nan]).recommend(
        np.array([0], np.int32), 1
    )

    assert recs.items.tolist() == [[1 if same else 0]]


def test_a_new_user_gets_the_popular_items_of_their_country() -> None:
    fitted = model("country", LOCAL, WHERE)
    history = cells_of(np.zeros((3, 3)))
    theirs = profiles_of(history.users, ["Chile", "Peru", "Atlantis"])

    recs = fitted.fold_in(history, np.arange(3, dtype=np.int32), 1, theirs)
    unknown = fitted.fold_in(history, np.arange(3, dtype=np.int32), 1)

    assert recs.items.tolist() == [[0], [1], [0]]
    assert unknown.items.tolist() == [[0], [0], [0]]


@pytest.mark.parametrize("within", ["country", "age"])
def test_without_profiles_the_error_names_the_option(within: str) -> None:
    with pytest.raises(InputError, match="pass --profiles FILE"):
        Popularity(PopularityConfig(kind="popularity-plays", within=within))


def test_a_user_of_the_training_is_folded_in_with_their_country() -> None:
    cells, users = cells_of(LOCAL), np.arange(5, dtype=np.int32)
    config = PopularityConfig(kind="popularity-users", within="country")
    fitted = Popularity(config, profiles_of(cells.users, WHERE)).fit(cells)

    assert lists(fitted.fold_in(cells, users, 2)) == lists(fitted.recommend(users, 2))


FIELDS = ("country", "gender", "age")
VALUES = {
    "country": ("Chile", "Peru", None),
    "gender": ("f", "m", None),
    "age": (20.0, 60.0, np.nan),
}


def known_of(profile: tuple[object, ...]) -> dict[str, object]:
    """The fields that a user has; an age of NaN is none."""
    return {f: v for f, v in zip(FIELDS, profile, strict=True) if v is not None and v == v}


@pytest.mark.parametrize("within", ["gender", "country+gender", "age+country+gender"])
@settings(max_examples=25)
@given(
    dense=plays,
    who=st.lists(
        st.tuples(*(st.sampled_from(VALUES[field]) for field in FIELDS)),
        min_size=N_USERS,
        max_size=N_USERS,
    ),
    shrinkage=st.sampled_from([0.0, 0.5, 10.0]),
)
def test_a_group_has_all_that_is_known_and_is_shrunk_towards_all(
    within: str, dense: npt.NDArray[np.int32], who: list[tuple[object, ...]], shrinkage: float
) -> None:
    """Slow reference: the users that agree in every field of `within` that the user has."""
    cells = cells_of(dense)
    profiles = profiles_of(cells.users, *([each[n] for each in who] for n in (0, 2, 1)))
    config = PopularityConfig(kind=USERS, within=within, shrinkage=shrinkage)

    recs = Popularity(config, profiles).fit(cells).recommend(ALL, N_ITEMS)

    counted = (dense > 0).astype(float)
    of_all = counted.sum(axis=0)
    for user in ALL:
        mine = {f: v for f, v in known_of(who[user]).items() if f in within.split("+")}
        same = [bool(mine) and mine.items() <= known_of(other).items() for other in who]
        theirs = counted[same].sum(axis=0)
        scores = of_all
        if theirs.any():
            scores = theirs + shrinkage * of_all / (dense > 0).any(axis=1).sum()
        shown = lists(recs)[user]
        assert set(shown) == set(np.flatnonzero(dense[user] == 0))
        np.testing.assert_allclose(recs.scores[user, : len(shown)], scores[shown], rtol=1e-6)


def test_those_who_signed_up_in_one_year_are_a_group() -> None:
    cells = cells_of([[0, 0], [0, 1], [1, 0], [1, 0]])
    days = np.array(["2009-01-01", "2009-12-31", "2010-01-01"], "datetime64[s]").astype(np.int64)
    profiles = dataclasses.replace(profiles_of(cells.users), signup=np.append(days, -1))
    config = PopularityConfig(kind=USERS, within="signup", shrinkage=0)

    recs = Popularity(config, profiles).fit(cells).recommend(ALL[:4], 1)

    assert recs.items[0].tolist() == [1]
    assert recs.items[1].tolist() == [0]


@both_kinds
@pytest.mark.parametrize("within", ["all", "country"])
def test_what_is_old_counts_half_after_each_half_life(kind: str, within: str) -> None:
    """Of item 0 are 8 plays of one user, 20 days before the last one, of which 2 count."""
    cells = cells_of([[8, 0], [0, 3]])
    timed = dataclasses.replace(cells, first=np.array([0, 20]) * DAY, last=np.array([0, 20]) * DAY)
    config = PopularityConfig(kind=kind, within=within, half_life=10, shrinkage=0)
    profiles = profiles_of(cells.users, ["Peru", "Peru"])

    recs = Popularity(config, profiles).fit(timed).recommend(ALL[:2], 1)

    one_user = [0.25, 1.0]
    assert recs.items.tolist() == [[1], [0]]
    assert recs.scores.ravel().tolist() == ([3.0, 2.0] if kind == PLAYS else one_user[::-1])


def test_a_half_life_needs_times() -> None:
    with pytest.raises(InputError, match="half_life needs plays with times"):
        Popularity(PopularityConfig(kind=USERS, half_life=9)).fit(cells_of([[1]]))


@pytest.mark.parametrize("within", ["", "city", "all+country", "age+age", "country,age"])
def test_groups_by_what_is_no_column_are_refused_with_those_there_are(within: str) -> None:
    with pytest.raises(ValueError, match="use all, or some of country, gender, age, signup joined"):
        PopularityConfig(kind=USERS, within=within)
