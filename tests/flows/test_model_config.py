"""Each model gets its own space, and everything else from the experiment."""

import tomllib
from pathlib import Path

import pytest

from flows.cli.inputs import ReadingOptions, RequestOptions
from flows.model_config import (
    SPACES,
    check_answers,
    first_points,
    model_config,
    pinned,
    without_extras,
)
from recsys.errors import InputError
from recsys.models import MODELS, make_config
from recsys.models.als import AlsConfig
from recsys.models.ease import EaseConfig
from recsys.splitting.config import ColdUserSplit, RandomSplit
from tests.flows.conftest import quick

BASE = quick(study={"trials": 7, "metric": "recall@10"}, judge={"ks": [10]})


@pytest.mark.parametrize("model", MODELS)
def test_every_model_can_be_configured_and_keeps_the_budget_and_the_judging(model: str) -> None:
    config = model_config(BASE, model, 3, has_profiles=False)

    assert (config.model, config.seed) == (model, 3)
    assert (config.study.trials, config.study.metric) == (7, "recall@10")
    assert (config.judge, config.split, config.filter) == (BASE.judge, BASE.split, BASE.filter)
    for spec in config.whole_space.values():
        for value in spec.ends:
            assert value is not None


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_space_is_named_after_its_model_and_sets_no_budget(path: Path) -> None:

    table = tomllib.loads(path.read_text(encoding="utf-8"))

    assert table["model"] == path.stem
    assert table.keys() <= {"name", "model", "search", "study", "cold-users"}
    assert table["study"].keys() <= {"sampler", "default_first", "first", "prunes_from"}
    assert path.stem in MODELS


def test_the_model_of_the_experiment_keeps_its_own_space() -> None:
    assert model_config(BASE, "als", 0, has_profiles=False).search == BASE.search


def test_popularity_is_searched_within_groups_only_where_profiles_are_given() -> None:
    def within(has_profiles: bool) -> object:
        return model_config(BASE, "popularity-plays", 0, has_profiles).search["within"]

    groups = ("country", "gender", "age", "country+gender", "country+gender+age")
    assert within(has_profiles=True) == ("all", *groups)
    assert within(has_profiles=False) == ("all",)


def test_a_pinned_experiment_has_the_one_point_of_the_winner() -> None:
    winner = AlsConfig(factors=7, weighting="log", epsilon=2.0, half_life=30)
    config = pinned(model_config(BASE, "als", 1, has_profiles=False), winner)

    point = {name: spec.ends[0] for name, spec in config.whole_space.items()}
    assert make_config("als", point) == winner
    assert all(len(spec.ends) == 1 for spec in config.whole_space.values())
    assert config.study.trials == 1
    assert config.found is None


def test_ease_alone_is_cut_to_the_top_items() -> None:
    ease = model_config(BASE, "ease", 0, has_profiles=False, top_items=50)

    assert ease.whole_space["top_items"].ends == (50,)
    assert make_config("ease", {"top_items": 50}) == EaseConfig(top_items=50)
    assert "top_items" not in model_config(BASE, "slim", 0, False, 50).search


def test_an_unknown_model_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match="no model is called 'svd'; there are popularity-plays"):
        model_config(BASE, "svd", 0, has_profiles=False)


def test_models_compared_by_default_need_no_extra() -> None:
    networks = {"ncf", "mult-vae", "recvae", "sasrec"}
    assert set(MODELS) - set(without_extras(RandomSplit())) == networks


def test_only_models_that_know_profiles_are_compared_on_cold_users() -> None:
    knowing = {"random", "popularity-plays", "popularity-users", "user-knn", "fm"}
    assert set(without_extras(ColdUserSplit(kind="cold-users"))) == knowing


@pytest.mark.parametrize("kind", ["random", "users", "cold-items"])
def test_a_model_of_the_order_of_plays_is_refused_where_the_split_does_not_keep_it(
    kind: str,
) -> None:
    config = model_config(quick(split={"kind": kind}), "sasrec", 0, has_profiles=False)

    with pytest.raises(InputError, match=r"sasrec learns from the order .* --set split.kind=last"):
        check_answers(config, False)


@pytest.mark.parametrize("kind", ["last", "time"])
def test_a_model_of_the_order_of_plays_is_searched_where_the_split_keeps_it(kind: str) -> None:
    check_answers(model_config(quick(split={"kind": kind}), "sasrec", 0, False), False)


@pytest.mark.parametrize("model", ["als", "item-knn", "popularity-users"])
def test_a_sampler_that_is_typed_replaces_that_of_the_model(model: str) -> None:
    typed = ("study.sampler=qmc", "study.default_first=false", "study.cuts=2")
    config = RequestOptions(model=model, set=typed).experiment(ReadingOptions())

    assert (config.model, config.study.sampler, config.study.cuts) == (model, "qmc", 2)
    assert not config.study.default_first


@pytest.mark.parametrize(
    "split",
    [
        *("kind=random", "kind=last", "kind=time", "kind=users", "kind=cold-users"),
        *("kind=cold-items", "{kind='given', test='test.tsv', validation='validation.tsv'}"),
    ],
)
def test_the_default_configuration_is_valid_with_every_kind_of_split(split: str) -> None:
    name = "split=" if split.startswith("{") else "split."
    config = RequestOptions(set=(name + split,)).experiment(ReadingOptions())

    assert (config.model, config.study.cuts) == ("als", "auto")


def test_the_first_points_of_a_model_are_its_default_and_those_of_its_file() -> None:
    table = tomllib.loads((SPACES / "ease.toml").read_text(encoding="utf-8"))
    first = table["study"]["first"]

    assert len(first) > 1
    assert first_points("ease") == [EaseConfig(), *(EaseConfig(**point) for point in first)]
    assert first_points("random") == [make_config("random", {})]
