import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from recsys.config import AlsConfig
from recsys.models.als import Iteration
from recsys.protocol import judge
from recsys.pruning import hopeless
from recsys.seeds import seed_for
from recsys.store import load_report
from tasks.locking import workspace_locks
from tasks.tracking import Run, delete_runs
from tasks.training import fold_at, start_child
from tasks.trials import Outcome, TrialFailed, asked, run_trial, tuning_fold
from tasks.tuning import Facts, Search, Trial
from tasks.workspace import Workspace
from tests.tasks import lab
from tests.tasks.lab import (
    ONE_POINT,
    Bench,
    FitRaises,
    MakeBench,
    PowerCut,
    Script,
    experiment_of,
    summary_of,
    trained,
    watched,
)
from tests.tasks.tuning.searching import ME, claimed

bench, folds, fits, script, fit_raises = (
    lab.bench,
    lab.folds,
    lab.fits,
    lab.script,
    lab.fit_raises,
)

ONE = {**ONE_POINT, "iterations": {"low": 2, "high": 6}}  # a space of one point
PINNED = {**ONE_POINT, "iterations": 4}
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
    assert summary_of(run.data.metrics, "validation/") == report.summary()
    assert done.values == (report.summary()["ndcg@5"],)
    for name in ("ndcg@5", "precision@1"):
        curve = made.history(done.run, f"curve/{name.replace('@', '_at_')}")
        assert [step for step, _ in curve] == [1, 2, 3, 4, 5, 6]
        if name == "ndcg@5":
            assert tuple(curve) == done.curve
    assert [step for step, _ in made.history(done.run, "curve/loss")] == [1, 2, 3, 4, 5, 6]
    assert run.data.metrics["seconds/fit"] == pytest.approx(outcome.fit_seconds)
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
    assert run.info.run_name == "trial 000"


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
    *("optuna: RUNNING", "mlflow: run", "mlflow: parameters", "mlflow: data set"),
    "optuna: run",
]


