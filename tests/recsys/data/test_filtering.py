from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.config import FilterConfig
from recsys.data.filtering import Step, apply_filters
from recsys.data.ids import IdMap
from recsys.data.interactions import Events
from recsys.data.profiles import Profiles
from recsys.errors import InputError
from tests.conftest import Heard, events_of, heard_logs, pairs, triples

Rows = list[tuple[str, str, float]]
logs = heard_logs(min_size=1)
minimums = st.integers(0, 4)


def counts(rows: Rows, side: int, count: str) -> Counter[str]:
    counted = rows if count == "rows" else {(user, item) for user, item, _ in rows}
    return Counter(row[side] for row in counted)


def enough(rows: Rows, side: int, least: int, count: str) -> Rows:
    sizes = counts(rows, side, count)
    return [row for row in rows if sizes[row[side]] >= least]


def left_after(log: list[Heard], config: FilterConfig) -> Rows:
    """What stays, by ids; empty where nothing does."""
    try:
        return triples(apply_filters(events_of(log), None, config, seed=0)[0])
    except InputError:
        return []


@given(logs, minimums, minimums, st.sampled_from(["cells", "rows"]))
def test_mode_once_filters_users_then_items_one_time(
    log: list[Heard], min_items: int, min_users: int, count: str
) -> None:
    config = FilterConfig(min_items=min_items, min_users=min_users, count=count)
    rows = enough(triples(events_of(log)), 0, min_items, count)
    expected = enough(rows, 1, min_users, count)

    assert left_after(log, config) == expected


@given(logs, minimums, minimums, st.sampled_from(["cells", "rows"]))
def test_mode_core_repeats_until_nothing_changes(
    log: list[Heard], min_items: int, min_users: int, count: str
) -> None:
    config = FilterConfig(mode="core", min_items=min_items, min_users=min_users, count=count)
    expected, before = triples(events_of(log)), None
    while expected != before:
        before = expected
        expected = enough(enough(expected, 0, min_items, count), 1, min_users, count)

    assert left_after(log, config) == expected


def test_mode_core_unravels_a_chain() -> None:
    """Dropping user 3 leaves item 3 one user, without it user 2 is too short, and so on."""
    ring = [(user, item, 1, 0) for user in (0, 1) for item in (0, 1)]
    chain = [(2, 2, 1, 0), (2, 3, 1, 0), (3, 3, 1, 0), (4, 2, 1, 0), (4, 4, 1, 0)]
    config = FilterConfig(mode="core", min_items=2, min_users=2)

    left, _ = apply_filters(events_of(ring + chain), None, config, seed=0)

    assert pairs(left) == {(f"u0{user}", f"i0{item}") for user, item, _, _ in ring}


def test_users_are_filtered_before_items() -> None:
    """User 2 is too short, and with them item 0 loses a user; the other way round it stays."""
    log = [(0, 0, 1, 0), (0, 1, 1, 0), (1, 0, 1, 0), (1, 1, 1, 0), (2, 0, 1, 0)]
    config = FilterConfig(min_items=2, min_users=3)

    with pytest.raises(InputError, match="items >= 3 users"):
        apply_filters(events_of(log), None, config, seed=0)


def test_rows_count_a_repeated_pair_twice_and_cells_once() -> None:
    log = [(0, 0, 1, 0), (0, 0, 2, 1), (1, 0, 1, 0), (1, 1, 1, 0)]
    cells = FilterConfig(min_items=2, min_users=1, count="cells")
    rows = FilterConfig(min_items=2, min_users=1, count="rows")

    assert pairs(apply_filters(events_of(log), None, cells, 0)[0]) == {
        ("u01", "i00"),
        ("u01", "i01"),
    }
    assert ("u00", "i00") in pairs(apply_filters(events_of(log), None, rows, 0)[0])


@given(logs, st.integers(1, 6), st.sampled_from(["cells", "rows"]))
def test_top_users_have_most_items_and_of_equals_the_first_ids(
    log: list[Heard], top: int, count: str
) -> None:
    config = FilterConfig(min_items=0, min_users=0, top_users=top, count=count)
    rows = triples(events_of(log))
    sizes = counts(rows, 0, count)
    best = sorted(sizes, key=lambda user: (-sizes[user], user))[:top]

    assert left_after(log, config) == [row for row in rows if row[0] in best]


@given(logs, st.randoms(use_true_random=False))
def test_filters_do_not_depend_on_the_order_of_the_file(log: list[Heard], random) -> None:
    config = FilterConfig(min_items=1, min_users=1, top_users=3, fraction=0.5)

    assert left_after(log, config) == left_after(random.sample(log, len(log)), config)


@given(logs, minimums, minimums)
def test_steps_count_the_remaining_rows_and_id_maps_are_compact(
    log: list[Heard], min_items: int, min_users: int
) -> None:
    config = FilterConfig(min_items=min_items, min_users=min_users)
    first = triples(events_of(log))
    second = enough(first, 0, min_items, "cells")
    third = enough(second, 1, min_users, "cells")
    if not third:
        return

    events, steps = apply_filters(events_of(log), None, config, seed=0)

    names = ["as read", f"users >= {min_items} items", f"items >= {min_users} users"]
    assert steps == [stepped(*named) for named in zip(names, (first, second, third), strict=True)]
    assert (len(events.users), len(events.items)) == (steps[-1].users, steps[-1].items)


