"""What the next point is: a function of the seed, the slot and the finished trials."""

import random
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import ExperimentConfig
from recsys.errors import InputError
from recsys.models import default_point
from recsys.models.als import AlsConfig
from recsys.search.config import Sampler
from recsys.search.space import Point, applies, contains, grid
from recsys.seeds import seed_for
from tasks.tuning import sampling
from tasks.tuning.sampling import ObservedTrial, Points, key_of
from tests.tasks.tuning.searching import (
    LISTS,
    MIXED,
    N_LISTS,
    SAMPLERS,
    config_of,
    value_of,
)


def points_of(config: ExperimentConfig, earlier: Sequence[Point] = ()) -> Points:
    default = default_point(config.model)
    return Points(config.space, config.study, config.seed, earlier, default)


def tried(point: Point, value: float | None = None) -> ObservedTrial:
    level = value_of(point) if value is None else value
    return ObservedTrial(point, (level,), [(1, level / 2), (2, level)])


def walk(points: Points, n: int, finished: Sequence[ObservedTrial] = ()) -> list[Point]:
    """The points of the first n slots, each measured before the next is drawn."""
    known = list(finished)
    for slot in range(len(known), n):
        taken = {key_of(each.params) for each in known}
        known.append(tried(points.point(slot, known, taken)))
    return [each.params for each in known]


def test_the_default_point_is_tried_first_where_default_first_is_set() -> None:
    (first,) = walk(points_of(config_of(MIXED, "tpe", default_first=True)), 1)

    known = AlsConfig()
    assert first == {
        "factors": known.factors,
        "regularization": known.regularization,
        "weighting": known.weighting,
        "power": known.power,
    }


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "cma-es"])
def test_the_default_point_is_tried_once(sampler: Sampler) -> None:
    found = walk(points_of(config_of(MIXED, sampler, default_first=True)), 4)

    assert len(set(map(key_of, found))) == 4


def test_a_default_that_the_space_does_not_hold_is_brought_inside() -> None:
    table = {
        "factors": {"low": 2, "high": 4},
        "weighting": ["linear"],
        "alpha": {"low": 1e4, "high": 1e5},
    }

    (first,) = walk(points_of(config_of(table, "tpe", default_first=True)), 1)

    assert first == {"factors": 4, "weighting": "linear", "alpha": 1e4}


def test_the_first_point_is_drawn_without_default_first() -> None:
    drawn = [walk(points_of(config_of(MIXED, seed=seed)), 1)[0] for seed in range(3)]

    assert len(set(map(key_of, drawn))) == 3


def test_points_of_earlier_studies_come_first_then_the_default_then_those_of_the_file() -> None:
    config = config_of(
        {"factors": [4, 8, 16, 128], "alpha": {"low": 0.1, "high": 50.0}},
        default_first=True,
        first=[{"factors": 16, "alpha": 3}],
    )
    earlier: list[Point] = [{"factors": 8, "alpha": 2.0, "iterations": 9}, {"factors": 5}]

    found = walk(points_of(config, earlier), 4)

    assert found[0] == {"factors": 8, "alpha": 2.0}
    assert found[1]["factors"] == 4  # the nearest; its alpha is drawn
    assert found[2] == {"factors": 128, "alpha": AlsConfig().alpha}
    assert found[3] == {"factors": 16, "alpha": 3.0}
    assert isinstance(found[3]["alpha"], float)


def test_a_first_point_given_twice_is_tried_once() -> None:
    point: Point = {"factors": 8, "alpha": 2.0}
    table = {"factors": [4, 8, 16], "alpha": {"low": 0.1, "high": 50.0}}

    found = walk(points_of(config_of(table, first=[point]), [point]), 2)

    assert found[0] == point
    assert found[1] != point


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_gives_the_same_points_and_another_seed_others(sampler: Sampler) -> None:
    one, again, other = (walk(points_of(config_of(None, sampler, seed=n)), 12) for n in (1, 1, 2))

    assert one == again
    assert one != other


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "cma-es"])
def test_every_slot_has_another_draw(sampler: Sampler) -> None:
    """Not only one that differs because another slot has that point."""
    points = points_of(config_of(MIXED, sampler))

    found = [points._next(slot, [], set()) for slot in range(12)]

    assert len(set(map(key_of, found))) == 12


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_points_lie_in_the_space_and_have_its_types(sampler: Sampler) -> None:
    config = config_of(None, sampler)

    for point in walk(points_of(config), 14):
        AlsConfig.model_validate(point)
        assert isinstance(point["factors"], int)
        assert all(contains(config.space[name], value) for name, value in point.items())
        assert set(point) == {n for n, spec in config.space.items() if applies(spec, point)}


def test_every_weighting_is_drawn_with_the_parameters_it_has() -> None:
    found = walk(points_of(config_of(MIXED)), 30)

    assert {str(point["weighting"]) for point in found} == {"share", "log", "linear"}
    for point in found:
        assert ("power" in point) == (point["weighting"] == "share")
        assert ("epsilon" in point) == (point["weighting"] == "log")


