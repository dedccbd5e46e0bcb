"""Search spaces as plain data that can be printed, tested and stored."""

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, StrictFloat, StrictInt, model_validator

from recsys.settings import Config

Value = str | int | float | bool
Point = dict[str, Value]
Number = (
    Annotated[StrictInt, Field(ge=-(2**53), le=2**53)] | StrictFloat
)  # no text, and no true or false
When = Mapping[str, Value]

MOST = 10_000  # points that `size` counts, and values of one parameter in a grid


@dataclass(frozen=True, slots=True)
class IntRange:
    """Whole numbers from low to high, both included."""

    low: int
    high: int
    log: bool = False
    when: When = field(default_factory=dict)

    @property
    def ends(self) -> tuple[Value, ...]:
        """The outermost values."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class FloatRange:
    """Real numbers from low to high."""

    low: float
    high: float
    log: bool = False
    when: When = field(default_factory=dict)

    @property
    def ends(self) -> tuple[Value, ...]:
        """The outermost values."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values."""

    options: tuple[Value, ...]
    when: When = field(default_factory=dict)

    @property
    def ends(self) -> tuple[Value, ...]:
        """All values: a choice has no order."""
        return self.options


Spec = IntRange | FloatRange | Choice
Space = dict[str, Spec]


class RangeTable(Config):
    """A range in TOML: {low = 8, high = 512, log = true, when = {...}}."""

    low: Number | None = None
    """The lower end."""
    high: Number | None = None
    """The upper end."""
    log: bool = False
    """Whether values are drawn evenly by their logarithm; the lower end is then above 0."""
    options: tuple[Value, ...] | None = None
    """A list to choose from, in place of both ends."""
    when: dict[str, Value] = Field(default={})
    """Another parameter and the value with which alone this one is searched."""

    @model_validator(mode="after")
    def _is_range_or_choice(self) -> "RangeTable":
        if self.options is not None:
            if not self.options or self.low is not None or self.high is not None:
                raise ValueError("options must not be empty and go without low and high")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or options")
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if not math.isfinite(float(self.high) - float(self.low)):
            raise ValueError(f"from {self.low} to {self.high} is too wide; give nearer ends")
        if self.log and self.low <= 0:
            raise ValueError(f"a log scale needs low > 0, got {self.low}")
        return self


Options = Annotated[tuple[Value, ...], Field(min_length=1)]
SpaceTable = dict[str, RangeTable | Options | Value]


def space_of(table: SpaceTable, whole: Collection[str]) -> Space:
    """The space of a `[search]` table; a single value pins its parameter.

    A parameter with `when` comes after the one it depends on, in any order of the file, and is
    left out if that one cannot have the value.

    Args:
        table: Parameter to its entry.
        whole: The parameters with whole numbers; every other range is real.
    """
    space = {name: _spec(entry, name in whole) for name, entry in table.items()}
    for name, spec in space.items():
        for other in spec.when:
            if other not in space or space[other].when:
                raise ValueError(
                    f"search.{name}.when names {other!r}; name a parameter without when"
                )
    kept = {name: spec for name, spec in space.items() if _possible(spec, space)}
    return dict(sorted(kept.items(), key=lambda entry: bool(entry[1].when)))


def _possible(spec: Spec, space: Space) -> bool:
    return all(contains(space[other], value) for other, value in spec.when.items())


def _spec(entry: RangeTable | tuple[Value, ...] | Value, whole: bool) -> Spec:
    match entry:
        case RangeTable(options=tuple() as options):
            return Choice(tuple(_number(each, whole) for each in options), entry.when)
        case RangeTable(low=int() | float() as low, high=int() | float() as high):
            if whole and float(low).is_integer() and float(high).is_integer():
                return IntRange(int(low), int(high), entry.log, entry.when)
            return FloatRange(float(low), float(high), entry.log, entry.when)
        case RangeTable():
            raise ValueError("give low and high, or options")
        case tuple():
            return Choice(tuple(_number(each, whole) for each in entry))
        case _:
            return Choice((_number(entry, whole),))


def _number(value: Value, whole: bool) -> Value:
    """8 for 8.0 where a parameter has whole numbers."""
    return int(value) if whole and isinstance(value, float) and value.is_integer() else value


def applies(spec: Spec, point: Point) -> bool:
    """Whether a parameter exists at `point`, by its `when`."""
    return all(point.get(name) == value for name, value in spec.when.items())


def contains(spec: Spec, value: Value) -> bool:
    """Whether `spec` contains `value`."""
    if isinstance(spec, Choice):
        return value in spec.options
    return not isinstance(value, str) and spec.low <= value <= spec.high


def inside(space: Space, point: Point) -> Point:
    """The point of the space nearest to `point`, as far as `point` has its parameters.

    Used to try a model's defaults first where the space does not contain them.
    """
    nearest: Point = {}
    for name, spec in space.items():
        if applies(spec, nearest) and name in point:
            nearest[name] = _nearest(spec, point[name])
    return nearest


