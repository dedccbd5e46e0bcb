"""Pruning: which running trials of a search to stop, by their learning curves.

A decision depends on the rule, the trial's own curve so far, its slot (its stable place in the
study, from 0), the curves of finished slots, the range of iterations and a seed: not on the clock,
the order of arrival or other running trials. A resumed study decides the same.

A curve may be measured at every n-th iteration only, and each curve at different iterations.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median
from typing import Literal, assert_never

from recsys.seeds import seed_for

CurveValues = Sequence[tuple[int, float]]
"""Points (iteration, value), rising in iteration; a higher value is better; none is NaN."""

Pruner = Literal["none", "median", "halving", "hyperband"]

# The median of fewer trials depends on which trials came first; Optuna's median pruner also waits
# for five.
N_BEFORE_MEDIAN = 5

# One in three continues; Li et al. 2018 advise 3 or 4.
ETA = 3


@dataclass(frozen=True, slots=True)
class FinishedCurve:
    """The curve of a trial that no longer runs.

    Attributes:
        curve: All its points.
        pruned: Whether it was pruned. Otherwise it ran to its end, or stopped early.
    """

    curve: CurveValues
    pruned: bool


def hopeless(
    pruner: Pruner,
    slot: int,
    curve: CurveValues,
    finished: Mapping[int, FinishedCurve],
    low: int,
    high: int,
    seed: int,
) -> bool:
    """Whether to stop the trial at the last point of its curve; called after each point.

    Never before the first point, and never at `high`: a trial at its end is complete, and
    stopping it saves nothing. Equal values do not stop a trial.

    median: the median stopping rule of Golovin et al. 2017 (Google Vizier). From iteration `low`
    on, stop if the best value so far is below the median, over the slots that finished unpruned,
    of their best value up to the same iteration. Vizier takes the running averages of these
    instead, which a slow start lowers for the whole training. Slots without a
    point by then do not count; at least N_BEFORE_MEDIAN slots must count.

    halving: asynchronous successive halving, ASHA (Li et al. 2020, A System for Massively
    Parallel Hyperparameter Tuning). Rungs are at max(1, low) * ETA^k up to `high`. At the first
    point at or beyond a rung (the highest, if a point passes several) the trial has to be in the
    top 1 / ETA, rounded down, of itself and the finished slots that reached the rung, pruned or
    not; each counts with its best value up to its own first such point. ASHA pauses trials and
    may promote them later; we stop them for good, and therefore stop none while fewer than ETA
    trials, this one included, are at the rung.

    hyperband: Li et al. 2018. There are as many brackets as rungs; bracket b leaves out the
    first b rungs, so that a slow starter has a chance in some. Bracket b of n gets a share of
    slots in proportion to ETA^s / (s + 1), where s = n - 1 - b, as in the paper; only
    the slot and the seed decide the bracket. Halving then runs among the slots of a bracket,
    asynchronously, where the paper has rounds.

    Args:
        pruner: The rule.
        slot: Place of the trial in the study, >= 0.
        curve: Its points so far.
        finished: Slot to the curve of its finished trial.
        low: Least number of iterations before a trial is judged.
        high: Number of iterations of a complete trial.
        seed: Draws the bracket of each slot.

    Raises:
        ValueError: `high` is below 1 or below `low`; not checked without a pruner.
    """
    if pruner == "none":
        return False
    rungs = _rungs(low, high)
    if not curve or curve[-1][0] >= high:
        return False
    match pruner:
        case "median":
            return curve[-1][0] >= low and _below_median(curve, finished.values())
        case "halving":
            return _falls_off(curve, (other.curve for other in finished.values()), rungs)
        case "hyperband":
            own = _bracket(slot, len(rungs), seed)
            rivals = (
                other.curve
                for place, other in finished.items()
                if _bracket(place, len(rungs), seed) == own
            )
            return _falls_off(curve, rivals, rungs[own:])
    assert_never(pruner)


def plateau(curve: CurveValues, patience: int | None) -> bool:
    """Whether the last `patience` points are no better than the best before them.

    False without a point before them, and always if `patience` is None.

    Raises:
        ValueError: `patience` is below 1.
    """
    if patience is None:
        return False
    if patience < 1:
        raise ValueError(f"patience is {patience}; give a number of points from 1")
    if len(curve) <= patience:
        return False
    return _best(curve[-patience:]) <= _best(curve[:-patience])


def best_point(curve: CurveValues, low: int) -> tuple[int, float]:
    """Iteration and value of the highest value from iteration `low` on, the earliest of equals.

    Of the whole curve, if it ends before `low`.

    Raises:
        ValueError: the curve has no points.
    """
    if not curve:
        raise ValueError("a curve without points has no best one")
    return max(curve[_place(curve, low) :] or curve, key=lambda point: point[1])


def _best(curve: CurveValues) -> float:
    """The highest value of a curve that has points."""
    return max(value for _, value in curve)


def _place(curve: CurveValues, iteration: int) -> int:
    """Position of the first point at or beyond `iteration`; the length of the curve without one."""
    return bisect_left(curve, iteration, key=lambda point: point[0])


def _below_median(curve: CurveValues, finished: Iterable[FinishedCurve]) -> bool:
    """Whether the best value so far is below the median of the others at the same iteration."""
    now = curve[-1][0]
    curves = [other.curve for other in finished if not other.pruned]
    by_now = [past[: bisect_right(past, now, key=lambda point: point[0])] for past in curves]
    values = [_best(past) for past in by_now if past]
    return len(values) >= N_BEFORE_MEDIAN and _best(curve) < median(values)


def _falls_off(curve: CurveValues, rivals: Iterable[CurveValues], rungs: Sequence[int]) -> bool:
    """Whether the last point of the curve reaches a rung outside of the top 1 / ETA there."""
    before = curve[-2][0] if len(curve) > 1 else 0
    reached = [rung for rung in rungs if before < rung <= curve[-1][0]]
    if not reached:
        return False
    ends = ((rival, _place(rival, reached[-1])) for rival in rivals)
    values = [_best(rival[: end + 1]) for rival, end in ends if end < len(rival)]
    n_at_rung, n_better = len(values) + 1, sum(value > _best(curve) for value in values)
    return n_at_rung >= ETA and n_better >= n_at_rung // ETA


def _rungs(low: int, high: int) -> list[int]:
    """Iterations max(1, low) * ETA^k up to `high`, at least one; ValueError without any."""
    rung = max(1, low)
    if rung > high:
        raise ValueError(f"there are no iterations from {rung} to {high}")
    rungs = []
    while rung <= high:
        rungs.append(rung)
        rung *= ETA
    return rungs


def _bracket(slot: int, n_brackets: int, seed: int) -> int:
    """Number of rungs the slot leaves out, from 0 to n_brackets - 1."""
    sizes = [-(-n_brackets * ETA**s // (s + 1)) for s in reversed(range(n_brackets))]
    drawn = seed_for(seed, "hyperband", slot) % sum(sizes)
    return bisect_right(list(accumulate(sizes)), drawn)