def stepped(name: str, rows: Rows) -> Step:
    users, items = {row[0] for row in rows}, {row[1] for row in rows}
    cells = {(user, item) for user, item, _ in rows}
    return Step(name, len(users), len(items), len(rows), len(cells))


def hundred_users() -> Events:
    return events_of([(user, user % 8, 1, 0) for user in range(100)])


LOOSE = FilterConfig(min_items=0, min_users=0)


def drawn(fraction: float, seed: int) -> list[str]:
    config = LOOSE.model_copy(update={"fraction": fraction})
    return apply_filters(hundred_users(), None, config, seed)[0].users.ids.to_pylist()


def test_a_fraction_of_the_users_is_a_seeded_draw() -> None:
    assert len(drawn(0.25, seed=1)) == 25
    assert drawn(0.25, seed=1) == drawn(0.25, seed=1)
    assert drawn(0.25, seed=1) != drawn(0.25, seed=2)
    assert set(drawn(0.25, seed=1)) <= set(drawn(0.5, seed=1))


def test_a_tiny_fraction_keeps_one_user() -> None:
    assert len(drawn(0.001, seed=1)) == 1


def people() -> Profiles:
    """u00 to u03 and a stranger; u04 has no profile, u03 says nothing of themselves."""
    return Profiles(
        IdMap.of(["stranger", "u00", "u01", "u02", "u03"]),
        pa.array(["f", "f", "m", "f", None]),
        np.array([30, 20, 40, 60, np.nan], np.float32),
        pa.array(["Iceland", "Iceland", "Iceland", "Chile", None]),
        np.full(5, -1, np.int64),
    )


@pytest.mark.parametrize(
    ("cohort", "users"),
    [
        ({"genders": ("f",)}, {"u00", "u02"}),
        ({"genders": ("f", "m")}, {"u00", "u01", "u02"}),
        ({"countries": ("Iceland",)}, {"u00", "u01"}),
        ({"countries": ("Iceland",), "genders": ("f",)}, {"u00"}),
        ({"age_min": 40}, {"u01", "u02"}),
        ({"age_max": 40}, {"u00", "u01"}),
        ({"age_min": 20, "age_max": 20}, {"u00"}),
        ({"age_min": 0}, {"u00", "u01", "u02"}),
    ],
)
def test_a_cohort_holds_users_whose_profile_matches_and_no_missing_values(
    cohort, users: set[str]
) -> None:
    events = events_of([(user, item, 1, 0) for user in range(5) for item in range(2)])
    config = LOOSE.model_copy(update=cohort)

    left, steps = apply_filters(events, people(), config, seed=0)

    assert set(left.users.ids.to_pylist()) == users
    assert steps[1].name.startswith("cohort: ")


def test_the_cohort_comes_before_the_minimum_numbers() -> None:
    """Item 1 has two users, only one of them in the cohort."""
    events = events_of([(0, 0, 1, 0), (2, 0, 1, 0), (0, 1, 1, 0), (1, 1, 1, 0)])
    config = FilterConfig(min_items=1, min_users=2, genders=("f",))

    left, steps = apply_filters(events, people(), config, seed=0)

    assert pairs(left) == {("u00", "i00"), ("u02", "i00")}
    assert [step.name for step in steps] == [
        "as read",
        "cohort: f",
        "users >= 1 items",
        "items >= 2 users",
    ]


def test_all_filters_together_have_a_fixed_order() -> None:
    config = FilterConfig(
        mode="core", min_items=1, min_users=1, top_users=1, fraction=0.9, age_min=1
    )
    events = events_of([(user, item, 1, 0) for user in range(5) for item in range(2)])

    _, steps = apply_filters(events, people(), config, seed=0)

    assert [step.name.split()[0] for step in steps[1:]] == ["cohort:", "fraction", "core:", "top"]


def test_a_cohort_without_profiles_is_an_error_with_a_remedy() -> None:
    with pytest.raises(InputError, match=r"needs user profiles; pass --profiles FILE"):
        apply_filters(hundred_users(), None, FilterConfig(genders=("f",)), seed=0)


@pytest.mark.parametrize(
    ("config", "step"),
    [
        (FilterConfig(min_items=9, min_users=0), "users >= 9 items"),
        (FilterConfig(min_items=0, min_users=99), "items >= 99 users"),
        (FilterConfig(mode="core", min_items=2), "core: users >= 2 items"),
        (LOOSE.model_copy(update={"countries": ("Atlantis",)}), "cohort: Atlantis"),
    ],
)
def test_an_empty_result_is_an_error_that_names_the_filter(config: FilterConfig, step: str) -> None:
    with pytest.raises(InputError, match=rf"after the filter '{step}.*loosen \[filter\]"):
        apply_filters(hundred_users(), people(), config, seed=0)
