"""`recsys experiment --model auto`: several models, one budget, one winner judged once."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows import auto as auto_module
from flows import auto_search
from flows.auto import _Entry, _winner, auto
from flows.auto_request import AutoRequest, AutoResult
from flows.cli import auto_tables
from flows.cli.inputs import NO_READING, RequestOptions
from flows.notes import auto_answer
from flows.registering import register
from recsys.errors import InputError
from recsys.evaluation.bootstrap import Estimate
from recsys.models import baselines, make_config
from recsys.search.config import Prefer
from tasks.study.measuring import OnValidation
from tasks.tracking.client import open_client
from tasks.tuning import find_search
from tasks.workspace.layout import Workspace
from tests.flows.conftest import Lab, quick

pytestmark = pytest.mark.flow
TRIALS = 8


def wanted(lab: Lab, name: str, **study: Any) -> AutoRequest:
    config = quick(study={"trials": TRIALS, "sampler": "random", **study})
    return AutoRequest(lab.plays, None, config, name)


def trials_of(lab: Lab, name: str, model: str) -> list[int]:
    search, _ = find_search(lab.workspace, f"{name}-{model}")
    return [done.slot for done in search.finished]


def finals(lab: Lab, name: str) -> list[str]:
    """The models that were judged on test."""
    client = open_client(lab.workspace)
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.stage = 'final'")
    mine = [run for run in runs if run.data.tags["study"].startswith(f"{name}-")]
    return sorted(run.data.tags["model"] for run in mine)


def comparable(result: AutoResult) -> dict[str, Any]:
    found = result.as_json()
    return {name: value for name, value in found.items() if name not in ("runs", "seconds")}


@pytest.fixture(scope="module")
def searched(lab: Lab) -> AutoResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto_search, "CANDIDATES", ("item-knn", "als", "fm"))
        return auto(wanted(lab, "several-models"), lab.workspace.root)


@pytest.mark.slow
def test_the_models_share_one_budget_and_only_the_winner_and_the_baselines_see_the_test_side(
    lab: Lab, searched: AutoResult
) -> None:
    rows = {row.model: row for row in searched.tried}

    assert sum(row.trials for row in searched.tried) == TRIALS
    assert trials_of(lab, "several-models", "als") == list(range(rows["als"].trials))
    assert finals(lab, "several-models") == sorted({searched.config.kind, *baselines()})
    values = [row.estimate.mean for row in searched.tried]
    assert values == sorted(values, reverse=True)
    assert searched.failed == {"fm": "there are no profiles; --model fm does without"}


@pytest.mark.slow
def test_what_was_tried_is_shown_and_recorded(lab: Lab, searched: AutoResult) -> None:
    run = open_client(lab.workspace).get_run(searched.runs["compare"])
    place = Path(run.info.artifact_uri.removeprefix("file://"))
    tried = json.loads((place / "compare" / "tried.json").read_text(encoding="utf-8"))
    report = (place / "report.html").read_text(encoding="utf-8")
    names = {row.model for row in searched.tried}

    assert (
        {row["model"] for row in tried}
        == names
        == {"item-knn", "als", *baselines()} | {*searched.ahead}
    )
    assert "The models that were tried" in report
    assert "ndcg@10 on validation with 95 % intervals" in report
    assert "fm was not tried: there are no profiles" in report
    assert auto_answer(searched).startswith(f"{searched.winner} finds ")
    for low, named in ((-0.1, True), (0.1, False)):
        ahead = {"ensemble of als and ease": Estimate(0.2, low, 0.5)}
        shown = replace(searched, winner="ensemble of als and ease", ahead=ahead)
        assert any("--prefer cheapest" in line for line in auto_tables.lines(shown, [])) == named
    assert "  recsys report several-models" in auto_tables.lines(searched, [])


@pytest.mark.slow
def test_the_same_search_again_trains_nothing_and_says_the_same(
    lab: Lab, searched: AutoResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto_search, "CANDIDATES", ("item-knn", "als", "fm"))
    before = finals(lab, "several-models")
    again = auto(searched.request, lab.workspace.root)

    assert comparable(again) == comparable(searched)
    assert finals(lab, "several-models") == before
    assert "fit" not in again.seconds


@pytest.mark.slow
def test_its_winner_is_registered_by_the_name_of_the_search(lab: Lab, searched: AutoResult) -> None:
    assert (
        register(lab.workspace, "several-models", "best").selected.run.id == searched.runs["final"]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gain", "noise", "prefer", "wins"),
    [
        pytest.param(
            0.5, 0.0, "cheapest", True, id="an ensemble that is ahead beyond its interval"
        ),
        pytest.param(0.01, 9.0, "best", True, id="the best value, sure or not"),
        pytest.param(0.01, 9.0, "cheapest", False, id="no ensemble that may be no better"),
        pytest.param(-0.5, 0.0, "best", False, id="no ensemble that is behind"),
    ],
)
def test_the_best_on_validation_wins_but_no_unsure_ensemble_where_the_cheapest_is_preferred(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, gain: float, noise: float, prefer: str, wins: bool
) -> None:
    monkeypatch.setattr(auto_search, "CANDIDATES", ("item-knn", "als"))
    measured, searched = auto_module.run_best_merge, auto_module._searched
    best: list[Any] = []

    def noted(*given: Any) -> Any:
        best.append(searched(*given))
        return best[-1]

    def changed(study: Any, validation: Path, config: Any) -> tuple[Any, OnValidation]:
        way, found = measured(study, validation, config)
        values = max(best, key=lambda each: each.value).values
        waves = noise * np.resize([1.0, -1.0], len(values) // 2 * 2)
        return way, replace(found, per_user=values + gain + np.pad(waves, (0, len(values) % 2)))

    monkeypatch.setattr(auto_module, "_searched", noted)
    monkeypatch.setattr(auto_module, "run_best_merge", changed)
    result = auto(wanted(lab, f"merged-{gain}-{prefer}", prefer=prefer), lab.workspace.root)

    assert (result.config.kind == "ensemble") == wins
    if wins:
        assert {part.kind for part in result.config.parts} == {"item-knn", "als"}
        assert result.winner.startswith("ensemble of ")


@pytest.mark.parametrize(
    ("prefer", "winner"), [("best", "three"), ("cheapest", "two")], ids=lambda value: value
)
def test_of_two_ensembles_the_sure_one_wins_where_the_cheapest_is_preferred(
    prefer: Prefer, winner: str
) -> None:
    entries = [
        _Entry(name, make_config("als", {}), {}, np.full(4, value), 0, 0.0, "run")
        for name, value in {"three": 0.3, "two": 0.2, "als": 0.1}.items()
    ]
    ahead = {"three": Estimate(0.2, -0.1, 0.5), "two": Estimate(0.1, 0.05, 0.15)}

    assert _winner(entries, ahead, prefer).name == winner


@pytest.mark.slow
def test_an_interrupted_search_ends_like_one_that_was_not(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = auto(wanted(lab, "whole"), lab.workspace.root)
    searching = auto_search.search_all
    calls = iter(range(100))

    def interrupted(*given: Any) -> None:
        if next(calls) == 5:
            raise KeyboardInterrupt
        searching(*given)

    monkeypatch.setattr(auto_search, "search_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        auto(wanted(lab, "cut"), lab.workspace.root)
    resumed = auto(wanted(lab, "cut"), lab.workspace.root)

    assert comparable(resumed) == comparable(whole)
    assert {row.model for row in whole.tried} >= {*auto_search.CANDIDATES} - {"fm", "sparse-ease"}


@pytest.mark.parametrize(
    ("items", "cells", "profiles", "left_out"),
    [
        (2_000, 70_000, True, {"sparse-ease"}),
        (2_000, 70_000, False, {"sparse-ease", "fm"}),
        (67_000, 1_400_000, True, {"ease", "slim", "fm"}),
        (18_000, 600_000, True, {"sparse-ease", "slim", "fm"}),
    ],
)
def test_models_whose_trials_take_minutes_are_left_out(
    tmp_path: Path, items: int, cells: int, profiles: bool, left_out: set[str]
) -> None:
    request = AutoRequest(tmp_path, tmp_path if profiles else None, quick(), "sizes")
    work = auto_search.Work(request, Workspace.at(tmp_path / "runs"), tmp_path)
    suiting = {m for m in auto_search.CANDIDATES if auto_search.suits(work, m, items, cells)}

    assert {*auto_search.CANDIDATES} - suiting == left_out
    assert {*work.failed} == left_out - {"sparse-ease"}


def test_data_that_cannot_be_used_is_one_error(lab: Lab) -> None:
    request = wanted(lab, "impossible")
    config = quick(filter={"min_items": 5000, "min_users": 1})
    with pytest.raises(InputError, match="nothing is left after the filter"):
        auto(replace(request, config=config), lab.workspace.root)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (RequestOptions(model="auto", set=("search.factors=8",)), "--set search.factors=8"),
        (RequestOptions(model="auto", sources=("first",)), "--from first"),
        (RequestOptions(model="auto", device="cpu"), "--device cpu"),
    ],
)
def test_an_option_of_one_model_is_refused(options: RequestOptions, named: str) -> None:
    with pytest.raises(InputError, match=f"^{named}: --model auto searches each model"):
        options.several(NO_READING)


def test_other_commands_need_one_model() -> None:
    with pytest.raises(InputError, match=r"^--model auto: only `recsys experiment` searches"):
        RequestOptions(model="auto").experiment(NO_READING)


@pytest.mark.slow
def test_the_name_of_a_study_is_refused(lab: Lab, searched: AutoResult) -> None:
    with pytest.raises(InputError, match="--study several-models-als: a study has this name"):
        auto(replace(searched.request, name="several-models-als"), lab.workspace.root)


@pytest.mark.slow
def test_a_search_whose_time_is_up_names_the_models_that_it_did_not_try(lab: Lab) -> None:
    result = auto(wanted(lab, "short", timeout=0.001), lab.workspace.root)

    assert [row.model for row in result.tried if row.trials] == ["item-knn"]
    assert result.failed["als"] == "the time was up"
    stored = find_search(lab.workspace, "short-item-knn")[1]
    assert stored.study.timeout == 0.001


@pytest.mark.slow
def test_with_fewer_trials_than_models_the_others_are_named(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto_search, "CANDIDATES", ("item-knn", "rp3beta", "als"))
    result = auto(wanted(lab, "few trials", trials=2), lab.workspace.root)

    assert {row.model for row in result.tried if row.trials} == {"item-knn", "rp3beta"}
    assert result.failed == {"als": "2 trials are fewer than the models; add --trials"}


@pytest.mark.slow
def test_without_a_name_the_winner_of_a_search_answers(lab: Lab, searched: AutoResult) -> None:
    run = open_client(lab.workspace).get_run(searched.runs["final"])
    parent = open_client(lab.workspace).get_run(run.data.tags["mlflow.parentRunId"])
    best = open_client(lab.workspace).get_run(parent.data.tags["best_run"])
    row = next(row for row in searched.tried if row.model == searched.winner)

    assert best.data.tags["model"] == searched.config.kind
    assert best.data.metrics["validation/ndcg_at_10"] == pytest.approx(row.estimate.mean)
