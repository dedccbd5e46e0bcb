import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from recsys.config import ExperimentConfig, checked, load_config
from recsys.data.config import FilterConfig
from recsys.errors import InputError
from recsys.models.als import AlsConfig
from recsys.search.space import Choice, FloatRange, IntRange, inside
from recsys.settings import Origin, parse_value, setting_names
from recsys.splitting.config import GivenSplit, LastSplit, RandomSplit, TimeSplit, UserSplit

CONFIGS = Path(__file__).parents[2] / "flows" / "configs"


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_point_lies_in_the_default_space() -> None:
    config = load_config(CONFIGS / "default.toml")
    point = AlsConfig().model_dump(exclude={"kind"})

    moved = inside(config.space, point)

    assert moved == {name: point[name] for name in moved}
    assert {"factors", "regularization", "alpha", "weighting", "power"} <= set(moved)


@pytest.mark.parametrize("name", ["default", "paper"])
def test_every_corner_of_a_built_in_space_is_a_model(name: str) -> None:
    space = load_config(CONFIGS / f"{name}.toml").space

    for parameter, spec in space.items():
        for value in spec.ends:
            AlsConfig.model_validate({parameter: value, **spec.when})


def test_every_built_in_config_carries_the_name_of_its_file() -> None:
    files = sorted(CONFIGS.glob("*.toml"))

    assert {file.stem for file in files} >= {"default", "paper"}
    assert all(load_config(file).name == file.stem for file in files)


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, "")) == ExperimentConfig()


def test_single_settings_are_replaced_by_dotted_names(tmp_path: Path) -> None:
    path = written(tmp_path, "[search]\nfactors = [8]\nalpha = [1.0]\n[split]\nkind = 'random'\n")

    config = load_config(
        path,
        {
            "search.factors": parse_value("16,32"),
            "search.k1": parse_value("{low = 8, high = 64, log = true}"),
            "split.fraction": parse_value("0.3"),
            "study.trials": parse_value("3"),
            "seed": parse_value("7"),
        },
    )

    assert config.space == {
        "factors": Choice((16, 32)),
        "alpha": Choice((1.0,)),
        "k1": FloatRange(8, 64, log=True),
    }
    assert config.split == RandomSplit(fraction=0.3)
    assert (config.study.trials, config.seed) == (3, 7)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16,32", [16, 32]),
        ("16, 32 ,", [16, 32]),
        ("0.5,1", [0.5, 1]),
        ("share,log", ["share", "log"]),
        ("16", 16),
        ("1e-3", 0.001),
        ("true", True),
        ("linear", "linear"),
        ("[1, 2]", [1, 2]),
        ("'a,b'", "a,b"),
        ("{low = 8, high = 64}", {"low": 8, "high": 64}),
        ("users.tsv", "users.tsv"),
        ("", ""),
    ],
)
def test_a_setting_on_the_command_line_is_a_toml_value_or_a_list_or_a_word(
    text: str, value: object
) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("kind = 'random'", RandomSplit),
        ("kind = 'last'\nn = 2", LastSplit),
        ("kind = 'time'\nvalidation_at = 1\ntest_at = 2009-05-01T00:00:00Z", TimeSplit),
        ("kind = 'users'\nhistory = 0.5", UserSplit),
        ("kind = 'given'\ntest = 'u1.test'", GivenSplit),
    ],
)
def test_each_kind_of_split_is_written_as_a_table(tmp_path: Path, text: str, kind: type) -> None:
    assert isinstance(load_config(written(tmp_path, f"[split]\n{text}\n")).split, kind)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("sead = 1", "sead"),
        ("seed = -1", "seed"),
        ("seed = 'zero'", "seed"),
        ("[serach]\nfactors = [8]", "serach"),
        ("[data]\nitem_key = 'mbdi'", "data.item_key"),
        ("[data]\nformat = 'lastfm'", "data.format"),
        ("[filter]\nmin_item = 5", "filter.min_item"),
        ("[filter]\nmin_items = -1", "filter.min_items"),
        ("[filter]\nmode = 'twice'", "filter.mode"),
        ("[filter]\nfraction = 0", "filter.fraction"),
        ("[filter]\ntop_users = 0", "filter.top_users"),
        ("[split]\nkind = 'rnadom'", "split"),
        ("[split]\nkind = 'random'\nfraktion = 0.2", "split.fraktion"),
        ("[split]\nkind = 'random'\nfraction = 1.0", "split.fraction"),
        ("[split]\nkind = 'last'\nn = 0", "split.n"),
        ("[split]\nkind = 'time'\ntest_at = 2009-05-01T00:00:00", "split.test_at"),
        ("[split]\nkind = 'given'", "split.test"),
        ("[search]\nfactros = [8]", r"search\.factros"),
        ("[search]\nkind = ['als']", r"search\.kind"),
        ("[search]\nfactors = [8, 0]", "factors"),
        ("[search]\nfactors = {low = 8.5, high = 9}", "factors"),
        ("[search]\nfactors = {low = 9, high = 8}", "search.factors"),
        ("[search]\nweighting = ['share', 'bm52']", "weighting"),
        ("[search]\nb = {low = 0, high = 2}", "b"),
        ("[study]\nsampler = 'nsga'", "study.sampler"),
        ("[study]\ntrials = 0", "study.trials"),
        ("[study]\nmetric = 'ndgc@10'", "ndgc@10"),
        ("[study]\nmetric = 'ndcg@7'", "ndcg@7"),
        ("[study]\nkeep_factors = 'some'", "study.keep_factors"),
        ("[judge]\nks = [0]", "judge.ks"),
        ("[judge]\ncurve_metrics = ['recal@10']", "recal@10"),
        ("[judge]\nks = [5]", "ndcg@10"),
        ("[judge]\nbaseline = 'random'", "judge.baseline"),
        ("[judge]\nvalidation_users = 0", "judge.validation_users"),
        ("[judge]\ncurve_every = 0", "judge.curve_every"),
        ("[study]\npruner = 'meidan'", "study.pruner"),
        ("[study]\npatience = 0", "study.patience"),
        ("[study]\nprefer = 'fastest'", "study.prefer"),
        ("[study]\nfinalists = 0", "study.finalists"),
    ],
)  # fmt: skip
def test_a_typo_is_an_error_that_names_the_setting_and_the_file(
    tmp_path: Path, text: str, setting: str
) -> None:
    with pytest.raises(InputError, match=rf"own\.toml.*{setting}"):
        load_config(written(tmp_path, text))


