"""The only module that imports optuna. Ask and tell; the loop belongs to the flow.

Optuna's own trial numbers shift with every retry, so a trial also has a *slot*: its place among
those asked for. The sampler is seeded anew from the study's seed and the slot, and a slot that
was interrupted is asked again with the same parameters: an interrupted study goes on with the
sequence it would have had.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from recsys.config import AlsConfig, StudyConfig
from recsys.errors import InputError
from recsys.seeds import seed_for
from recsys.space import Choice, Floats, Ints, Point, Space, Spec, Value, applies, grid, inside
from tasks.workspace import Workspace

optuna.logging.set_verbosity(optuna.logging.WARNING)

STARTUP = 6  # trials before TPE models anything; those that the configuration begins with count

_SLOT, _RUN, _ERROR, _POINT = "slot", "run", "error", "point"


@dataclass(frozen=True, slots=True)
class Trial:
    """A point to measure.

    Attributes:
        slot: Its place among the trials asked for, from 0.
        number: Optuna's own number of this attempt.
        params: The parameters that are searched.
    """

    slot: int
    number: int
    params: Point


@dataclass(frozen=True, slots=True)
class Done:
    """A trial that was measured."""

    slot: int
    params: Point
    value: float
    run: str


class Search:
    """One study: what was tried, what comes next."""

    def __init__(self, study: optuna.Study, space: Space, config: StudyConfig, seed: int) -> None:
        self._study = study
        self._space = space
        self._config = config
        self._seed = seed
        self._grid = self._shuffled_grid() if config.sampler == "grid" else []

    @property
    def name(self) -> str:
        """Of the study."""
        return str(self._study.study_name)

    @property
    def wanted(self) -> int:
        """How many trials the study is to have; a grid has no more than its points."""
        trials = self._config.trials
        return min(trials, len(self._grid)) if self._grid else trials

    @property
    def done(self) -> list[Done]:
        """The measured trials by slot."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        found = [
            Done(t.user_attrs[_SLOT], t.user_attrs[_POINT], float(t.value), t.user_attrs[_RUN])
            for t in trials
            if t.value is not None
        ]
        return sorted(found, key=lambda done: done.slot)

    @property
    def failed(self) -> dict[int, str]:
        """The error of each slot whose trial failed."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        return {t.user_attrs[_SLOT]: t.user_attrs[_ERROR] for t in trials if _ERROR in t.user_attrs}

    @property
    def best(self) -> Done:
        """The measured trial with the highest value; of equals, the first.

        Raises:
            InputError: no trial was measured.
        """
        done = self.done
        if not done:
            errors = sorted(set(self.failed.values()))
            raise InputError(
                f"study {self.name}: none of {len(self.failed)} trials could be measured "
                f"({'; '.join(errors) or 'none was run'}); change [search] or the data"
            )
        return max(done, key=lambda each: (each.value, -each.slot))

    def ask(self) -> Trial | None:
        """The next point to measure; None when all are."""
        taken = {done.slot for done in self.done} | self.failed.keys()
        slot = next((n for n in range(self.wanted) if n not in taken), None)
        if slot is None:
            return None
        trial = self._ask(slot)
        point: Point = {}
        for name, spec in self._space.items():
            if applies(spec, point):
                point[name] = _suggest(trial, name, spec)
        for name, value in ((_SLOT, slot), (_POINT, point)):
            trial.set_user_attr(name, value)
        return Trial(slot, trial.number, point)

    def _ask(self, slot: int) -> optuna.Trial:
        fixed = self._interrupted(slot) or (self._grid[slot] if self._grid else self._start(slot))
        with warnings.catch_warnings():
            # What we use of them is marked experimental; our tests pin what it does here.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = self._sampler(seed_for(self._seed, "search", slot))
            self._study.sampler = PartialFixedSampler(fixed, sampler) if fixed else sampler
        return self._study.ask()

    def _sampler(self, seed: int) -> BaseSampler:
        if self._config.sampler == "tpe":
            return TPESampler(
                seed=seed,
                n_startup_trials=STARTUP,
                multivariate=True,  # alpha and regularization only work together,
                group=True,  # also where a weighting brings parameters of its own
                constant_liar=False,
            )
        return RandomSampler(seed=seed)

    def _start(self, slot: int) -> Point:
        """The point that the configuration wants tried at this slot, if any."""
        own = AlsConfig().model_dump(exclude={"kind"})
        points = [own] * self._config.default_first + [*self._config.first]
        return inside(self._space, points[slot]) if slot < len(points) else {}

    def _shuffled_grid(self) -> list[Point]:
        try:
            points = grid(self._space)
        except ValueError as error:
            raise InputError(f"{error}; give lists, or set study.sampler=random") from error
        order = np.random.default_rng(seed_for(self._seed, "search", "grid"))
        return [points[int(n)] for n in order.permutation(len(points))]

    def _interrupted(self, slot: int) -> Point:
        """The parameters that an attempt at this slot had before it was cut off."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.FAIL,)):
            if trial.user_attrs.get(_SLOT) == slot and _ERROR not in trial.user_attrs:
                return dict(trial.user_attrs.get(_POINT, {}))
        return {}

    def started(self, trial: Trial, run: str) -> None:
        """Remember the run that tracks a trial, before it is trained."""
        self._set(trial.number, _RUN, run)

    def tell(self, trial: Trial, value: float) -> None:
        """A trial was measured."""
        self._study.tell(trial.number, value)

    def fail(self, trial: Trial, error: str) -> None:
        """A trial failed by itself; it is not tried again."""
        self._set(trial.number, _ERROR, error[:2000])
        self._study.tell(trial.number, state=TrialState.FAIL)

    def interrupt(self, trial: Trial) -> None:
        """A trial was cut off; its slot is asked again."""
        self._study.tell(trial.number, state=TrialState.FAIL)

    def reconcile(self) -> list[str]:
        """Close what a process that died left running; the ids of the runs that tracked it.

        Only for whoever holds the lock on the study.
        """
        stale = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in stale:
            self._study.tell(trial.number, state=TrialState.FAIL)
        return [trial.user_attrs[_RUN] for trial in stale if _RUN in trial.user_attrs]

    def _set(self, number: int, name: str, value: Value) -> None:
        storage = self._study._storage  # a told trial is only known by number here
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)
        storage.set_trial_user_attr(trial_id, name, value)

    def remember(self, name: str, value: Value) -> None:
        """Store a fact about the study."""
        self._study.set_user_attr(name, value)

    def recall(self, name: str) -> Any:
        """A fact about the study, None where it was not stored."""
        return self._study.user_attrs.get(name)


