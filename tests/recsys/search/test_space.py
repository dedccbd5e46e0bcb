import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.search.space import (
    Choice,
    FloatRange,
    IntRange,
    Point,
    RangeTable,
    Space,
    Spec,
    Value,
    applies,
    contains,
    grid,
    inside,
    on_bounds,
    size,
    space_of,
    widened,
)

WHOLE = frozenset({"factors"})


def table(**entries: object) -> Space:
    """The space of a search table, as TOML would give it."""
    parsed = {
        name: RangeTable.model_validate(entry) if isinstance(entry, dict) else entry
        for name, entry in entries.items()
    }
    return space_of(parsed, WHOLE)


def test_the_parameter_decides_between_whole_numbers_and_reals() -> None:
    space = table(factors={"low": 8, "high": 64}, alpha={"low": 1, "high": 40, "log": True})

    assert space == {"factors": IntRange(8, 64), "alpha": FloatRange(1.0, 40.0, log=True)}
    assert type(space["alpha"].low) is float


def test_a_list_is_a_choice_and_a_single_value_pins_its_parameter() -> None:
    space = table(factors=(8, 16), weighting="linear", power={"options": (0.5, 1)})

    assert space == {
        "factors": Choice((8, 16)),
        "weighting": Choice(("linear",)),
        "power": Choice((0.5, 1)),
    }


def test_a_conditional_parameter_comes_after_the_one_it_depends_on() -> None:
    space = table(
        power={"low": 0.2, "high": 1.5, "when": {"weighting": "share"}},
        weighting=("share", "log"),
        factors=(8, 16),
    )

    assert list(space) == ["weighting", "factors", "power"]
    assert applies(space["power"], {"weighting": "share"})
    assert not applies(space["power"], {"weighting": "log"})
    assert not applies(space["power"], {})


def test_a_parameter_whose_condition_can_never_hold_is_left_out() -> None:
    space = table(
        weighting="linear",
        power={"low": 0.2, "high": 1.5, "when": {"weighting": "share"}},
    )

    assert list(space) == ["weighting"]


@pytest.mark.parametrize(
    "entries",
    [
        {"power": {"low": 0.2, "high": 1.5, "when": {"weigthing": "share"}}},
        {
            "weighting": ("share", "log"),
            "b": {"low": 0, "high": 1, "when": {"weighting": "log"}},
            "power": {"low": 0.2, "high": 1.5, "when": {"b": 1}},
        },
    ],
    ids=["unknown", "itself conditional"],
)
def test_a_condition_names_an_unconditional_parameter(entries: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"search.power.when names '(weigthing|b)'"):
        table(**entries)


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"low": 2, "high": 1}, "low 2 is above high 1"),
        ({"low": 0, "high": 1, "log": True}, "needs low > 0"),
        ({"low": 1}, "give low and high, or options"),
        ({}, "give low and high, or options"),
        ({"options": ()}, "must not be empty"),
        ({"options": (1,), "low": 1}, "without low and high"),
        ({"low": 1, "high": 2, "lgo": True}, "Extra inputs"),
    ],
    ids=lambda value: str(value),
)
def test_an_invalid_range_is_refused(entry: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        table(factors=entry)


@pytest.mark.parametrize(
    ("spec", "holds", "holds_not"),
    [
        (IntRange(2, 4), (2, 3, 4), (1, 5, "3")),
        (FloatRange(0.5, 2.0), (0.5, 1, 2.0), (0.4, 2.1, "1")),
        (Choice(("a", 2)), ("a", 2), ("b", 3)),
    ],
)
def test_a_parameter_contains_its_ends_and_nothing_beyond(spec, holds, holds_not) -> None:
    assert all(contains(spec, value) for value in holds)
    assert not any(contains(spec, value) for value in holds_not)


BOTH: Space = {
    "factors": IntRange(8, 64),
    "weighting": Choice(("share", "log")),
    "power": FloatRange(0.2, 1.5, when={"weighting": "share"}),
    "epsilon": FloatRange(0.1, 1000.0, when={"weighting": "log"}),
}


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (
            {"factors": 16, "weighting": "share", "power": 0.8, "epsilon": 1.0, "iterations": 15},
            {"factors": 16, "weighting": "share", "power": 0.8},
        ),
        (
            {"factors": 128, "weighting": "log", "epsilon": 0.01},
            {"factors": 64, "weighting": "log", "epsilon": 0.1},
        ),
        (
            {"factors": 1, "weighting": "bm25", "power": 2},
            {"factors": 8, "weighting": "share", "power": 1.5},
        ),
        ({"factors": 9}, {"factors": 9}),
    ],
    ids=["inside", "above and below", "no such choice", "unnamed"],
)
def test_a_point_is_moved_to_the_nearest_point_of_the_space(point: Point, expected: Point) -> None:
    assert inside(BOTH, point) == expected


