from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.interactions import Interactions
from recsys.evaluation.bootstrap import Estimate, column_intervals
from recsys.evaluation.groups import (
    ACTIVITY,
    POPULARITY,
    ItemGroupHits,
    by_activity,
    by_age,
    by_country,
    by_text,
    group_tables,
    hits_by_item_group,
    item_groups,
    ordered,
    recall_by_item_group,
    user_groups,
)
from recsys.evaluation.report import evaluate
from recsys.models.recommender import NO_ITEM, Recommendations
from recsys.seeds import seed_for
from recsys.splitting.split import Fold
from tests.conftest import cells_of, profiles_of

counts = st.lists(st.integers(0, 12), min_size=1, max_size=30).map(lambda n: np.array(n, np.int64))
names = st.sampled_from(["heavy", "cold", "unknown", "other", "DE", "FR", "US"])
labels = st.lists(names, min_size=1, max_size=25).map(lambda n: np.array(n, np.str_))


@st.composite
def judged(draw: st.DrawFn) -> tuple[Recommendations, Interactions, npt.NDArray[np.str_]]:
    """Lists of up to 4 of 6 items for the users with something held out, in any order."""
    row = st.lists(st.booleans(), min_size=6, max_size=6)
    rows = st.lists(row, min_size=1, max_size=6)
    held_out = cells_of(draw(rows.filter(lambda drawn: any(map(any, drawn)))))
    users = draw(st.permutations(held_out.users_with_cells().tolist()))
    lists = [draw(st.lists(st.integers(0, 5), unique=True, max_size=4)) for _ in users]
    items = np.array([[*items, *[NO_ITEM] * (4 - len(items))] for items in lists], np.int32)
    recs = Recommendations(np.array(users, np.int32), items, np.zeros(items.shape, np.float32))
    groups = draw(st.lists(st.sampled_from(POPULARITY), min_size=6, max_size=6))
    return recs, held_out, np.array(groups, np.str_)


@given(counts)
def test_cold_and_heavy_are_the_outer_thirds_but_for_ties(n_items: npt.NDArray[np.int64]) -> None:
    groups = by_activity(n_items)

    members = {group: n_items[groups == group].tolist() for group in ACTIVITY}
    assert sum(map(len, members.values())) == len(n_items)
    assert max(len(members["cold"]), len(members["heavy"])) <= len(n_items) // 3
    if len(set(n_items.tolist())) == len(n_items):
        assert len(members["cold"]) == len(members["heavy"]) == len(n_items) // 3
    for low, high in pairwise([found for found in members.values() if found]):
        assert max(low) < min(high)


def test_users_at_a_cut_are_medium() -> None:
    found = by_activity(np.array([1, 5, 5, 5, 5, 9]))

    assert found.tolist() == ["cold", *4 * ["medium"], "heavy"]
    assert by_activity(np.array([3, 1, 2])).tolist() == ["heavy", "cold", "medium"]
    assert by_activity(np.full(9, 7)).tolist() == 9 * ["medium"]
    assert by_activity(np.array([], np.int64)).tolist() == []


def test_the_most_frequent_countries_are_kept_by_name() -> None:
    countries = pa.array(["FR", "DE", None, "US", "DE", "", "US", "PL"])

    assert by_country(countries, 2).tolist() == [
        *["other", "DE", "unknown", "US", "DE", "unknown", "US", "other"]
    ]
    assert by_country(countries, 3).tolist()[0] == "FR"  # before PL, which has as many
    assert set(by_country(countries, 0).tolist()) == {"other", "unknown"}
    assert set(by_country(countries, 9).tolist()) == {"FR", "DE", "US", "PL", "unknown"}
    assert by_country(pa.nulls(2, pa.string())).tolist() == ["unknown", "unknown"]


def test_texts_are_groups_and_missing_texts_are_one_group() -> None:
    assert by_text(pa.array(["m", None, "f", ""])).tolist() == ["m", "unknown", "f", "unknown"]


@given(st.lists(st.floats(0, 100, width=32) | st.just(np.nan), min_size=1, max_size=20))
def test_every_age_has_the_band_it_lies_in(years: list[float]) -> None:
    found = by_age(np.array(years, np.float32)).tolist()

    for age, band in zip(years, found, strict=True):
        if np.isnan(age):
            assert band == "unknown"
        else:
            low, _, high = band.removesuffix("+").partition("-")
            assert int(low) <= age < int(high or 1000) + 1