def test_the_writes_of_a_trial_are_in_an_order_in_which_any_may_be_the_last(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(search=ONE)
    with monkeypatch.context() as patch, watched(patch) as writes:
        made.attempt()

    assert without_repeats(writes.names) == [
        *STARTED,
        *("train", "optuna: curve"),
        *("file: exposure.parquet", "file: item_factors.npy", "file: user_factors.npy"),
        *("file: per_user.parquet", "mlflow: parameters", "mlflow: metrics"),
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
        *("mlflow: metrics", "mlflow: parameters", "optuna: facts", "optuna: PRUNED"),
        *("mlflow: state", "mlflow: KILLED"),
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


def of_both_sides(made: Bench) -> list[Any]:
    """All that a study found, as it has to be however often it was interrupted."""
    found = []
    for done in made.search.finished:
        run = made.run(done.run)
        metrics = {n: v for n, v in run.data.metrics.items() if not n.startswith("seconds/")}
        names = sorted(made.files(done.run))
        found.append((done.slot, done.params, done.values, done.curve, done.facts, metrics, names))
    return found


def assert_no_loose_ends(made: Bench, expected: list[Any]) -> None:
    assert of_both_sides(made) == expected
    states = [state for state, _ in made.search.outcomes().values()]
    assert "running" not in states
    finished = [r for r in made.runs() if made.run(r).info.status == "FINISHED"]
    assert sorted(finished) == sorted(done.run for done in made.search.done)
    assert "RUNNING" not in made.states()
    for done in made.search.pruned:
        assert made.run(done.run).data.tags["state"] == "pruned"
    assert set(made.files(made.study.parent)) == {"ids/users.parquet", "ids/items.parquet"}
    query = f"tags.study = '{made.study.name}' and tags.stage = 'study'"
    assert len(made.client.search_runs([made.study.experiment], query)) == 1
    scratch = made.study.workspace.scratch
    assert not [path for path in scratch.rglob("*") if path.is_file()]


@pytest.mark.parametrize("reused", [False, True])
def test_after_a_kill_between_any_two_writes_everything_is_there_once_and_the_same(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, reused: bool
) -> None:
    """Of the opening of a study and of its trial; what stays RUNNING is closed by who goes on."""
    table = {**ONE_POINT, "iterations": {"low": 1, "high": 2}}
    config = experiment_of(search=table, study={"fresh": not reused, "trials": 1})
    bench("first of all", config=config).finish()
    with monkeypatch.context() as patch, watched(patch) as writes:
        whole = bench("whole", config=config)
        whole.finish()
    expected, n_writes = of_both_sides(whole), len(writes.names)
    assert n_writes > 20
    assert reused == (expected[0][4].source is not None)

    for n in range(n_writes):
        with monkeypatch.context() as patch, watched(patch) as writes:
            writes.end_after(n)
            with pytest.raises(PowerCut):
                bench(f"cut {n}", "first", config=config).finish()
        again = bench(f"cut {n}", "second", config=config)
        again.tidy()
        again.finish()

        assert_no_loose_ends(again, expected)


@pytest.mark.parametrize("error", [MemoryError("8 TiB"), ValueError("no factors")])
def test_an_error_in_a_training_is_recorded_on_both_sides_and_not_retried(
    bench: MakeBench, fit_raises: FitRaises, error: Exception
) -> None:
    made = bench()
    text = f"{type(error).__name__}: {error}"
    with fit_raises(error):
        outcome = made.attempt()

    assert (outcome.slot, outcome.state, outcome.error) == (0, "failed", text)
    assert made.search.failed == {0: text}
    (run,) = (made.run(each) for each in made.runs())
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] == text
    made.finish()
    assert [done.slot for done in made.search.done] == [1, 2]
    assert made.states() == ["FAILED", "FINISHED", "FINISHED"]


def test_a_failed_trial_is_an_error_for_prefect_with_its_outcome(
    bench: MakeBench, fit_raises: FitRaises
) -> None:
    made = bench(search=ONE)
    trial = made.claim()
    with fit_raises(ValueError("no")), pytest.raises(TrialFailed, match="ValueError: no") as found:
        run_trial.fn(made.study, made.folds / "validation", trial, made.search)

    assert found.value.outcome == Outcome(0, "failed", error="ValueError: no")


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
def test_what_ends_a_worker_ends_its_trial_which_is_repeated(
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
def test_a_trial_whose_outcome_is_told_counts_though_its_worker_ends_right_after(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    made = bench(search=ONE)
    real = Search.tell

    def told(self: Search, *given: Any) -> None:
        real(self, *given)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Search, "tell", told)
        with pytest.raises(type(error)):
            made.attempt()
    made.tidy()

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
        patch.setattr("tasks.trials.start_child", interrupted)
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
    assert made.attempt(trial) == Outcome(0, "taken over")
    return stolen[0]


@pytest.mark.parametrize("at", [1, 6])
@pytest.mark.parametrize("error", [None, ValueError("its own")])
def test_a_trial_that_was_taken_over_counts_for_nothing(
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


PEAK = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.9, 5: 0.5, 6: 0.6}


def test_the_iterations_found_are_the_best_of_the_curve_and_the_factors_those_of_that_iteration(
    bench: MakeBench, script: Callable[[Script], None]
) -> None:
    script(lambda step: PEAK[step.number])
    made = bench(search=ONE)

    made.attempt()

    (done,) = made.search.done
    assert done.params["iterations"] == 4
    assert done.facts == Facts(iterations=4, ran=6, asked=6)
    alone = trained(made, AlsConfig.model_validate({**ONE_POINT, "iterations": 4}))
    users, items = made.factors(done.run)
    np.testing.assert_array_equal(users, alone.user_factors)
    np.testing.assert_array_equal(items, alone.item_factors)
    expected = judge(alone, fold_at(made.folds / "validation"), (1, 5)).summary()
    assert summary_of(made.run(done.run).data.metrics, "validation/") == expected


def test_the_best_iteration_is_found_on_the_curve_that_was_measured(bench: MakeBench) -> None:
    made = bench()

    made.finish()

    found = set()
    for done in made.search.done:
        late = [point for point in done.curve if point[0] >= 2]
        best = max(late, key=lambda point: point[1])[0]
        assert done.params["iterations"] == best
        alone = trained(made, AlsConfig.model_validate(done.params))
        np.testing.assert_array_equal(made.factors(done.run)[0], alone.user_factors)
        found.add(best)
    assert len(found) > 1


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ({1: 0.9, 2: 0.1, 3: 0.2, 4: 0.1, 5: 0.1, 6: 0.1}, 3),  # before the range is not in it
        ({1: 0.1, 2: 0.5, 3: 0.5, 4: 0.5, 5: 0.5, 6: 0.5}, 2),  # of equals the first
        ({1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4, 5: 0.5, 6: 0.6}, 6),
    ],
)
def test_iterations_are_found_within_their_range_the_first_of_equals(
    bench: MakeBench, script: Callable[[Script], None], curve: dict[int, float], expected: int
) -> None:
    script(lambda step: curve[step.number])
    made = bench(search=ONE, study={"keep_factors": "none"})

    made.attempt()

    assert made.search.done[0].params["iterations"] == expected


