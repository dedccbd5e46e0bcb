"""The next point: it follows from the seed, the slot and the finished trials alone.

A slot is the place of a trial in the study. Optuna's own numbers shift with every repeat of an
interrupted trial, and trials left running would count; so each slot gets a new sampler, which
sees a study in memory that holds finished trials only, in the order of their slots.
"""

import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from recsys.errors import InputError
from recsys.evaluation.objectives import front
from recsys.search.config import PLANNED, StudyConfig
from recsys.search.space import (
    Choice,
    FloatRange,
    IntRange,
    Point,
    Space,
    Spec,
    Value,
    applies,
    grid,
    inside,
    size,
)
from recsys.search.unit import point_at
from recsys.seeds import seed_for
from tasks.tuning import cube

STARTUP = 6  # trials before TPE models anything; those that the configuration begins with count
GOOD, REST = 25, 35  # finished trials that TPE is shown, so that asking never gets slower
REDRAWS = 20  # for a point that was tried already, before a new one is looked up

Key = tuple[tuple[str, Value], ...]


def key_of(point: Point) -> Key:
    """A point as a key of a table."""
    return tuple(sorted(point.items()))


@dataclass(frozen=True, slots=True)
class ObservedTrial:
    """A finished trial as a sampler sees it.

    Attributes:
        params: Its point.
        values: Of the objectives, oriented so that more is better; empty where it was pruned.
        curve: (iteration, value of the first objective).
    """

    params: Point
    values: tuple[float, ...]
    curve: Sequence[tuple[int, float]]


class Points:
    """The points of a study."""

    def __init__(
        self,
        space: Space,
        config: StudyConfig,
        seed: int,
        earlier: Sequence[Point] = (),
        default: Mapping[str, Value] | None = None,
    ) -> None:
        """Plan them.

        Args:
            space: All points.
            config: How.
            seed: Root seed.
            earlier: Points to begin with, from other studies.
            default: The default point of the model, tried next where the configuration says so.
        """
        self._space = space
        self._config = config
        self._seed = seed
        self._n_objectives = 1 + len(config.also)
        own = [dict(default)] if default is not None and config.default_first else []
        self._starts: list[Point] = [*earlier, *own, *config.first]
        self.size = size(space)
        self._grid = self._shuffled_grid() if config.sampler == "grid" else []
        self._planned: list[Point] = []
        self._planned_keys: set[Key] = set()

    @property
    def is_planned(self) -> bool:
        """Whether the points do not depend on the results of trials."""
        return self._config.sampler in PLANNED

    def planned(self, n: int) -> list[Point]:
        """The points of the first n slots of a planned study."""
        while len(self._planned) < n:
            point = self._next(len(self._planned), [], self._planned_keys)
            self._planned.append(point)
            self._planned_keys.add(key_of(point))
        return self._planned[:n]

    def point(self, slot: int, finished: Sequence[ObservedTrial], taken: Collection[Key]) -> Point:
        """A new point for a slot.

        Args:
            slot: Which.
            finished: The finished trials by slot.
            taken: The points of all other slots that have one.
        """
        if self.is_planned:
            return self.planned(slot + 1)[slot]
        return self._next(slot, finished, taken)

    def _next(self, slot: int, finished: Sequence[ObservedTrial], taken: Collection[Key]) -> Point:
        if self._grid:
            return self._grid[slot]
        start = self._start(slot)
        for redraw in range(REDRAWS):
            fixed = {} if redraw else start
            if self._uses_cube(redraw, finished):
                point = self._in_cube(slot, redraw, finished, fixed)
            else:
                point = self._by_optuna(slot, redraw, finished, fixed)
            if key_of(point) not in taken:
                return point
        return self._left(slot, taken)

    def _uses_cube(self, redraw: int, finished: Sequence[ObservedTrial]) -> bool:
        """Whether a draw is one in the unit cube; otherwise one of Optuna's samplers makes it."""
        learns = len(finished) >= STARTUP
        match self._config.sampler:
            case "qmc":
                return True
            case "cma-es":
                return learns
            case "gp":  # it would find the same point again
                return learns and not redraw
            case _:
                return False

    def _by_optuna(
        self, slot: int, redraw: int, finished: Sequence[ObservedTrial], fixed: Point
    ) -> Point:
        """A point of one of Optuna's samplers."""
        keys = (slot, redraw) if redraw else (slot,)
        n_good = min(math.ceil(len(finished) / 10), GOOD)
        sampler = self._sampler(seed_for(self._seed, "search", *keys), n_good)
        return self._drawn(sampler, fixed, _shown(finished), slot)

    def _in_cube(
        self, slot: int, redraw: int, finished: Sequence[ObservedTrial], fixed: Point
    ) -> Point:
        """A point of a sampler that draws in the unit cube."""
        space, seed = self._space, seed_for(self._seed, "search", slot, redraw)
        match self._config.sampler:
            case "qmc":
                units = cube.sobol(space, seed_for(self._seed, "search", "qmc"), slot, redraw)
            case "cma-es":
                tried = cube.tried_of(space, list(map(_valued, finished)))
                units = cube.cma_es(space, seed, tried, max(len(self._starts), STARTUP))
            case _:
                tried = cube.tried_of(space, list(map(_valued, _shown(finished))))
                units = cube.gaussian_process(space, seed, tried)
        typed = {name: _typed(space[name], value) for name, value in fixed.items()}
        return point_at(space, units, typed)

    def _start(self, slot: int) -> Point:
        """The point that the configuration sets for this slot, if any."""
        return inside(self._space, self._starts[slot]) if slot < len(self._starts) else {}

    def _sampler(self, seed: int, n_good: int) -> BaseSampler:
        if self._config.sampler != "tpe":  # or there are too few trials to learn from
            return RandomSampler(seed=seed)
        with warnings.catch_warnings():
            # Some of these options are experimental or deprecated (gamma goes in Optuna 6); our
            # tests pin their behaviour.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", FutureWarning)
            return TPESampler(
                seed=seed,
                n_startup_trials=STARTUP,
                gamma=lambda _: n_good,  # Optuna's own rule, of all trials, not of those shown
                multivariate=True,  # alpha and regularization only work together,
                group=True,  # also where a weighting has parameters that others lack
                constant_liar=False,
            )

    def _drawn(
        self, sampler: BaseSampler, fixed: Point, finished: Sequence[ObservedTrial], slot: int
    ) -> Point:
        """A new point from a sampler, parameter by parameter."""
        study = self._memory(finished)
        trial = _fresh(slot)
        relative = sampler.infer_relative_search_space(study, trial)
        joint = sampler.sample_relative(study, trial, relative)
        point: Point = {}
        for name, spec in self._space.items():
            if not applies(spec, point):
                continue
            if name in fixed:
                point[name] = _typed(spec, fixed[name])
            elif name in joint:
                point[name] = joint[name]
            else:
                drawn_from = distribution(spec)
                point[name] = sampler.sample_independent(study, trial, name, drawn_from)
        return point

    def _memory(self, finished: Sequence[ObservedTrial]) -> optuna.Study:
        directions = [StudyDirection.MAXIMIZE] * self._n_objectives
        study = optuna.create_study(directions=directions)
        for tried in finished:
            study.add_trial(
                optuna.create_trial(
                    state=TrialState.COMPLETE if tried.values else TrialState.PRUNED,
                    params=tried.params,
                    distributions=distributions(self._space, tried.params),
                    values=tried.values or None,
                    # TPE reads where a pruned trial ended, nothing else; the rest costs time.
                    intermediate_values={} if tried.values else dict(tried.curve[-1:]),
                )
            )
        return study

    def _left(self, slot: int, taken: Collection[Key]) -> Point:
        """A new point, where the draws met only tried ones."""
        if self.size is None:
            return self._anywhere(slot, taken)
        left = [point for point in grid(self._space) if key_of(point) not in taken]
        rng = np.random.default_rng(seed_for(self._seed, "search", slot, "left"))
        return left[int(rng.integers(len(left)))]

    def _anywhere(self, slot: int, taken: Collection[Key]) -> Point:
        """A new point of a space that cannot be counted."""
        sampler = RandomSampler(seed=seed_for(self._seed, "search", slot, "left"))
        point = self._drawn(sampler, {}, [], slot)
        while key_of(point) in taken:
            point = self._drawn(sampler, {}, [], slot)
        return point

    def _shuffled_grid(self) -> list[Point]:
        try:
            points = grid(self._space)
        except ValueError as error:
            raise InputError(f"{error}; give lists, or set study.sampler=random") from error
        order = np.random.default_rng(seed_for(self._seed, "search", "grid"))
        return [points[int(n)] for n in order.permutation(len(points))]