def test_the_nearest_choice_of_numbers_is_taken() -> None:
    assert inside({"factors": Choice((30, 50, 70, 100))}, {"factors": 64}) == {"factors": 70}
    assert inside({"factors": Choice((100, 30))}, {"factors": 128}) == {"factors": 100}


@given(
    st.integers(1, 500),
    st.sampled_from(["share", "log", "bm25"]),
    st.floats(0.01, 3),
    st.floats(0.01, 2000),
)
def test_a_moved_point_lies_in_the_space_and_stays_there(
    factors: int, weighting: str, power: float, epsilon: float
) -> None:
    values = (factors, weighting, power, epsilon)
    names = ("factors", "weighting", "power", "epsilon")

    moved = inside(BOTH, dict(zip(names, values, strict=True)))

    assert all(contains(BOTH[name], value) for name, value in moved.items())
    assert all(applies(BOTH[name], moved) for name in moved)
    assert inside(BOTH, moved) == moved


def test_a_grid_holds_every_combination_once() -> None:
    space: Space = {"factors": Choice((30, 50)), "alpha": Choice((1.0, 2.0)), "b": IntRange(1, 3)}

    points = grid(space)

    expected = itertools.product((30, 50), (1.0, 2.0), (1, 2, 3))
    assert [tuple(point.values()) for point in points] == list(expected)


@pytest.mark.parametrize("spec", [FloatRange(0.1, 1.0), IntRange(1, 100_000)])
def test_a_grid_over_a_range_is_refused_by_name(spec: FloatRange | IntRange) -> None:
    with pytest.raises(ValueError, match=r"a list of values for search\.alpha"):
        grid({"alpha": spec})


@pytest.mark.parametrize(
    ("spec", "value", "edge"),
    [
        (IntRange(8, 512), 8, "lowest of 8..512"),
        (IntRange(8, 512), 512, "highest of 8..512"),
        (IntRange(8, 512), 100, None),
        (FloatRange(0.0, 100.0), 0.9, "lowest of 0..100"),
        (FloatRange(0.0, 100.0), 1.1, None),
        (FloatRange(0.0, 100.0), 99.1, "highest of 0..100"),
        (FloatRange(0.0, 100.0), 98.9, None),
        (FloatRange(0.01, 1000.0, log=True), 900.0, "highest of 0.01..1000"),
        (Choice((30, 50, 100)), 100, "highest of 30..100"),
        (Choice((30, 50, 100)), 30, "lowest of 30..100"),
        (Choice((30, 50, 100)), 50, None),
        (Choice((50,)), 50, None),
        (Choice(("a", "b")), "a", None),
        (Choice((True, False)), True, None),
        (Choice((1, "auto")), 1, None),
        (FloatRange(2.0, 2.0), 2.0, None),
    ],
    ids=lambda value: str(value),
)
def test_a_value_on_the_edge_of_its_range_is_reported(spec, value, edge: str | None) -> None:
    found = on_bounds({"x": spec}, {"x": value})

    assert found == ({} if edge is None else {"x": edge})


@given(st.floats(0.001, 1000), st.floats(0.001, 1000))
def test_within_a_hundredth_of_a_log_range_is_on_its_edge(one: float, other: float) -> None:
    low, high = sorted((one, other))
    if high < low * 1.5:
        return
    near, far = (low * math.exp(share * math.log(high / low)) for share in (0.009, 0.011))
    space: Space = {"x": FloatRange(low, high, log=True)}

    assert on_bounds(space, {"x": near})
    assert not on_bounds(space, {"x": far})