def _nearest(spec: Spec, value: Value) -> Value:
    if contains(spec, value):
        return value
    numbers = [end for end in spec.ends if not isinstance(end, str)]
    if isinstance(value, str) or not numbers:
        return spec.ends[0]
    return min(numbers, key=lambda end: abs(float(end) - float(value)))


def grid(space: Space) -> list[Point]:
    """Every distinct point of a space that is all choices, in the order of the file.

    Raises:
        ValueError: a parameter is a range of real numbers.
    """
    points: list[Point] = [{}]
    for name, spec in space.items():
        values = _values(spec)
        if values is None or len(values) > MOST:
            raise ValueError(f"the grid sampler needs a list of values for search.{name}")
        points = _crossed(points, name, spec, values)
    return points


def size(space: Space, most: int = MOST) -> int | None:
    """How many distinct points a space has; None where there are more than `most`.

    A range of real numbers has infinitely many, unless its ends are equal.
    """
    points: list[Point] = [{}]
    for name, spec in space.items():
        values = _values(spec)
        if values is None:
            return None
        if sum(len(values) if applies(spec, point) else 1 for point in points) > most:
            return None
        points = _crossed(points, name, spec, values)
    return len(points)


def _values(spec: Spec) -> Sequence[Value] | None:
    """The distinct values of a parameter; None for a range of real numbers."""
    match spec:
        case Choice(options):
            return list(dict.fromkeys(options))
        case IntRange(low, high):
            return range(low, high + 1)
        case FloatRange(low, high):
            return [low] if low == high else None


def _crossed(
    points: Sequence[Point], name: str, spec: Spec, values: Sequence[Value]
) -> list[Point]:
    """Each point with each value of one more parameter, where it applies."""
    return [
        extended
        for point in points
        for extended in (
            [{**point, name: value} for value in values] if applies(spec, point) else [point]
        )
    ]


def on_bounds(space: Space, point: Point) -> dict[str, str]:
    """The parameters of `point` that lie on the edge of a range, with the edge in words.

    The space may be too narrow where the best value lies on a bound. Choices of numbers count
    too, a pinned value does not. Within 1 % of a range (of its logarithm on a log scale)
    counts as on the bound.
    """
    edges: dict[str, str] = {}
    for name, value in point.items():
        if name not in space:
            continue  # not drawn for each trial
        spec = space[name]
        numbers = [end for end in spec.ends if isinstance(end, int | float)]
        if isinstance(value, str | bool) or len(numbers) != len(spec.ends) or len(numbers) < 2:
            continue
        low, high = min(numbers), max(numbers)
        log = getattr(spec, "log", False)
        scale = math.log if log else float
        margin = 0.0 if isinstance(spec, Choice) else 0.01 * (scale(high) - scale(low))
        if scale(value) <= scale(low) + margin and low < high:
            edges[name] = f"lowest of {low:g}..{high:g}"
        elif scale(value) >= scale(high) - margin and low < high:
            edges[name] = f"highest of {low:g}..{high:g}"
    return edges


def widened(spec: Spec, value: Value, allowed: Callable[[Value], bool]) -> str | None:
    """A range that is wider at the edge of `value`, as `--set search.NAME=` takes it.

    Args:
        spec: The range, or a choice of numbers.
        value: Best value, on its edge as `on_bounds` says.
        allowed: Whether the model takes a value.

    Returns:
        None where the model takes nothing beyond: the edge is a hard limit.
    """
    numbers = sorted(end for end in spec.ends if isinstance(end, int | float))
    low, high = numbers[0], numbers[-1]
    at_low = abs(float(value) - low) <= abs(float(value) - high)
    beyond = next((each for each in _beyond(spec, low, high, at_low) if allowed(each)), None)
    if beyond is None:
        return None
    if isinstance(spec, Choice):
        every = [beyond, *spec.options] if at_low else [*spec.options, beyond]
        return ",".join(map(str, every))
    ends = {"low": beyond, "high": high} if at_low else {"low": low, "high": beyond}
    words = [f"{name} = {end!r}" for name, end in ends.items()]
    words += ["log = true"] * spec.log
    if spec.when:
        conditions = (f"{name} = {json.dumps(of)}" for name, of in spec.when.items())
        words.append(f"when = {{{', '.join(conditions)}}}")
    return f"{{{', '.join(words)}}}"


def _beyond(spec: Spec, low: float, high: float, at_low: bool) -> Iterator[float]:
    """Values beyond an edge, the best first; the later ones are nearer, in case of a limit."""
    log, width = getattr(spec, "log", False), high - low
    lower = [low / 4] * log + [low - width, low / 4, low / 2, 0]
    higher = [high * 4] * log + [high + width, high * 2, (high + 1) / 2, 1]
    whole = all(isinstance(end, int) for end in spec.ends)
    for each in lower if at_low else higher:
        value = round(each) if whole else float(f"{each:.4g}")
        if value < low if at_low else value > high:
            yield value