def _valued(tried: ObservedTrial) -> tuple[Point, float]:
    """A point and the value of its first objective; of a pruned trial, the best of its curve."""
    best = max((value for _, value in tried.curve), default=0.0)
    return tried.params, tried.values[0] if tried.values else best


def _shown(finished: Sequence[ObservedTrial]) -> Sequence[ObservedTrial]:
    """All of few trials; of many, the best and every so many of the others, in their order.

    TPE models the good and the others apart. It takes at most GOOD for good, so only the model of
    the others sees fewer, spread over the whole study.
    """
    if len(finished) <= GOOD + REST:
        return finished
    best = sorted(range(len(finished)), key=_rank(finished))[:GOOD]
    others = np.delete(np.arange(len(finished)), best)
    spread = others[np.linspace(0, len(others) - 1, REST).round().astype(int)]
    return [finished[n] for n in sorted([*best, *spread.tolist()])]


def _rank(finished: Sequence[ObservedTrial]) -> Callable[[int], tuple[bool, float, int]]:
    """How to sort trials: those that none beats first, then by the first objective; pruned last."""
    ended = [n for n, tried in enumerate(finished) if len(tried.values) > 1]
    unbeaten: set[int] = set()
    if ended:
        on_front = front(np.array([finished[n].values for n in ended]))
        unbeaten = {n for n, is_on in zip(ended, on_front, strict=True) if is_on}

    def rank(n: int) -> tuple[bool, float, int]:
        values = finished[n].values
        return n not in unbeaten, -values[0] if values else math.inf, n

    return rank


def _fresh(slot: int) -> FrozenTrial:
    return FrozenTrial(
        number=slot,
        trial_id=-1,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


def distribution(spec: Spec) -> BaseDistribution:
    """How Optuna describes a parameter."""
    match spec:
        case IntRange(low, high, log):
            return IntDistribution(low, high, log=log)
        case FloatRange(low, high, log):
            return FloatDistribution(low, high, log=log)
        case Choice(options):
            return CategoricalDistribution(options)


def _typed(spec: Spec, value: Value) -> Value:
    """50 as 50.0 where a parameter is real."""
    return float(value) if isinstance(spec, FloatRange) else value


def distributions(space: Space, point: Mapping[str, Value]) -> dict[str, BaseDistribution]:
    """How Optuna describes the parameters of a point."""
    return {name: distribution(space[name]) for name in point}
