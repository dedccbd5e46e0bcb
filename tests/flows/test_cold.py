"""Users of whom only profiles are known, and items with few users, from files to a result."""

import pytest

from flows.compare import CompareRequest, compare
from flows.model_config import check_answers, model_config
from recsys.errors import InputError
from recsys.models import MODELS
from tests.flows.conftest import Lab, quick

pytestmark = pytest.mark.flow
COLD = {"kind": "cold-users", "validation": 0.2, "test": 0.2}


def request(
    lab: Lab, name: str, models: tuple[str, ...], split: dict[str, object]
) -> CompareRequest:
    config = quick(study={"trials": 2, "sampler": "random"}, split=split)
    return CompareRequest(lab.plays, lab.profiles, config, models, 1, False, name)


@pytest.mark.slow
def test_models_that_know_profiles_answer_cold_users_and_others_are_named(lab: Lab) -> None:
    models = ("popularity-users", "user-knn", "als", "fm")
    result = compare(request(lab, "cold", models, COLD), lab.workspace.root)
    values = {m: e["ndcg@10"].mean for m, e in result.comparison.estimates.items()}

    assert {*values} >= {"popularity-users", "user-knn", "fm"}
    assert min(values.values()) > 0
    assert "als knows users by their plays alone" in result.failed["als"]
    points = result.comparison.splits[0].results["user-knn"].params
    assert points["plays_weight"] == 0
    assert points["country_weight"] > 0


@pytest.mark.slow
def test_items_with_few_users_are_found_again(lab: Lab) -> None:
    split = {"kind": "cold-items", "known": 10, "validation": 0.2, "test": 0.2}
    models = ("popularity-users", "item-knn")
    result = compare(request(lab, "few", models, split), lab.workspace.root)

    values = {m: e["recall@20"].mean for m, e in result.comparison.estimates.items()}
    assert values["item-knn"] > values["popularity-users"] >= 0


def test_cold_users_need_profiles_and_a_model_that_knows_them() -> None:
    config = quick(split=COLD)
    with pytest.raises(InputError, match="needs the profiles of the users; pass --profiles FILE"):
        check_answers(config, False)
    with pytest.raises(InputError, match="als knows users by their plays alone"):
        check_answers(config, True)
    knowing = model_config(config, "popularity-users", 0, True)
    check_answers(knowing, True)


@pytest.mark.parametrize("model", MODELS)
def test_weights_of_the_profile_are_searched_for_cold_users_alone(model: str) -> None:
    cold = model_config(quick(split=COLD), model, 0, True)
    warm = model_config(quick(), model, 0, True)
    added = {*cold.search} - {*warm.search}

    weights = {"plays_weight", "country_weight", "gender_weight", "age_weight"}
    assert added == (weights if model == "user-knn" else set())
