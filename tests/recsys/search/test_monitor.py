"""The observer of a training: what it measures, keeps and stops, by curves that are scripted."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from recsys.models.iterative import Iteration, State, StopTraining
from recsys.search.curves import Curve, CurvePoint, spacing
from recsys.search.monitor import HopelessTraining, StopRules, TrainingMonitor
from recsys.search.pruning import FinishedCurve

LAST = 6
GOOD = {slot: FinishedCurve([(n, 0.5) for n in range(1, LAST + 1)], False) for slot in range(5)}


class Counter:
    """A model that is nothing but the number of its iterations."""

    def __init__(self) -> None:
        self.n = np.zeros(1, dtype=np.int64)

    def state(self, into: State | None = None) -> State:
        return State(int(self.n[0]), {"n": self.n.copy()})

    def rewind(self, state: State) -> None:
        self.n = state.arrays["n"].copy()


class Scripted(Curve):
    """A curve whose values are given."""

    def __init__(self, values: Mapping[int, float], points: Sequence[CurvePoint] = ()) -> None:
        self._values = values
        self.points = list(points)
        self.seconds = 0.0

    def __call__(self, step: Iteration) -> None:
        self.points.append(point(step.number, self._values[step.number]))

    def measure(self, model: Any) -> dict[str, float]:
        self.seconds += 1.0
        return {"ndcg@5": self._values[int(model.n[0])]}


def point(iteration: int, value: float) -> CurvePoint:
    return CurvePoint(iteration, 0.0, {"ndcg@5": value}, 0.0)


def rules(**changed: Any) -> StopRules:
    return StopRules("ndcg@5", **{"iterations": LAST, "found_from": 2, **changed})


class Training:
    """A training under a monitor, to its end."""

    def __init__(
        self,
        curve: Curve,
        stop: StopRules,
        every: int = 1,
        start: int = 0,
        kept: Sequence[int] = (),
        whole: Curve | None = None,
    ) -> None:
        self.points: list[tuple[int, float]] = []
        self.saved: dict[int, int] = {}
        self.model = Counter()
        self.pruned = False
        begin = State(start, {"n": np.array([start])}) if start else None
        self.monitor = TrainingMonitor(
            curve,
            stop,
            every,
            lambda *each: self.points.append(each),
            begin,
            kept,
            self._save,
            whole,
        )
        try:
            self._train(stop.iterations)
        except HopelessTraining:
            self.pruned = True

    def _save(self, state: State, points: Sequence[CurvePoint]) -> None:
        self.saved[state.iteration] = len(points)

    def _train(self, iterations: int) -> None:
        model: Any = self.model
        start = self.monitor.begin()
        if start is not None:
            model.rewind(start)
        for number in range(int(model.n[0]) + 1, iterations + 1):
            model.n += 1
            try:
                self.monitor(Iteration(number, 1.0, 0.0, model))
            except StopTraining:
                break
        self.monitor.settle(model)


def values(*of_iterations: float) -> dict[int, float]:
    return dict(enumerate(of_iterations, 1))


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (values(0.1, 0.2, 0.3, 0.9, 0.5, 0.6), 4),
        (values(0.9, 0.1, 0.2, 0.1, 0.1, 0.1), 3),  # before the range is not in it
        (values(0.1, 0.5, 0.5, 0.5, 0.5, 0.5), 2),  # of equals the first
        (values(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), 6),
    ],
)
def test_the_best_iteration_of_the_range_is_kept(curve: dict[int, float], expected: int) -> None:
    done = Training(Scripted(curve), rules())

    assert (done.monitor.kept, int(done.model.n[0])) == (expected, expected)
    assert (done.monitor.reached, done.monitor.ran, done.monitor.fit_seconds) == (6, 6, 6.0)
    assert done.points == list(curve.items())


@pytest.mark.parametrize(
    ("of_all", "kept"), [({3: 0.4, 5: 0.5}, 5), ({3: 0.5, 5: 0.5}, 3), ({3: 0.6, 5: 0.5}, 3)]
)
def test_the_best_iteration_and_the_last_are_compared_on_all_users(
    of_all: dict[int, float], kept: int
) -> None:
    curve = Scripted(values(0.1, 0.2, 0.9, 0.3, 0.4, 0.5))

    done = Training(curve, rules(patience=2), whole=Scripted(of_all))

    assert (done.monitor.kept, int(done.model.n[0]), done.monitor.reached) == (kept, kept, 5)
    assert curve.seconds == 2.0


def test_where_the_last_iteration_is_the_best_nothing_is_compared() -> None:
    curve = Scripted(values(0.1, 0.2, 0.3, 0.4, 0.5, 0.6))

    done = Training(curve, rules(), whole=Scripted({}))

    assert (done.monitor.kept, curve.seconds) == (LAST, 0.0)


def test_a_pinned_number_of_iterations_is_kept_as_it_is() -> None:
    done = Training(Scripted(values(0.9, 0.1, 0.1, 0.1, 0.1, 0.1)), rules(found_from=None))

    assert (done.monitor.kept, int(done.model.n[0])) == (LAST, LAST)


def test_the_curve_has_every_other_iteration_the_checkpoints_and_the_last() -> None:
    curve = values(0.1, 0.2, 0.9, 0.1, 0.5)

    done = Training(Scripted(curve), rules(iterations=5), every=2, kept=(3,))

    assert [number for number, _ in done.points] == [2, 3, 4, 5]
    assert done.saved == {3: 2}
    assert done.monitor.kept == 3


@pytest.mark.parametrize(
    ("low", "patience", "curve", "reached", "kept"),
    [
        (2, 2, values(0.9, 0.2, 0.5, 0.4, 0.5, 0.99), 5, 3),
        (4, 1, values(0.9, 0.5, 0.4, 0.3, 0.2, 0.1), 5, 4),  # patience begins with the range
        (None, 1, values(0.9, 0.5, 0.4, 0.3, 0.2, 0.1), 6, 6),
        (2, None, values(0.9, 0.5, 0.4, 0.3, 0.2, 0.1), 6, 2),
    ],
)
def test_patience_ends_a_training_without_a_new_best(
    low: int | None, patience: int | None, curve: dict[int, float], reached: int, kept: int
) -> None:
    done = Training(Scripted(curve), rules(found_from=low, patience=patience))

    assert (done.monitor.reached, done.monitor.kept, done.pruned) == (reached, kept, False)


@pytest.mark.parametrize(
    ("low", "prunes_from", "reached"), [(2, 1, 2), (None, 1, 1), (2, 4, 4), (None, 3, 3)]
)
def test_a_training_behind_the_others_is_hopeless(
    low: int | None, prunes_from: int, reached: int
) -> None:
    stop = rules(found_from=low, pruner="median", prunes_from=prunes_from, slot=5, others=GOOD)

    done = Training(Scripted(values(*[0.1] * LAST)), stop)

    assert done.pruned
    assert done.monitor.reached == done.monitor.ran == len(done.points) == reached


def test_the_last_iteration_is_never_hopeless() -> None:
    stop = rules(pruner="median", slot=5, others=GOOD)

    done = Training(Scripted({LAST: 0.1}), stop, every=LAST)

    assert not done.pruned


def test_a_resumed_training_adds_to_the_curve_that_led_to_its_start() -> None:
    known = [point(1, 0.1), point(2, 0.2)]

    done = Training(Scripted(values(*[0.3] * LAST), known), rules(found_from=None), start=2)

    assert done.points == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.3), (5, 0.3), (6, 0.3)]
    assert (done.monitor.ran, done.monitor.reached) == (4, LAST)


@pytest.mark.parametrize(("start", "ran"), [(3, 0), (1, 0)])
def test_a_curve_that_is_behind_before_its_start_is_hopeless_at_once(start: int, ran: int) -> None:
    """As if the iterations before the start had been trained here."""
    known = [point(n, 0.1) for n in range(1, start + 1)]
    stop = rules(found_from=None, pruner="median", slot=5, others=GOOD)

    done = Training(Scripted({}, known), stop, start=start)

    assert done.pruned
    assert done.points == [(1, 0.1)]
    assert (done.monitor.reached, done.monitor.ran) == (1, ran)


@pytest.mark.parametrize(
    ("every", "iterations", "expected"),
    [(1, 15, 1), (1, 20, 1), (1, 21, 2), (5, 15, 5), (1, 500, 25), (30, 500, 30)],
)
def test_long_trainings_are_measured_less_often(every: int, iterations: int, expected: int) -> None:
    assert spacing(every, iterations, 20) == expected
