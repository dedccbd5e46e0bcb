import tracemalloc
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.models.popularity import Popularity, PopularityConfig
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
    config = PopularityConfig(kind=kind, within=within)
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