specs = st.one_of(
    st.lists(st.integers(1, 5), min_size=1, max_size=4).map(lambda values: Choice(tuple(values))),
    st.tuples(st.integers(1, 4), st.integers(0, 3)).map(lambda ends: IntRange(ends[0], sum(ends))),
    st.floats(0.5, 1.0).map(lambda value: FloatRange(value, value)),
)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Free parameters, then some that apply where a free one has one of its values."""
    free = {f"free{n}": draw(specs) for n in range(draw(st.integers(1, 3)))}
    space: Space = dict(free)
    for n in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(sorted(free)))
        value = draw(st.sampled_from(every_value(free[name])))
        space[f"bound{n}"] = replace(draw(specs), when={name: value})
    return space


def every_value(spec: Spec) -> list[Value]:
    match spec:
        case Choice(options):
            return list(options)
        case IntRange(low, high):
            return list(range(low, high + 1))
        case FloatRange(low, high):
            assert low == high
            return [low]


def slowly_counted(space: Space) -> int:
    """Every combination of values, without those that do not apply, once."""
    names = list(space)
    distinct = set()
    for values in itertools.product(*(every_value(space[name]) for name in names)):
        full = dict(zip(names, values, strict=True))
        distinct.add(tuple((n, v) for n, v in full.items() if applies(space[n], full)))
    return len(distinct)


@settings(max_examples=100)
@given(spaces())
def test_the_size_of_a_space_is_how_many_distinct_points_it_has(space: Space) -> None:
    points = [tuple(sorted(point.items())) for point in grid(space)]

    assert size(space) == len(points) == len(set(points)) == slowly_counted(space)


@given(spaces(), st.integers(1, 60))
def test_a_space_of_more_points_than_are_counted_has_no_size(space: Space, most: int) -> None:
    count = slowly_counted(space)

    assert size(space, most) == (count if count <= most else None)


def test_a_range_of_real_numbers_has_no_size_and_a_long_one_of_whole_numbers_has() -> None:
    assert size({"alpha": FloatRange(0.1, 1.0)}) is None
    assert size({"factors": Choice((8, 16)), "alpha": FloatRange(0.1, 1.0)}) is None
    assert (
        size({"factors": IntRange(1, 5_000)}) == len(grid({"factors": IntRange(1, 5_000)})) == 5_000
    )
    assert size({"factors": IntRange(1, 5_000), "alpha": Choice((1.0, 2.0, 3.0))}) is None
    assert size({"factors": IntRange(1, 10**9)}) is None
    assert size({}) == 1


def test_a_parameter_that_is_not_searched_is_on_no_bound() -> None:
    assert on_bounds({"alpha": FloatRange(1, 10)}, {"alpha": 10.0, "iterations": 12}) == {
        "alpha": "highest of 1..10"
    }


@pytest.mark.parametrize(
    ("spec", "value", "wider"),
    [
        (IntRange(8, 512, log=True), 512, "{low = 8, high = 2048, log = true}"),
        (IntRange(3, 15), 3, "{low = 1, high = 15}"),  # 0 and less are no iterations
        (FloatRange(0.5, 5.0), 5.0, "{low = 0.5, high = 9.5}"),
        (FloatRange(0.5, 5.0), 0.5, "{low = 0.125, high = 5.0}"),
        (Choice((16, 32)), 32, "16,32,48"),
        (FloatRange(0.0, 1.0, when={"a": "b"}), 1.0, '{low = 0.0, high = 2.0, when = {a = "b"}}'),
    ],
)
def test_a_range_goes_on_beyond_the_edge_of_its_best_value(
    spec: Spec, value: float, wider: str
) -> None:
    assert widened(spec, value, lambda beyond: float(beyond) > 0) == wider


def test_nothing_is_beyond_a_hard_limit() -> None:
    def is_share(value: Value) -> bool:
        return 0 <= float(value) <= 1

    assert widened(FloatRange(0.0, 1.0), 0.0, is_share) is None
    assert widened(FloatRange(0.0, 1.0), 1.0, is_share) is None
    assert widened(FloatRange(0.2, 0.9), 0.9, is_share) == "{low = 0.2, high = 0.95}"
