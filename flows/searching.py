"""The search of a study: claim and measure until every slot is done. One process of many."""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.clock import Clock
from recsys.errors import TrialsFailed
from recsys.search.space import Point
from tasks.interrupts import INTERRUPTS
from tasks.progress import Stage, report_progress, report_result, report_stage
from tasks.study.attempt import AttemptResult, TrialFailed, run_trial
from tasks.study.checkpoints import Checkpoints
from tasks.study.foreseeing import foresee
from tasks.study.live import showing_search
from tasks.study.recovery import recover
from tasks.study.study import Study
from tasks.tracking.runs import Run
from tasks.tuning import FinishedTrial, Search, Trial
from tasks.workspace.locking import workspace_locks

GIVE_UP_AFTER = 3  # failures in a row: the next would fail too
LOOK_AGAIN = 0.5  # seconds between looks at trials that other workers are at

Attempt = Callable[[Study, Path, Trial, Search], AttemptResult]


def with_prefect(study: Study, validation: Path, trial: Trial, search: Search) -> AttemptResult:
    """One attempt as a task of Prefect, for use inside a flow."""
    state = run_trial(study, validation, trial, search, return_state=True)
    outcome = state.result(raise_on_failure=False)
    if isinstance(outcome, TrialFailed):
        return outcome.outcome
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


@contextmanager
def joined(study: Study, search: Search) -> Iterator[None]:
    """Take part in a study: recover before, and close what this worker left open after.

    At the end the run of the study is closed too, unless others are at its trials.
    """
    locks = workspace_locks(study.workspace)
    try:
        recover(study, search, locks)
        _note_missing_bests(study, search)
        try:
            yield
        finally:
            recover(study, search, locks)
        _note_missing_bests(study, search)
        _close_parent(study, search, None)
    except BaseException as error:
        _close_parent(study, search, error)
        raise


def _close_parent(study: Study, search: Search, error: BaseException | None) -> None:
    """End the run of the study, unless others are at its trials."""
    if search.others(study.worker):
        return
    parent = Run.of(study.workspace, study.parent)
    if error is None:
        parent.end("FINISHED" if search.ended >= search.wanted else "KILLED")
    elif isinstance(error, Exception) and not INTERRUPTS.came:
        parent.end("FAILED", {"error": f"{type(error).__name__}: {error}"[:5000]})
    else:
        parent.end("KILLED", {"error": "interrupted"})


def search_all(
    study: Study,
    search: Search,
    validation: Path,
    attempted: Attempt,
    clock: Clock,
    until: float | None = None,
) -> None:
    """Measure trials until all are done, time is up or too many fail.

    Waits for trials that other workers are at, to take over those of one that dies.

    Args:
        study: Shared by all runs.
        search: Its trials.
        validation: Folder of the validation fold.
        attempted: Measures one trial.
        clock: Takes the time.
        until: When no further trial starts, of the monotonic clock, in place of the timeout of the
            study, which counts from now.
    """
    timeout = study.config.study.timeout
    if search.ended < search.wanted:
        foresee(study, validation)
    end = math.inf if timeout is None else time.monotonic() + timeout
    end = end if until is None else until
    with showing_search(study, search) as show:
        while search.failed_in_a_row < GIVE_UP_AFTER:
            if search.n_measured and time.monotonic() > end:
                return
            with clock.part("optuna"):
                trial = search.claim(study.worker)
            line = ""
            if trial is not None:
                line = _measure(study, search, trial, validation, attempted, clock)
            elif search.others(study.worker):
                _wait(search, clock)
            else:
                break
            with clock.part("trial overhead"):
                show(line)
    report_stage("trial", None)
    if search.ended >= search.wanted:
        Checkpoints(study.workspace.paths(study.name)).remove()


def _wait(search: Search, clock: Clock) -> None:
    report_progress("waiting for the trials of other workers", search.ended, search.wanted)
    with clock.part("waiting"):
        time.sleep(LOOK_AGAIN)


def _measure(
    study: Study,
    search: Search,
    trial: Trial,
    validation: Path,
    attempted: Attempt,
    clock: Clock,
) -> str:
    """What became of a trial, in a line."""
    stage = _stage(search, trial)
    report_stage("trial", stage)
    outcome = _timed(study, search, trial, validation, attempted, clock)
    line = _line(study, search, trial, outcome, stage)
    report_result(line)
    return line


