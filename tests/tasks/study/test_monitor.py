"""Along a training: the curve, the iterations that are found, pruning, paths that are shared."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recsys.config import ExperimentConfig
from recsys.evaluation.protocol import judge, scored
from recsys.evaluation.store import load_report
from recsys.models.als import AlsConfig
from recsys.models.iterative import Iteration
from recsys.search.pruning import hopeless
from recsys.seeds import seed_for
from tasks.study.study import fold_at, tuning_fold
from tasks.tuning import TrialFacts
from tasks.workspace.layout import Workspace
from tests.tasks.lab import (
    ONE,
    ONE_POINT,
    MakeBench,
    Script,
    experiment_of,
    pruning,
    summary_of,
    trained,
)

FACTORS = {"factors/user_factors.npy", "factors/item_factors.npy"}


PEAK = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.9, 5: 0.5, 6: 0.6}


def test_the_iterations_found_are_the_best_of_the_curve_and_the_factors_those_of_that_iteration(
    bench: MakeBench, script: Callable[[Script], None]
) -> None:
    script(lambda step: PEAK[step.number])
    made = bench(search=ONE)

    made.attempt()

    (done,) = made.search.done
    assert done.params["iterations"] == 4
    assert done.facts == TrialFacts(iterations=4, ran=6, asked=6)
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
    assert done.facts == TrialFacts(iterations=3, ran=5, asked=6)
    alone = trained(made, AlsConfig.model_validate(done.params))
    np.testing.assert_array_equal(made.factors(done.run)[1], alone.item_factors)


def test_patience_begins_with_the_range(bench: MakeBench, script: Callable[[Script], None]) -> None:
    """The start-up of a training is no plateau: 0.9 at the first iteration is not to be found."""
    script(lambda step: 1.0 / step.number)
    made = bench(search={**ONE, "iterations": {"low": 4, "high": 6}}, study={"patience": 1})

    made.attempt()

    assert made.search.done[0].facts == TrialFacts(iterations=4, ran=5, asked=6)


def test_a_pruned_trial_is_so_on_both_sides_with_its_curve(
    bench: MakeBench, script: Callable[[Script], None]
) -> None:
    made = pruning(bench, script)
    made.finish_but_the_last()

    outcome = made.bench.attempt()

    assert (outcome.slot, outcome.state) == (5, "pruned")
    (pruned,) = made.bench.search.pruned
    assert pruned.curve == ((1, 0.01), (2, 0.01))  # the range begins at 2
    assert pruned.facts == TrialFacts(iterations=2, ran=2, asked=6)
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
    assert pruned.facts == TrialFacts(iterations=1, ran=1, asked=4)


def test_a_trial_is_pruned_by_its_slot_the_finished_curves_and_the_seed(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[Any, ...]] = []

    def spied(*given: Any) -> bool:
        told.append(given)
        return hopeless(*given)

    monkeypatch.setattr("recsys.search.monitor.hopeless", spied)
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


@pytest.mark.parametrize(("sampler", "seed"), [("grid", 0), ("random", 3)])
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


@pytest.mark.parametrize("seed", [0, 1])  # the shorter first, and the longer
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
    real = scored

    def judged(*given: Any, **named: Any) -> Any:
        report = real(*given, **named)
        report.per_user["ndcg@5"] = next(left)
        return report

    monkeypatch.setattr("recsys.evaluation.fitting.scored", judged)

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


@pytest.mark.parametrize("killed", [False, True])
def test_what_another_has_trained_is_judged_point_by_point_as_if_it_were_trained_here(
    bench: MakeBench, fits: list[int], monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """Also where that other one died after it had kept its factors, before it was told to stop."""
    first, asked_of = (6, 0) if killed else (3, 1)
    made = next(
        made
        for seed in range(20)
        if (made := bench(str(seed), config=shared_path(seed))).search._points.planned(1)[0][
            "iterations"
        ]
        == first
    )
    deaths = iter([killed])

    def at_three(_: object, slot: int, curve: Any, *__: object) -> bool:
        if slot != asked_of or curve[-1][0] != 3:
            return False
        if next(deaths, False):
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr("recsys.search.monitor.hopeless", at_three)
    if killed:
        with pytest.raises(KeyboardInterrupt):
            made.attempt()
    made.finish()

    (pruned,) = made.search.pruned
    assert pruned.slot == asked_of
    assert [iteration for iteration, _ in pruned.curve] == [1, 2, 3]
    assert pruned.params["iterations"] == 3
    assert fits == [first]  # what the other one needs of it is there already


def shared_path(seed: int) -> ExperimentConfig:
    grid = {"sampler": "grid", "trials": 2, "pruner": "median"}
    return experiment_of(search={**ONE_POINT, "iterations": [3, 6]}, study=grid, seed=seed)
