"""`recsys compare` on real flows: tuned alike, judged once, resumed, with all of it recorded."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows import compare as compare_module
from flows import tuned as tuned_module
from flows.compare import CompareRequest, CompareResult, compare
from flows.experiment import experiment
from flows.model_config import model_config
from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.models.ease import Ease
from recsys.models.item_knn import ItemKnn
from tasks.study.measuring import OnValidation
from tasks.tracking.client import open_client
from tasks.tuning import find_search
from tests.flows.conftest import Lab, flow_runs, quick

pytestmark = pytest.mark.flow

MODELS = ("popularity-users", "item-knn", "als")


def asked(lab: Lab, name: str, models: tuple[str, ...] = MODELS, **more: Any) -> CompareRequest:
    given = {"n_splits": 2, "tune_once": False, **more}
    config = quick(study={"trials": 2, "sampler": "random"})
    return CompareRequest(lab.plays, lab.profiles, config, models, name=name, **given)


@pytest.fixture(scope="module")
def compared(lab: Lab) -> CompareResult:
    return compare(asked(lab, "comparison"), lab.workspace.root)


def trials_of(lab: Lab, wanted: CompareRequest, model: str, seed: int) -> list[Any]:
    search, _ = find_search(lab.workspace, wanted.study(model, seed))
    return search.done


def test_every_model_is_tuned_on_every_split_with_the_same_budget(
    lab: Lab, compared: CompareResult
) -> None:
    for seed in (0, 1):
        for model in ("item-knn", "als"):
            assert len(trials_of(lab, compared.request, model, seed)) == 2
        # Two of the three that profiles allow.
        assert len(trials_of(lab, compared.request, "popularity-users", seed)) == 2
    found = [each.results["als"].params for each in compared.comparison.splits]
    assert found[0] != found[1]
    assert "compare comparison" in flow_runs()


def test_each_model_is_judged_once_on_the_test_side_of_a_split(
    lab: Lab, compared: CompareResult
) -> None:
    client = open_client(lab.workspace)
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.stage = 'final'")
    mine = [run for run in runs if run.data.tags["study"].startswith("comparison-")]
    judged = sorted((run.data.tags["model"], run.data.tags["study"][-1]) for run in mine)

    expected = sorted((model, str(seed)) for model in compared.comparison.models for seed in (0, 1)
                      if model != "ensemble")  # fmt: skip
    assert [each for each in judged if each[0] != "ensemble"] == expected
    assert len({run.data.tags["split"] for run in mine}) == 2


def test_the_comparison_is_a_run_with_table_json_and_pictures(
    lab: Lab, compared: CompareResult
) -> None:
    run = open_client(lab.workspace).get_run(compared.run)
    place = Path(run.info.artifact_uri.removeprefix("file://")) / "compare"

    assert run.info.status == "FINISHED"
    assert run.data.tags["stage"] == "compare"
    best = compared.comparison.models[0]
    value = compared.comparison.estimates[best]["ndcg@10"].mean
    assert run.data.metrics[f"{best}/ndcg_at_10"] == pytest.approx(value)
    assert all(name.endswith("_at_10") for name in run.data.metrics)
    described = run.data.tags["mlflow.note.content"]
    text = compared.comparison.estimates[best]["ndcg@10"].text
    assert described.startswith(f"{best} is best with {text} ndcg@10")
    assert f"; {compared.comparison.n_users:,} listeners\n\n[The report](#/" in described
    assert all(f"| {model} | " in described for model in compared.comparison.models)
    told = json.loads((place / "models.json").read_text(encoding="utf-8"))["models"]
    assert told == json.loads(json.dumps(compared.comparison.as_json()))
    names = {path.name for path in (place / "plots").iterdir()}
    assert {"models.png", "by-activity.png", "by-gender.png", "ndcg@10-coverage@10.png"} <= names


@pytest.mark.slow
def test_the_parameters_of_an_ensemble_are_those_of_its_members(
    lab: Lab, compared: CompareResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_best_there_is = OnValidation("run", 1.0, np.ones(1), 0.0)
    monkeypatch.setattr(compare_module, "run_best_merge", lambda *of: (of[2], the_best_there_is))

    models = compare(compared.request, lab.workspace.root).as_json()["models"]

    for split in range(2):
        params = models["ensemble"]["splits"][split]["params"]
        assert {each["kind"] for each in params["members"]} == {"item-knn", "als"}
        for member in params["members"]:
            alone = models[member["kind"]]["splits"][split]["params"]
            assert alone.items() <= member.items()


def test_the_same_comparison_again_trains_nothing_and_says_the_same(
    lab: Lab, compared: CompareResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: ItemKnn, train: Interactions) -> ItemKnn:
        raise AssertionError("trained again")

    monkeypatch.setattr(ItemKnn, "fit", never)
    again = compare(compared.request, lab.workspace.root)

    assert again.comparison.as_json() == compared.comparison.as_json()


@pytest.mark.slow
def test_with_several_cuts_models_and_ensembles_are_compared_on_the_first(lab: Lab) -> None:
    wanted = asked(lab, "comparison-of-cuts", n_splits=1)
    study = wanted.config.study.model_copy(update={"cuts": 2})
    wanted = replace(wanted, config=wanted.config.model_copy(update={"study": study}))

    [split] = compare(wanted, lab.workspace.root).comparison.splits

    for model in ("item-knn", "als"):
        values = {round(each.value, 9) for each in trials_of(lab, wanted, model, 0)}
        assert round(split.results[model].validation, 9) in values


@pytest.mark.slow
def test_two_runs_of_the_same_comparison_share_its_studies(
    lab: Lab, compared: CompareResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second runs to its end while the first is about to put its splits together."""
    inside: list[CompareResult] = []
    judged = tuned_module.judge_split

    def judging(*given: Any) -> Any:
        if not inside:
            monkeypatch.setattr(tuned_module, "judge_split", judged)
            inside.append(compare(compared.request, lab.workspace.root))
        return judged(*given)

    monkeypatch.setattr(tuned_module, "judge_split", judging)
    outer = compare(compared.request, lab.workspace.root)

    assert (
        outer.comparison.as_json()
        == inside[0].comparison.as_json()
        == compared.comparison.as_json()
    )
    assert list(lab.workspace.scratch.glob("*")) == []


