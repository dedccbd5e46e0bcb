from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.search.space import (
    Choice,
    FloatRange,
    IntRange,
    RangeTable,
    Space,
    applies,
    contains,
    space_of,
)
from recsys.search.unit import free, point_at, units_at

TABLE: dict[str, Any] = {
    "factors": RangeTable(low=8, high=512, log=True),
    "alpha": RangeTable(low=0.01, high=100.0, log=True),
    "nu": RangeTable(low=0.0, high=1.0),
    "weighting": ("share", "log", "linear"),
    "power": RangeTable(low=0.2, high=1.5, when={"weighting": "share"}),
    "iterations": 7,
}
SPACE: Space = space_of(TABLE, {"factors", "iterations"})
UNITS = st.lists(st.floats(0, 1), min_size=5, max_size=5)


@given(units=UNITS)
def test_a_point_of_the_cube_is_a_point_of_the_space_and_back(units: list[float]) -> None:
    point = point_at(SPACE, units)

    assert set(point) == {name for name, spec in SPACE.items() if applies(spec, point)}
    assert all(contains(SPACE[name], value) for name, value in point.items())
    again = point_at(SPACE, units_at(SPACE, point))
    assert again == {**point, **{n: pytest.approx(v) for n, v in point.items() if n != "weighting"}}
    assert type(again["factors"]) is int


def test_pinned_parameters_are_no_sides_of_the_cube() -> None:
    assert list(free(SPACE)) == ["factors", "alpha", "nu", "weighting", "power"]


def test_each_value_has_an_equal_part_of_its_side() -> None:
    space: Space = {"a": Choice(("x", "y", "z")), "n": IntRange(1, 4)}

    found = [point_at(space, [(n + 0.5) / 12, (n + 0.5) / 12]) for n in range(12)]

    assert [point["a"] for point in found] == ["x"] * 4 + ["y"] * 4 + ["z"] * 4
    assert [point["n"] for point in found] == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3


def test_on_a_log_scale_the_middle_is_the_geometric_mean() -> None:
    assert point_at({"a": FloatRange(0.01, 100.0, log=True)}, [0.5]) == {"a": pytest.approx(1.0)}


def test_a_parameter_that_a_point_has_not_is_in_the_middle() -> None:
    linear = {"factors": 8, "alpha": 1.0, "nu": 0.0, "weighting": "linear", "iterations": 7}

    assert units_at(SPACE, linear)[-1] == 0.5
