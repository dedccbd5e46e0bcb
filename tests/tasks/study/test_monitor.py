"""Along a trial's training: the curve, the iterations found, pruning, shared checkpoints."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from recsys.evaluation.protocol import judge, scored
from recsys.evaluation.store import load_report
from recsys.models import make_config
from recsys.models.iterative import Iteration
from recsys.search.monitor import StopRules
from recsys.seeds import seed_for
from tasks.study.measuring import columns_of
from tasks.study.study import fold_at, tuning_fold
from tasks.tuning import TrialFacts
from tasks.workspace.layout import Workspace
from tests.tasks.lab import (
    ONE,
    ONE_POINT,
    Bench,
    MakeBench,
    Script,
    experiment_of,
    pruning,
    same_arrays,
    summary_of,
    trained,
)

RANGE = {"low": 2, "high": 6}
SPACES: dict[str, dict[str, Any]] = {
    "als": ONE_POINT,
    "bpr": {"factors": 2, "learning_rate": 0.1},
    "fm": {"factors": 2, "learning_rate": 0.1},
    "slim": {"l1": 0.1, "l2": 1.0, "neighbours": 9},
}
PEAK = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.9, 5: 0.5, 6: 0.6}


@pytest.mark.parametrize("model", SPACES)
def test_the_iterations_found_are_the_best_of_the_curve_and_what_was_learned_then_is_kept(
    bench: MakeBench, script: Callable[[Script], None], model: str
) -> None:
    script(lambda step: PEAK[step.number])
    made = bench(model=model, search={**SPACES[model], "iterations": RANGE})

    made.attempt()

    (done,) = made.search.done
    assert done.curve == tuple(PEAK.items())
    assert done.params["iterations"] == 4
    assert done.facts == TrialFacts(iterations=4, ran=6, asked=6)
    assert made.run(done.run).data.params["iterations"] == "4"
    assert len(made.history(done.run, "curve/loss")) == 6
    alone = trained(made, make_config(model, {**SPACES[model], "iterations": 4}))
    assert same_arrays(made, done.run, alone)
    expected = judge(alone, fold_at(made.folds / "validation"), (1, 5)).summary()
    columns = columns_of(expected, ["ndcg@5"])
    assert summary_of(made.run(done.run).data.metrics, "validation/") == columns


@pytest.mark.parametrize("peak", [2, 5])
def test_on_a_sample_of_users_the_best_of_the_curve_and_the_last_are_compared_on_all(
    bench: MakeBench, script: Callable[[Script], None], peak: int
) -> None:
    script(lambda step: float(step.number == peak))
    made = bench(search=ONE, judge={"curve_users": 5})
    fold = fold_at(made.folds / "validation")

    made.attempt()

    models = {
        n: trained(made, make_config("als", {**ONE_POINT, "iterations": n})) for n in (peak, 6)
    }
    values = {n: judge(model, fold, (5,)).summary()["ndcg@5"] for n, model in models.items()}
    (done,) = made.search.done
    assert done.params["iterations"] == max(values, key=values.__getitem__)
    assert done.value == pytest.approx(max(values.values()))
    assert same_arrays(made, done.run, models[int(done.params["iterations"])])


@pytest.mark.parametrize("model", ["als", "bpr"])
def test_a_trial_behind_the_others_is_pruned_on_both_sides_with_its_curve(
    bench: MakeBench, script: Callable[[Script], None], model: str
) -> None:
    varied = {"als": "alpha", "bpr": "regularization"}[model]
    table = {**SPACES[model], varied: {"low": 1.0, "high": 9.0}, "iterations": RANGE}
    made = pruning(bench, script, table, model)
    made.finish_but_the_last()

    outcome = made.bench.attempt()

    assert (outcome.slot, outcome.state) == (5, "pruned")
    assert outcome.fit_seconds > 0
    (pruned,) = made.bench.search.pruned
    assert pruned.curve == ((1, 0.01), (2, 0.01))  # the range begins at 2
    assert pruned.facts == TrialFacts(iterations=2, ran=2, asked=6)
    run = made.bench.run(pruned.run)
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "pruned")
    assert "error" not in run.data.tags
    assert made.bench.history(pruned.run, "curve/ndcg_at_5") == [(1, 0.01), (2, 0.01)]
    assert len(made.bench.history(pruned.run, "curve/loss")) == 2
    assert not [name for name in run.data.metrics if name.startswith("validation/")]
    assert made.bench.files(pruned.run) == {}
    assert run.data.params["iterations"] == "2"


def test_pinned_iterations_are_pruned_too(
    bench: MakeBench, script: Callable[[Script], None]
) -> None:
    made = pruning(bench, script, {**ONE, "alpha": {"low": 1.0, "high": 9.0}, "iterations": 4})
    made.finish_but_the_last()

    assert made.bench.attempt().state == "pruned"
    (pruned,) = made.bench.search.pruned
    assert pruned.facts == TrialFacts(iterations=1, ran=1, asked=4)


def test_the_rules_of_a_trial_are_its_slot_the_finished_curves_and_the_settings(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules: list[StopRules] = []
    study = {"pruner": "hyperband", "prunes_from": 4, "patience": 9, "trials": 2}
    made = bench(study={**study, "keep_factors": "none"}, seed=7)

    def noting(**given: Any) -> StopRules:
        rules.append(StopRules(**given))
        return rules[-1]

    monkeypatch.setattr("tasks.study.monitor.StopRules", noting)
    made.finish()

    others = {0: made.search.curves()[0]}
    assert rules[-1] == StopRules("ndcg@5", 6, 2, 9, "hyperband", 4, 1, others, 7)


def test_with_several_objectives_nothing_is_pruned(bench: MakeBench) -> None:
    made = bench(study={"pruner": "median", "also": ["coverage@5", "gini@5"]})

    made.finish()

    for done in made.search.done:
        metrics = made.run(done.run).data.metrics
        names = ("validation/ndcg_at_5", "validation/coverage_at_5", "validation/gini_at_5")
        assert done.values == tuple(metrics[name] for name in names)


def test_a_model_that_learns_in_one_pass_has_no_curve_and_keeps_no_arrays(
    bench: MakeBench,
) -> None:
    made = bench(model="ease", search={"regularization": 9.0}, study={"pruner": "median"})

    made.attempt()

    (done,) = made.search.done
    assert (done.curve, done.facts) == ((), TrialFacts(0, 0, 0))
    assert set(made.files(done.run)) == {"per_user.parquet", "exposure.parquet"}


@pytest.mark.parametrize("model", ["als", "slim"])
def test_pinned_iterations_give_the_bits_of_training_each_separately_with_fewer_iterations(
    bench: MakeBench, model: str
) -> None:
    table = {**SPACES[model], "iterations": [2, 3, 6]}
    made = bench(model=model, search=table, study={"sampler": "grid", "trials": 3})

    made.finish()

    done = made.search.done
    assert sum(each.facts.ran for each in done) == 6
    assert sum(each.facts.asked for each in done) == 2 + 3 + 6
    fold = fold_at(made.folds / "validation")
    for each in done:
        alone = trained(made, make_config(model, each.params))
        assert same_arrays(made, each.run, alone)
        summary = columns_of(judge(alone, fold, (1, 5)).summary(), ["ndcg@5"])
        assert summary_of(made.run(each.run).data.metrics, "validation/") == summary
        assert [n for n, _ in each.curve] == list(range(1, int(each.params["iterations"]) + 1))
        assert each.curve[-1][1] == pytest.approx(each.value)


@pytest.mark.parametrize("seed", [0, 1])  # the shorter first, and the longer
@pytest.mark.parametrize("judging", [{"curve_every": 4}, {"curve_points": 2}])
def test_the_curve_of_a_pinned_trial_is_the_same_in_any_order(
    bench: MakeBench, seed: int, judging: dict[str, int]
) -> None:
    """Curves are measured at some iterations, and where trials of the same path end."""
    made = bench(
        search={**ONE_POINT, "iterations": [2, 8]},
        seed=seed,
        study={"sampler": "grid", "trials": 2, "keep_factors": "none"},
        judge=judging,
    )

    made.finish()

    curves = {int(d.params["iterations"]): [n for n, _ in d.curve] for d in made.search.done}
    assert curves == {2: [2], 8: [2, 4, 8]}


def test_trials_that_share_no_path_leave_no_checkpoint(bench: MakeBench, fits: list[int]) -> None:
    table = {**ONE_POINT, "factors": [2, 3], "iterations": 3}
    made = bench(search=table, study={"sampler": "grid", "trials": 2})

    made.finish()

    assert fits == [3, 3]
    assert not made.study.workspace.paths("study").exists()


def test_an_interrupted_training_resumes_at_the_checkpoint_that_others_need(
    bench: MakeBench, script: Callable[[Script], None]
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

    done = {each.params["iterations"]: each for each in made.search.done}
    whole = trained(made, make_config("als", {**ONE_POINT, "iterations": 6}))
    assert same_arrays(made, done[6].run, whole)
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
def test_arrays_are_kept_as_the_setting_says(
    bench: MakeBench,
    monkeypatch: pytest.MonkeyPatch,
    keep_factors: str,
    values: list[float],
    expected: list[bool],
) -> None:
    made = bench(study={"keep_factors": keep_factors})
    left = iter(values)

    def judged(*given: Any, **named: Any) -> Any:
        report = scored(*given, **named)
        report.per_user["ndcg@5"] = next(left)
        return report

    monkeypatch.setattr("recsys.evaluation.fitting.scored", judged)

    made.finish()

    assert [bool(made.arrays(done.run)) for done in made.search.done] == expected


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


def test_another_worker_resumes_at_a_checkpoint(
    bench: MakeBench, fits: list[int], tracked: Workspace
) -> None:
    table = {**ONE_POINT, "iterations": [3, 6]}
    config = experiment_of(search=table, study={"sampler": "grid", "trials": 2})
    bench("study", "one", config=config).attempt()

    bench("study", "two", config=config).attempt()

    assert sum(fits) == 6
    (place,) = tracked.paths("study").iterdir()
    points = json.loads((place / "3" / "points.json").read_text())
    assert [point["iteration"] for point in points] == [1, 2, 3]


@pytest.mark.parametrize("killed", [False, True])
def test_a_shared_training_is_pruned_for_a_trial_as_if_it_were_trained_there(
    bench: MakeBench, fits: list[int], monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """Also where the trial that wrote the checkpoint was killed before it was pruned."""
    first, pruned_slot = (6, 0) if killed else (3, 1)
    made = next(made for seed in range(20) if first_of(made := shared_path(bench, seed)) == first)
    deaths = iter([killed])

    def at_three(self: StopRules, curve: Any) -> bool:
        if self.slot != pruned_slot or curve[-1][0] != 3:
            return False
        if next(deaths, False):
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(StopRules, "hopeless", at_three)
    if killed:
        with pytest.raises(KeyboardInterrupt):
            made.attempt()
    made.finish()

    (pruned,) = made.search.pruned
    assert pruned.slot == pruned_slot
    assert [iteration for iteration, _ in pruned.curve] == [1, 2, 3]
    assert pruned.params["iterations"] == 3
    assert fits == [first]  # the checkpoint has what the other trial needs


def shared_path(bench: MakeBench, seed: int) -> Bench:
    grid = {"sampler": "grid", "trials": 2, "pruner": "median"}
    return bench(str(seed), search={**ONE_POINT, "iterations": [3, 6]}, study=grid, seed=seed)


def first_of(made: Bench) -> object:
    return made.search._points.planned(1)[0]["iterations"]