def test_several_typos_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"study\.trails = .*: .*; .*sead = "):
        load_config(written(tmp_path, "sead = 1\n[study]\ntrails = 3\n"))
    with pytest.raises(InputError, match=r"config own: study\.trials = .*: use"):
        checked({"study": {"trials": 0}}, "own")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "No such file.*pass an existing TOML"),
        (b"seed = 1\nname = \n", ".*line 2.*correct the TOML"),
        (b"name = '\xff'", ".*correct the TOML"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_with_a_remedy(
    tmp_path: Path, content: bytes | None, fault: str
) -> None:
    path = tmp_path / "own.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InputError, match=rf"own\.toml: {fault}"):
        load_config(path)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("seed.of.split", r"--set seed\.of\.split: seed is a value"),
        ("study.trails", "study.trails"),
    ],
)
def test_an_override_that_fits_no_setting_is_an_error_that_names_it(
    tmp_path: Path, name: str, fault: str
) -> None:
    with pytest.raises(InputError, match=fault):
        load_config(written(tmp_path, "seed = 1\n"), {name: 2})


def test_a_config_cannot_be_changed() -> None:
    config = AlsConfig()

    with pytest.raises(ValidationError, match="frozen"):
        config.factors = 3  # type: ignore[misc]  # refused by design


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (FilterConfig(genders=("f",), countries=("Chile", "Iceland")), "cohort: f, Chile, Iceland"),
        (FilterConfig(age_min=18), "cohort: age 18.."),
        (FilterConfig(age_max=30.5), "cohort: age ..30.5"),
        (FilterConfig(age_min=0, age_max=30, genders=("m",)), "cohort: m, age 0..30"),
    ],
)
def test_a_cohort_has_a_text(config: FilterConfig, text: str) -> None:
    assert config.has_cohort
    assert config.cohort_text == text
    assert not FilterConfig().has_cohort


@pytest.mark.parametrize("kind", ["last", "time", "users"])
@pytest.mark.parametrize("name", ["default", "paper"])
def test_another_kind_of_split_begins_with_its_own_defaults(name: str, kind: str) -> None:
    config = load_config(CONFIGS / f"{name}.toml", {"split.kind": kind})

    assert config.split == ExperimentConfig.model_validate({"split": {"kind": kind}}).split


def test_settings_of_the_other_kind_of_split_may_come_before_it() -> None:
    config = load_config(CONFIGS / "default.toml", {"split.n": 3, "split.kind": "last"})

    assert config.split.model_dump() == {"kind": "last", "n": 3}


def test_the_same_kind_of_split_keeps_its_settings(tmp_path: Path) -> None:
    path = written(tmp_path, '[split]\nkind = "random"\nfraction = 0.3\n')

    config = load_config(path, {"split.kind": "random"})

    assert config.split.model_dump()["fraction"] == 0.3


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("filter.countries", "Germany", ("Germany",)),
        ("filter.genders", "f", ("f",)),
        ("judge.ks", 10, (10,)),
        ("study.also", "coverage@10", ("coverage@10",)),
    ],
)
def test_one_value_is_a_list_of_one(setting: str, value: object, expected: object) -> None:
    table, name = setting.split(".")

    config = load_config(CONFIGS / "default.toml", {setting: value})

    assert getattr(getattr(config, table), name) == expected


