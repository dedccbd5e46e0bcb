from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recsys.search.pruning import (
    N_BEFORE_MEDIAN,
    CurveValues,
    FinishedCurve,
    Pruner,
    _bracket,
    best_point,
    hopeless,
    plateau,
)

PRUNERS: tuple[Pruner, ...] = get_args(Pruner)

# Few distinct values, so that equal ones come up; iterations with gaps.
values = st.integers(0, 9).map(float)
curves = st.dictionaries(st.integers(1, 40), values, min_size=1, max_size=12).map(
    lambda points: sorted(points.items())
)
finished_slots = st.dictionaries(
    st.integers(0, 30), st.builds(FinishedCurve, curves, st.booleans()), max_size=15
)
ranges = st.tuples(st.integers(0, 8), st.integers(8, 45))


def steady(value: float, iterations: Iterable[int]) -> CurveValues:
    """The same value at each iteration."""
    return [(iteration, value) for iteration in iterations]


def done(curves: Iterable[CurveValues], pruned: bool = False) -> dict[int, FinishedCurve]:
    """Slots from 0 on with these curves."""
    return {slot: FinishedCurve(curve, pruned) for slot, curve in enumerate(curves)}


def stops(
    pruner: Pruner, curve: CurveValues, finished: Mapping[int, FinishedCurve], low: int = 1
) -> bool:
    """`hopeless` in slot 99 of a study up to iteration 81."""
    return hopeless(pruner, 99, curve, finished, low, high=81, seed=7)


def stopped_at(
    pruner: Pruner,
    slot: int,
    curve: CurveValues,
    finished: Mapping[int, FinishedCurve],
    low_high: tuple[int, int] = (1, 81),
) -> list[int]:
    """Iterations at which the trial would be stopped if it continued after each; seed 1."""
    return [
        at
        for end, (at, _) in enumerate(curve, start=1)
        if hopeless(pruner, slot, curve[:end], finished, *low_high, seed=1)
    ]


def best_by(curve: CurveValues, iteration: int) -> float | None:
    return max((value for at, value in curve if at <= iteration), default=None)


def slow_median(curve: CurveValues, finished: Iterable[FinishedCurve], low: int, high: int) -> bool:
    now = curve[-1][0]
    if now < low or now >= high:
        return False
    found = [best_by(other.curve, now) for other in finished if not other.pruned]
    comparable = [value for value in found if value is not None]
    own = best_by(curve, now)
    assert own is not None
    return len(comparable) >= 5 and own < median(comparable)


def slow_value_at(curve: CurveValues, rung: int) -> float | None:
    """Best value up to the first point at or beyond the rung; None if the curve ends before."""
    first = next((at for at, _ in curve if at >= rung), None)
    return None if first is None else best_by(curve, first)


def slow_halving(
    curve: CurveValues, rivals: Iterable[CurveValues], rungs: Sequence[int], high: int
) -> bool:
    now = curve[-1][0]
    decided = [rung for rung in rungs if next((a for a, _ in curve if a >= rung), None) == now]
    if not decided or now >= high:
        return False
    own = slow_value_at(curve, decided[-1])
    there = [value for c in rivals if (value := slow_value_at(c, decided[-1])) is not None]
    assert own is not None
    ranked = sorted([*there, own], reverse=True)
    kept = len(ranked) // 3
    return kept > 0 and own < ranked[kept - 1]


def slow_rungs(low: int, high: int) -> list[int]:
    return [r for k in range(9) if (r := max(1, low) * 3**k) <= high]


@given(curves, finished_slots, ranges)
def test_without_a_pruner_nothing_is_stopped(
    curve: CurveValues, finished: dict[int, FinishedCurve], low_high: tuple[int, int]
) -> None:
    assert not hopeless("none", 3, curve, finished, *low_high, seed=1)


@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_trial_without_points_is_not_stopped(pruner: Pruner) -> None:
    assert not stops(pruner, [], done(steady(1.0, range(1, 81)) for _ in range(9)))


@pytest.mark.parametrize("pruner", PRUNERS)
@given(curve=curves, finished=finished_slots, low=st.integers(0, 8), slot=st.integers(0, 30))
def test_a_trial_that_ran_to_its_end_is_not_stopped(
    pruner: Pruner, curve: CurveValues, finished: dict[int, FinishedCurve], low: int, slot: int
) -> None:
    assume(curve[-1][0] >= 8)

    assert not hopeless(pruner, slot, curve, finished, low, curve[-1][0], seed=1)


@pytest.mark.parametrize("pruner", PRUNERS)
@given(curve=curves, finished=finished_slots, low_high=ranges, slot=st.integers(0, 30))
def test_no_better_trial_never_stops_one_and_the_order_of_others_changes_nothing(
    pruner: Pruner,
    curve: CurveValues,
    finished: dict[int, FinishedCurve],
    low_high: tuple[int, int],
    slot: int,
) -> None:
    best = [(at, value + 9.0) for at, value in curve]
    backwards = dict(reversed(finished.items()))

    assert not stopped_at(pruner, slot, best, finished, low_high)
    assert hopeless(pruner, slot, curve, finished, *low_high, 1) == hopeless(
        pruner, slot, curve, backwards, *low_high, 1
    )


@settings(max_examples=100)
@given(curves, finished_slots, ranges)
def test_the_median_rule_equals_a_slow_loop(
    curve: CurveValues, finished: dict[int, FinishedCurve], low_high: tuple[int, int]
) -> None:
    found = hopeless("median", 3, curve, finished, *low_high, seed=1)

    assert found == slow_median(curve, finished.values(), *low_high)