def test_a_curve_of_every_other_iteration_finds_among_those_and_the_last(
    bench: MakeBench, script: Callable[[Script], None]
) -> None:
    script(lambda step: PEAK[step.number])
    made = bench(search={**ONE, "iterations": {"low": 2, "high": 5}}, judge={"curve_every": 2})

    made.attempt()

    (done,) = made.search.done
    assert done.curve == ((2, 0.2), (4, 0.9), (5, 0.5))
    assert done.params["iterations"] == 4


def test_patience_ends_a_training_on_a_plateau_and_keeps_its_best(
    bench: MakeBench, script: Callable[[Script], None], fits: list[int]
) -> None:
    curve = {1: 0.9, 2: 0.2, 3: 0.5, 4: 0.4, 5: 0.5, 6: 0.99}
    script(lambda step: curve[step.number])
    made = bench(search=ONE, study={"patience": 2})

    outcome = made.attempt()

    (done,) = made.search.done
    assert outcome.state == "measured"
    assert [point[0] for point in done.curve] == [1, 2, 3, 4, 5]
    assert done.facts == Facts(iterations=3, ran=5, asked=6)
    alone = trained(made, AlsConfig.model_validate(done.params))
    np.testing.assert_array_equal(made.factors(done.run)[1], alone.item_factors)


def test_patience_begins_with_the_range(bench: MakeBench, script: Callable[[Script], None]) -> None:
    """The start-up of a training is no plateau: 0.9 at the first iteration is not to be found."""
    script(lambda step: 1.0 / step.number)
    made = bench(search={**ONE, "iterations": {"low": 4, "high": 6}}, study={"patience": 1})

    made.attempt()

    assert made.search.done[0].facts == Facts(iterations=4, ran=5, asked=6)


class Pruning:
    """A study whose last trial is hopeless: every trial before it is better everywhere."""

    def __init__(self, bench: MakeBench, script: Callable[[Script], None], **table: Any) -> None:
        self.bench = bench(
            search={**ONE, "alpha": {"low": 1.0, "high": 9.0}, **table},
            study={"pruner": "median", "trials": 6, "keep_factors": "none"},
        )
        self.n_begun = 0
        script(self._value)

    def _value(self, step: Iteration) -> float:
        self.n_begun += step.number == 1
        return 0.01 if self.n_begun == 6 else 0.1 * self.n_begun + step.number / 100

    def finish_but_the_last(self) -> None:
        for _ in range(5):
            assert self.bench.attempt().state == "measured"


def pruning(bench: MakeBench, script: Callable[[Script], None], **table: Any) -> Pruning:
    return Pruning(bench, script, **table)


def test_a_pruned_trial_is_so_on_both_sides_with_its_curve(
    bench: MakeBench, script: Callable[[Script], None]
) -> None:
    made = pruning(bench, script)
    made.finish_but_the_last()

    outcome = made.bench.attempt()

    assert (outcome.slot, outcome.state) == (5, "pruned")
    (pruned,) = made.bench.search.pruned
    assert pruned.curve == ((1, 0.01), (2, 0.01))  # the range begins at 2
    assert pruned.facts == Facts(iterations=2, ran=2, asked=6)
    assert pruned.params["iterations"] == 2
    run = made.bench.run(pruned.run)
    assert run.info.status == "KILLED"
    assert run.data.tags["state"] == "pruned"
    assert "error" not in run.data.tags
    assert made.bench.history(pruned.run, "curve/ndcg_at_5") == [(1, 0.01), (2, 0.01)]
    assert len(made.bench.history(pruned.run, "curve/loss")) == 2
    assert not [name for name in run.data.metrics if name.startswith("validation/")]
    assert made.bench.files(pruned.run) == {}
    assert run.data.params["iterations"] == "2"