def open_search(
    workspace: Workspace,
    name: str,
    space: Space,
    config: StudyConfig,
    seed: int,
    made_from: Mapping[str, str],
) -> Search:
    """Create the study, or continue it.

    Args:
        workspace: Holds the storage.
        name: Of the study.
        space: What is searched.
        config: How.
        seed: Root seed.
        made_from: What its values depend on; a study is continued only with the same.

    Raises:
        InputError: the study exists and was made from something else.
    """
    storage = JournalStorage(JournalFileBackend(str(workspace.studies)))
    study = optuna.create_study(
        storage=storage, study_name=name, direction="maximize", load_if_exists=True
    )
    search = Search(study, space, config, seed)
    known = search.recall("made_from")
    if known is None:
        study.set_user_attr("made_from", dict(made_from))
    elif known != dict(made_from):
        changed = sorted(key for key in made_from if known.get(key) != made_from[key])
        raise InputError(
            f"study {name!r} was made with another {', '.join(changed)}; "
            "its trials cannot be compared with new ones: choose another --study name"
        )
    return search


def _suggest(trial: optuna.Trial, name: str, spec: Spec) -> Value:
    match spec:
        case Ints(low, high, log):
            return trial.suggest_int(name, low, high, log=log)
        case Floats(low, high, log):
            return trial.suggest_float(name, low, high, log=log)
        case Choice(options):
            chosen = trial.suggest_categorical(name, options)
            assert chosen is not None  # no option is None
            return chosen
