from collections.abc import Iterable
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.config import AlsConfig, StudyConfig
from recsys.errors import InputError
from recsys.space import Choice, Floats, Ints, Point, Space, Value
from tasks.tuning import Search, Trial, open_search
from tasks.workspace import Workspace

Sampler = Literal["random", "tpe", "grid"]
SAMPLERS: tuple[Sampler, ...] = ("random", "tpe", "grid")

MIXED: Space = {
    "factors": Ints(8, 512, log=True),
    "regularization": Floats(0.01, 1000.0, log=True),
    "weighting": Choice(("share", "log", "linear")),
    "power": Floats(0.2, 1.5, when={"weighting": "share"}),
    "epsilon": Floats(0.1, 1000.0, log=True, when={"weighting": "log"}),
}
LISTS: Space = {
    "factors": Choice((8, 16, 32)),
    "alpha": Choice((0.5, 1.0)),
    "weighting": Choice(("share", "linear")),
    "power": Choice((0.5, 0.8), when={"weighting": "share"}),
}
MADE_FROM = {"split": "abcd", "code": "1234"}


def opened(
    workspace: Workspace,
    space: Space,
    sampler: Sampler = "random",
    *,
    trials: int = 12,
    seed: int = 0,
    name: str = "study",
    default_first: bool = False,
) -> Search:
    config = StudyConfig(sampler=sampler, trials=trials, default_first=default_first)
    return open_search(workspace, name, space, config, seed, MADE_FROM)


def value_of(point: Point) -> float:
    """Any landscape will do that depends on every parameter."""

    def number(value: Value) -> float:
        return float(len(value)) if isinstance(value, str) else float(value) % 7.3

    return sum(number(value) * (n + 1) for n, value in enumerate(point.values()))


def measure(search: Search, n: int | None = None) -> list[tuple[int, Point]]:
    """Measure what is asked, at most `n` points."""
    found: list[tuple[int, Point]] = []
    while (n is None or len(found) < n) and (trial := search.ask()) is not None:
        search.started(trial, f"run-{trial.slot}")
        search.tell(trial, value_of(trial.params))
        found.append((trial.slot, trial.params))
    return found


def asked(search: Search) -> Trial:
    trial = search.ask()
    assert trial is not None
    return trial


def space_for(sampler: Sampler) -> Space:
    return LISTS if sampler == "grid" else MIXED


def test_the_default_point_is_tried_first_where_it_is_asked_for(workspace: Workspace) -> None:
    search = opened(workspace, MIXED, "tpe", default_first=True)

    first = asked(search).params

    known = AlsConfig()
    assert first == {
        "factors": known.factors,
        "regularization": known.regularization,
        "weighting": known.weighting,
        "power": known.power,
    }


def test_the_default_point_is_tried_once(workspace: Workspace) -> None:
    points = measure(opened(workspace, MIXED, "random", default_first=True, trials=4))

    assert len({tuple(point.items()) for _, point in points}) == 4


def test_a_default_that_the_space_does_not_hold_is_brought_inside(workspace: Workspace) -> None:
    space: Space = {
        "factors": Ints(2, 4),
        "weighting": Choice(("linear",)),
        "alpha": Floats(1e4, 1e5),
    }

    first = asked(opened(workspace, space, "tpe", default_first=True)).params

    assert first == {"factors": 4, "weighting": "linear", "alpha": 1e4}