def test_pinned_iterations_are_pruned_too(
    bench: MakeBench, script: Callable[[Script], None]
) -> None:
    made = pruning(bench, script, iterations=4)
    made.finish_but_the_last()

    assert made.bench.attempt().state == "pruned"
    (pruned,) = made.bench.search.pruned
    assert pruned.facts == Facts(iterations=1, ran=1, asked=4)


def test_a_trial_is_pruned_by_its_slot_the_finished_curves_and_the_seed(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[Any, ...]] = []

    def spied(*given: Any) -> bool:
        told.append(given)
        return hopeless(*given)

    monkeypatch.setattr("tasks.trials.hopeless", spied)
    made = bench(study={"pruner": "hyperband", "trials": 2, "keep_factors": "none"}, seed=7)
    made.finish()

    pruner, slot, curve, finished, low, high, seed = told[-1]
    assert (pruner, slot, low, high, seed) == ("hyperband", 1, 2, 6, 7)
    assert tuple(curve) == made.search.finished[1].curve[: len(curve)]
    assert finished == {0: made.search.curves()[0]}


def test_with_several_objectives_nothing_is_pruned(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(study={"pruner": "median", "also": ["coverage@5", "gini@5"]})

    made.finish()

    for done in made.search.done:
        metrics = made.run(done.run).data.metrics
        names = ("validation/ndcg_at_5", "validation/coverage_at_5", "validation/gini_at_5")
        assert done.values == tuple(metrics[name] for name in names)


ALIKE = {**ONE_POINT, "factors": [2, 3], "iterations": [2, 3, 6]}


@pytest.mark.parametrize("sampler", ["grid", "random"])
@pytest.mark.parametrize("seed", [0, 3])
def test_pinned_iterations_give_the_bits_of_training_each_separately_with_fewer_iterations(
    bench: MakeBench, fits: list[int], sampler: str, seed: int
) -> None:
    made = bench(search=ALIKE, study={"sampler": sampler, "trials": 6}, seed=seed)

    made.finish()

    ran, done = sum(fits), made.search.done
    assert ran == sum(each.facts.ran for each in done) == 2 * 6
    assert sum(each.facts.asked for each in done) == 2 * (2 + 3 + 6)
    fold = fold_at(made.folds / "validation")
    for each in done:
        config = AlsConfig.model_validate(each.params)
        alone = trained(made, config)
        users, items = made.factors(each.run)
        np.testing.assert_array_equal(users, alone.user_factors)
        np.testing.assert_array_equal(items, alone.item_factors)
        summary = judge(alone, fold, (1, 5)).summary()
        assert summary_of(made.run(each.run).data.metrics, "validation/") == summary
        assert [n for n, _ in each.curve] == list(range(1, config.iterations + 1))
        assert each.curve[-1][1] == pytest.approx(each.value)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_curve_of_a_pinned_trial_ends_at_its_end_whoever_trained_it(
    bench: MakeBench, seed: int
) -> None:
    """Curves are measured at every fourth iteration, and where trials alike end."""
    table = {**ONE_POINT, "iterations": [3, 6]}
    made = bench(
        search=table,
        seed=seed,
        study={"sampler": "grid", "trials": 2, "keep_factors": "none"},
        judge={"curve_every": 4},
    )

    made.finish()

    curves = {int(d.params["iterations"]): [n for n, _ in d.curve] for d in made.search.done}
    assert curves == {3: [3], 6: [3, 4, 6]}


def test_trials_that_share_no_path_share_nothing(bench: MakeBench, fits: list[int]) -> None:
    table = {**ONE_POINT, "factors": [2, 3], "iterations": 3}
    made = bench(search=table, study={"sampler": "grid", "trials": 2})

    made.finish()

    assert fits == [3, 3]
    assert not made.study.workspace.paths("study").exists()


def test_an_interrupted_training_goes_on_from_where_others_need_its_factors(
    bench: MakeBench, fits: list[int], script: Callable[[Script], None]
) -> None:
    made = bench(search={**ONE_POINT, "iterations": [3, 6]}, study={"sampler": "grid", "trials": 2})
    longest = next(n for n in (0, 1) if made.search._points.planned(2)[n]["iterations"] == 6)
    for _ in range(longest):
        made.attempt()
    calls = itertools.count()

    def value(step: Iteration) -> float:
        if step.number == 5 and next(calls) == 0:
            raise KeyboardInterrupt
        return 0.5

    script(value)
    with pytest.raises(KeyboardInterrupt):
        made.attempt()
    made.finish()

    whole = trained(made, AlsConfig.model_validate({**ONE_POINT, "iterations": 6}))
    done = {each.params["iterations"]: each for each in made.search.done}
    np.testing.assert_array_equal(made.factors(done[6].run)[1], whole.item_factors)
    assert [n for n, _ in done[6].curve] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("keep_factors", "values", "expected"),
    [
        ("all", [0.1, 0.3, 0.2], [True, True, True]),
        ("none", [0.1, 0.3, 0.2], [False, False, False]),
        ("best", [0.1, 0.3, 0.2], [True, True, False]),
        ("best", [0.3, 0.3, 0.3], [True, False, False]),  # a tie is not better than the best
    ],
)
def test_factors_are_kept_as_asked(
    bench: MakeBench,
    monkeypatch: pytest.MonkeyPatch,
    keep_factors: str,
    values: list[float],
    expected: list[bool],
) -> None:
    made = bench(study={"keep_factors": keep_factors})
    left = iter(values)
    real = judge

    def judged(*given: Any, **named: Any) -> Any:
        report = real(*given, **named)
        report.per_user["ndcg@5"] = next(left)
        return report

    monkeypatch.setattr("tasks.training.judge", judged)

    made.finish()

    found = [set(made.files(done.run)) >= FACTORS for done in made.search.done]
    assert found == expected


