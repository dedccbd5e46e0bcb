"""On equal plays several weightings are one: the search tries one of them."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from recsys.config import ExperimentConfig
from recsys.models import default_point
from recsys.models.als import AlsConfig
from recsys.models.weighting import Weighting, Weights
from recsys.search.repeats import ONE, options_of, without_repeats
from recsys.search.space import Choice, inside
from tests.recsys.models.als_equations import random_cells

SEARCH = {
    "weighting": ["share", "log", "bm25", "tfidf", "binary", "linear"],
    "power": {"low": 0.2, "high": 1.5, "when": {"weighting": "share"}},
    "epsilon": {"low": 0.1, "high": 10, "when": {"weighting": "log"}},
    "k1": {"low": 1, "high": 10, "when": {"weighting": "bm25"}},
    "alpha": {"low": 1, "high": 2},
}


def config_of(search: dict[str, object], **study: object) -> ExperimentConfig:
    return ExperimentConfig.model_validate({"model": "als", "search": search, "study": study})


@pytest.mark.parametrize("plays", [1.0, 7.0])
def test_on_equal_plays_these_weightings_differ_by_a_factor_and_the_others_do_not(
    plays: float,
) -> None:
    cells = random_cells()
    cells = replace(cells, plays=np.full_like(cells.plays, plays))
    names = cast(tuple[Weighting, ...], (*ONE, "tfidf", "bm25"))
    weights = {
        name: Weights(AlsConfig(weighting=name, epsilon=3.0, power=0.3), cells)(cells).data
        for name in names
    }

    same = {name for name in names if np.ptp(weights[name] / weights["binary"]) < 1e-6}

    assert same == set(ONE)


def test_one_weighting_stands_for_its_repeats_and_their_parameters_are_gone() -> None:
    shorter = without_repeats(config_of(SEARCH))

    assert options_of(shorter) == ("binary", "bm25", "tfidf")
    assert set(shorter.whole_space) == {"weighting", "k1", "alpha"}
    assert without_repeats(shorter) is shorter


def test_a_weighting_that_is_searched_under_a_condition_keeps_it() -> None:
    weighting = {"options": ["share", "bm25", "binary"], "when": {"engine": "native"}}
    shorter = without_repeats(config_of({"engine": ["native", "implicit"], "weighting": weighting}))

    assert shorter.whole_space["weighting"] == Choice(("binary", "bm25"), {"engine": "native"})


def test_without_a_scale_that_is_searched_only_equal_weights_are_one() -> None:
    pinned = {**SEARCH, "alpha": 3.0, "regularization": 2.0}

    shorter = without_repeats(config_of(pinned))

    assert options_of(shorter) == ("binary", "log", "bm25", "tfidf", "linear")
    assert set(shorter.whole_space) == {"weighting", "epsilon", "k1", "alpha", "regularization"}


def test_the_points_that_a_search_begins_with_stay_in_it() -> None:
    first = [
        {"weighting": "log", "epsilon": 1.0, "alpha": 1.5},
        {"weighting": "bm25", "k1": 2.0, "alpha": 1.0},
    ]
    shorter = without_repeats(config_of(SEARCH, first=first))

    starts = [inside(shorter.space, point) for point in shorter.study.first]
    assert starts == [
        {"weighting": "binary", "alpha": 1.5},
        {"weighting": "bm25", "k1": 2.0, "alpha": 1.0},
    ]
    assert inside(shorter.space, dict(default_point("als")))["weighting"] == "binary"


@pytest.mark.parametrize(
    "search",
    [
        {"weighting": "share", "alpha": [1.0, 2.0]},
        {"weighting": ["share", "bm25"]},
        {"factors": [8, 16]},
        {**SEARCH, "half_life": {"low": 1, "high": 9}},
    ],
)
def test_a_search_without_repeats_or_with_a_half_life_stays_as_it_is(
    search: dict[str, object],
) -> None:
    config = config_of(search)

    assert without_repeats(config) is config