def test_users_of_a_fold_are_grouped_by_activity_and_profile() -> None:
    train = cells_of([[1, 0, 0, 0, 0], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0]])
    held_out = Interactions(
        train.users, train.items, *np.array([[0, 1, 3], [4, 4, 4]], np.int32), np.ones(3)
    )
    profiles = profiles_of(
        train.users, ["DE", "DE", "FR", "FR"], [20, None, 30, 60], ["f", None, "m", "m"]
    )

    bare = user_groups(Fold(train, train, held_out))
    known = user_groups(Fold(train, train, held_out, profiles), n_countries=1)

    assert {name: found.tolist() for name, found in bare.items()} == {
        "activity": ["cold", "heavy", "medium"]
    }
    assert {name: found.tolist() for name, found in known.items()} == {
        "activity": ["cold", "heavy", "medium"],
        "gender": ["f", "unknown", "m"],
        "country": ["DE", "DE", "other"],
        "age": ["18-24", "unknown", "55+"],
    }


def test_the_activity_of_users_who_are_folded_in_is_that_in_their_history() -> None:
    history = cells_of([[0, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]])
    train, held_out = (
        Interactions(
            history.users, history.items, *np.array(at, np.int32), np.ones(len(at[0]), np.float64)
        )
        for at in ([[0, 0], [0, 1]], [[1, 2, 3], [3, 3, 3]])
    )

    found = user_groups(Fold(train, history, held_out))

    assert found["activity"].tolist() == ["heavy", "cold", "medium"]


def test_groups_have_a_fixed_order_with_unknown_last() -> None:
    found = np.array(["unknown", "heavy", "US", "other", "FR", "US", "cold", "DE"])

    assert ordered(found) == ("cold", "heavy", "US", "DE", "FR", "other", "unknown")


@settings(max_examples=20)
@given(labels, st.integers(0, 99))
def test_groups_partition_the_users_and_have_the_intervals_of_their_own_users(
    groups: npt.NDArray[np.str_], seed: int
) -> None:
    values = np.random.default_rng(seed).random(len(groups))

    rows = group_tables({"als": values}, groups, seed, n_resamples=20)["als"]

    assert [row.group for row in rows] == list(ordered(groups))
    assert sum(row.n for row in rows) == len(groups)
    total = sum(row.n * row.estimate.mean for row in rows)
    assert total == pytest.approx(values.sum())
    for row in rows:
        assert [row.estimate] == column_intervals(
            values[groups == row.group, None], seed_for(seed, row.group), 20
        )


def test_a_group_does_not_depend_on_other_groups_and_models(
    rng: np.random.Generator,
) -> None:
    values, groups = rng.random(40), np.array(20 * ["m", "f"])
    only = groups == "m"

    rows = group_tables({"als": values, "zero": np.zeros(40)}, groups, 3, 50)

    [alone] = group_tables({"als": values[only]}, groups[only], 3, 50)["als"]
    assert [row.group for row in rows["als"]] == ["f", "m"]
    assert rows["als"][1] == alone
    assert rows["als"] == group_tables({"als": values}, groups, 3, 50)["als"]
    assert {row.estimate for row in rows["zero"]} == {Estimate(0, 0, 0)}
    assert group_tables({}, groups, 3) == {}


def test_values_that_do_not_fit_the_labels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"3 labels but numbers of values {'als': 2}"):
        group_tables({"als": np.zeros(2)}, np.array(["a", "a", "b"]), seed=1)


@given(counts)
def test_items_are_grouped_by_the_cells_of_items_with_more_users(
    n_users: npt.NDArray[np.int64],
) -> None:
    groups = item_groups(n_users).tolist()

    total = n_users.sum()
    for n, group in zip(n_users.tolist(), groups, strict=True):
        before = n_users[n_users > n].sum()
        expected = "head" if 3 * before < total else "middle" if 3 * before < 2 * total else "tail"
        assert group == (expected if n else "tail")


def test_equally_popular_items_are_in_thirds_only_where_a_cut_lies_between_levels() -> None:
    assert item_groups(np.array([1, 6, 2, 3, 3, 1, 1, 1, 0])).tolist() == [
        *["tail", "head", "tail", "middle", "middle", "tail", "tail", "tail", "tail"]
    ]
    assert item_groups(np.array([10, 1])).tolist() == ["head", "tail"]
    assert item_groups(np.full(5, 4)).tolist() == 5 * ["head"]
    assert item_groups(np.zeros(2, np.int64)).tolist() == ["tail", "tail"]


