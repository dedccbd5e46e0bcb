"""What is far too large, infinite, empty or no number is refused in one line, or ends by itself."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.cli.main import main
from recsys.bounds import ANSWERS, HISTORY, RECORDS, TEXT
from recsys.config import ExperimentConfig, load_config
from recsys.data.profiles import Profiles
from recsys.errors import InputError
from recsys.models.config import ModelConfig
from recsys.models.recommender import Relating
from recsys.search.space import IntRange
from recsys.serving.answers import (
    Served,
    fold_in_history,
    from_profile,
    known_user,
    similar,
    unknown_profile,
)
from recsys.serving.lists import lists
from recsys.serving.package import answers
from recsys.settings import parse_value
from tests.conftest import cells_of, profiles_of, two_camps
from tests.recsys.serving.served_models import ALS, MODELS, served_by

BILLION = 1_000_000_000
CELLS = cells_of(two_camps(12, 8))
N_ITEMS = CELLS.shape[1]
PROFILES = profiles_of(CELLS.users, ["Sweden", "Chile"] * 6)
DEFAULT = Path("flows/configs/default.toml")

SPACES = [
    ("factors = {low = 1, high = inf}", "finite number"),
    ("alpha = {low = 1, high = inf}", "finite number"),
    ("alpha = {low = 1, high = 1e999}", "finite number"),
    ("alpha = {low = nan, high = 1}", "finite number"),
    ("alpha = {low = -inf, high = 1}", "finite number"),
    ("alpha = inf", "finite number"),
    ("alpha = [1.0, nan]", "finite number"),
    ("alpha = {low = 5, high = 1}", "low 5 is above high 1"),
    ("alpha = {low = 0, high = 1, log = true}", "a log scale needs low > 0"),
    ("alpha = {low = 1, high = 2, step = 0}", "step is not known here"),
    ("alpha = {low = -1e308, high = 1e308}", "too wide"),
    ("alpha = {low = 1}", "give low and high"),
    ("alpha = {options = []}", "options must not be empty"),
    ("alpha = []", "give at least 1"),
    ("weighting = []", "give at least 1"),
    ("factors = {low = 3.5, high = 8}", "whole number"),
    ("factors = {low = 8.0, high = 64.5}", "whole number"),
    ("factors = [8, 3.5]", "whole number"),
    ('factors = {low = "1", high = 4}', "whole number"),
    ("factors = {low = true, high = 4}", "whole number"),
    ("factors = {low = 1, high = 1000000000}", "at most 10000"),
    (f"factors = {{low = 1, high = {10**400}}}", "at most"),
    ("factors = 1000000000", "at most 10000"),
    ("iterations = {low = 1, high = 1000000000}", "at most 100000"),
]
SETTINGS = [
    ("study.trials = 1000000000", "at most 100000"),
    ("study.timeout = inf", "finite number"),
    ("study.first = [{alpha = inf}]", "finite number"),
    ("judge.resamples = 1000000000", "at most 100000"),
    ("judge.ks = 1000000000", "at most 1000"),
    ("judge.ks = []", "give at least 1"),
    ("filter.age_min = nan", "finite number"),
    ("filter.fraction = nan", "finite number"),
    ("split.fraction = inf", "finite number"),
    ("seed = 1e400", "finite number"),
]


@pytest.mark.parametrize(("line", "words"), [*((f"search.{s}", w) for s, w in SPACES), *SETTINGS])
def test_a_setting_without_end_or_without_value_is_refused(line: str, words: str) -> None:
    name, _, value = line.partition(" = ")

    with pytest.raises(InputError, match=words) as refused:
        load_config(DEFAULT, {name: parse_value(value)}, {name: f"--set {line}"})

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("line", "words"), SPACES)
def test_so_it_is_in_a_file(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'model = "als"\n[search]\n{line}\n', encoding="utf-8")

    with pytest.raises(InputError, match=words) as refused:
        load_config(path)

    assert f"{path}, line 3: search." in str(refused.value)


def test_whole_numbers_written_as_reals_are_whole() -> None:
    table = {"search": {"factors": {"low": 8.0, "high": 64.0}, "iterations": [2.0, 3]}}
    space = ExperimentConfig.model_validate(table).whole_space

    assert space["factors"] == IntRange(8, 64)
    assert [type(each) for each in space["iterations"].ends] == [int, int]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["experiment", "--set", "search.factors={low=1,high=inf}"], "finite number"),
        (["compare", "--models", "als", "--set", "search.alpha={low=1,high=inf}"], "finite"),
        (["experiment", "--trials", str(BILLION)], "--trials"),
        (["compare", "--seeds", str(BILLION)], "use at most 1,000"),
        (["publish", "--k", str(BILLION)], "use at most 1,000,000"),
        (["sample", "--users", str(BILLION)], "use at most 1,000,000"),
        (["sample", "--seed", str(10**30)], "a sample cannot have seed"),
        (["clean", "--days", "nan"], "use at least 0"),
        (["clean", "--days", "1e30"], "use at most 36,500"),
        (["ui", "--port", "70000"], "use at most 65,535"),
        (["recommend", "--k", "0"], "use at least 1"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_command_says_it_in_one_line_before_anything_is_made(
    words: list[str], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plays = tmp_path / "plays.csv"
    plays.write_text("user,item,plays\nu1,a1,1\n", encoding="utf-8")
    if words[0] in ("experiment", "compare"):
        words = [*words, "--plays", str(plays)]

    code = main([*words, "--workspace", str(tmp_path / "runs")])

    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert fault in line
    assert not list(tmp_path.rglob("*.db")) + list(tmp_path.rglob("*.journal"))


@pytest.fixture(scope="module", params=MODELS, ids=lambda config: config.kind)
def model(request: pytest.FixtureRequest) -> Served:
    config: ModelConfig = request.param
    return served_by(config, CELLS, PROFILES)


def test_lists_of_a_billion_end_at_the_catalogue(model: Served) -> None:
    answered = [
        known_user(model, 0, BILLION),
        fold_in_history(model, {1: 5.0}, BILLION),
        from_profile(model, None, BILLION),
        from_profile(model, unknown_profile(), 10**30),
    ]
    table = answers(model, pd.DataFrame([{"user": "u03"}, {"items": "i01:5"}]), 10**18)
    published = next(lists(model, BILLION))[1]

    assert all(0 < len(each.items) <= N_ITEMS for each in answered)
    assert 0 < table["rank"].max() <= N_ITEMS
    assert published.num_rows <= len(CELLS.users) * N_ITEMS
    if isinstance(model.model, Relating):
        assert len(similar(model, 0, BILLION)) < N_ITEMS


@pytest.fixture(scope="module")
def als() -> Served:
    return served_by(ALS, CELLS, Profiles.unknown(CELLS.users))


@pytest.mark.parametrize(
    ("request_", "k", "words"),
    [
        ([{"user": "u03"}] * (RECORDS + 1), 1, f"send at most {RECORDS:,} in one request"),
        ([{"items": "i01," * (HISTORY + 1)}], 1, f"give at most {HISTORY:,}"),
        ([{"items": ["i01"] * (HISTORY + 1)}], 1, f"give at most {HISTORY:,}"),
        ([{"user": "u" * 10**6}], 1, f"an id has at most {TEXT:,}"),
        ([{"items": "x" * 10**6}], 1, "is not known; it has 1,000,000 characters"),
        ([{"items": ["i01"], "plays": [1] * 10**5}], 1, "a list with a number for each item"),
        ([{"items": ["i01"], "plays": [float("inf")]}], 1, "give a number above 0"),
        ([{"items": 3}], 1, "give a text or a list"),
    ],
    ids=["records", "history", "list", "user", "name", "plays", "infinite", "number"],
)
def test_a_request_that_is_too_large_is_refused_in_a_short_sentence(
    als: Served, request_: list[dict[str, Any]], k: int, words: str
) -> None:
    with pytest.raises(InputError, match=words) as refused:
        answers(als, pd.DataFrame(request_), k)

    assert len(str(refused.value)) < 300


def test_an_answer_ends_at_its_stated_length(als: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.bounds.ANSWERS", 2 * N_ITEMS)
    three = pd.DataFrame([{"user": "u03"}] * 3)

    with pytest.raises(InputError, match="an answer has at most 16 rows"):
        answers(als, three, BILLION)

    assert len(answers(als, three, 2)) == 6
    assert RECORDS <= ANSWERS
