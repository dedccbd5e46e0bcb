"""One attempt at a trial. Its writes are ordered so that a crash after any of them is recovered.

    claim in Optuna           RUNNING, names slot, point, worker, attempt (one write)
    run in MLflow             RUNNING, names worker and Optuna's number
    its id in Optuna
    training, judging         points of the curve in Optuna
    files, metrics in MLflow  on disk for good
    outcome in Optuna         COMPLETE or PRUNED: from here on it counts (one write)
    end in MLflow             FINISHED; where it was pruned, the tag `state` says so

An attempt that dies before its outcome is cut off, and the trial is repeated. One that dies after
it has everything in MLflow but its end, which `recover` writes.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.evaluation.store import load_report
from recsys.files import link_or_copy
from recsys.models import config_class
from recsys.models.iterative import Iterative, iterations_of
from recsys.search.config import FOUND
from recsys.search.monitor import HopelessTraining, TrainingMonitor
from tasks import tuning
from tasks.interrupts import INTERRUPTS
from tasks.study.measuring import (
    FACTORS,
    Measured,
    columns_of,
    curves_of,
    log_measured,
    measure,
    run_name,
    save_measured,
    saving_meanwhile,
)
from tasks.study.monitor import monitor_of
from tasks.study.study import Study, start_child, trial_params, tuning_fold
from tasks.tracking import client
from tasks.tracking.copying import Copied, copy_run
from tasks.tracking.recorded import RUN_NAME, metric_name
from tasks.tracking.runs import ERROR, MEASURED, Run, find_measured
from tasks.tuning import Search, TakenOver, Trial, TrialFacts
from tasks.workspace.postgres import DatabaseLost


def outside() -> tuple[type[Exception], ...]:
    """Errors of the disk and the databases: the trial is repeated, it did not fail by itself."""
    return (OSError, DatabaseLost, *client.errors(), *tuning.ERRORS)


NUMBER, STATE = "number", "state"

NOT_WATCHED = TrialFacts(0, 0, 0)  # of a model that has no curve
TRIES_FOR_MEMORY = 3  # attempts at a trial that runs out of memory; then it has failed


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt ended.

    Attributes:
        slot: Of the trial.
        state: "taken over": another worker repeats the trial, and this attempt does not count;
            "cut off": it ran out of memory, and the next claim repeats the trial.
        fit_seconds: Training, without its observer.
        judge_seconds: Recommending and scoring, curves included.
        error: Of a failed one.
    """

    slot: int
    state: Literal["measured", "reused", "pruned", "failed", "taken over", "cut off"]
    fit_seconds: float = 0.0
    judge_seconds: float = 0.0
    error: str = ""


class TrialFailed(Exception):
    """Raised for Prefect, which shows the failure; the trial is recorded as failed already."""

    def __init__(self, outcome: AttemptResult) -> None:
        """Carry the outcome to the flow."""
        super().__init__(outcome.error)
        self.outcome = outcome


@task(
    task_run_name="{study.config.model} split {study.config.seed} trial {trial.slot}",
    cache_policy=NO_CACHE,
)
def run_trial(study: Study, validation: Path, trial: Trial, search: Search) -> AttemptResult:
    """`attempt`, as a task of Prefect."""
    outcome = attempt(study, validation, trial, search)
    if outcome.state == "failed":
        raise TrialFailed(outcome)
    return outcome


def attempt(study: Study, validation: Path, trial: Trial, search: Search) -> AttemptResult:
    """Fit the point of a trial, judge it on validation and record it on both sides.

    Args:
        study: Shared by all trials.
        validation: Folder of the validation fold: all the data that tuning sees.
        trial: Claimed by this worker; it is ended here in every case.
        search: The study in Optuna.
    """
    run: Run | None = None
    try:
        key = measured_key(study, trial)
        run = _start(study, trial, key)
        search.started(trial, run.id)
        source = None if study.config.study.fresh else _source(study, key)
        if source is not None:
            return _reuse(study, trial, search, run, source)
        return _train(study, validation, trial, search, run)
    except TakenOver as error:
        _end(run, "KILLED", str(error))
        return AttemptResult(trial.slot, "taken over")
    except outside() as error:
        _cut_off(trial, search, run, f"{type(error).__name__}: {error}")
        raise
    except MemoryError as error:
        # Other processes may have used the memory, so a retry may do, even in this process.
        text = f"{type(error).__name__}: {error}"[:2000]
        if trial.attempt >= TRIES_FOR_MEMORY:
            return _failed(trial, search, run, text)
        _cut_off(trial, search, run, text)
        return AttemptResult(trial.slot, "cut off")
    except Exception as error:  # recorded on both sides; other points may do
        if INTERRUPTS.came:  # a library made another error of it
            _cut_off(trial, search, run, "interrupted")
            raise KeyboardInterrupt from error
        return _failed(trial, search, run, f"{type(error).__name__}: {error}"[:2000])
    except BaseException:
        _cut_off(trial, search, run, "interrupted")
        raise


def _cut_off(trial: Trial, search: Search, run: Run | None, why: str) -> None:
    """End an attempt whose trial is repeated; with an outcome it counts, and `recover` ends it."""
    if search.interrupt(trial):
        _end(run, "KILLED", why)


def _failed(trial: Trial, search: Search, run: Run | None, text: str) -> AttemptResult:
    try:
        search.fail(trial, text)
    except TakenOver as error:
        _end(run, "KILLED", str(error))
        return AttemptResult(trial.slot, "taken over")
    _end(run, "FAILED", text)
    return AttemptResult(trial.slot, "failed", error=text)


