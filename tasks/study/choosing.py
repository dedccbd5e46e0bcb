"""Which trial wins: judged on all users, with intervals, and with those that may be as good."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.evaluation.bootstrap import Estimate, column_intervals
from recsys.evaluation.fitting import JudgedModel
from recsys.evaluation.store import save_report
from recsys.evaluation.ties import tied_with_best
from recsys.models import make_config
from recsys.models.arrays import StoredArrays
from recsys.seeds import seed_for
from recsys.splitting.split import Fold, redrawn
from tasks.progress import report_progress
from tasks.study.measuring import FACTORS, PER_USER, columns_of, measure, per_user_values
from tasks.study.study import Study, fold_at
from tasks.tracking.runs import Run
from tasks.tuning import FinishedTrial, Search

ALL_USERS = "all_users"  # folder and metric prefix of finalists, judged on all users
MOST = 200  # trials compared with each other; the best by value
AUTO_CUTS = 3  # validation cuts of the finalists where study.cuts is "auto"
SHARE = 0.25  # of the trials: so many trainings on further cuts at most, where it is "auto"


@dataclass(frozen=True, slots=True)
class Ranked:
    """A measured trial as the leaderboard shows it.

    Attributes:
        done: The trial.
        estimate: The objective that picks the winner, with its 95 % interval; on all validation
            users, and the mean of all cuts, where finalists were judged again.
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
        ranked: The best trials, best first; at most `MOST`, or the finalists.
        best_before: Slot of the best trial before finalists were judged again, on all users or
            on further validation cuts; None where none were.
        judge_seconds: Of judging finalists again.
        cuts: Validation cuts that the finalists were judged on.
    """

    winner: FinishedTrial
    ranked: tuple[Ranked, ...]
    best_before: int | None
    judge_seconds: float
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
    ranked = sorted(search.done, key=lambda done: (-done.value, done.slot))
    begin = time.perf_counter()
    fold = fold_at(validation)
    if sampled := study.config.judge.validation_users is not None:
        ranked = ranked[: study.config.study.finalists]
        values = np.column_stack([_on_all_users(study, done, fold) for done in ranked])
    else:
        ranked = ranked[:MOST]
        values = np.column_stack([_per_user(study, done, PER_USER) for done in ranked])
    finalists = _finalists(study, ranked, values, len(search.finished))
    cuts = _n_cuts(study) if finalists else 1
    if finalists:
        ranked = [ranked[n] for n in finalists]
        values = _on_cuts(study, ranked, values[:, finalists], fold, cuts)
    again = sampled or cuts > 1
    spent = time.perf_counter() - begin if again else 0.0
    field = _ranked(study, ranked, values, fold)
    return SearchWinner(_winner(study, field), field, best.slot if again else None, spent, cuts)


def _n_cuts(study: Study) -> int:
    """How many validation cuts judge the finalists."""
    cuts = study.config.study.cuts
    if cuts == "auto":
        return AUTO_CUTS if study.config.split.redrawable else 1
    return cuts


def _finalists(
    study: Study,
    ranked: Sequence[FinishedTrial],
    values: npt.NDArray[np.float64],
    n_trials: int,
) -> list[int]:
    """Numbers of the trials that are judged on further cuts, best first; none where none are."""
    cuts = _n_cuts(study)
    if cuts == 1 or len(ranked) == 1:
        return []
    best_first = sorted(range(len(ranked)), key=lambda n: (-values[:, n].mean(), ranked[n].slot))
    if study.config.study.cuts != "auto":
        return best_first[: study.config.study.finalists]
    most = min(study.config.study.finalists, affordable(n_trials, cuts))
    seed = seed_for(study.config.seed, "judge", "bootstrap")
    return close_to_best(values, best_first, most, seed, study.config.judge.resamples)


def affordable(n_trials: int, cuts: int) -> int:
    """How many finalists are trained on all cuts but the first by a `SHARE` of the trials."""
    return int(n_trials * SHARE) // (cuts - 1)


def close_to_best(
    values: npt.NDArray[np.float64], best_first: Sequence[int], most: int, seed: int, resamples: int
) -> list[int]:
    """The trials that cannot be told from the best, at most so many; none where it stands alone.

    Args:
        values: The objective of each user under each trial, shape (n_users, n_trials).
        best_first: Numbers of the trials, best first.
        most: How many at most.
        seed: Of the bootstrap, see `recsys.evaluation.ties`.
        resamples: Of the bootstrap.
    """
    if most < 2:
        return []
    tied = tied_with_best(values, seed, resamples, progress=report_progress)
    close = [n for n in best_first if tied[n]][:most]
    return close if len(close) > 1 else []


def _on_cuts(
    study: Study,
    finalists: Sequence[FinishedTrial],
    first: npt.NDArray[np.float64],
    fold: Fold,
    n_cuts: int,
) -> npt.NDArray[np.float64]:
    """The objective of all validation users, the mean of all cuts, shape (m, n_finalists).

    Each user gives up as many items in every cut, so that the same users are judged.
    """
    cuts = [first]
    for cut in range(2, n_cuts + 1):
        other = redrawn(fold, seed_for(study.config.seed, "split", "validation", cut))
        on_cut = [_on_cut(study, done, other, cut, n_cuts) for done in finalists]
        cuts.append(np.column_stack(on_cut))
    return np.asarray(np.mean(cuts, axis=0))


def _ranked(
    study: Study, trials: Sequence[FinishedTrial], values: npt.NDArray[np.float64], fold: Fold
) -> tuple[Ranked, ...]:
    seed = seed_for(study.config.seed, "judge", "bootstrap")
    resamples = study.config.judge.resamples
    estimates = column_intervals(values, seed, resamples, report_progress)
    tied = tied_with_best(values, seed, resamples, progress=report_progress)
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


def _on_cut(
    study: Study, done: FinishedTrial, fold: Fold, cut: int, n_cuts: int
) -> npt.NDArray[np.float64]:
    """As `_per_user`, of a further validation cut: trained and judged now unless it was before."""
    config = make_config(study.config.model, done.params)
    what = f"training trial {done.slot} on validation cut {cut} of {n_cuts}"
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