def test_a_trial_may_be_judged_on_a_seeded_sample_of_users(bench: MakeBench) -> None:
    made = bench(search=ONE, judge={"validation_users": 9}, seed=4)

    made.attempt()

    (done,) = made.search.done
    report = load_report(made.files(done.run)["per_user.parquet"].parent)
    fold = fold_at(made.folds / "validation")
    sample = fold.sample(9, seed_for(4, "judge", "validation"))
    assert report.users.tolist() == sample.judged.tolist()
    assert len(report.users) == 9
    assert tuning_fold(experiment_of(), made.folds / "validation") is fold


def metrics_of(made: Bench, run: str) -> dict[str, list[tuple[int, float]]]:
    return {name: made.history(run, name) for name in made.run(run).data.metrics}


@pytest.mark.parametrize("table", [ONE, PINNED], ids=["found", "pinned"])
def test_what_was_measured_before_is_copied_and_not_trained(
    bench: MakeBench, fits: list[int], table: dict[str, Any]
) -> None:
    first = bench("first", search=table)
    first.attempt()
    (source,) = first.search.done
    trainings = len(fits)
    made = bench("second", search=table)

    outcome = made.attempt()

    assert outcome == Outcome(0, "reused")
    assert len(fits) == trainings
    (done,) = made.search.done
    assert done.run != source.run
    assert (done.values, done.curve, done.params) == (source.values, source.curve, source.params)
    assert done.facts == Facts(source.facts.iterations, 0, source.facts.asked, source.run)
    run = made.run(done.run)
    assert run.info.status == "FINISHED"
    assert run.data.tags["source_run"] == source.run
    assert run.data.tags["source_factors"].endswith(f"{source.run}/artifacts/factors")
    assert run.data.tags["study"] == "second"
    assert run.data.params == first.run(source.run).data.params
    assert metrics_of(made, done.run) == metrics_of(first, source.run)
    for (name, path), (other, original) in zip(
        sorted(made.files(done.run).items()), sorted(first.files(source.run).items()), strict=True
    ):
        assert name == other
        assert path.samefile(original)  # a link takes no room


def test_a_copy_survives_the_deletion_of_its_source_and_is_a_source_itself(
    bench: MakeBench, fits: list[int]
) -> None:
    first = bench("first", search=ONE)
    first.attempt()
    second = bench("second", search=ONE)
    second.attempt()
    factors = first.factors(first.search.done[0].run)
    delete_runs(first.study.workspace, [first.search.done[0].run])

    third = bench("third", search=ONE)
    assert third.attempt().state == "reused"

    (copy,), (done,) = second.search.done, third.search.done
    assert done.facts.source == copy.run
    for mine, whole in zip(third.factors(done.run), factors, strict=True):
        np.testing.assert_array_equal(mine, whole)
    assert len(fits) == 1


