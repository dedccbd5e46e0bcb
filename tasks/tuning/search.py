"""One study: finished trials, the next point, and the worker of each running trial.

The storage is the truth. A claim is one write, and so is an outcome (`set_trial_state_values`).
Wherever a process dies, its trial is either finished or cut off, and the next worker claims a
cut-off trial again, with the same point under the same slot.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from recsys.config import ExperimentConfig
from recsys.errors import InputError, TrialsFailed
from recsys.evaluation.objectives import lower_is_better, oriented
from recsys.models import default_point
from recsys.search.config import FOUND
from recsys.search.pruning import CurveValues, FinishedCurve
from recsys.search.space import Point, Value
from recsys.search.stagnation import stops_at
from tasks.tuning.importance import importances
from tasks.tuning.noting import save_note
from tasks.tuning.sampling import Key, ObservedTrial, Points, distributions, key_of
from tasks.tuning.values import FinishedTrial, TakenOver, Trial, TrialFacts
from tasks.workspace.locking import Locks

_SLOT, _RUN, _ERROR, _POINT = "slot", "run", "error", "point"
_ATTEMPT, _WORKER, _FACTS = "attempt", "worker", "facts"

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class Search:
    """One study, as one worker sees it."""

    def __init__(
        self,
        storage: BaseStorage,
        study_id: int,
        name: str,
        config: ExperimentConfig,
        locks: Locks,
        earlier: Sequence[Point] = (),
    ) -> None:
        """Open it.

        Args:
            storage: Holds it.
            study_id: Optuna's key of it.
            name: Of the study.
            config: The experiment.
            locks: Show which workers live, and let one claim at a time.
            earlier: Points to begin with, from other studies.
        """
        self._storage = storage
        self._id = study_id
        self.name = name
        self._space = config.space
        self._config = config
        self._locks = locks
        # By Optuna's number: ended trials never change, so reading them does not get slower.
        self._ended: dict[int, FinishedTrial] = {}
        self._shown: dict[int, ObservedTrial] = {}
        self._keys: dict[int, Key] = {}
        self._points = Points(
            config.space, config.study, config.seed, earlier, default_point(config.model)
        )

    @property
    def wanted(self) -> int:
        """How many trials the study wants; no more than the space has points, or than pay."""
        trials = self._config.study.trials
        trials = trials if self.size is None else min(trials, self.size)
        return min(trials, self.stopped or trials)

    @property
    def stopped(self) -> int | None:
        """The number of trials after which `study.stop_after` ends the search; None: it goes on."""
        patience = self._config.study.stop_after
        if patience is None:
            return None
        metric = self._config.study.metric
        values: dict[int, float | None] = dict.fromkeys(self.failed)
        for done in self.finished:
            values[done.slot] = oriented(metric, done.value) if done.values else None
        return stops_at(values, patience)

    @property
    def size(self) -> int | None:
        """How many points the space has; None for too many to count."""
        return self._points.size

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._id, deepcopy=False, states=states or None)

    @property
    def finished(self) -> list[FinishedTrial]:
        """The trials that are measured or pruned, by slot."""
        return sorted(map(self._done, self._trials(*_ENDED)), key=lambda done: done.slot)

    @property
    def done(self) -> list[FinishedTrial]:
        """The measured trials by slot."""
        return sorted(
            map(self._done, self._trials(TrialState.COMPLETE)), key=lambda done: done.slot
        )

    @property
    def n_measured(self) -> int:
        """How many trials are measured to their ends."""
        return len(self._trials(TrialState.COMPLETE))

    @property
    def pruned(self) -> list[FinishedTrial]:
        """The pruned trials by slot."""
        return [done for done in self.finished if not done.values]

    @property
    def failed(self) -> dict[int, str]:
        """The error of each slot whose trial failed."""
        trials = self._trials(TrialState.FAIL)
        return {t.user_attrs[_SLOT]: t.user_attrs[_ERROR] for t in trials if _ERROR in t.user_attrs}

    @property
    def failed_in_a_row(self) -> int:
        """How many of the latest slots that ended failed, back to the first that did not."""
        failed = self.failed
        latest = sorted([*failed, *(each.slot for each in self.finished)], reverse=True)
        return next((n for n, slot in enumerate(latest) if slot not in failed), len(latest))

    @property
    def ended(self) -> int:
        """How many slots are measured, pruned or failed."""
        return len(self._trials(*_ENDED)) + len(self.failed)

    @property
    def best(self) -> FinishedTrial:
        """The measured trial with the highest value; of equals, the first.

        Raises:
            TrialsFailed: no trial was measured.
        """
        done = list(map(self._done, self._trials(TrialState.COMPLETE)))
        if not done:
            errors = sorted(set(self.failed.values()))
            raise TrialsFailed(
                f"study {self.name}: none of {self.ended} trials could be measured "
                f"({'; '.join(errors) or 'none was run'}); change [search] or the data"
            )
        return max(done, key=lambda each: (each.value, -each.slot))

    def claim(self, worker: str) -> Trial | None:
        """The next trial, now claimed by this worker; None where none is free.

        A trial whose worker is dead is free again, with its point. None does not mean that the
        study is done: see `others`.

        Raises:
            InputError: other workers take this one for dead, and would repeat its trials.
        """
        if not self._locks.lives(worker):
            raise InputError(
                f"study {self.name}: the lock that shows that this worker lives is gone (was the "
                "database restarted?); start the command again to resume the study"
            )
        with self._locks.exclusive(f"study-{self.name}"):
            trials = self._free_dead_trials(self._trials())
            slot = self._free_slot(trials)
            if slot is None:
                return None
            before = [t for t in trials if t.user_attrs[_SLOT] == slot]
            point = dict(before[0].user_attrs[_POINT]) if before else self._point(slot, trials)
            return self._claimed(slot, point, len(before) + 1, worker)

    def _claimed(self, slot: int, point: Point, attempt: int, worker: str) -> Trial:
        template = optuna.create_trial(
            state=TrialState.RUNNING,
            params=point,
            distributions=distributions(self._space, point),
            user_attrs={_SLOT: slot, _POINT: point, _ATTEMPT: attempt, _WORKER: worker},
        )
        key = self._storage.create_new_trial(self._id, template)
        number = self._storage.get_trial_number_from_id(key)
        return Trial(slot, number, key, point, attempt, worker)

    def _free_dead_trials(self, trials: Sequence[FrozenTrial], idle: str = "") -> list[FrozenTrial]:
        """All trials, once those of dead workers are marked as failed."""
        running = [(t, t.user_attrs[_WORKER]) for t in trials if t.state == TrialState.RUNNING]
        dead = [t for t, worker in running if worker == idle or not self._locks.lives(worker)]
        for trial in dead:
            self._end(trial._trial_id, TrialState.FAIL)
        return self._trials() if dead else list(trials)

    def _free_slot(self, trials: Sequence[FrozenTrial]) -> int | None:
        taken = {
            trial.user_attrs[_SLOT]
            for trial in trials
            if trial.state != TrialState.FAIL or _ERROR in trial.user_attrs
        }
        return next((slot for slot in range(self.wanted) if slot not in taken), None)

    def _point(self, slot: int, trials: Sequence[FrozenTrial]) -> Point:
        if self._points.is_planned:
            return self._points.planned(slot + 1)[slot]
        ended = sorted(
            (trial for trial in trials if trial.state in _ENDED),
            key=lambda trial: trial.user_attrs[_SLOT],
        )
        return self._points.point(slot, list(map(self._tried, ended)), set(map(self._key, trials)))

    def _key(self, trial: FrozenTrial) -> Key:
        if trial.number not in self._keys:
            self._keys[trial.number] = key_of(trial.user_attrs[_POINT])
        return self._keys[trial.number]

    def _tried(self, trial: FrozenTrial) -> ObservedTrial:
        if trial.number not in self._shown:
            done = self._done(trial)
            values = tuple(map(oriented, self._config.objectives, done.values))
            self._shown[trial.number] = ObservedTrial(trial.user_attrs[_POINT], values, done.curve)
        return self._shown[trial.number]

    def _done(self, trial: FrozenTrial) -> FinishedTrial:
        if trial.number not in self._ended:
            self._ended[trial.number] = _done(trial)
        return self._ended[trial.number]

    def others(self, worker: str) -> list[int]:
        """The slots at which other living workers are."""
        return [
            trial.user_attrs[_SLOT]
            for trial in self._trials(TrialState.RUNNING)
            if trial.user_attrs[_WORKER] != worker and self._locks.lives(trial.user_attrs[_WORKER])
        ]

    def ended_by_dead_workers(self) -> set[int]:
        """The measured or pruned slots whose workers are gone."""
        workers = {t.user_attrs[_SLOT]: t.user_attrs[_WORKER] for t in self._trials(*_ENDED)}
        dead = {each for each in set(workers.values()) if not self._locks.lives(each)}
        return {slot for slot, worker in workers.items() if worker in dead}

    def free_dead_trials(self, idle: str = "") -> None:
        """Mark as failed the running trials of dead workers, and of `idle`, which is at none."""
        with self._locks.exclusive(f"study-{self.name}"):
            self._free_dead_trials(self._trials(), idle)

    def curves(self) -> dict[int, FinishedCurve]:
        """The curves of the finished trials by slot."""
        return {done.slot: FinishedCurve(done.curve, not done.values) for done in self.finished}

    def shared_iterations(self, trial: Trial) -> list[int]:
        """Iterations that trials of other slots run on the path of this trial.

        A path is all of a point but its number of iterations. Known only for a planned study.
        """
        if not self._points.is_planned or FOUND not in trial.params:
            return []
        mine = _path(trial.params)
        every = self._points.planned(self.wanted)
        same_path = [
            point for n, point in enumerate(every) if n != trial.slot and _path(point) == mine
        ]
        return sorted(int(point[FOUND]) for point in same_path)

    def started(self, trial: Trial, run: str) -> None:
        """Store the run that tracks a trial, before it is trained.

        Raises:
            TakenOver: another worker has the trial by now; all methods that write to it raise this.
        """
        with _ours(trial):
            self._storage.set_trial_user_attr(trial.key, _RUN, run)

    def point(self, trial: Trial, iteration: int, value: float) -> None:
        """Store a point of the curve of a trial: the first objective after so many iterations."""
        with _ours(trial):
            self._storage.set_trial_intermediate_value(trial.key, iteration, value)

    def measured(self, trial: Trial, curve: CurveValues) -> None:
        """Store the points of a curve that another training measured."""
        for iteration, value in curve:
            self.point(trial, iteration, value)

    def complete(self, trial: Trial, values: Sequence[float], facts: TrialFacts) -> None:
        """End a trial that was measured: from this write on it counts."""
        self._finish(trial, TrialState.COMPLETE, facts, values)

    def prune(self, trial: Trial, facts: TrialFacts) -> None:
        """End a trial that was stopped because of its curve."""
        self._finish(trial, TrialState.PRUNED, facts)

    def _finish(
        self,
        trial: Trial,
        state: TrialState,
        facts: TrialFacts,
        values: Sequence[float] | None = None,
    ) -> None:
        with _ours(trial):
            self._storage.set_trial_user_attr(trial.key, _FACTS, asdict(facts))
            self._storage.set_trial_state_values(trial.key, state, values)

    def fail(self, trial: Trial, error: str) -> None:
        """End a trial that failed by itself; it is not repeated."""
        with _ours(trial):
            self._storage.set_trial_user_attr(trial.key, _ERROR, error[:2000])
        self._end(trial.key, TrialState.FAIL)

    def interrupt(self, trial: Trial) -> bool:
        """End a trial that was cut off; its slot is free. False where it had ended already."""
        return self._end(trial.key, TrialState.FAIL)

    def _end(self, key: int, state: TrialState) -> bool:
        try:
            self._storage.set_trial_state_values(key, state)
        except UpdateFinishedTrialError:
            return False  # another worker ended it, or we did just before we were interrupted
        return True

    def outcomes(self) -> dict[int, tuple[str, str | None]]:
        """State and MLflow run of every attempt, by Optuna's number.

        A state is "running" (by a worker that lives), "complete", "pruned", "failed" or "cut off".
        """
        return {t.number: (self._state(t), t.user_attrs.get(_RUN)) for t in self._trials()}

    def _state(self, trial: FrozenTrial) -> str:
        match trial.state:
            case TrialState.COMPLETE:
                return "complete"
            case TrialState.PRUNED:
                return "pruned"
            case TrialState.FAIL:
                return "failed" if _ERROR in trial.user_attrs else "cut off"
            case _:
                return "running"

    def importances(self) -> dict[str, tuple[float, float]]:
        """See `tasks.tuning.importance`."""
        config = self._config
        return importances(
            self.done, self._space, lower_is_better(config.study.metric), config.seed
        )

    def remember(self, name: str, value: Any) -> None:
        """Store a fact about the study, a JSON value."""
        self._storage.set_study_user_attr(self._id, name, value)

    def describe(self, text: str) -> None:
        """Have Optuna's dashboard show a note with the study, in Markdown."""
        save_note(self._storage, self._id, text)

    def recall(self, name: str) -> Any:
        """A fact about the study, None where it was not stored."""
        return self._storage.get_study_user_attrs(self._id).get(name)


@contextmanager
def _ours(trial: Trial) -> Iterator[None]:
    try:
        yield
    except UpdateFinishedTrialError as error:
        raise TakenOver(f"trial {trial.slot} was taken over by another worker") from error


def _path(point: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in point.items() if name != FOUND}


def _done(trial: FrozenTrial) -> FinishedTrial:
    attrs = trial.user_attrs
    facts = TrialFacts(**attrs[_FACTS])
    return FinishedTrial(
        slot=attrs[_SLOT],
        # A model that is not judged along its training has its iterations, if any, in its point.
        params=attrs[_POINT] | ({FOUND: facts.iterations} if facts.asked else {}),
        values=tuple(trial.values) if trial.state == TrialState.COMPLETE else (),
        run=attrs[_RUN],
        attempts=attrs[_ATTEMPT],
        facts=facts,
        curve=tuple(sorted(trial.intermediate_values.items())),
    )