@given(judged(), st.integers(1, 4))
def test_hits_by_item_group_equal_a_slow_loop(
    case: tuple[Recommendations, Interactions, npt.NDArray[np.str_]], k: int
) -> None:
    recs, held_out, groups = case

    found = hits_by_item_group(recs, held_out, groups, k)

    assert found.groups == ordered(groups)
    assert found.users.tolist() == held_out.users_with_cells().tolist()
    shown = dict(zip(recs.users.tolist(), recs.items[:, :k].tolist(), strict=True))
    for row, user in enumerate(found.users.tolist()):
        wanted = held_out.cols[held_out.rows == user].tolist()
        for n, group in enumerate(found.groups):
            of_group = [item for item in wanted if groups[item] == group]
            assert found.held_out[row, n] == len(of_group)
            assert found.hits[row, n] == len(set(of_group) & set(shown[user]))


@settings(max_examples=20)
@given(judged(), st.integers(1, 4))
def test_the_recalls_of_the_groups_sum_up_to_the_recall_of_all_cells(
    case: tuple[Recommendations, Interactions, npt.NDArray[np.str_]], k: int
) -> None:
    recs, held_out, groups = case

    rows = recall_by_item_group(hits_by_item_group(recs, held_out, groups, k), 1, 20)

    users_per_item = np.ones(6, np.int64)
    recall = evaluate(recs, held_out, users_per_item, 1, [k], ["recall"]).per_user[f"recall@{k}"]
    n_hits = (recall.to_numpy() * held_out.per_user()[held_out.users_with_cells()]).sum()
    assert sum(row.n_held_out for row in rows) == len(held_out)
    assert sum(row.n_hits for row in rows) == pytest.approx(n_hits)
    weighted = sum(row.n_held_out * row.recall.mean for row in rows)
    assert weighted / len(held_out) == pytest.approx(n_hits / len(held_out))


def test_the_interval_of_a_recall_equals_a_slow_loop_over_drawn_users(
    rng: np.random.Generator,
) -> None:
    held_out = rng.integers(0, 3, (25, 2))
    hits = rng.binomial(held_out, 0.4)
    found = ItemGroupHits(("head", "tail"), np.arange(25, dtype=np.int32), held_out, hits)

    rows = recall_by_item_group(found, seed=4, n_resamples=80)

    again = np.random.default_rng(4)
    drawn = [again.integers(0, 25, 25) for _ in range(80)]
    for n, row in enumerate(rows):
        ratios = [hits[users, n].sum() / held_out[users, n].sum() for users in drawn]
        assert row.recall.mean == hits[:, n].sum() / held_out[:, n].sum()
        ends = (row.recall.low, row.recall.high)
        assert ends == pytest.approx(tuple(np.quantile(ratios, [0.025, 0.975])))


def test_where_each_user_has_one_cell_a_recall_has_the_interval_of_a_mean(
    rng: np.random.Generator,
) -> None:
    hits = rng.binomial(1, 0.3, (200, 1))
    users = np.arange(200, dtype=np.int32)

    [row] = recall_by_item_group(ItemGroupHits(("head",), users, np.ones_like(hits), hits), seed=5)

    [mean] = column_intervals(hits.astype(np.float64), seed=5)
    assert (row.recall.mean, row.recall.low, row.recall.high) == pytest.approx(
        (mean.mean, mean.low, mean.high), rel=1e-9
    )


def test_resamples_without_a_cell_of_a_rare_group_do_not_count() -> None:
    users = np.arange(3, dtype=np.int32)
    held_out = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]])
    found = ItemGroupHits(("head", "middle", "tail"), users, held_out, held_out.copy())

    rows = recall_by_item_group(found, seed=1, n_resamples=50)

    assert [row.group for row in rows] == ["head", "middle"]
    assert [row.recall for row in rows] == [Estimate(1, 1, 1), Estimate(1, 1, 1)]
    assert [(row.n_held_out, row.n_hits) for row in rows] == [(3, 3), (1, 1)]


def test_lists_and_labels_that_do_not_fit_are_refused() -> None:
    held_out = cells_of([[1, 0], [0, 1]])
    items = np.zeros((2, 1), np.int32)
    recs = Recommendations(np.array([0, 1], np.int32), items, np.zeros((2, 1), np.float32))
    twice = Recommendations(np.array([0, 0], np.int32), items, np.zeros((2, 1), np.float32))
    both = np.array(["head", "tail"])

    with pytest.raises(ValueError, match="3 labels, catalogue of 2 items"):
        hits_by_item_group(recs, held_out, np.array(["a", "b", "c"]), 1)
    with pytest.raises(ValueError, match="k must be within 1 to 1, the width, got 2"):
        hits_by_item_group(recs, held_out, both, 2)
    with pytest.raises(ValueError, match="each user with something held out, once"):
        hits_by_item_group(twice, held_out, both, 1)
