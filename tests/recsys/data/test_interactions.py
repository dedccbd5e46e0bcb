from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys.data.ids import IdMap
from recsys.data.interactions import Events, Interactions
from tests.conftest import Heard, cells_of, events_of, heard_logs, pairs, triples

USERS, ITEMS = IdMap.of(["u0", "u1"]), IdMap.of(["i0", "i1", "i2"])


def columns(*rows: tuple[int, int, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    user, item, plays = zip(*rows, strict=True)
    return np.array(user, np.int32), np.array(item, np.int32), np.array(plays, np.float64)


@given(heard_logs(), st.randoms(use_true_random=False))
def test_events_do_not_depend_on_the_order_of_the_file(log: list[Heard], random) -> None:
    events, again = events_of(log), events_of(random.sample(log, len(log)))

    assert triples(events) == triples(again)
    assert events.times.tolist() == again.times.tolist()


@pytest.mark.parametrize("timed", [True, False])
def test_events_of_one_pair_and_second_are_ordered_by_plays(timed: bool) -> None:
    log = [(0, 0, plays, 5) for plays in (3, 1, 2)]

    assert events_of(log, timed=timed).plays.tolist() == [1, 2, 3]


@given(heard_logs(), st.booleans())
def test_a_cell_sums_the_plays_of_a_pair_and_has_its_first_and_last_time(
    log: list[Heard], timed: bool
) -> None:
    heard: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for user, item, plays, time in log:
        heard[f"u{user:02}", f"i{item:02}"].append((time, plays))

    cells = events_of(log, timed=timed).cells()

    assert triples(cells) == [(*pair, sum(p for _, p in heard[pair])) for pair in sorted(heard)]
    if timed:
        assert cells.first.tolist() == [min(heard[pair])[0] for pair in sorted(heard)]
        assert cells.last.tolist() == [max(heard[pair])[0] for pair in sorted(heard)]
    else:
        assert cells.first is None
        assert cells.last is None


@given(heard_logs(), st.integers(0, 20))
def test_compacting_drops_ids_without_events_and_nothing_else(log: list[Heard], at: int) -> None:
    events = events_of(log)
    left = events.where(events.times < at)

    compact = left.compact()

    assert triples(compact) == triples(left)
    assert compact.times.tolist() == left.times.tolist()
    assert set(compact.users.ids.to_pylist()) == {user for user, _, _ in triples(left)}
    assert set(compact.items.ids.to_pylist()) == {item for _, item, _ in triples(left)}


@given(heard_logs(), st.integers(0, 20))
def test_parts_merge_to_the_whole(log: list[Heard], at: int) -> None:
    cells = events_of(log).cells()
    keep = cells.first < at

    for one, other in ((keep, ~keep), (~keep, keep)):
        whole = cells.where(one).merged(cells.where(other))
        assert triples(whole) == triples(cells)
        assert whole.first.tolist() == cells.first.tolist()
        assert whole.last.tolist() == cells.last.tolist()


def test_a_merge_has_times_only_where_both_sides_have_them() -> None:
    timed = events_of([(0, 0, 1, 3), (0, 1, 1, 4)]).cells()
    one = timed.where(np.array([True, False]))
    other = timed.where(np.array([False, True]))
    timeless = Interactions(other.users, other.items, other.rows, other.cols, other.plays)

    assert one.merged(timeless).first is None
    assert timeless.merged(one).last is None


def test_sides_with_a_common_pair_do_not_merge() -> None:
    cells = cells_of([[1, 2]])

    with pytest.raises(ValueError, match="distinct"):
        cells.merged(cells.where(np.array([True, False])))


@given(heard_logs())
def test_the_matrix_holds_the_plays_of_every_pair(log: list[Heard]) -> None:
    cells = events_of(log).cells()
    expected = np.zeros(cells.shape)
    for row, col, plays in zip(cells.rows, cells.cols, cells.plays, strict=True):
        expected[row, col] = plays

    matrix = cells.matrix()

    assert type(matrix) is csr_matrix
    assert matrix.dtype == np.float32
    assert matrix.has_sorted_indices
    np.testing.assert_array_equal(matrix.toarray(), expected)


def test_sizes_count_distinct_partners_of_every_id() -> None:
    cells = cells_of([[3, 0, 1], [0, 0, 0], [0, 0, 9]])

    assert cells.shape == (3, 3)
    assert cells.per_user().tolist() == [2, 0, 1]
    assert cells.per_item().tolist() == [1, 0, 2]
    assert cells.users_with_cells().tolist() == [0, 2]
    assert cells.users_with_cells().dtype == np.int32


def test_pairs_are_numbered_row_by_row_without_overflow() -> None:
    users, items = (IdMap.of(f"{n:06}" for n in range(70_000)) for _ in range(2))
    at = np.array([69_999], np.int32)

    assert Interactions(users, items, at, at, np.ones(1)).keys.tolist() == [70_000**2 - 1]
    assert Events(users, items, at, at, np.ones(1)).keys.tolist() == [70_000**2 - 1]
    rows = np.array([40_000, 20_000], np.int32)
    assert Events.of(users, items, rows, rows, np.ones(2)).rows.tolist() == [20_000, 40_000]


@pytest.mark.parametrize("kind", [Events, Interactions])
@pytest.mark.parametrize("plays", [0.0, -1.0, np.nan, np.inf])
def test_plays_are_positive_numbers(kind, plays: float) -> None:
    with pytest.raises(ValueError, match="plays must be finite and > 0"):
        kind(USERS, ITEMS, *columns((0, 0, 1.0), (1, 2, plays)))


@pytest.mark.parametrize("kind", [Events, Interactions])
@pytest.mark.parametrize(
    ("row", "fault"),
    [((2, 0, 1.0), "user numbers"), ((1, 3, 1.0), "item numbers"), ((1, -1, 1.0), "item numbers")],
)
def test_numbers_lie_within_the_maps(kind, row: tuple[int, int, float], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        kind(USERS, ITEMS, *columns((0, 0, 1.0), row))


@pytest.mark.parametrize("kind", [Events, Interactions])
def test_columns_are_of_one_length(kind) -> None:
    rows, cols, plays = columns((0, 0, 1.0), (1, 2, 1.0))

    with pytest.raises(ValueError, match="differ in length"):
        kind(USERS, ITEMS, rows, cols, plays[:1])
    with pytest.raises(ValueError, match="differ in length"):
        kind(USERS, ITEMS, rows, cols, plays, np.zeros(3, np.int64))


def test_cells_are_distinct_and_events_may_repeat() -> None:
    twice = columns((0, 1, 1.0), (0, 1, 2.0))

    assert pairs(Events(USERS, ITEMS, *twice)) == {("u0", "i1")}
    with pytest.raises(ValueError, match="distinct"):
        Interactions(USERS, ITEMS, *twice)


@pytest.mark.parametrize("kind", [Events, Interactions])
def test_rows_out_of_order_are_refused(kind) -> None:
    with pytest.raises(ValueError, match="ordered by user and item"):
        kind(USERS, ITEMS, *columns((1, 0, 1.0), (0, 1, 1.0)))
