"""One attempt at a trial: what it writes and when, and how it may end."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from recsys.evaluation.store import load_report
from recsys.models.als import AlsConfig
from recsys.models.iterative import Iteration
from tasks.study.attempt import AttemptResult, TrialFailed, run_trial
from tasks.tracking.runs import Run
from tasks.tuning import Search, Trial
from tasks.workspace.layout import Workspace
from tests.tasks.lab import (
    ONE,
    ONE_POINT,
    Bench,
    FitRaises,
    MakeBench,
    PowerCut,
    Script,
    experiment_of,
    of_both_sides,
    pruning,
    summary_of,
    watched,
)
from tests.tasks.tuning.searching import claimed

FACTORS = {"factors/user_factors.npy", "factors/item_factors.npy"}


def test_a_trial_is_measured_by_what_it_records_on_both_sides(bench: MakeBench) -> None:
    made = bench(search=ONE)

    outcome = made.attempt()

    assert (outcome.slot, outcome.state, outcome.error) == (0, "measured", "")
    (done,) = made.search.done
    run = made.run(done.run)
    assert run.info.status == "FINISHED"
    assert set(made.files(done.run)) == {"per_user.parquet", "exposure.parquet"} | FACTORS
    report = load_report(made.files(done.run)["per_user.parquet"].parent)
    at_5 = {name: value for name, value in report.summary().items() if name.endswith("@5")}
    assert summary_of(run.data.metrics, "validation/") == at_5
    assert done.values == (report.summary()["ndcg@5"],)
    for name in ("ndcg@5", "precision@1"):
        curve = made.history(done.run, f"curve/{name.replace('@', '_at_')}")
        assert [step for step, _ in curve] == [1, 2, 3, 4, 5, 6]
        if name == "ndcg@5":
            assert tuple(curve) == done.curve
    assert [step for step, _ in made.history(done.run, "curve/loss")] == [1, 2, 3, 4, 5, 6]
    assert run.data.metrics["seconds/fit"] == pytest.approx(outcome.fit_seconds)
    assert outcome.fit_seconds > 0
    assert outcome.judge_seconds > 0
    assert list(made.study.workspace.scratch.iterdir()) == []


def test_a_trial_has_every_parameter_and_belongs_to_its_study(bench: MakeBench) -> None:
    made = bench(search=ONE)

    made.attempt()

    (done,) = made.search.done
    run = made.run(done.run)
    config = AlsConfig.model_validate(done.params)
    expected = {**config.model_dump(), "seed": 0}
    assert run.data.params == {name: str(value) for name, value in expected.items()}
    assert run.data.tags["mlflow.parentRunId"] == made.study.parent
    tags = {"study": "study", "trial": "0", "attempt": "1", "number": "0", "model": "als"}
    assert {**tags, **made.study.tags}.items() <= run.data.tags.items()
    assert run.info.run_name.endswith(" trial 0")


def test_iterations_are_a_parameter_of_the_run_only_when_they_are_found(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []
    made = bench(search=ONE)
    real = Search.started

    def spied(self: Search, trial: Trial, run: str) -> None:
        seen.append(dict(made.run(run).data.params))
        real(self, trial, run)

    monkeypatch.setattr(Search, "started", spied)

    made.attempt()

    assert "iterations" not in seen[0]
    (done,) = made.search.done
    assert made.run(done.run).data.params["iterations"] == str(done.params["iterations"])


def without_repeats(names: Sequence[str]) -> list[str]:
    return [name for name, _ in itertools.groupby(names)]


STARTED = [
    *("optuna: RUNNING", "mlflow: run", "optuna: run"),
]


def test_the_writes_of_a_trial_are_in_the_order_that_recovery_needs(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(search=ONE)
    with monkeypatch.context() as patch, watched(patch) as writes:
        made.attempt()

    assert without_repeats(writes.names) == [
        *STARTED,
        *("train", "optuna: curve"),
        *("file: exposure.parquet", "file: item_factors.npy", "file: user_factors.npy"),
        *("file: per_user.parquet", "mlflow: metrics"),
        *("optuna: facts", "optuna: COMPLETE", "mlflow: FINISHED"),
    ]
    assert writes.names.count("optuna: curve") == 6


def test_the_writes_of_a_pruned_trial_are_in_order_too(
    bench: MakeBench, script: Callable[[Script], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pruning(bench, script)
    made.finish_but_the_last()
    with monkeypatch.context() as patch, watched(patch) as writes:
        assert made.bench.attempt().state == "pruned"

    assert without_repeats(writes.names) == [
        *STARTED,
        *("train", "optuna: curve"),
        *("mlflow: metrics", "optuna: facts", "optuna: PRUNED", "mlflow: FINISHED"),
    ]


def test_the_writes_of_a_reused_trial_are_in_order_too(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench("first", search=ONE).attempt()
    made = bench("second", search=ONE)
    with monkeypatch.context() as patch, watched(patch) as writes:
        made.attempt()

    names = [name for name in writes.names if not name.startswith("file: ")]
    assert without_repeats(names) == [
        *STARTED,
        *("mlflow: metrics", "mlflow: parameters", "optuna: curve"),
        *("optuna: facts", "optuna: COMPLETE", "mlflow: FINISHED"),
    ]
    links = [n for n, name in enumerate(writes.names) if name.startswith("file: ")]
    assert len(links) == 4
    assert max(links) < writes.names.index("optuna: COMPLETE")


def assert_no_loose_ends(made: Bench, expected: list[Any]) -> None:
    assert of_both_sides(made) == expected
    states = [state for state, _ in made.search.outcomes().values()]
    assert "running" not in states
    finished = [r for r in made.runs() if made.run(r).info.status == "FINISHED"]
    ended = [*made.search.done, *made.search.pruned]
    assert sorted(finished) == sorted(each.run for each in ended)
    assert "RUNNING" not in made.states()
    marked = [r for r in made.runs() if made.run(r).data.tags.get("state") == "pruned"]
    assert sorted(marked) == sorted(done.run for done in made.search.pruned)
    assert set(made.files(made.study.parent)) == {"ids/users.parquet", "ids/items.parquet"}
    query = f"tags.study = '{made.study.name}' and tags.stage = 'study'"
    assert len(made.client.search_runs([made.study.experiment], query)) == 1
    scratch = made.study.workspace.scratch
    assert not [path for path in scratch.rglob("*") if path.is_file()]


# `make test` looks at some of the writes, `make test-slow` at every one.
EVERY = pytest.param(1, marks=pytest.mark.slow, id="every write")
SOME = pytest.param(7, id="some writes")


@pytest.mark.parametrize("step", [SOME, EVERY])
@pytest.mark.parametrize("reused", [False, True])
def test_a_kill_between_any_two_writes_loses_and_doubles_nothing(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, reused: bool, step: int
) -> None:
    """Of the opening of a study and of its trial; the next worker closes what stays RUNNING.

    The opening is the same where the trial is reused.
    """
    table = {**ONE_POINT, "iterations": {"low": 1, "high": 2}}
    config = experiment_of(search=table, study={"fresh": not reused, "trials": 1})
    bench("first of all", config=config).finish()
    with monkeypatch.context() as patch, watched(patch) as writes:
        whole = bench("whole", config=config)
        whole.finish()
    expected, n_writes = of_both_sides(whole), len(writes.names)
    assert n_writes > 20
    assert reused == (expected[0][4].source is not None)

    for n in range(writes.names.index("optuna: RUNNING") if reused else 0, n_writes, step):
        with monkeypatch.context() as patch, watched(patch) as writes:
            writes.end_after(n)
            with pytest.raises(PowerCut):
                bench(f"cut {n}", "first", config=config).finish()
        again = bench(f"cut {n}", "second", config=config)
        again.recover()
        again.finish()

        assert_no_loose_ends(again, expected)


@pytest.mark.parametrize("step", [SOME, EVERY])
def test_a_pruned_trial_that_was_killed_between_any_two_writes_is_pruned_once(
    bench: MakeBench,
    script: Callable[[Script], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    step: int,
) -> None:
    whole = pruning(bench, script)
    whole.finish_but_the_last()
    n_begun = whole.n_begun

    def copied(name: str) -> tuple[Workspace, Bench]:
        whole.n_begun = n_begun
        place = Workspace.at(tmp_path / name)
        return place, whole.copy(place)

    _, uncut = copied("uncut")
    with monkeypatch.context() as patch, watched(patch) as writes:
        uncut.attempt()
    expected, n_writes = of_both_sides(uncut), len(writes.names)
    assert n_writes >= 10

    for n in range(0, n_writes, step):
        place, made = copied(f"cut {n}")
        with monkeypatch.context() as patch, watched(patch) as writes:
            writes.end_after(n)
            with pytest.raises(PowerCut):
                made.attempt()
        again = whole.open("second", place=place)
        again.recover()
        again.finish()

        assert_no_loose_ends(again, expected)


def test_an_error_in_a_training_is_recorded_on_both_sides_and_not_retried(
    bench: MakeBench, fit_raises: FitRaises
) -> None:
    made = bench()
    text = "ValueError: no factors"
    with fit_raises(ValueError("no factors")):
        outcome = made.attempt()

    assert (outcome.slot, outcome.state, outcome.error) == (0, "failed", text)
    assert made.search.failed == {0: text}
    (run,) = (made.run(each) for each in made.runs())
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] == text
    made.finish()
    assert [done.slot for done in made.search.done] == [1, 2]
    assert made.states() == ["FAILED", "FINISHED", "FINISHED"]


def test_a_trial_that_runs_out_of_memory_is_repeated_with_its_point(
    bench: MakeBench, fit_raises: FitRaises
) -> None:
    made = bench(search=ONE)
    first = made.claim()
    with fit_raises(MemoryError("8 TiB")):
        assert made.attempt(first) == AttemptResult(0, "cut off")

    assert made.search.failed == {}
    assert made.states() == ["KILLED"]
    assert made.run(next(iter(made.runs()))).data.tags["error"] == "MemoryError: 8 TiB"

    again = made.claim()
    assert made.attempt(again).state == "measured"
    assert (again.params, again.attempt) == (first.params, 2)
    assert made.states() == ["KILLED", "FINISHED"]


def test_a_trial_that_always_runs_out_of_memory_fails_at_the_third_attempt(
    bench: MakeBench, fit_raises: FitRaises
) -> None:
    made = bench(search=ONE)
    with fit_raises(MemoryError("8 TiB")):
        outcomes = [made.attempt(made.claim()) for _ in range(3)]

    assert [outcome.state for outcome in outcomes] == ["cut off", "cut off", "failed"]
    assert made.search.failed == {0: "MemoryError: 8 TiB"}
    assert made.states() == ["KILLED", "KILLED", "FAILED"]


def test_a_failed_trial_is_an_error_for_prefect_with_its_outcome(
    bench: MakeBench, fit_raises: FitRaises
) -> None:
    made = bench(search=ONE)
    trial = made.claim()
    with fit_raises(ValueError("no")), pytest.raises(TrialFailed, match="ValueError: no") as found:
        run_trial.fn(made.study, made.folds / "validation", trial, made.search)

    assert found.value.outcome == AttemptResult(0, "failed", error="ValueError: no")


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        MlflowException("database is locked"),
        KeyboardInterrupt(),
        SystemExit(1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_interrupt_or_an_error_of_disk_or_database_repeats_the_trial(
    bench: MakeBench, fit_raises: FitRaises, error: BaseException
) -> None:
    made = bench(search=ONE)
    trial = made.claim()
    with fit_raises(error), pytest.raises(type(error)):
        made.attempt(trial)

    assert made.search.outcomes() == {0: ("cut off", next(iter(made.runs())))}
    assert made.states() == ["KILLED"]
    assert made.search.failed == {}
    assert list(made.study.workspace.scratch.glob("*")) == []

    again = made.claim()
    made.attempt(again)

    assert (again.slot, again.params, again.attempt) == (0, trial.params, 2)
    assert made.states() == ["KILLED", "FINISHED"]
    assert made.search.done[0].attempts == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_trial_with_an_outcome_counts_though_its_worker_dies_right_after(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    made = bench(search=ONE)
    complete = Search.complete

    def interrupted(self: Search, *given: Any) -> None:
        complete(self, *given)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Search, "complete", interrupted)
        with pytest.raises(type(error)):
            made.attempt()
    made.recover()

    assert [done.attempts for done in made.search.done] == [1]
    assert made.states() == ["FINISHED"]
    assert made.search.outcomes() == {0: ("complete", made.search.done[0].run)}


def test_an_interruption_before_there_is_a_run_repeats_the_trial(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(search=ONE)

    def interrupted(*_: Any, **__: Any) -> Run:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tasks.study.attempt.start_child", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made.attempt()

    assert made.search.outcomes() == {0: ("cut off", None)}
    assert made.runs() == {}


def steal(made: Bench, script: Callable[[Script], None], at: int, error: Exception | None) -> Trial:
    """Let another worker take a trial over while its training is at an iteration."""
    stolen: list[Trial] = []

    def value(step: Iteration) -> float:
        if step.number == at and not stolen:
            made.search.interrupt(trial)
            stolen.append(claimed(made.search, "another"))
            if error is not None:
                raise error
        return step.number / 10

    trial = made.claim()
    script(value)
    assert made.attempt(trial) == AttemptResult(0, "taken over")
    return stolen[0]


@pytest.mark.parametrize("at", [1, 6])
@pytest.mark.parametrize("error", [None, ValueError("its own")])
def test_an_attempt_whose_trial_was_taken_over_does_not_count(
    bench: MakeBench, script: Callable[[Script], None], at: int, error: Exception | None
) -> None:
    made = bench(search=ONE, judge={"curve_every": 6} if at == 6 else {"curve_every": 1})

    stolen = steal(made, script, at, error)

    assert made.states() == ["KILLED"]
    (run,) = made.runs().values()
    assert "taken over" in run["error"]
    assert made.search.failed == {}
    assert made.search.finished == []
    made.attempt(stolen)
    assert [done.attempts for done in made.search.done] == [2]


def test_the_same_trial_twice_measures_the_same(bench: MakeBench) -> None:
    one, other = (bench(name, search=ONE, study={"fresh": True}) for name in ("one", "other"))
    one.attempt()
    other.attempt()

    assert of_both_sides(one) == of_both_sides(other)