def test_the_median_rule_waits_for_five_trials_that_were_not_pruned() -> None:
    good = [steady(1.0, [10, 20]) for _ in range(N_BEFORE_MEDIAN)]
    cut = {slot: FinishedCurve(steady(1.0, [10, 20]), pruned=True) for slot in range(50, 70)}

    assert N_BEFORE_MEDIAN == 5
    assert stops("median", steady(0.5, [10]), done(good))
    assert not stops("median", steady(0.5, [10]), done(good[:-1]) | cut)


@settings(max_examples=100)
@given(curves, finished_slots, ranges)
def test_halving_equals_a_slow_loop(
    curve: CurveValues, finished: dict[int, FinishedCurve], low_high: tuple[int, int]
) -> None:
    found = stopped_at("halving", 3, curve, finished, low_high)

    rivals = [other.curve for other in finished.values()]
    ends = range(1, len(curve) + 1)
    assert found == [
        curve[end - 1][0]
        for end in ends
        if slow_halving(curve[:end], rivals, slow_rungs(*low_high), low_high[1])
    ]


@pytest.mark.parametrize(
    ("pruner", "low", "high", "every", "expected"),
    [
        ("median", 6, 10, 1, [6, 7, 8, 9]),
        ("halving", 1, 81, 1, [1, 3, 9, 27]),
        ("halving", 0, 82, 1, [1, 3, 9, 27, 81]),
        ("halving", 1, 81, 4, [4, 12, 28]),
        ("halving", 5, 81, 10, [10, 20, 50]),
    ],
)
def test_a_pruner_decides_from_low_on_and_halving_at_the_first_point_from_a_rung_on(
    pruner: Pruner, low: int, high: int, every: int, expected: list[int]
) -> None:
    at = range(every, high + 1, every)
    others = done(steady(1.0, at) for _ in range(9))

    assert stopped_at(pruner, 9, steady(0.0, at), others, (low, high)) == expected


def test_brackets_of_hyperband_leave_out_one_rung_more_each() -> None:
    rungs, slots = [1, 3, 9, 27], range(100, 160)
    others = done(steady(1.0, rungs) for _ in range(100))

    stops = [stopped_at("hyperband", slot, steady(0.0, rungs), others) for slot in slots]

    assert stops == [rungs[_bracket(slot, 5, seed=1) :] for slot in slots]
    assert {len(each) for each in stops} == {0, 1, 2, 3, 4}


def test_brackets_of_hyperband_get_slots_in_the_proportions_of_the_paper() -> None:
    drawn = [_bracket(slot, 5, seed=11) for slot in range(4000)]

    # Li et al. 2018, table 1: configurations per bracket for R = 81 and a factor of 3.
    paper = [81, 34, 15, 8, 5]
    shares = [drawn.count(bracket) / 4000 for bracket in range(5)]
    assert shares == pytest.approx([n / sum(paper) for n in paper], abs=0.03)


def test_a_bracket_follows_from_slot_and_seed_alone() -> None:
    drawn = [[_bracket(slot, 4, seed) for slot in range(60)] for seed in (1, 1, 2)]

    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


@given(st.integers(0, 200), curves, finished_slots)
def test_hyperband_is_halving_among_the_slots_of_the_same_bracket(
    slot: int, curve: CurveValues, finished: dict[int, FinishedCurve]
) -> None:
    own = _bracket(slot, 4, seed=5)
    rivals = [other.curve for s, other in finished.items() if _bracket(s, 4, seed=5) == own]

    found = hopeless("hyperband", slot, curve, finished, 1, 41, seed=5)

    assert found == slow_halving(curve, rivals, slow_rungs(1, 41)[own:], 41)


@pytest.mark.parametrize("pruner", [pruner for pruner in PRUNERS if pruner != "none"])
@pytest.mark.parametrize(("low", "high"), [(10, 9), (0, 0)])
def test_a_range_without_iterations_is_refused(pruner: Pruner, low: int, high: int) -> None:
    with pytest.raises(ValueError, match=rf"no iterations from {max(1, low)} to {high}"):
        hopeless(pruner, 0, [(1, 0.5)], {}, low, high, seed=1)


@given(curves, st.integers(1, 6))
def test_a_plateau_equals_a_slow_loop(curve: CurveValues, patience: int) -> None:
    waited, best = 0, float("-inf")
    for _, value in curve:
        waited = 0 if value > best else waited + 1
        best = max(best, value)

    assert plateau(curve, patience) == (waited >= patience)


@given(curves)
def test_without_patience_there_is_no_plateau(curve: CurveValues) -> None:
    assert not plateau(curve, None)


def test_a_patience_of_0_is_refused() -> None:
    with pytest.raises(ValueError, match="patience is 0"):
        plateau([(1, 0.5)], 0)


@given(curves, st.integers(0, 45))
def test_the_best_point_is_the_earliest_of_the_highest_from_low_on(
    curve: CurveValues, low: int
) -> None:
    allowed = [(at, value) for at, value in curve if at >= low] or list(curve)
    highest = max(value for _, value in allowed)

    assert best_point(curve, low) == next(point for point in allowed if point[1] == highest)


def test_a_curve_without_points_has_no_best_one() -> None:
    with pytest.raises(ValueError, match="without points"):
        best_point([], 1)