def test_the_first_point_is_drawn_where_the_default_is_not_asked_for(workspace: Workspace) -> None:
    drawn = [
        asked(opened(workspace, MIXED, "random", seed=seed, name=f"s{seed}")).params
        for seed in range(3)
    ]

    assert len({tuple(point.items()) for point in drawn}) == 3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_gives_the_same_points_whatever_the_name(
    workspace: Workspace, sampler: Sampler
) -> None:
    one, other = (
        measure(opened(workspace, space_for(sampler), sampler, name=name)) for name in "ab"
    )

    assert one == other
    assert [slot for slot, _ in one] == list(range(12))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_seed_gives_other_points(workspace: Workspace, sampler: Sampler) -> None:
    one, other = (
        measure(opened(workspace, space_for(sampler), sampler, seed=seed, name=f"s{seed}"))
        for seed in (1, 2)
    )

    assert one != other


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stops=st.lists(st.integers(0, 13), max_size=3),
    how=st.sampled_from(["between", "told", "died"]),
)
def test_an_interrupted_search_goes_on_with_the_points_it_would_have_had(
    tmp_path_factory: pytest.TempPathFactory, sampler: Sampler, stops: list[int], how: str
) -> None:
    """TPE leaves its random start-up after ten trials, so the last points depend on the rest."""
    workspace = Workspace.at(tmp_path_factory.mktemp("search"))

    def searched(name: str) -> Search:
        return opened(workspace, space_for(sampler), sampler, trials=14, name=name)

    expected = measure(searched("whole"))
    for stop in stops:
        search = searched("stopped")
        search.reconcile()
        measure(search, stop)
        if how != "between" and (cut_off := search.ask()) is not None:
            search.started(cut_off, "cut off")
            if how == "told":
                search.interrupt(cut_off)
    search = searched("stopped")
    search.reconcile()
    measure(search)

    assert [(done.slot, done.params) for done in search.done] == expected


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_trial_that_was_cut_off_is_asked_again_with_the_same_point(
    workspace: Workspace, sampler: Sampler
) -> None:
    search = opened(workspace, space_for(sampler), sampler)
    measure(search, 2)
    cut_off = asked(search)
    search.interrupt(cut_off)

    again = asked(search)

    assert (again.slot, again.params) == (cut_off.slot, cut_off.params)
    assert again.number != cut_off.number


def test_a_trial_that_failed_is_not_tried_again_and_keeps_its_error(workspace: Workspace) -> None:
    search = opened(workspace, MIXED, trials=3)
    failed = asked(search)
    search.fail(failed, "ValueError: too big")

    points = measure(search)

    assert [slot for slot, _ in points] == [1, 2]
    assert search.failed == {0: "ValueError: too big"}
    assert [done.slot for done in search.done] == [1, 2]


def test_a_failure_does_not_change_the_points_of_the_others(workspace: Workspace) -> None:
    whole = measure(opened(workspace, MIXED, "random", name="whole"))
    search = opened(workspace, MIXED, "random", name="failing")
    search.fail(asked(search), "error")

    assert measure(search) == whole[1:]


def test_a_grid_gives_each_point_once_and_no_more_than_it_has(workspace: Workspace) -> None:
    search = opened(workspace, LISTS, "grid", trials=100)

    points = [tuple(sorted(point.items())) for _, point in measure(search)]

    # 3 x 2 with linear, and 3 x 2 x 2 with share and its power.
    assert search.wanted == len(points) == len(set(points)) == 18
    assert {len(point) for point in points} == {3, 4}
    assert search.ask() is None


def test_a_grid_gives_no_more_points_than_wanted(workspace: Workspace) -> None:
    search = opened(workspace, LISTS, "grid", trials=5)

    assert search.wanted == len(measure(search)) == 5


def test_a_grid_that_is_cut_short_is_not_the_first_corner_of_the_space(
    workspace: Workspace,
) -> None:
    points = measure(opened(workspace, {"factors": Choice(tuple(range(1, 101)))}, "grid", trials=5))

    assert [point["factors"] for _, point in points] != [1, 2, 3, 4, 5]


def test_a_grid_over_real_numbers_is_an_error_with_a_remedy(workspace: Workspace) -> None:
    with pytest.raises(InputError, match=r"search\.alpha; give lists, or set study\.sampler"):
        opened(workspace, {"alpha": Floats(0, 1)}, "grid")


def test_a_study_can_be_widened_by_more_trials(workspace: Workspace) -> None:
    whole = measure(opened(workspace, MIXED, "tpe", name="whole"))
    measure(opened(workspace, MIXED, "tpe", trials=5))

    more = measure(opened(workspace, MIXED, "tpe", trials=12))

    assert more == whole[5:]


def test_a_finished_study_asks_for_nothing(workspace: Workspace) -> None:
    measure(opened(workspace, MIXED, trials=3))

    assert opened(workspace, MIXED, trials=3).ask() is None
    assert opened(workspace, MIXED, trials=2).ask() is None