def check_not_given_up(search: Search) -> None:
    """Raise where `search_all` ended because of failures in a row.

    Raises:
        TrialsFailed: with the errors.
    """
    n_failed = search.failed_in_a_row
    if search.ended < search.wanted and n_failed >= GIVE_UP_AFTER:
        last = [error for _, error in sorted(search.failed.items())[-n_failed:]]
        raise TrialsFailed(
            f"study {search.name}: the last {n_failed} trials failed "
            f"({'; '.join(sorted(set(last)))}); {search.ended} of {search.wanted} trials are done"
        )


def _timed(
    study: Study,
    search: Search,
    trial: Trial,
    validation: Path,
    attempted: Attempt,
    clock: Clock,
) -> AttemptResult:
    start = time.perf_counter()
    before = search.done if study.config.study.keep_factors == "best" else []
    outcome = attempted(study, validation, trial, search)
    if outcome.state in ("measured", "reused"):
        _note_best(study, search, trial, before)
    clock.add("fit", outcome.fit_seconds)
    clock.add("judge", outcome.judge_seconds)
    spent = time.perf_counter() - start
    clock.add("trial overhead", spent - outcome.fit_seconds - outcome.judge_seconds)
    return outcome


def _note_best(study: Study, search: Search, trial: Trial, before: list[FinishedTrial]) -> None:
    best = search.best
    Run.of(study.workspace, study.parent).log(
        {f"best/{study.config.study.metric}": best.value}, step=trial.slot
    )
    if before and best.slot == trial.slot:
        beaten = max(before, key=lambda done: (done.value, -done.slot))
        Run.of(study.workspace, beaten.run).drop("factors")


def _note_missing_bests(study: Study, search: Search) -> None:
    """Idempotent: the steps that workers missed that died after an outcome.

    A worker that lives notes its trials itself: twice would be two points at one step.
    """
    name = f"best/{study.config.study.metric}"
    parent = Run.of(study.workspace, study.parent)
    best: FinishedTrial | None = None
    beaten: list[FinishedTrial] = []
    with workspace_locks(study.workspace).exclusive(f"best-{study.name}"):
        dead = search.ended_by_dead_workers()  # first: all that they noted is there to be read
        noted = parent.steps(name)
        for done in search.done:
            if best is None or done.value > best.value:
                beaten += [] if best is None else [best]
                best = done
            if done.slot in dead and done.slot not in noted:
                parent.log({name: best.value}, step=done.slot)
    if study.config.study.keep_factors == "best":
        for done in beaten:
            Run.of(study.workspace, done.run).drop("factors")


def _stage(search: Search, trial: Trial) -> Stage:
    """A trial as progress shows it: "trial 4/15, 128 factors"."""
    done, wanted = search.ended, search.wanted
    best = search.best.value if search.n_measured else None
    return Stage(
        ", ".join([f"trial {done + 1}/{wanted}", *_size(trial.params)]), done, wanted, best
    )


def _size(params: Point) -> list[str]:
    """The first parameter that is a whole number, which says most of how long a trial takes."""
    whole = (f"{value} {name}" for name, value in params.items() if type(value) is int)
    return list(itertools.islice(whole, 1))


def _line(study: Study, search: Search, trial: Trial, outcome: AttemptResult, stage: Stage) -> str:
    """What became of a trial, in a line."""
    finished = next((each for each in search.finished if each.slot == trial.slot), None)
    what = f"{outcome.state} {outcome.error}".rstrip()
    if finished is not None and finished.values:
        metric, value = study.config.study.metric, finished.value
        is_best = stage.best is None or value > stage.best
        what = f"{metric} {value:.4f}" + ", the best so far" * is_best
        what += ", measured before" * (outcome.state == "reused")
    iterations = 0 if finished is None else finished.facts.iterations
    after = f", {iterations} iterations" * bool(iterations)
    seconds = outcome.fit_seconds + outcome.judge_seconds
    return f"{stage.label}{after}: {what}" + f"; {seconds:.1f} s" * bool(seconds)
