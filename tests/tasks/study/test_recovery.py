"""Recovery closes what dead workers left open, on both sides."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from recsys.models.als import AlsConfig
from tasks.study.attempt import AttemptResult
from tasks.study.study import start_child, trial_params
from tasks.tracking.runs import Run
from tasks.tuning import Trial
from tasks.workspace.locking import workspace_locks
from tests.tasks.lab import (
    ONE,
    Bench,
    FitRaises,
    MakeBench,
    Script,
    pruning,
)
from tests.tasks.tuning.searching import ME


def unended(made: Bench, monkeypatch: pytest.MonkeyPatch) -> AttemptResult:
    """The next trial, whose worker dies before it ends the run."""
    with monkeypatch.context() as patch:
        patch.setattr(Run, "end", lambda *_: None)
        outcome = made.attempt()
    assert made.states()[-1] == "RUNNING"
    return outcome


def test_recovery_finishes_a_measured_trial_whose_run_was_left_open(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(search=ONE)
    unended(made, monkeypatch)

    bench("study", "next", search=ONE).recover()

    (run,) = (made.run(each) for each in made.runs())
    assert run.info.status == "FINISHED"
    assert "error" not in run.data.tags


def test_recovery_marks_a_pruned_trial_whose_run_was_left_open(
    bench: MakeBench, script: Callable[[Script], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pruning(bench, script)
    made.finish_but_the_last()
    assert unended(made.bench, monkeypatch).state == "pruned"

    made.bench.recover()

    run = made.bench.run(made.bench.search.pruned[0].run)
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "pruned")


def test_recovery_fails_a_failed_trial_whose_run_was_left_open(
    bench: MakeBench, fit_raises: FitRaises, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(search=ONE)
    with fit_raises(ValueError("no")):
        unended(made, monkeypatch)

    made.recover()

    assert made.states() == ["FAILED"]


def left_by(made: Bench, trial: Trial | None, **tags: str) -> Run:
    """A run that was opened and nothing more."""
    number = {} if trial is None else {"number": str(trial.number)}
    config = trial_params(made.study.config, trial) if trial else AlsConfig()
    return start_child(made.study, "left", config, {**number, **tags})


@pytest.mark.parametrize("noted", [True, False])
def test_recovery_kills_the_run_of_a_trial_that_was_cut_off(bench: MakeBench, noted: bool) -> None:
    dead = bench("study", "dead", search=ONE)
    trial = dead.claim()
    run = left_by(dead, trial)
    if noted:
        dead.search.started(trial, run.id)

    bench("study", "next", search=ONE).recover()

    found = dead.run(run.id)
    assert found.info.status == "KILLED"
    assert found.data.tags["error"] == "its process died"
    assert [state for state, _ in dead.search.outcomes().values()] == ["cut off"]
    assert dead.claim().attempt == 2


def test_recovery_kills_a_run_that_optuna_never_heard_of(bench: MakeBench) -> None:
    made = bench(search=ONE)
    trial = made.claim()
    run = left_by(made, replace(trial, number=99))

    made.recover()

    assert made.run(run.id).info.status == "KILLED"


def test_recovery_kills_the_run_of_an_attempt_whose_trial_another_completed(
    bench: MakeBench,
) -> None:
    """Of one attempt two runs are known only where its worker was cut off between two writes."""
    made = bench(search=ONE)
    trial = made.claim()
    run = left_by(made, trial)
    made.attempt(trial)

    made.recover()

    assert made.run(run.id).info.status == "KILLED"
    assert made.run(made.search.done[0].run).info.status == "FINISHED"


def test_recovery_leaves_the_trial_and_files_of_a_living_worker_alone(bench: MakeBench) -> None:
    other = bench("study", "other")
    with workspace_locks(other.study.workspace).living("other"), other.study.scratch() as folder:
        trial = other.claim()
        runs = [left_by(other, trial), left_by(other, None, stage="final")]
        other.search.started(trial, runs[0].id)

        bench("study", "next").recover()

        assert other.states() == ["RUNNING", "RUNNING"]
        assert other.search.outcomes() == {0: ("running", runs[0].id)}
        assert folder.exists()


@pytest.mark.parametrize("worker", ["dead", ME])
def test_recovery_kills_open_finals_of_a_dead_worker_and_of_this_one(
    bench: MakeBench, worker: str
) -> None:
    run = left_by(bench("study", worker), None, stage="final")
    made = bench("study", ME)

    made.recover()

    assert made.run(run.id).info.status == "KILLED"
    assert made.run(made.study.parent).info.status == "RUNNING"


def test_recovery_frees_a_trial_that_this_worker_claimed_and_never_began(bench: MakeBench) -> None:
    """Recovery runs between trials: an interruption came between a claim and its attempt."""
    made = bench(search=ONE)
    with workspace_locks(made.study.workspace).living(ME):
        trial = made.claim()
        run = left_by(made, trial)

        made.recover()

        assert made.search.outcomes() == {0: ("cut off", None)}
        assert made.run(run.id).info.status == "KILLED"


def test_recovery_removes_the_scratch_folders_of_dead_workers(bench: MakeBench) -> None:
    made = bench()
    scratch = made.study.workspace.scratch
    for name in ("worker-dead", "paths-study"):
        (scratch / name).mkdir(parents=True)
        (scratch / name / "half.npy").touch()

    made.recover()

    assert [path.name for path in scratch.iterdir()] == ["paths-study"]


def test_recovery_leaves_other_studies_alone(bench: MakeBench) -> None:
    other = bench("other", "dead")
    trial = other.claim()
    run = left_by(other, trial)

    bench("study").recover()

    assert other.run(run.id).info.status == "RUNNING"