@pytest.mark.slow
def test_tuned_once_the_other_splits_take_the_winner_of_the_first(lab: Lab) -> None:
    result = compare(
        asked(lab, "once", ("item-knn", "popularity-plays"), tune_once=True), lab.workspace.root
    )

    one, other = (each.results["item-knn"] for each in result.comparison.splits)
    assert one.params == other.params
    assert (one.trials, other.trials) == (2, 1)
    assert one.validation != other.validation
    assert result.as_json()["tuned"] == "once"


@pytest.mark.slow
def test_a_model_that_cannot_be_used_is_left_out_and_named(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(self: Ease, train: Interactions) -> Ease:
        raise InputError("ease needs 900 GiB; set top_items")

    monkeypatch.setattr(Ease, "fit", refuses)
    wanted = asked(lab, "refused", ("ease", *MODELS), n_splits=1)

    result = compare(wanted, lab.workspace.root)

    assert "900 GiB" in result.failed["ease"]
    assert "ease" not in result.comparison.models
    assert "item-knn" in result.comparison.models


def test_a_comparison_of_less_than_two_models_that_work_is_an_error(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(self: Ease, train: Interactions) -> Ease:
        raise InputError("ease needs 900 GiB")

    monkeypatch.setattr(Ease, "fit", refuses)
    with pytest.raises(InputError, match="900 GiB"):
        compare(asked(lab, "alone", ("ease", "item-knn"), n_splits=1), lab.workspace.root)


def test_an_unknown_model_is_named_with_those_there_are(lab: Lab) -> None:
    with pytest.raises(InputError, match=r"no model is called 'svd'; there are .*item-knn"):
        compare(asked(lab, "unknown", ("svd", "als", "item-knn")), lab.workspace.root)


@pytest.mark.parametrize("models", [("als",), ("als", "als")])
def test_a_comparison_of_one_model_is_refused_before_anything_is_read(
    lab: Lab, models: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match=r"needs two models or more, got als.*add one, such as"):
        compare(asked(lab, "alone", models), lab.workspace.root)


@pytest.mark.slow
def test_whole_users_are_judged_by_fold_in(lab: Lab) -> None:
    """Strong generalization: who is judged was never trained on."""
    wanted = asked(lab, "strong", ("item-knn", "als", "popularity-users"), n_splits=1)
    config = quick(study={"trials": 2, "sampler": "random"}, split={"kind": "users"})

    result = compare(replace(wanted, config=config), lab.workspace.root)

    assert result.comparison.n_users == 30  # a tenth of 300
    assert result.comparison.estimates["als"]["ndcg@10"].mean > 0


OTHERS = ("slim", "rp3beta", "user-knn", "bpr", "fm")  # the contract of models has them


@pytest.mark.parametrize(
    "model", ["ease", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_an_experiment_searches_any_model(lab: Lab, model: str) -> None:
    base = quick(study={"trials": 2, "keep_factors": "none"})
    config = model_config(base, model, 0, has_profiles=True)

    result = experiment(lab.plays, config, lab.workspace.root, lab.profiles, f"any {model}")

    assert len(result.trials) == 2
    assert set(result.models) == {"popularity-plays", "popularity-users", model}
    final = open_client(lab.workspace).get_run(result.runs["final"])
    assert final.data.tags["model"] == model