def test_ages_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(InputError, match="age_min 50 is above age_max 20"):
        load_config(CONFIGS / "default.toml", {"filter.age_min": 50, "filter.age_max": 20})


RANGE = {"low": 5, "high": 15}


def searching(**search: object) -> ExperimentConfig:
    return ExperimentConfig.model_validate({"search": {"factors": [8, 16], **search}})


@pytest.mark.parametrize(
    ("search", "found", "drawn"),
    [
        ({"iterations": RANGE}, IntRange(5, 15), {"factors"}),
        ({"iterations": {**RANGE, "log": True}}, IntRange(5, 15, log=True), {"factors"}),
        ({"iterations": {"low": 7, "high": 7}}, IntRange(7, 7), {"factors"}),
        ({"iterations": [10, 15]}, None, {"factors", "iterations"}),
        ({"iterations": 10}, None, {"factors", "iterations"}),
        ({}, None, {"factors"}),
        (
            {"weighting": ["log", "bm25"], "iterations": {**RANGE, "when": {"weighting": "log"}}},
            None,
            {"factors", "weighting", "iterations"},
        ),
    ],
    ids=["range", "log", "one value", "list", "pinned", "not searched", "conditional"],
)
def test_iterations_given_as_a_range_are_not_drawn(
    search: dict[str, object], found: IntRange | None, drawn: set[str]
) -> None:
    config = searching(**search)

    assert config.found == found
    assert set(config.space) == drawn
    assert set(config.whole_space) == {"factors", *search}
    assert list(config.space) == [name for name in config.whole_space if name in drawn]


def test_a_range_of_iterations_is_checked_though_it_is_not_drawn() -> None:
    with pytest.raises(ValidationError, match="number above 0"):
        searching(iterations={"low": 0, "high": 5})


def also(*metrics: str, **study: object) -> ExperimentConfig:
    return ExperimentConfig.model_validate({"study": {"also": metrics, **study}})


def test_the_objectives_begin_with_the_metric_that_picks_the_winner() -> None:
    assert also().objectives == ("ndcg@10",)
    assert also("coverage@10", "gini@5").objectives == ("ndcg@10", "coverage@10", "gini@5")
    assert also("recall@10", metric="map@5").objectives == ("map@5", "recall@10")


@pytest.mark.parametrize(
    ("metrics", "named"),
    [
        (["covrage@10"], "covrage@10"),
        (["coverage@7"], "coverage@7"),
        (["coverage"], "coverage"),
        (["ndcg@10"], "name each objective once"),
        (["gini@5", "gini@5"], "name each objective once"),
    ],
)
def test_other_objectives_are_checked_by_name_and_cut_off(metrics: list[str], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        also(*metrics)


def test_metrics_beyond_accuracy_can_be_objectives_and_pick_no_winner() -> None:
    every = ("coverage@10", "gini@10", "novelty@10", "popularity@10", "recall@10")
    assert also(*every).study.also == every

    with pytest.raises(ValidationError, match="coverage@10"):
        also(metric="coverage@10")
    with pytest.raises(ValidationError, match="novelty@10"):
        ExperimentConfig.model_validate({"judge": {"curve_metrics": ["novelty@10"]}})


@pytest.mark.parametrize("pruner", ["none", "median", "halving", "hyperband"])
def test_nothing_is_pruned_where_there_are_several_objectives(pruner: str) -> None:
    assert also(pruner=pruner).pruner == pruner
    assert also("coverage@10", pruner=pruner).pruner == "none"


SPLITS = {"fraction": "random", "min_items": "random", "n": "last", "history": "users"}


@pytest.mark.parametrize("name", setting_names(ExperimentConfig))
def test_no_text_of_pydantic_reaches_a_user(name: str) -> None:
    section, _, field = name.rpartition(".")
    for value in (-1, 0, 2.5, "x", [], [[]], {"x": 1}, None):
        table: dict[str, Any] = {field: value}
        for above in reversed(section.split(".") if section else []):
            table = {above: table}
        if section == "split":
            table["split"] = {"kind": SPLITS.get(field, "time"), **table["split"]}
        text = refusal(table)
        assert text == "" or text.startswith("own.toml: ")
        assert not re.search(r"Input|should|valid |type=|no value", text)


def refusal(table: dict[str, Any]) -> str:
    """Why a table is refused; "" where it is not."""
    try:
        checked(table, Origin("own.toml"))
    except InputError as error:
        return str(error)
    return ""