@pytest.mark.parametrize("sampler", ["random", "grid", "qmc"])
@settings(max_examples=20)
@given(st.permutations(range(10)), st.integers(0, 10), st.integers(0, 3))
def test_planned_points_are_the_same_in_any_order_of_requests(
    sampler: Sampler, order: list[int], n_finished: int, seed: int
) -> None:
    config = config_of(LISTS, sampler, seed=seed)
    plan = points_of(config).planned(10)
    asked = points_of(config)
    finished = [tried(point, value=random.Random(seed).random()) for point in plan[:n_finished]]
    taken = {key_of(point) for point in plan[:n_finished]}

    found = {slot: asked.point(slot, finished, taken) for slot in order}

    assert [found[slot] for slot in range(10)] == plan
    assert points_of(config).planned(4) == plan[:4]


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(max_examples=4)
@given(seed=st.integers(0, 999), default_first=st.booleans())
def test_a_finite_space_is_exhausted_exactly_and_no_point_comes_twice(
    sampler: Sampler, seed: int, default_first: bool
) -> None:
    config = config_of(LISTS, sampler, seed=seed, default_first=default_first)
    points = points_of(config)

    found = walk(points, N_LISTS)

    assert points.size == N_LISTS
    assert sorted(map(key_of, found), key=str) == sorted(map(key_of, grid(config.space)), key=str)


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "cma-es"])
def test_a_branch_that_is_used_up_does_not_end_the_search_of_a_space_that_is_not(
    sampler: Sampler,
) -> None:
    """Weighted linearly there is one point, and it is so good that TPE draws little else."""
    table = {
        "weighting": ["linear", "share"],
        "power": {"low": 0.2, "high": 1.5, "when": {"weighting": "share"}},
    }
    config = config_of(table, sampler)
    points = points_of(config)
    known: list[ObservedTrial] = []

    for slot in range(25):
        point = points.point(slot, known, {key_of(each.params) for each in known})
        known.append(tried(point, value=float(point["weighting"] == "linear")))

    assert len({key_of(each.params) for each in known}) == 25


def test_a_grid_that_is_cut_short_is_not_the_first_corner_of_the_space() -> None:
    found = walk(points_of(config_of({"factors": list(range(1, 101))}, "grid")), 5)

    assert [point["factors"] for point in found] != [1, 2, 3, 4, 5]


def test_a_grid_over_real_numbers_is_an_error_with_a_remedy() -> None:
    with pytest.raises(InputError, match=r"search\.alpha; give lists, or set study\.sampler"):
        points_of(config_of({"alpha": {"low": 0.5, "high": 1}}, "grid"))


def test_the_points_of_tpe_depend_on_values_alone() -> None:
    def after(sampler: Sampler, level: float) -> Point:
        points = points_of(config_of(MIXED, sampler))
        known = [tried(point) for point in walk(points, 8)]
        changed = [*known[:-1], tried(known[-1].params, level)]
        return points.point(8, changed, {key_of(each.params) for each in known})

    assert after("random", 0.0) == after("random", 1e6)
    assert after("tpe", 0.0) != after("tpe", 1e6)


def test_tpe_goes_where_the_values_are_high() -> None:
    points = points_of(config_of({"b": {"low": 0.0, "high": 1.0}}, "tpe"))
    known: list[ObservedTrial] = []

    for slot in range(30):
        point = points.point(slot, known, {key_of(each.params) for each in known})
        known.append(tried(point, value=-abs(float(point["b"]) - 0.8)))

    late = [float(each.params["b"]) for each in known[15:]]
    assert abs(np.mean(late) - 0.8) < 0.1


@pytest.mark.parametrize("sampler", ["cma-es", pytest.param("gp", marks=pytest.mark.slow)])
def test_a_sampler_of_the_cube_goes_where_the_values_are_high(sampler: Sampler) -> None:
    table = {"b": {"low": 0.0, "high": 1.0}, "alpha": {"low": 1.0, "high": 100.0, "log": True}}
    points = points_of(config_of(table, sampler))
    known: list[ObservedTrial] = []

    for slot in range(50):
        point = points.point(slot, known, {key_of(each.params) for each in known})
        missed = abs(float(point["b"]) - 0.8) + abs(np.log10(float(point["alpha"])) - 0.5)
        known.append(tried(point, value=-missed))

    early, late = (
        np.median([-each.values[0] for each in part]) for part in (known[:6], known[40:])
    )
    assert late < early / 3


def test_qmc_leaves_no_part_of_the_space_out() -> None:
    """Each quarter of each side has its part of the points; random draws leave gaps."""
    table = {"b": {"low": 0.0, "high": 1.0}, "nu": {"low": 0.0, "high": 1.0}}
    found = walk(points_of(config_of(table, "qmc")), 16)

    for name in table:
        counts = np.histogram([float(point[name]) for point in found], 4, (0, 1))[0]
        assert counts.tolist() == [4, 4, 4, 4]


