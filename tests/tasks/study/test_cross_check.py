"""Models that cost little, beside the winner of a search of als, on validation alone."""

from pathlib import Path
from typing import Any

import pytest

from recsys.errors import InputError
from recsys.models import make_config
from recsys.models.als import AlsConfig
from recsys.models.config import ModelConfig
from recsys.models.ease import EaseConfig
from recsys.models.item_knn import ItemKnnConfig
from recsys.models.needs import Need
from tasks.study import cross_check as cross_check_module
from tasks.study.choosing import choose
from tasks.study.cross_check import CHEAP, DENSE, FEWEST, SHARE, Checked, cross_check
from tasks.study.measuring import OnValidation, run_on_validation
from tasks.study.study import Study
from tests.tasks.lab import ONE_POINT, Bench, MakeBench


def searched(bench: MakeBench, trials: int = FEWEST, **changed: Any) -> Bench:
    alphas = [1.0 + n for n in range(trials)]
    search = {**ONE_POINT, "iterations": 2, "alpha": alphas}
    study = {"sampler": "grid", "trials": trials, **changed}
    made = bench(search=search, study=study)
    made.finish()
    return made


@pytest.fixture(autouse=True)
def without_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check as a function: a task outside of a flow would start a server of Prefect."""
    monkeypatch.setattr(cross_check_module, "_cross_check", cross_check_module._cross_check.fn)


@pytest.fixture
def affordable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The searches of the tests cost so little that no model is under a tenth of it."""
    monkeypatch.setattr(cross_check_module, "SHARE", 1e6)


def checked(made: Bench, **points: list[ModelConfig]) -> tuple[Checked, ...]:
    validation = made.folds / "validation"
    winner = choose.fn(made.study, made.search, validation).winner
    tried = points or {model: [make_config(model, {})] for model in CHEAP}
    return cross_check(made.study, made.search, winner, validation, tried)


@pytest.mark.usefixtures("affordable")
def test_cheap_models_are_measured_once_beside_the_winner(bench: MakeBench) -> None:
    made = searched(bench)
    found = checked(made)
    runs = made.runs()

    assert sorted(each.model for each in found) == sorted(CHEAP)
    values = [each.estimate.mean for each in found]
    assert values == sorted(values, reverse=True)
    winner = choose.fn(made.study, made.search, made.folds / "validation").winner
    for each in found:
        assert each.ahead.mean == pytest.approx(each.estimate.mean - winner.value)
    assert checked(made) == found
    assert made.runs() == runs
    assert "final" not in {tags.get("stage") for tags in runs.values()}


@pytest.mark.usefixtures("affordable")
def test_the_best_of_the_points_of_a_model_is_beside_the_winner(bench: MakeBench) -> None:
    made = searched(bench)
    points = [make_config("ease", {"regularization": value}) for value in (1e7, 30.0, 1e5)]
    alone = [checked(made, ease=[point]) for point in points]

    best = max(alone, key=lambda each: each[0].estimate.mean)

    assert len({each[0].estimate.mean for each in alone}) > 1
    assert checked(made, ease=points) == best


@pytest.mark.parametrize(
    ("costs", "tried"),
    [([1.0, 0.9, 0.8, 0.7], 3), ([4.0, 1.0], 0), ([1.0, 5.0, 1.0], 1), ([2.0, 1.0, 0.1], 2)],
)
def test_points_of_a_model_are_tried_until_together_they_cost_more_than_a_tenth(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, costs: list[float], tried: int
) -> None:
    made = searched(bench)
    monkeypatch.setattr(AlsConfig, "cost", lambda *_: 3.0 / SHARE / made.search.ended)

    def need(config: EaseConfig, *_: int) -> Need:
        return Need("links", 30, 1.0, 0, 0, config.regularization * DENSE, 0.0, "filter")

    monkeypatch.setattr(EaseConfig, "need", need)
    monkeypatch.setattr(ItemKnnConfig, "cost", lambda *_: 3.0)
    before = set(made.runs())
    points = [make_config("ease", {"regularization": cost}) for cost in costs]
    checked(made, ease=points, **{"item-knn": [make_config("item-knn", {})]})
    models = [tags["model"] for run, tags in made.runs().items() if run not in before]

    assert sorted(models) == ["ease"] * tried + ["item-knn"]


@pytest.mark.usefixtures("affordable")
def test_a_point_that_fails_takes_no_other_point_of_its_model_with_it(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = searched(bench)
    measured = run_on_validation.fn

    def failing(study: Study, validation: Path, config: ModelConfig) -> OnValidation:
        if config.point()["regularization"] == 30.0:
            raise InputError("no inverse")
        return measured(study, validation, config)

    monkeypatch.setattr(run_on_validation, "fn", failing)
    points = [make_config("ease", {"regularization": value}) for value in (300.0, 30.0)]
    [found] = checked(made, ease=points)

    assert found.params == points[0].point()
    assert checked(made, ease=points[1:]) == ()


@pytest.mark.parametrize(
    ("trials", "changed"),
    [
        pytest.param(FEWEST - 1, {}, id="each costs more than a tenth of nine trials"),
        pytest.param(FEWEST, {"cross_check": False}, id="it is turned off"),
    ],
)
def test_nothing_is_checked(bench: MakeBench, trials: int, changed: dict[str, Any]) -> None:
    assert checked(searched(bench, trials, **changed)) == ()


@pytest.mark.usefixtures("affordable")
def test_a_model_that_does_not_fit_into_the_memory_or_costs_too_much_is_left_out(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = searched(bench)
    needs = {
        "memory": Need("links", 30, 1e30, 0, 0, 1.0, 0.0, "filter"),
        "time": Need("links", 30, 1.0, 0, 0, 1e40, 0.0, "filter"),
    }
    for need in needs.values():
        monkeypatch.setattr(EaseConfig, "need", lambda *_, need=need: need)
        assert "ease" not in {each.model for each in checked(made)}


def test_neighbours_that_cost_more_than_a_tenth_of_a_small_search_are_left_out(
    bench: MakeBench,
) -> None:
    assert {each.model for each in checked(searched(bench))} <= {"ease", "gf-cf"}
