"""A result depends on every setting, unless the setting says otherwise."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from recsys.config import ExperimentConfig
from recsys.evaluation.config import JudgeConfig
from recsys.identity import Side, counted, key_of, measured_key, study_settings
from recsys.models.als import AlsConfig
from recsys.models.ensemble import EnsembleConfig
from recsys.models.item_knn import ItemKnnConfig
from recsys.search.config import StudyConfig
from recsys.settings import Config, setting
from recsys.splitting.config import SplitConfig

SIDES: tuple[Side, ...] = ("trial", "validation", "test", "path")
FOUND = {"iterations": {"low": 2, "high": 5}}
MODEL = AlsConfig(factors=4)


def experiment(**changed: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate({"search": FOUND, **changed})


def key(side: Side = "trial", of: tuple[str, str] = ("s", "c"), **changed: Any) -> str:
    return measured_key(side, experiment(**changed), MODEL, *of)


def grown(base: type[Config], default: Any) -> Config:
    """The settings of `base` and a new one."""
    return create_model("Grown", __base__=base, new=(int, default))()


@pytest.mark.parametrize("base", [AlsConfig, ItemKnnConfig, JudgeConfig, StudyConfig])
def test_a_new_setting_counts_unless_it_says_that_it_does_not(base: type[Config]) -> None:
    before = key_of({"settings": base()})

    assert key_of({"settings": grown(base, 1)}) != before
    assert key_of({"settings": grown(base, setting(1, identity=False))}) == before


@pytest.mark.parametrize(("table", "base"), [("judge", JudgeConfig), ("study", StudyConfig)])
@pytest.mark.parametrize("side", SIDES)
def test_a_new_setting_in_a_table_changes_every_key_and_the_settings_of_a_study(
    table: str, base: type[Config], side: Side
) -> None:
    def of(config: ExperimentConfig) -> tuple[str, dict[str, str]]:
        return measured_key(side, config, MODEL, "s", "c"), study_settings(config)

    known, settings = of(experiment())
    more, wider = of(experiment().model_copy(update={table: grown(base, 1)}))
    silent = experiment().model_copy(update={table: grown(base, setting(1, identity=False))})

    assert more != known
    assert wider == {**settings, f"{table}.new": "1"}
    assert of(silent) == (known, settings)


def test_a_new_setting_of_a_member_of_an_ensemble_counts() -> None:
    members = (AlsConfig(), ItemKnnConfig())
    ensemble = EnsembleConfig(members=members)
    other = ensemble.model_copy(update={"members": (grown(AlsConfig, 1), members[1])})

    assert counted(other)["members"][0] == {**counted(members[0]), "new": 1}


SAME: list[dict[str, Any]] = [
    {"name": "other"},
    {"data": {"strict": True}},
    {"filter": {"top_users": 9}},
    {"split": {"kind": "random", "fraction": 0.5}},
    {"judge": {"resamples": 9}},
    *({"study": each} for each in ({"trials": 3}, {"timeout": 1.0}, {"keep_factors": "none"})),
    *({"study": each} for each in ({"prefer": "cheapest"}, {"fresh": True}, {"finalists": 2})),
]
POINTS: list[dict[str, Any]] = [
    *({"study": each} for each in ({"sampler": "random"}, {"also": ["coverage@10"]})),
    *({"study": each} for each in ({"pruner": "median"}, {"default_first": True})),
    {"study": {"first": [{"factors": 8}]}},
    {"search": {**FOUND, "factors": [8, 16]}},
]
STOP: list[dict[str, Any]] = [{"study": {"patience": 3}}, {"study": {"metric": "ndcg@5"}}]
VALUES: list[dict[str, Any]] = [
    {"seed": 1},
    *({"judge": each} for each in ({"ks": [5, 10]}, {"curve_every": 2}, {"curve_users": 9})),
    *({"judge": each} for each in ({"validation_users": 9}, {"curve_metrics": ["ndcg@10"]})),
]


@pytest.mark.parametrize("changed", SAME, ids=str)
def test_what_decides_no_result_counts_for_none(changed: dict[str, Any]) -> None:
    assert {side: key(side, **changed) for side in SIDES} == {side: key(side) for side in SIDES}
    assert study_settings(experiment(**changed)) == study_settings(experiment())


@pytest.mark.parametrize("changed", POINTS, ids=str)
def test_what_decides_the_points_counts_for_the_study_and_for_no_trial(
    changed: dict[str, Any],
) -> None:
    assert {side: key(side, **changed) for side in SIDES} == {side: key(side) for side in SIDES}
    assert study_settings(experiment(**changed)) != study_settings(experiment())


@pytest.mark.parametrize("changed", STOP, ids=str)
def test_what_stops_a_training_counts_where_a_training_is_stopped(changed: dict[str, Any]) -> None:
    pinned = {"search": {"iterations": 4}}

    assert key(**changed) != key()
    assert key(**{**changed, **pinned}) == key(**pinned)
    assert key("path", **{**changed, **pinned}) != key("path", **pinned)
    assert key("test", **changed) == key("test")
    assert study_settings(experiment(**changed)) != study_settings(experiment())


@pytest.mark.parametrize("changed", VALUES, ids=str)
def test_what_decides_values_counts_for_all(changed: dict[str, Any]) -> None:
    assert all(key(side, **changed) != key(side) for side in SIDES)
    assert study_settings(experiment(**changed)) != study_settings(experiment())


def test_side_model_split_code_and_range_count() -> None:
    config = experiment()
    keys = {
        *(key(side) for side in SIDES),
        *(
            key(of=("x", "c")),
            key(of=("s", "x")),
            key(search={"iterations": {"low": 2, "high": 6}}),
        ),
        measured_key("trial", config, MODEL.model_copy(update={"alpha": 3.0}), "s", "c"),
        measured_key("trial", config, ItemKnnConfig(), "s", "c"),
    }

    assert len(keys) == len(SIDES) + 5


def test_the_order_of_parts_does_not_count_and_their_number_of_digits_is_given() -> None:
    one, other = {"a": 1, "b": Path("x")}, {"b": Path("x"), "a": 1}

    assert key_of(one) == key_of(other)
    assert (len(key_of(one)), len(key_of(one, 12))) == (32, 12)


def test_what_has_no_place_in_a_key_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no place in a key"):
        key_of({"a": object()})


def test_every_kind_of_split_counts_with_all_its_settings() -> None:
    kinds: Any = SplitConfig
    for kind in kinds.__origin__.__args__:
        assert all(field.json_schema_extra is None for field in kind.model_fields.values())
