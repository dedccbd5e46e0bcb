"""Fit a model, or restore it, and judge it: the one way for all that is measured."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.errors import InputError
from recsys.evaluation.protocol import recommend, scored
from recsys.evaluation.report import Report
from recsys.models import build
from recsys.models.arrays import StoredArrays
from recsys.models.config import ModelConfig
from recsys.models.iterative import Iteration, Iterative, OnIteration, State, iterations_of
from recsys.models.recommender import Recommendations, Recommender
from recsys.progress import Progress, silent
from recsys.splitting.split import Fold

OnFitted = Callable[[Recommender], object]
"""Takes a model that is fitted."""


def ignored(model: Recommender) -> None:
    """Do nothing with a model."""


class Watch(Protocol):
    """What looks on while an iterative model trains."""

    def begin(self) -> State | None:
        """The state to resume at; None for the beginning."""

    def __call__(self, step: Iteration) -> None:
        """Take an iteration; see `recsys.models.iterative.OnIteration`."""

    def settle(self, model: Iterative) -> None:
        """Choose the iteration that is judged, after the training."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """A model that is ready to recommend.

    Attributes:
        model: Fitted, or restored.
        seconds: Training or reading, without the observer.
    """

    model: Recommender
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class JudgedModel:
    """A model and what it is worth on a fold.

    Attributes:
        model: Fitted on the training side of the fold.
        recs: Its lists for the judged users, as long as the largest cut-off.
        report: Every metric.
        fit_seconds: Training or reading, without the observer.
        judge_seconds: Recommending and scoring.
    """

    model: Recommender
    recs: Recommendations
    report: Report
    fit_seconds: float
    judge_seconds: float


def fit(
    config: ModelConfig,
    seed: int,
    train: Interactions,
    profiles: Profiles | None = None,
    stored: StoredArrays | None = None,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> FittedModel:
    """A fitted model.

    Args:
        config: The model with its parameters.
        seed: Of everything random in it.
        train: What it learns.
        profiles: Of the users of `train`, aligned with them.
        stored: What the same fit learned before: nothing is trained.
        watch: Looks on; a model that learns in one pass has nothing to show it.
        progress: Takes each iteration.

    Raises:
        InputError: the model needs a library that is not installed, or a stored array is
            missing or damaged.
    """
    model = build(config, seed, profiles=profiles)
    progress(f"training {config.kind}", 0, None)
    begin, watched = time.perf_counter(), _Stopwatch(config, watch, progress)
    if stored is not None:
        model.restore(train, stored)
    elif isinstance(model, Iterative):
        model.fit(train, None if watch is None else watch.begin(), watched.observer)
        watched.settle(model)
    else:
        model.fit(train)
    return FittedModel(model, time.perf_counter() - begin - watched.seconds)


def check_order(config: ModelConfig, fold: Fold) -> None:
    """Refuse to judge a model that learns from the order of plays where the fold has another.

    Raises:
        InputError: held-out items lie between those of the history, or there are no times.
    """
    name = next((part.kind for part in config.parts if part.knows_order), None)
    if name is not None and not fold.in_order:
        raise InputError(
            f"{name} learns from the order of plays, and what this split holds out does not come "
            'last; split by kind "last" or "time"'
        )


def fit_and_judge(
    config: ModelConfig,
    seed: int,
    fold: Fold,
    ks: Sequence[int],
    stored: StoredArrays | None = None,
    watch: Watch | None = None,
    progress: Progress = silent,
    fitted: OnFitted = ignored,
) -> JudgedModel:
    """A model, fitted on the training side of a fold, and what it is worth there.

    Args:
        config: As in `fit`, as are `seed`, `stored`, `watch` and `progress`.
        seed: See `fit`.
        fold: What the model learns, and who is judged on what.
        ks: Cut-offs.
        stored: See `fit`.
        watch: See `fit`.
        progress: Takes each iteration and each batch of judged users.
        fitted: Takes the model before it is judged.

    Raises:
        InputError: as in `fit` and in `check_order`.
    """
    check_order(config, fold)
    made = fit(config, seed, fold.train, fold.profiles, stored, watch, progress)
    fitted(made.model)
    begin = time.perf_counter()
    recs = recommend(made.model, fold, fold.judged, max(ks), progress)
    report = scored(recs, fold, ks)
    return JudgedModel(made.model, recs, report, made.seconds, time.perf_counter() - begin)


class _Stopwatch:
    """Passes iterations on to what looks on, and takes the time of that."""

    def __init__(self, config: ModelConfig, watch: Watch | None, progress: Progress) -> None:
        self._watch = watch
        self._progress = progress
        self._iterations = iterations_of(config)
        factors = getattr(config, "factors", None)
        self._what = f"iterations of {config.kind if factors is None else f'{factors} factors'}"
        self.seconds = 0.0

    @property
    def observer(self) -> OnIteration | None:
        """None without an observer, so that no loss is computed."""
        return None if self._watch is None and self._progress is silent else self

    def settle(self, model: Iterative) -> None:
        """Let what looks on choose the iteration."""
        begin = time.perf_counter()
        if self._watch is not None:
            self._watch.settle(model)
        self.seconds += time.perf_counter() - begin

    def __call__(self, step: Iteration) -> None:
        begin = time.perf_counter()
        self._progress(self._what, step.number, self._iterations)
        try:
            if self._watch is not None:
                self._watch(step)
        finally:
            self.seconds += time.perf_counter() - begin