@pytest.mark.parametrize("sampler", ["cma-es", "gp"])
def test_the_next_point_of_a_sampler_that_learns_avoids_pruned_trials(sampler: Sampler) -> None:
    """A pruned trial counts with the best of its curve."""
    spots = np.random.default_rng(0).permutation(np.linspace(0.02, 0.98, 24)).tolist()
    known = [
        ObservedTrial({"b": spot, "alpha": 1.5}, () if spot > 0.5 else (0.5,), [(1, 0.1)])
        for spot in spots
    ]
    table = {"b": {"low": 0.0, "high": 1.0}, "alpha": {"low": 1.0, "high": 2.0}}
    points = points_of(config_of(table, sampler))
    drawn = [float(points.point(slot, known, set())["b"]) for slot in range(24, 34)]

    assert np.mean([spot > 0.5 for spot in drawn]) <= 0.3


def test_tpe_takes_the_region_of_pruned_trials_for_a_bad_one() -> None:
    """Nothing else tells the low half from the high one: all measured values are equal."""
    spots = np.linspace(0.02, 0.98, 24).tolist()

    def share_of_high(pruned_above: bool) -> float:
        known = [
            ObservedTrial({"b": spot}, () if (spot > 0.5) == pruned_above else (0.0,), [(1, 0.0)])
            for spot in spots
        ]
        points = points_of(config_of(SINGLE, "tpe"))
        drawn = [float(points.point(slot, known, set())["b"]) for slot in range(24, 54)]
        return float(np.mean([spot > 0.5 for spot in drawn]))

    assert share_of_high(pruned_above=True) < 0.3
    assert share_of_high(pruned_above=False) > 0.7


SINGLE: dict[str, Any] = {"b": {"low": 0.0, "high": 1.0}}


def many(n: int) -> list[ObservedTrial]:
    """Finished trials of values that neither rise nor fall with their slots."""
    rng = np.random.default_rng(5)
    spots, values = rng.random(n).tolist(), rng.permutation(n).tolist()
    return [tried({"b": spot}, value) for spot, value in zip(spots, values, strict=True)]


def test_of_many_trials_tpe_sees_the_25_best_and_35_spread_over_the_others_in_their_order() -> None:
    known = many(230)
    shown = sampling._shown(known)

    assert len(shown) == 60
    assert list(shown) == [each for each in known if each in shown]
    best = sorted(known, key=lambda each: -each.values[0])[:25]
    assert all(each in shown for each in best)
    others = [each for each in known if each not in best]
    places = [others.index(each) for each in shown if each not in best]
    assert (places[0], places[-1]) == (0, len(others) - 1)
    assert set(np.diff(places)) <= {6, 7}  # no part of the study is forgotten
    assert sampling._shown(known[:60]) == known[:60]


def test_the_point_after_many_trials_depends_on_those_that_are_shown_alone() -> None:
    known = many(230)
    points = points_of(config_of(SINGLE, "tpe"))
    shown = sampling._shown(known)
    forgotten = next(n for n, each in enumerate(known) if each not in shown)
    changed = [*known]
    changed[forgotten] = tried({"b": 0.5}, known[forgotten].values[0])

    expected = points.point(230, known, set())

    assert points_of(config_of(SINGLE, "tpe")).point(230, known, set()) == expected
    assert points.point(230, changed, set()) == expected
    turned = [tried(each.params, -each.values[0]) for each in known]
    assert points.point(230, turned, set()) != expected


def test_as_many_trials_are_good_for_tpe_as_optuna_would_take_of_all_of_them() -> None:
    """With all trials shown, the points are those of Optuna's own rule; 60 were 6 good ones."""
    known = many(60)
    ours = points_of(config_of(SINGLE, "tpe"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed_for(config_of(SINGLE, "tpe").seed, "search", 60),
            multivariate=True,
            group=True,
            constant_liar=False,
        )
    study = ours._memory(known)
    trial = sampling._fresh(60)
    space = sampler.infer_relative_search_space(study, trial)

    assert ours.point(60, known, set()) == sampler.sample_relative(study, trial, space)


def test_a_pruned_trial_is_never_among_the_best_that_are_shown() -> None:
    known = [
        ObservedTrial(each.params, (), each.curve) if n < 200 else each
        for n, each in enumerate(many(230))
    ]

    shown = sampling._shown(known)

    assert sum(bool(each.values) for each in shown) >= 25
    assert all(each in shown for each in sorted(known[200:], key=lambda t: -t.values[0])[:25])


def test_trials_on_the_pareto_front_are_always_shown() -> None:
    known = [ObservedTrial({"b": n / 100}, (float(n), 0.0), []) for n in range(100)]
    known[0] = ObservedTrial({"b": 0.0}, (-1.0, 1.0), [])  # worst in the first, best in the second

    shown = sampling._shown(known)

    assert known[0] in shown
    assert known[99] in shown
    assert known[76:] == list(shown[-24:])
