"""Which trial wins: judged on all users, with intervals, and with those that may be as good."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.errors import InputError
from recsys.evaluation.bootstrap import Estimate, column_intervals
from recsys.evaluation.fitting import JudgedModel
from recsys.evaluation.store import save_report
from recsys.evaluation.ties import tied_with_best
from recsys.models import make_config
from recsys.models.arrays import StoredArrays
from recsys.seeds import seed_for
from recsys.splitting.split import Fold, redrawn
from tasks.progress import report_progress, report_result
from tasks.study.measuring import FACTORS, PER_USER, columns_of, measure, per_user_values
from tasks.study.study import Study, fold_at
from tasks.tracking.runs import Run
from tasks.tuning import FinishedTrial, Search

ALL_USERS = "all_users"  # folder and metric prefix of finalists, judged on all users
MOST = 200  # trials compared with each other; the best by value
AUTO_CUTS = 3  # validation cuts of the finalists where study.cuts is "auto"
SHARE = 0.25  # of the number of trials: at most so many trainings on further cuts with "auto"
_FAULTS = (InputError, MemoryError, FloatingPointError)  # of one training; others may do


@dataclass(frozen=True, slots=True)
class Ranked:
    """A measured trial as the leaderboard shows it.

    Attributes:
        done: The trial.
        estimate: The objective that picks the winner, with its 95 % interval; on all validation
            users.
        tied: Whether it cannot be told from the best.
        cost: Of its training, in multiplications.
    """

    done: FinishedTrial
    estimate: Estimate
    tied: bool
    cost: float


@dataclass(frozen=True, slots=True)
class SearchWinner:
    """The winner and the field.

    Attributes:
        winner: Is judged on test.
        ranked: The best trials on the first validation cut, best first; at most `MOST`, or those
            that were judged again on all users.
        best_before: Slot of the best trial before some were judged again, on all users or on
            further validation cuts; None where none were.
        judge_seconds: Of judging trials again.
        finalists: The trials that further cuts judged, best first in the mean of all cuts.
        cuts: Validation cuts that the finalists were judged on.
    """

    winner: FinishedTrial
    ranked: tuple[Ranked, ...]
    best_before: int | None
    judge_seconds: float
    finalists: tuple[Ranked, ...] = ()
    cuts: int = 1


@task(task_run_name="choose the winner", cache_policy=NO_CACHE)
def choose(study: Study, search: Search, validation: Path) -> SearchWinner:
    """The winner among the measured trials of a study.

    Args:
        study: Shared by all runs.
        search: Its trials.
        validation: Folder of the validation fold.

    Raises:
        InputError: no trial was measured.
    """
    best = search.best
    trials = sorted(search.done, key=lambda done: (-done.value, done.slot))
    begin = time.perf_counter()
    fold = fold_at(validation)
    sampled = study.config.judge.validation_users is not None
    trials = trials[: study.config.study.finalists if sampled else MOST]
    values = {
        done.slot: _on_all_users(study, done, fold) if sampled else _per_user(study, done, PER_USER)
        for done in trials
    }
    ranked = _ranked(study, trials, values, fold)
    finalists = _on_cuts(study, _finalists(study, ranked, len(search.finished)), values, fold)
    spent = time.perf_counter() - begin if sampled or finalists else 0.0
    before = best.slot if sampled or finalists else None
    cuts = _n_cuts(study) if finalists else 1
    winner = _winner(study, finalists or ranked)
    return SearchWinner(winner, ranked, before, spent, finalists, cuts)


def _n_cuts(study: Study) -> int:
    """How many validation cuts judge the finalists."""
    cuts = study.config.study.cuts
    if cuts == "auto":
        return AUTO_CUTS if study.config.split.redrawable else 1
    return cuts


def _finalists(study: Study, ranked: Sequence[Ranked], n_trials: int) -> tuple[FinishedTrial, ...]:
    """The trials that further cuts judge, best first; none where one cut decides.

    Args:
        study: Shared by all runs.
        ranked: The best trials on the first cut, best first.
        n_trials: Trials of the study, the pruned ones too.
    """
    cuts, most = _n_cuts(study), study.config.study.finalists
    if cuts == 1 or len(ranked) == 1:
        return ()
    if study.config.study.cuts != "auto":
        return tuple(each.done for each in ranked[:most])
    if study.config.study.prefer == "cheapest":  # which is the cheapest of all that are tied
        return ()
    tied = [each.done for each in ranked if each.tied][: min(most, affordable(n_trials, cuts))]
    return tuple(tied) if len(tied) > 1 else ()


def affordable(n_trials: int, cuts: int) -> int:
    """How many finalists can be trained on each further cut.

    Args:
        n_trials: Trials of the study; a `SHARE` of this number is trained at most.
        cuts: Validation cuts, the first one too; 2 or more.
    """
    return int(n_trials * SHARE) // (cuts - 1)


def _on_cuts(
    study: Study,
    finalists: Sequence[FinishedTrial],
    first: Mapping[int, npt.NDArray[np.float64]],
    fold: Fold,
) -> tuple[Ranked, ...]:
    """The finalists by the mean of all cuts, best first; without those that cannot be trained.

    Each user gives up as many items in every cut, so that the same users are judged.

    Args:
        study: Shared by all runs.
        finalists: The trials.
        first: The objective of each user on the first cut by slot, shape (m,).
        fold: The first cut.
    """
    if not finalists:
        return ()
    values = {done.slot: [first[done.slot]] for done in finalists}
    for cut in range(2, _n_cuts(study) + 1):
        other = redrawn(fold, seed_for(study.config.seed, "split", "validation", cut))
        for done in (done for done in finalists if done.slot in values):
            try:
                values[done.slot].append(_on_cut(study, done, other, cut))
            except _FAULTS as error:
                report_result(f"trial {done.slot} is no finalist, validation cut {cut}: {error}")
                del values[done.slot]
    if not values:
        return ()
    means = {slot: np.asarray(np.mean(cuts, axis=0)) for slot, cuts in values.items()}
    return _ranked(study, [done for done in finalists if done.slot in means], means, fold)


def _ranked(
    study: Study,
    trials: Sequence[FinishedTrial],
    values: Mapping[int, npt.NDArray[np.float64]],
    fold: Fold,
) -> tuple[Ranked, ...]:
    """Trials best first; `values` has the objective of each user by slot, shape (m,)."""
    seed = seed_for(study.config.seed, "judge", "bootstrap")
    resamples = study.config.judge.resamples
    columns = np.column_stack([values[done.slot] for done in trials])
    estimates = column_intervals(columns, seed, resamples, report_progress)
    tied = tied_with_best(columns, seed, resamples, progress=report_progress)
    n_users, n_items, n_cells = len(fold.train.users), len(fold.train.items), len(fold.train)
    compared = [
        Ranked(
            done,
            estimate,
            bool(is_tied),
            make_config(study.config.model, done.params).cost(n_users, n_items, n_cells),
        )
        for done, estimate, is_tied in zip(trials, estimates, tied, strict=True)
    ]
    return tuple(sorted(compared, key=lambda each: (-each.estimate.mean, each.done.slot)))


def _winner(study: Study, ranked: Sequence[Ranked]) -> FinishedTrial:
    """The first, or the cheapest of those that cannot be told from it."""
    if study.config.study.prefer == "best":
        return ranked[0].done
    tied = [each for each in ranked if each.tied]
    return min(tied, key=lambda each: (each.cost, each.done.slot)).done


def values_of(study: Study, done: FinishedTrial) -> npt.NDArray[np.float64]:
    """The objective of each validation user under a trial that `choose` ranked, shape (m,).

    On the cut that all trials were judged on.
    """
    sampled = study.config.judge.validation_users is not None
    return _per_user(study, done, f"{ALL_USERS}/{PER_USER}" if sampled else PER_USER)


def _per_user(study: Study, done: FinishedTrial, name: str) -> npt.NDArray[np.float64]:
    return per_user_values(study, Run.of(study.workspace, done.run), name)


def _on_all_users(study: Study, done: FinishedTrial, fold: Fold) -> npt.NDArray[np.float64]:
    """As `_per_user`, of all validation users: judged now unless it was before."""
    what = f"judging trial {done.slot} on all users"
    return _kept(study, done, ALL_USERS, what, lambda run: _measured_again(study, done, run, fold))


def _on_cut(study: Study, done: FinishedTrial, fold: Fold, cut: int) -> npt.NDArray[np.float64]:
    """As `_per_user`, of a further validation cut: trained and judged now unless it was before."""
    config = make_config(study.config.model, done.params)
    what = f"training trial {done.slot} on validation cut {cut} of {_n_cuts(study)}"
    return _kept(study, done, f"cut_{cut}", what, lambda _: measure(study, fold, config))


def _kept(
    study: Study,
    done: FinishedTrial,
    name: str,
    what: str,
    judged: Callable[[Run], JudgedModel],
) -> npt.NDArray[np.float64]:
    """The objective of each user in a folder of the trial's run, which is written once."""
    run = Run.of(study.workspace, done.run)
    if not run.has(f"{name}/{PER_USER}"):  # the last of its files
        report_progress(what, 0, None)
        report = judged(run).report
        columns = columns_of(report.summary(), study.config.objectives)
        values = {f"validation_{name}/{n}": value for n, value in columns.items()}
        if not run.steps(next(iter(values))):  # one batch: all are there or none
            run.log(values)
        with study.scratch() as folder:
            save_report(report, folder)
            run.files(folder, name)
    return _per_user(study, done, f"{name}/{PER_USER}")


def _measured_again(study: Study, done: FinishedTrial, run: Run, fold: Fold) -> JudgedModel:
    """The model of a trial, restored where its arrays were kept, and judged."""
    config = make_config(study.config.model, done.params)
    if not run.has(FACTORS):
        return measure(study, fold, config)
    with study.scratch() as folder:
        return measure(study, fold, config, stored=StoredArrays(run.fetch(FACTORS, folder)))
