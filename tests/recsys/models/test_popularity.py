import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsys.data.ids import IdMap
from recsys.data.profiles import Profiles
from recsys.errors import InputError
from recsys.models.popularity import Popularity, PopularityConfig
from recsys.models.recommender import NO_ITEM
from tests.conftest import cells_of

N_USERS, N_ITEMS = 6, 7
EVERYBODY = np.arange(N_USERS, dtype=np.int32)
plays = arrays(np.int32, (N_USERS, N_ITEMS), elements=st.integers(-4, 9)).map(
    lambda dense: np.maximum(dense, 0)
)


def profiles_of(
    users: IdMap, countries: list[str | None], ages: list[float] | None = None
) -> Profiles:
    n = len(users)
    return Profiles(
        users,
        pa.nulls(n, pa.string()),
        np.array(ages or [np.nan] * n, np.float32),
        pa.array(countries, pa.string()),
        np.full(n, -1, np.int64),
    )


def model(
    within: str,
    dense: npt.ArrayLike,
    countries: list[str | None],
    ages: list[float] | None = None,
    kind: str = "popularity-users",
) -> Popularity:
    cells = cells_of(dense)
    config = PopularityConfig(kind=kind, within=within)
    return Popularity(config, profiles_of(cells.users, countries, ages)).fit(cells)


@pytest.mark.parametrize("kind", ["popularity-plays", "popularity-users"])
@given(
    dense=plays,
    countries=st.lists(
        st.sampled_from(["Chile", "Peru", None]), min_size=N_USERS, max_size=N_USERS
    ),
    k=st.integers(1, N_ITEMS + 2),
)
def test_a_country_is_ranked_by_its_own_count_then_by_that_of_all(
    kind: str, dense: npt.NDArray[np.int32], countries: list[str | None], k: int
) -> None:
    dense[0, 0] = 1
    counted = dense if kind == "popularity-plays" else (dense > 0).astype(int)

    recs = model("country", dense, countries, kind=kind).recommend(EVERYBODY, k)

    of_all = counted.sum(axis=0).tolist()
    for user, country in enumerate(countries):
        alike = [country is not None and other == country for other in countries]
        theirs = counted[alike].sum(axis=0).tolist()
        if not any(theirs):
            theirs = of_all
        order = sorted(range(N_ITEMS), key=lambda item: (-theirs[item], -of_all[item], item))
        expected = [item for item in order if not dense[user, item]][:k]
        shown = recs.items[user][recs.items[user] != NO_ITEM].tolist()
        assert shown == expected
        assert recs.scores[user, : len(shown)].tolist() == [theirs[item] for item in expected]


LOCAL = [[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]
WHERE = ["Peru", "Peru", "Chile", "Chile", None]


def test_two_countries_have_two_favourites() -> None:
    recs = model("country", LOCAL, WHERE).recommend(np.arange(5, dtype=np.int32), 2)

    assert recs.items.tolist() == [[1, 0], [2, 0], [1, 2], [1, 2], [1, 2]]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [(0, 17, True), (17, 18, False), (18, 24, True), (24, 25, False), (34, 35, False),
     (35, 44, True), (44, 45, False), (54, 55, False), (55, 100, True)],
)  # fmt: skip
def test_age_bands_end_where_they_are_said_to(one: float, other: float, alike: bool) -> None:
    """The first has heard nothing; the second likes item 1, which is less popular than 0."""
    dense = [[0, 0], [0, 1], [1, 0], [1, 0]]
    nowhere: list[str | None] = [None] * 4

    recs = model("age", dense, nowhere, [one, other, np.nan, np.nan]).recommend(
        np.array([0], np.int32), 1
    )

    assert recs.items.tolist() == [[1 if alike else 0]]


def test_a_stranger_is_shown_what_their_own_country_listens_to() -> None:
    fitted = model("country", LOCAL, WHERE)
    history = cells_of(np.zeros((3, 3)))
    theirs = profiles_of(history.users, ["Chile", "Peru", "Atlantis"])

    recs = fitted.fold_in(history, np.arange(3, dtype=np.int32), 1, theirs)
    unknown = fitted.fold_in(history, np.arange(3, dtype=np.int32), 1)

    assert recs.items.tolist() == [[0], [1], [0]]
    assert unknown.items.tolist() == [[0], [0], [0]]


@pytest.mark.parametrize("within", ["country", "age"])
def test_without_profiles_it_says_what_to_pass(within: str) -> None:
    with pytest.raises(InputError, match="pass --profiles FILE"):
        Popularity(PopularityConfig(kind="popularity-plays", within=within))