def _end(run: Run | None, status: str, error: str) -> None:
    if run is not None:
        run.end(status, {ERROR: error})


def _start(study: Study, trial: Trial, key: str) -> Run:
    """Open the MLflow run of an attempt, without iterations that are yet to be found."""
    tags = {
        "trial": str(trial.slot),
        "attempt": str(trial.attempt),
        NUMBER: str(trial.number),
        MEASURED: key,
    }
    without = {FOUND} if study.config.found else set()
    return start_child(
        study, f"trial {trial.slot:03d}", trial_params(study.config, trial), tags, without
    )


def measured_key(study: Study, trial: Trial) -> str:
    """The hash of everything that the values of a trial depend on."""
    return study.key("trial", trial_params(study.config, trial))


def _source(study: Study, key: str) -> Run | None:
    """A run that measured the same before, with all the files that this one is to have."""
    trained = config_class(study.config.model).iterative
    keeps = study.config.study.keep_factors == "all" and trained
    needed = ["per_user.parquet", *[FACTORS] * keeps]
    known = find_measured(study.workspace, study.experiment, key)
    return next((run for run in known if all(run.has(name) for name in needed)), None)


def _reuse(study: Study, trial: Trial, search: Search, run: Run, source: Run) -> AttemptResult:
    with study.scratch() as folder:
        copied = copy_run(source, run, folder, _other_objectives(study, source))
    if study.config.found is not None:
        run.params({FOUND: copied.params[FOUND]})
    curve = _copied_curve(copied, study.config.study.metric)
    search.measured(trial, curve)
    iterations = iterations_of(trial_params(study.config, trial))
    facts = replace(NOT_WATCHED, source=source.id)
    if iterations is not None:
        facts = TrialFacts(int(copied.params[FOUND]), 0, iterations, source.id)
    values = [copied.metrics[metric_name(f"validation/{name}")] for name in study.config.objectives]
    search.complete(trial, values, facts)
    name = run_name(study.config.model, f"{values[0]:.4f}", f"trial {trial.slot}")
    run.end("FINISHED", {RUN_NAME: name})
    return AttemptResult(trial.slot, "reused")


def _other_objectives(study: Study, source: Run) -> dict[str, float]:
    """Values that the source, whose study had other objectives, has in its files alone."""
    known, objectives = source.recorded(), study.config.objectives
    if all(known.metric(f"validation/{name}") is not None for name in objectives):
        return {}
    with study.scratch() as folder:
        for name in ("per_user.parquet", "exposure.parquet"):
            place = source.fetch(name, folder)
            if place.parent != folder:
                link_or_copy(str(place), str(folder / name))
        columns = columns_of(load_report(folder).summary(), objectives)
    return {f"validation/{name}": value for name, value in columns.items()}


def _copied_curve(copied: Copied, metric: str) -> list[tuple[int, float]]:
    return sorted(copied.curves.get(metric_name(f"curve/{metric}"), []))


def _train(study: Study, validation: Path, trial: Trial, search: Search, run: Run) -> AttemptResult:
    config = trial_params(study.config, trial)
    fold = tuning_fold(study.config, validation)
    monitor = monitor_of(study, fold, trial, search)
    with study.scratch() as folder:
        try:
            with saving_meanwhile(folder, study.config.study.keep_factors == "all") as fitted:
                judged = measure(study, fold, config, monitor, fitted=fitted)
        except HopelessTraining:
            assert monitor is not None
            return _record_pruned(study, trial, search, run, monitor)
        curve_seconds = 0.0 if monitor is None else monitor.curve.seconds
        measured = Measured.of(run, judged, curve_seconds)
        kept = isinstance(judged.model, Iterative) and _keeps_factors(study, search, measured)
        save_measured(judged, folder, kept)
        run.files(folder)
    facts, points = NOT_WATCHED, []
    if monitor is not None:
        facts, points = _facts(monitor, monitor.kept), monitor.curve.points
    found = {} if study.config.found is None else {FOUND: facts.iterations}
    name = config.kind, f"trial {trial.slot}"
    log_measured(run, "validation", measured, points, study.config.objectives, name, found)
    values = [measured.summary[name] for name in study.config.objectives]
    search.complete(trial, values, facts)
    run.end("FINISHED")
    return AttemptResult(trial.slot, "measured", measured.fit_seconds, measured.judge_seconds)


def _facts(monitor: TrainingMonitor, iterations: int) -> TrialFacts:
    return TrialFacts(iterations, monitor.ran, monitor.iterations)


def _record_pruned(
    study: Study, trial: Trial, search: Search, run: Run, monitor: TrainingMonitor
) -> AttemptResult:
    curves = curves_of(monitor.curve.points)
    found = {} if study.config.found is None else {FOUND: monitor.reached}
    name = run_name(study.config.model, "pruned", f"trial {trial.slot}")
    spent = {"seconds/fit": [(0, monitor.fit_seconds)]}
    run.log_curves({**curves, **spent}, found, {RUN_NAME: name})
    search.prune(trial, _facts(monitor, monitor.reached))
    run.end("FINISHED", {STATE: "pruned"})
    return AttemptResult(trial.slot, "pruned", monitor.fit_seconds, monitor.curve.seconds)


def _keeps_factors(study: Study, search: Search, measured: Measured) -> bool:
    setting = study.config.study.keep_factors
    if setting != "best" or not search.n_measured:
        return setting != "none"
    return measured.summary[study.config.study.metric] > search.best.value