def test_conditional_parameters_come_only_with_their_condition(workspace: Workspace) -> None:
    points = [point for _, point in measure(opened(workspace, MIXED, "random", trials=30))]

    assert {str(point["weighting"]) for point in points} == {"share", "log", "linear"}
    for point in points:
        assert ("power" in point) == (point["weighting"] == "share")
        assert ("epsilon" in point) == (point["weighting"] == "log")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_points_lie_in_the_space_and_have_its_types(workspace: Workspace, sampler: Sampler) -> None:
    for _, point in measure(opened(workspace, space_for(sampler), sampler)):
        AlsConfig.model_validate(point)
        assert isinstance(point["factors"], int)
        assert 8 <= point["factors"] <= 512


def test_what_was_measured_is_read_back_exactly(workspace: Workspace) -> None:
    points = measure(opened(workspace, MIXED, "tpe", trials=4))

    done = opened(workspace, MIXED, "tpe", trials=4).done

    assert [(d.slot, d.params) for d in done] == points
    assert [d.value for d in done] == [value_of(point) for _, point in points]
    assert [d.run for d in done] == ["run-0", "run-1", "run-2", "run-3"]


def tell_all(search: Search, values: Iterable[float]) -> None:
    for value in values:
        trial = asked(search)
        search.started(trial, f"run-{trial.slot}")
        search.tell(trial, value)


def test_the_best_of_equals_is_the_first(workspace: Workspace) -> None:
    search = opened(workspace, MIXED, trials=5)
    tell_all(search, [0.1, 0.3, 0.2, 0.3, 0.0])

    assert (search.best.slot, search.best.value) == (1, 0.3)


def test_a_study_without_a_measured_trial_has_no_best_and_says_why(workspace: Workspace) -> None:
    search = opened(workspace, MIXED, trials=3)
    with pytest.raises(InputError, match="none was run"):
        _ = search.best
    for _ in range(2):
        search.fail(asked(search), "MemoryError: 8 TiB")

    with pytest.raises(InputError, match=r"none of 2 trials .*\(MemoryError: 8 TiB\); change"):
        _ = search.best


def test_reconciling_closes_what_a_dead_process_left_and_names_its_runs(
    workspace: Workspace,
) -> None:
    search = opened(workspace, MIXED, trials=3)
    measure(search, 1)
    left = asked(search)
    search.started(left, "run of the dead")

    found = opened(workspace, MIXED, trials=3)
    runs = found.reconcile()

    assert runs == ["run of the dead"]
    assert found.reconcile() == []
    assert found.failed == {}
    again = asked(found)
    assert (again.slot, again.params) == (left.slot, left.params)


def test_reconciling_also_closes_a_trial_that_died_before_it_had_a_run(
    workspace: Workspace,
) -> None:
    asked(opened(workspace, MIXED))

    assert opened(workspace, MIXED).reconcile() == []
    assert opened(workspace, MIXED).reconcile() == []


@pytest.mark.parametrize("what", ["split", "code"])
def test_a_study_made_from_something_else_is_refused_by_name(
    workspace: Workspace, what: str
) -> None:
    opened(workspace, MIXED)
    other = {**MADE_FROM, what: "other"}

    with pytest.raises(InputError, match=rf"'study' was made with another {what};.*--study name"):
        open_search(workspace, "study", MIXED, StudyConfig(), 0, other)


def test_a_refused_study_stays_as_it_was(workspace: Workspace) -> None:
    points = measure(opened(workspace, MIXED, trials=2))
    with pytest.raises(InputError):
        open_search(workspace, "study", MIXED, StudyConfig(trials=2), 0, {"split": "other"})

    assert [(d.slot, d.params) for d in opened(workspace, MIXED, trials=2).done] == points


def test_facts_about_a_study_are_remembered(workspace: Workspace) -> None:
    search = opened(workspace, MIXED)
    assert search.recall("parent") is None
    search.remember("parent", "run 1")

    assert opened(workspace, MIXED).recall("parent") == "run 1"
    assert opened(workspace, MIXED, name="other").recall("parent") is None
    assert search.name == "study"
