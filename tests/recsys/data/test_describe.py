"""The figures of a log against slow references."""

import json
from collections import Counter, defaultdict
from dataclasses import astuple
from statistics import mean, median

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.describe import (
    Description,
    MatrixStats,
    Summary,
    describe,
    favourites,
    most_played,
)
from recsys.data.ids import IdMap
from recsys.data.interactions import Events
from recsys.data.profiles import Profiles

Row = tuple[str, str, int, int]  # user, item, plays, time

ROWS: list[Row] = [
    ("ann", "x", 10, 500),
    ("ann", "x", 2, 300),
    ("ann", "y", 1, 400),
    ("bob", "x", 7, 900),
    ("cyd", "z", 1, 100),
]
rows = st.lists(
    st.tuples(
        st.sampled_from("abcdef"),
        st.sampled_from("tuvwxyz"),
        st.integers(1, 10**6),
        st.integers(0, 2**33),
    ),
    min_size=1,
    max_size=40,
)


def events(rows: list[Row], timed: bool = True) -> Events:
    users = IdMap.of(row[0] for row in rows)
    items = IdMap.of(row[1] for row in rows)
    return Events.of(
        users,
        items,
        users.numbers(row[0] for row in rows),
        items.numbers(row[1] for row in rows),
        np.array([row[2] for row in rows], np.float64),
        np.array([row[3] for row in rows], np.int64) if timed else None,
    )


def spread(numbers: list[int]) -> Summary:
    q1, q3 = (np.percentile(numbers, share) for share in (25, 75))
    return Summary(min(numbers), q1, median(numbers), mean(numbers), q3, max(numbers))


def test_a_small_log_is_described_as_counted_by_hand() -> None:
    found = describe(events(ROWS))

    assert found == Description(
        rows=5,
        cells=4,
        total_plays=21.0,
        plays=Summary(1, 1, 2, 4.2, 7, 10),
        items_per_user=Summary(1, 1, 1, 4 / 3, 1.5, 2),
        users_per_item=Summary(1, 1, 1, 4 / 3, 1.5, 2),
        matrix=MatrixStats(
            users=3, items=3, nonzeros=4, memory=4 * 8 + 4 * 4, idle_users=0, idle_items=0
        ),
        first=100,
        last=900,
        missing=None,
    )
    assert (found.users, found.items) == (3, 3)
    assert found.matrix.density == pytest.approx(4 / 9)
    assert found.matrix.sparsity == pytest.approx(5 / 9)


@given(rows)
def test_every_figure_agrees_with_counting_one_by_one(rows: list[Row]) -> None:
    found = describe(events(rows))

    pairs = {(user, item) for user, item, _, _ in rows}
    items = [len({i for u, i in pairs if u == user}) for user in {u for u, _ in pairs}]
    users = [len({u for u, i in pairs if i == item}) for item in {i for _, i in pairs}]
    plays = [row[2] for row in rows]
    assert (found.rows, found.cells, found.total_plays) == (len(rows), len(pairs), sum(plays))
    assert (found.users, found.items) == (len(items), len(users))
    for ours, numbers in (
        (found.plays, plays),
        (found.items_per_user, items),
        (found.users_per_item, users),
    ):
        reference = spread(numbers)
        assert astuple(ours) == pytest.approx(astuple(reference))
    assert (found.first, found.last) == (min(r[3] for r in rows), max(r[3] for r in rows))


@given(rows)
def test_most_played_items_and_favourites_agree_with_counting_one_by_one(rows: list[Row]) -> None:
    cells = events(rows).cells()
    plays, by_user = Counter[str](), defaultdict[str, Counter[str]](Counter)
    for user, item, n, _ in rows:
        plays[item] += n
        by_user[user][item] += n

    found = most_played(cells, 3)

    expected = sorted(plays, key=lambda item: (-plays[item], item))[:3]
    assert [(each.id, each.plays) for each in found] == [(item, plays[item]) for item in expected]
    assert [each.users for each in found] == [
        sum(item in played for played in by_user.values()) for item in expected
    ]
    for user, item in zip(cells.users.ids.to_pylist(), favourites(cells).tolist(), strict=True):
        mine = by_user[user]
        assert cells.items.id(item) == min(mine, key=lambda each: (-mine[each], each))


@given(rows, st.data())
def test_matrix_figures_agree_with_the_matrix_itself(rows: list[Row], data: st.DataObject) -> None:
    cells = events(rows).cells()
    keep = data.draw(st.lists(st.booleans(), min_size=len(cells), max_size=len(cells)))
    cells = cells.where(np.array(keep, dtype=bool))
    matrix, dense = cells.matrix(), cells.matrix().toarray()

    found = MatrixStats.of(cells)

    assert (found.users, found.items) == dense.shape
    assert found.nonzeros == np.count_nonzero(dense)
    assert found.density == pytest.approx((dense > 0).mean())
    assert found.density + found.sparsity == pytest.approx(1)
    assert found.memory == matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    assert found.idle_users == sum(not row.any() for row in dense)
    assert found.idle_items == sum(not column.any() for column in dense.T)


def test_a_log_without_times_has_no_range_and_one_without_rows_only_zeros() -> None:
    untimed = describe(events(ROWS, timed=False))
    empty = describe(events([], timed=False))

    assert untimed.first is untimed.last is None
    assert empty.plays == empty.items_per_user == empty.users_per_item == Summary(0, 0, 0, 0, 0, 0)
    assert (empty.matrix.density, empty.matrix.sparsity) == (0.0, 1.0)


def test_missing_values_are_those_of_the_users_in_the_log() -> None:
    profiles = Profiles(
        IdMap.of(["ann", "bob", "eve", "fay"]),
        pa.array(["f", None, None, None]),
        np.array([np.nan, 30, np.nan, np.nan], np.float32),
        pa.array(["Chile", "Chile", None, None]),
        np.array([-1, 0, -1, -1]),
    )

    found = describe(events(ROWS), profiles)

    assert found.missing == {"gender": 2, "age": 2, "country": 1, "signup": 2}


def test_the_dict_holds_every_figure_and_is_json() -> None:
    found = describe(events(ROWS)).as_dict()

    assert json.loads(json.dumps(found)) == found
    assert (found["users"], found["items"], found["rows"]) == (3, 3, 5)
    assert found["plays"] == {"low": 1, "q1": 1, "median": 2, "mean": 4.2, "q3": 7, "high": 10}
    assert found["matrix"]["density"] == pytest.approx(4 / 9)
    assert found["matrix"]["sparsity"] == pytest.approx(5 / 9)