OTHER: list[tuple[str, dict[str, Any]]] = [
    ("fresh", {"study": {"fresh": True}}),
    ("seed", {"seed": 1}),
    ("split", {"split": "other"}),
    ("cut-offs", {"judge": {"ks": [1, 5, 7]}}),
    ("users", {"judge": {"validation_users": 9}}),
    ("curve", {"judge": {"curve_every": 2}}),
    ("range", {"search": {**ONE, "iterations": {"low": 2, "high": 5}}}),
    ("point", {"search": {**ONE, "alpha": 5.0}}),
    ("patience", {"study": {"patience": 5}}),
    ("metric", {"study": {"metric": "precision@1"}}),
]


@pytest.mark.parametrize(("what", "changed"), OTHER, ids=[what for what, _ in OTHER])
def test_what_may_give_other_values_is_trained(
    bench: MakeBench, what: str, changed: dict[str, Any]
) -> None:
    bench("first", search=ONE, study={"keep_factors": "none"}).attempt()

    made = bench("second", **{"search": ONE, **changed})

    assert made.attempt().state == "measured"
    assert made.search.done[0].facts.source is None


def test_other_code_is_trained(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench("first", search=ONE).attempt()
    monkeypatch.setattr("tasks.training.code_version", lambda: "changed")

    assert bench("second", search=ONE).attempt().state == "measured"


@pytest.mark.parametrize(
    ("had", "wants", "expected"),
    [
        *(("none", "all", "measured"), ("none", "best", "reused"), ("none", "none", "reused")),
        *(("all", "none", "reused"), ("best", "all", "reused")),
    ],
)
def test_a_source_without_the_factors_that_are_asked_for_is_none(
    bench: MakeBench, had: str, wants: str, expected: str
) -> None:
    bench("first", search=ONE, study={"keep_factors": had}).attempt()

    made = bench("second", search=ONE, study={"keep_factors": wants})

    assert made.attempt().state == expected
    (done,) = made.search.done
    if wants == "all":
        assert set(made.files(done.run)) >= FACTORS


def test_a_source_that_is_not_finished_is_none(
    bench: MakeBench, fit_raises: FitRaises, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench("first", search=ONE)
    with fit_raises(ValueError("no")):
        first.attempt()
    running = bench("running", search=ONE)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "end", lambda *_: None)
        running.attempt()
    assert running.states() == ["RUNNING"]

    assert bench("second", search=ONE).attempt().state == "measured"


def test_the_same_trial_twice_measures_the_same(bench: MakeBench) -> None:
    one, other = (bench(name, search=ONE, study={"fresh": True}) for name in ("one", "other"))
    one.attempt()
    other.attempt()

    assert of_both_sides(one) == of_both_sides(other)


def unended(made: Bench, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """The next trial, whose worker dies before it ends the run."""
    with monkeypatch.context() as patch:
        patch.setattr(Run, "end", lambda *_: None)
        outcome = made.attempt()
    assert made.states()[-1] == "RUNNING"
    return outcome


def test_tidying_finishes_a_measured_trial_whose_run_was_left_open(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(search=ONE)
    unended(made, monkeypatch)

    bench("study", "next", search=ONE).tidy()

    (run,) = (made.run(each) for each in made.runs())
    assert run.info.status == "FINISHED"
    assert "error" not in run.data.tags


def test_tidying_marks_a_pruned_trial_whose_run_was_left_open(
    bench: MakeBench, script: Callable[[Script], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pruning(bench, script)
    made.finish_but_the_last()
    assert unended(made.bench, monkeypatch).state == "pruned"

    made.bench.tidy()

    run = made.bench.run(made.bench.search.pruned[0].run)
    assert (run.info.status, run.data.tags["state"]) == ("KILLED", "pruned")


def test_tidying_fails_a_failed_trial_whose_run_was_left_open(
    bench: MakeBench, fit_raises: FitRaises, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(search=ONE)
    with fit_raises(ValueError("no")):
        unended(made, monkeypatch)

    made.tidy()

    assert made.states() == ["FAILED"]


def left_by(made: Bench, trial: Trial | None, **tags: str) -> Run:
    """A run that was opened and nothing more."""
    number = {} if trial is None else {"number": str(trial.number)}
    config = asked(made.study.config, trial) if trial else AlsConfig()
    return start_child(made.study, "left", config, {**number, **tags})


@pytest.mark.parametrize("noted", [True, False])
def test_tidying_kills_the_run_of_a_trial_that_was_cut_off(bench: MakeBench, noted: bool) -> None:
    dead = bench("study", "dead", search=ONE)
    trial = dead.claim()
    run = left_by(dead, trial)
    if noted:
        dead.search.started(trial, run.id)

    bench("study", "next", search=ONE).tidy()

    found = dead.run(run.id)
    assert found.info.status == "KILLED"
    assert found.data.tags["error"] == "its process died"
    assert [state for state, _ in dead.search.outcomes().values()] == ["cut off"]
    assert dead.claim().attempt == 2


def test_tidying_kills_a_run_that_optuna_never_heard_of(bench: MakeBench) -> None:
    made = bench(search=ONE)
    trial = made.claim()
    run = left_by(made, replace(trial, number=99))

    made.tidy()

    assert made.run(run.id).info.status == "KILLED"


def test_tidying_kills_the_run_of_an_attempt_whose_trial_another_completed(
    bench: MakeBench,
) -> None:
    """Of one attempt two runs are known only where its worker was cut off between two writes."""
    made = bench(search=ONE)
    trial = made.claim()
    run = left_by(made, trial)
    made.attempt(trial)

    made.tidy()

    assert made.run(run.id).info.status == "KILLED"
    assert made.run(made.search.done[0].run).info.status == "FINISHED"


def test_tidying_leaves_what_a_living_worker_is_at_alone(bench: MakeBench) -> None:
    other = bench("study", "other")
    with workspace_locks(other.study.workspace).living("other"):
        trial = other.claim()
        runs = [left_by(other, trial), left_by(other, None, stage="final")]
        other.search.started(trial, runs[0].id)
        folder = other.study.workspace.scratch / "worker-other"
        folder.mkdir(parents=True)

        bench("study", "next").tidy()

        assert other.states() == ["RUNNING", "RUNNING"]
        assert other.search.outcomes() == {0: ("running", runs[0].id)}
        assert folder.exists()


@pytest.mark.parametrize("worker", ["dead", ME])
def test_tidying_kills_the_finals_of_a_dead_worker_and_what_is_left_of_our_own(
    bench: MakeBench, worker: str
) -> None:
    run = left_by(bench("study", worker), None, stage="final")
    made = bench("study", ME)

    made.tidy()

    assert made.run(run.id).info.status == "KILLED"
    assert made.run(made.study.parent).info.status == "RUNNING"


def test_tidying_frees_what_we_claimed_and_never_began(bench: MakeBench) -> None:
    """We are at no trial when we tidy: an interruption came between a claim and its attempt."""
    made = bench(search=ONE)
    with workspace_locks(made.study.workspace).living(ME):
        trial = made.claim()
        run = left_by(made, trial)

        made.tidy()

        assert made.search.outcomes() == {0: ("cut off", None)}
        assert made.run(run.id).info.status == "KILLED"


def test_tidying_removes_the_files_that_dead_workers_had_on_their_way(bench: MakeBench) -> None:
    made = bench()
    folder = made.study.workspace.scratch / "worker-dead" / "abc"
    folder.mkdir(parents=True)
    (folder / "half.npy").touch()

    made.tidy()

    assert not folder.parent.exists()


def test_tidying_leaves_other_studies_alone(bench: MakeBench) -> None:
    other = bench("other", "dead")
    trial = other.claim()
    run = left_by(other, trial)

    bench("study").tidy()

    assert other.run(run.id).info.status == "RUNNING"


def test_a_kept_path_is_gone_on_with_by_another_worker(
    bench: MakeBench, fits: list[int], tracked: Workspace
) -> None:
    table = {**ONE_POINT, "iterations": [3, 6]}
    config = experiment_of(search=table, study={"sampler": "grid", "trials": 2})
    bench("study", "one", config=config).attempt()

    bench("study", "two", config=config).attempt()

    assert sum(fits) == 6
    assert [path.name for path in tracked.paths("study").iterdir()] != []
    (place,) = tracked.paths("study").iterdir()
    points = json.loads((place / "3" / "points.json").read_text())
    assert [point["iteration"] for point in points] == [1, 2, 3]


def test_an_outcome_tells_what_training_and_judging_took(bench: MakeBench) -> None:
    outcome = bench(search=ONE).attempt()

    assert outcome.fit_seconds > 0
    assert outcome.judge_seconds > 0
