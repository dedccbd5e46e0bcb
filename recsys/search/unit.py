"""Points of a space as points of the unit cube, for samplers that know no other space."""

import math
from collections.abc import Mapping, Sequence

from recsys.search.space import Choice, FloatRange, IntRange, Point, Space, Spec, Value, applies

UNUSED = 0.5  # of a parameter that a point does not have


def free(space: Space) -> Space:
    """The parameters that have more than one value: the sides of the cube, in their order."""
    return {name: spec for name, spec in space.items() if len(set(spec.ends)) > 1}


def point_at(
    space: Space, units: Sequence[float], fixed: Mapping[str, Value] | None = None
) -> Point:
    """The point of the space at a point of the cube.

    A choice has an equal part of its side for each option, a range of whole numbers for each number
    (on a log scale in proportion to its logarithm).

    Args:
        space: The space.
        units: A number from 0 to 1 for each parameter of `free(space)`.
        fixed: Values that parameters have wherever they lie.
    """
    at, given = dict(zip(free(space), units, strict=True)), fixed or {}
    point: Point = {}
    for name, spec in space.items():
        if applies(spec, point):
            point[name] = given[name] if name in given else _value(spec, at.get(name, UNUSED))
    return point


def units_at(space: Space, point: Mapping[str, Value]) -> list[float]:
    """Where a point of the space lies in the cube; 0.5 for a parameter that it has not."""
    return [
        _unit(spec, point[name]) if name in point else UNUSED for name, spec in free(space).items()
    ]


def _value(spec: Spec, unit: float) -> Value:
    unit = min(max(float(unit), 0.0), 1.0)
    if isinstance(spec, Choice):
        return spec.options[min(int(unit * len(spec.options)), len(spec.options) - 1)]
    low, high = _sides(spec)
    value = low + unit * (high - low)
    value = math.exp(value) if spec.log else value
    if isinstance(spec, IntRange):
        return min(max(round(value), spec.low), spec.high)
    return min(max(value, spec.low), spec.high)


def _unit(spec: Spec, value: Value) -> float:
    if isinstance(spec, Choice):
        return (spec.options.index(value) + 0.5) / len(spec.options)
    low, high = _sides(spec)
    number = math.log(float(value)) if spec.log else float(value)
    return (number - low) / (high - low)


def _sides(spec: IntRange | FloatRange) -> tuple[float, float]:
    """The ends of a range, on its scale; half a number more on each side of whole ones."""
    beyond = 0.5 if isinstance(spec, IntRange) else 0.0
    low, high = spec.low - beyond, spec.high + beyond
    return (math.log(low), math.log(high)) if spec.log else (low, high)
