from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, get_storage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from recsys.config import ExperimentConfig
from recsys.errors import InputError
from recsys.search.pruning import FinishedCurve
from recsys.search.space import Point
from tasks.tuning import Search, TakenOver, Trial, TrialFacts, sampling
from tasks.tuning.storage import open_storage
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import FileLocks, Locks, workspace_locks
from tests.tasks.tuning.searching import (
    LISTS,
    ME,
    MIXED,
    N_LISTS,
    SAMPLERS,
    Sampler,
    alive,
    claim,
    claimed,
    config_of,
    facts_of,
    measure,
    opened,
    report,
    value_of,
)

Enter = Callable[[str], None]


@pytest.fixture
def locks(workspace: Workspace) -> Locks:
    return workspace_locks(workspace)


@pytest.fixture
def enter(locks: Locks) -> Iterator[Enter]:
    """Let a worker live until the end of the test."""
    with ExitStack() as stack:
        yield lambda worker: stack.enter_context(locks.living(worker))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[list[sampling.ObservedTrial]]:
    """The finished trials that each draw of a point was shown."""
    found: list[list[sampling.ObservedTrial]] = []
    real = sampling.Points.point

    def noting(
        self: sampling.Points, slot: int, finished: Sequence[sampling.ObservedTrial], taken: Any
    ) -> Point:
        found.append(list(finished))
        return real(self, slot, finished, taken)

    monkeypatch.setattr(sampling.Points, "point", noting)
    return found


def in_storage(storage: BaseStorage, workspace: Workspace, config: ExperimentConfig) -> Search:
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE], "anything")
    return Search(storage, study_id, "anything", config, workspace_locks(workspace))


def points_of(search: Search) -> list[tuple[int, Point]]:
    """Slot and drawn point of every finished trial."""
    return [(each.slot, _drawn(each.params, search)) for each in search.finished]


def _drawn(params: Point, search: Search) -> Point:
    return {name: value for name, value in params.items() if name in search._space}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_storage_moves_no_point(
    workspace: Workspace, tmp_path: Path, sampler: Sampler, kind: str
) -> None:
    config = config_of(None, sampler)
    expected = measure(opened(workspace, config))
    storage = InMemoryStorage() if kind == "memory" else get_storage(f"sqlite:///{tmp_path}/o.db")

    assert [slot for slot, _ in expected] == list(range(12))
    assert measure(in_storage(storage, workspace, config)) == expected


@pytest.mark.postgres
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_postgres_moves_no_point(workspace: Workspace, postgres: str, sampler: Sampler) -> None:
    config = config_of(None, sampler)
    expected = measure(opened(workspace, config))

    assert measure(opened(replace(workspace, storage=postgres), config)) == expected


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stops=st.lists(st.integers(0, 13), max_size=3),
    how=st.sampled_from(["between", "interrupted", "died"]),
)
def test_an_interrupted_search_has_the_points_of_an_undisturbed_one(
    tmp_path_factory: pytest.TempPathFactory, sampler: Sampler, stops: list[int], how: str
) -> None:
    """TPE leaves its random start-up after six trials, so the last points depend on the rest."""
    workspace = Workspace.at(tmp_path_factory.mktemp("search"))
    config = config_of(None, sampler, trials=14)
    expected = measure(opened(workspace, config, "whole"))

    for n, stop in enumerate(stops):
        search = opened(workspace, config, "stopped")
        measure(search, stop)
        if how != "between" and (cut_off := claim(search, f"worker {n}")) is not None:
            search.started(cut_off, "cut off")
            search.point(cut_off, 1, 1e9)
            if how == "interrupted":
                search.interrupt(cut_off)
    measure(opened(workspace, config, "stopped"))

    assert points_of(opened(workspace, config, "stopped")) == expected


@pytest.mark.parametrize("trouble", ["failed", "running", "cut off", "nothing"])
def test_a_trial_that_is_not_finished_moves_no_later_point(
    workspace: Workspace, enter: Enter, trouble: str
) -> None:
    """Slot 8 is claimed while 7 is in any state; only its point is not drawn again."""
    enter("other")
    config = config_of(MIXED, "tpe")
    search = opened(workspace, config)
    measure(search, 7)
    seventh = claimed(search, "other")
    search.point(seventh, 1, 1e9)
    if trouble == "failed":
        search.fail(seventh, "error")
    elif trouble == "cut off":
        search.interrupt(seventh)
        enter("another")
        assert claimed(search, "another").slot == 7

    found = claimed(search).params

    finished = [
        sampling.ObservedTrial(each.params, each.values, each.curve)
        for each in _without_found(search)
    ]
    taken = {sampling.key_of(each.params) for each in finished}
    taken.add(sampling.key_of(seventh.params))
    alone = sampling.Points(config.space, config.study, config.seed)
    assert found == alone.point(8, finished, taken)


def _without_found(search: Search) -> list[Any]:
    return [replace(each, params=_drawn(each.params, search)) for each in search.finished]


def test_the_order_in_which_trials_finish_moves_no_point(
    workspace: Workspace, enter: Enter, shown: list[list[sampling.ObservedTrial]]
) -> None:
    """Random start-up points are known; finished in any order, they make the same ninth."""
    config = config_of(MIXED, "tpe")
    ninth = []
    for name, order in (("a", [0, 1, 2, 3, 4, 5, 6, 7]), ("b", [6, 2, 7, 0, 5, 1, 4, 3])):
        search = in_storage(InMemoryStorage(), workspace, config)
        trials = []
        for slot in range(8):
            enter(f"{name}{slot}")
            trials.append(claimed(search, f"{name}{slot}"))
        for slot in order:
            report(search, trials[slot], value_of(trials[slot].params))
        ninth.append(claimed(search))
        assert [each.params for each in shown[-1]] == [trial.params for trial in trials]

    assert ninth[0].slot == 8
    assert ninth[0].params == ninth[1].params


def test_points_stay_the_same_when_more_trials_are_finished_than_tpe_is_shown(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "GOOD", 3)
    monkeypatch.setattr(sampling, "REST", 4)
    config = config_of(MIXED, "tpe", trials=20)
    whole = measure(in_storage(InMemoryStorage(), workspace, config))

    while claim(search := opened(workspace, config), "dead") is not None:
        measure(opened(workspace, config), 3)

    assert points_of(search) == whole
    monkeypatch.setattr(sampling, "REST", 40)
    assert measure(in_storage(InMemoryStorage(), workspace, config)) != whole


def test_more_trials_are_those_of_a_wider_study(workspace: Workspace) -> None:
    whole = measure(opened(workspace, config_of(MIXED, "tpe"), "whole"))
    measure(opened(workspace, config_of(MIXED, "tpe", trials=5)))

    more = measure(opened(workspace, config_of(MIXED, "tpe")))

    assert more == whole[5:]


def test_a_claim_is_one_line_of_the_journal(workspace: Workspace) -> None:
    search = opened(workspace, config_of(MIXED, "tpe", default_first=True))
    measure(search, 2)
    before = workspace.studies.read_bytes()

    trial = claimed(search)

    added = workspace.studies.read_bytes()[len(before) :]
    assert added.count(b"\n") == 1
    assert added.endswith(b"\n")
    assert workspace.studies.read_bytes().startswith(before)
    assert (trial.slot, trial.attempt, trial.worker) == (2, 1, ME)


def test_an_outcome_is_one_line_after_the_facts_of_it(workspace: Workspace) -> None:
    search = opened(workspace, config_of(MIXED))
    trial = claimed(search)
    search.started(trial, "run")
    before = workspace.studies.read_bytes()

    search.complete(trial, [0.5], facts_of(trial))

    facts, outcome = workspace.studies.read_bytes()[len(before) :].splitlines()
    assert b'"facts"' in facts
    assert b'"state":1' in outcome  # TrialState.COMPLETE


def test_the_lowest_free_slot_is_claimed_first(workspace: Workspace, enter: Enter) -> None:
    for worker in ("a", "b", "c"):
        enter(worker)
    search = opened(workspace, config_of(MIXED))
    first, second, third = (claimed(search, worker) for worker in ("a", "b", "c"))
    assert [trial.slot for trial in (first, second, third)] == [0, 1, 2]

    search.interrupt(third)
    search.interrupt(first)
    report(search, second, 0.5)

    assert [claimed(search, worker).slot for worker in ("a", "b", "c")] == [0, 2, 3]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_dead_workers_slot_is_claimed_again_with_its_point_and_counts_the_attempts(
    workspace: Workspace, sampler: Sampler
) -> None:
    search = opened(workspace, config_of(None, sampler))
    measure(search, 2)
    dead = claimed(search, "dead")
    search.point(dead, 1, 0.5)

    again = claimed(opened(workspace, config_of(None, sampler)), "dead too")
    third = claimed(search)

    assert (again.slot, again.params, again.attempt) == (dead.slot, dead.params, 2)
    assert (third.slot, third.params, third.attempt) == (dead.slot, dead.params, 3)
    assert len({dead.number, again.number, third.number}) == 3
    report(search, third, 0.5)
    assert search.finished[-1].attempts == 3


def test_a_living_workers_slot_is_not_claimed_again(workspace: Workspace, locks: Locks) -> None:
    search = opened(workspace, config_of(MIXED, trials=2))
    with locks.living("other"):
        theirs = claimed(search, "other")

        assert [claimed(search, name).slot for name in ("a", "b", "c")] == [1, 1, 1]
        report(search, claimed(search), 0.5)
        assert claim(search) is None
        assert search.others(ME) == [0]
        assert search.others("other") == []

    assert search.others(ME) == []
    again = claimed(search)
    assert (again.slot, again.params) == (0, theirs.params)
    report(search, again, 0.25)
    assert [each.slot for each in search.done] == [each.slot for each in search.finished] == [0, 1]


def test_a_worker_that_others_take_for_dead_claims_nothing(workspace: Workspace) -> None:
    search = opened(workspace, config_of(MIXED))

    with pytest.raises(InputError, match=r"study study: the lock that shows .* start the command"):
        search.claim("dead")

    assert search.outcomes() == {}


def test_workers_that_claim_at_once_never_get_the_same_slot_or_point(
    workspace: Workspace, enter: Enter
) -> None:
    config = config_of(LISTS, trials=100)

    def work(worker: str) -> list[tuple[int, Point]]:
        return measure(opened(workspace, config), worker=worker)

    for n in range(4):
        enter(str(n))
    with ThreadPoolExecutor(4) as pool:
        found = [each for part in pool.map(work, "0123") for each in part]

    assert sorted(slot for slot, _ in found) == list(range(N_LISTS))
    assert len({sampling.key_of(point) for _, point in found}) == N_LISTS


def test_an_interrupted_trial_is_claimed_again_and_a_failed_one_is_not(
    workspace: Workspace,
) -> None:
    search = opened(workspace, config_of(MIXED, trials=3))
    search.fail(claimed(search), "x" * 100_000)
    cut_off = claimed(search)

    assert search.interrupt(cut_off)
    assert not search.interrupt(cut_off)
    points = measure(search)

    assert [slot for slot, _ in points] == [1, 2]
    assert search.failed == {0: "x" * 2000}
    assert [(each.slot, each.attempts) for each in search.done] == [(1, 2), (2, 1)]
    assert search.ended == 3


def test_a_failure_counts_once_its_error_is_written(workspace: Workspace) -> None:
    """The error is written first; without the state the trial looks cut off, but is not."""
    search = opened(workspace, config_of(MIXED, trials=2))
    trial = claimed(search, "dead")
    search._storage.set_trial_user_attr(trial.key, "error", "ValueError: too big")

    assert claimed(search).slot == 1
    assert search.failed == {0: "ValueError: too big"}


def taken_over(search: Search) -> tuple[Trial, Trial]:
    """A trial whose worker was taken for dead, and the attempt that repeats it."""
    mine = claimed(search, "taken for dead")
    search.started(mine, "my run")
    return mine, claimed(search)


Act = Callable[[Search, Trial], None]


@pytest.mark.parametrize(
    "act",
    [
        lambda search, trial: search.complete(trial, [1e9], facts_of(trial)),
        lambda search, trial: search.prune(trial, facts_of(trial)),
        lambda search, trial: search.fail(trial, "error"),
        lambda search, trial: search.started(trial, "another run"),
        lambda search, trial: search.point(trial, 3, 1e9),
        lambda search, trial: search.measured(trial, [(1, 1e9)]),
    ],
    ids=["complete", "prune", "fail", "started", "point", "measured"],
)
def test_a_trial_that_was_taken_over_cannot_be_written_to(
    workspace: Workspace, enter: Enter, act: Act
) -> None:
    enter(ME)
    search = opened(workspace, config_of(MIXED, trials=2))
    mine, theirs = taken_over(search)
    before = search.outcomes()

    with pytest.raises(TakenOver, match="trial 0 was taken over by another worker"):
        act(search, mine)

    for each in (search, opened(workspace, config_of(MIXED, trials=2))):
        assert each.outcomes() == before == {0: ("cut off", "my run"), 1: ("running", None)}
        assert each.failed == {}
    report(search, theirs, 0.5)
    assert [(each.value, each.attempts) for each in search.done] == [(0.5, 2)]
    assert [each.value for each in opened(workspace, config_of(MIXED, trials=2)).done] == [0.5]


def test_freeing_the_dead_cuts_off_theirs_alone(workspace: Workspace, enter: Enter) -> None:
    enter("other")
    search = opened(workspace, config_of(MIXED))
    claimed(search, "other")
    claimed(search, "dead")

    search.free_dead_trials()

    assert search.outcomes() == {0: ("running", None), 1: ("cut off", None)}


def test_outcomes_hold_the_state_and_run_of_every_attempt(
    workspace: Workspace, enter: Enter
) -> None:
    enter("other")
    search = opened(workspace, config_of(MIXED))
    report(search, claimed(search), 0.5)
    report(search, claimed(search))
    search.fail(claimed(search), "error")
    search.interrupt(claimed(search))
    running = claimed(search, "other")
    search.started(running, "run of the other")

    assert search.outcomes() == {
        0: ("complete", "run-0-1"),
        1: ("pruned", "run-1-1"),
        2: ("failed", None),
        3: ("cut off", None),
        4: ("running", "run of the other"),
    }


def test_what_was_measured_is_read_back_exactly(workspace: Workspace) -> None:
    config = config_of(MIXED, "tpe", trials=2)
    search = opened(workspace, config)
    trial = claimed(search)
    search.started(trial, "run 1")
    for iteration, value in ((10, 0.75), (2, 0.1), (4, 1 / 3)):
        search.point(trial, iteration, value)
    search.complete(trial, [0.1 + 0.2], TrialFacts(4, 10, 15, "source"))

    (done,) = opened(workspace, config).done

    assert (done.slot, done.run, done.attempts) == (0, "run 1", 1)
    assert done.params == {**trial.params, "iterations": 4}
    assert done.values == (0.1 + 0.2,)
    assert done.value == 0.1 + 0.2
    assert done.facts == TrialFacts(4, 10, 15, "source")
    assert done.curve == ((2, 0.1), (4, 1 / 3), (10, 0.75))


def test_a_pruned_trial_is_finished_with_its_curve_and_without_a_value(
    workspace: Workspace,
) -> None:
    config = config_of(MIXED, trials=3)
    search = opened(workspace, config)
    report(search, claimed(search), 0.5)
    report(search, claimed(search))

    found = opened(workspace, config)

    assert [each.slot for each in found.finished] == [0, 1]
    assert [each.slot for each in found.done] == [0]
    (pruned,) = found.pruned
    assert pruned.values == ()
    assert [iteration for iteration, _ in pruned.curve] == [1, 2]
    with pytest.raises(ValueError, match="trial 1 was pruned and has no value"):
        _ = pruned.value
    assert found.curves() == {
        0: FinishedCurve(((1, 0.25), (2, 0.5)), pruned=False),
        1: FinishedCurve(pruned.curve, pruned=True),
    }
    assert found.ended == 2


def test_the_best_of_equals_is_the_first_and_no_pruned_one(workspace: Workspace) -> None:
    search = opened(workspace, config_of(MIXED, trials=6))
    report(search, claimed(search))
    for value in (0.1, 0.3, 0.2, 0.3, 0.0):
        report(search, claimed(search), value)

    assert (search.best.slot, search.best.value) == (2, 0.3)


def test_a_study_without_a_measured_trial_has_no_best_and_says_why(workspace: Workspace) -> None:
    search = opened(workspace, config_of(MIXED, trials=3))
    with pytest.raises(InputError, match="none was run"):
        _ = search.best
    for _ in range(2):
        search.fail(claimed(search), "MemoryError: 8 TiB")

    with pytest.raises(InputError, match=r"none of 2 trials .*\(MemoryError: 8 TiB\); change"):
        _ = search.best


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_space_with_fewer_points_than_trials_ends_the_study(
    workspace: Workspace, sampler: Sampler
) -> None:
    search = opened(workspace, config_of(LISTS, sampler, trials=100))

    points = measure(search)

    assert search.wanted == search.size == search.ended == len(points) == N_LISTS
    assert len({sampling.key_of(point) for _, point in points}) == N_LISTS
    assert claim(search, ME) is None


def test_no_more_trials_are_given_than_are_wanted(workspace: Workspace) -> None:
    search = opened(workspace, config_of(LISTS, "grid", trials=5))

    assert search.wanted == len(measure(search)) == 5
    assert claim(opened(workspace, config_of(LISTS, "grid", trials=4)), ME) is None
    assert opened(workspace, config_of(MIXED, trials=5), "endless").size is None


PINNED = {"factors": [8, 16], "iterations": [5, 10, 15], "alpha": [1.0]}


@pytest.mark.parametrize("trials", [3, 6])
@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_shared_iterations_are_those_of_other_trials_on_the_same_path(
    workspace: Workspace, sampler: Sampler, trials: int
) -> None:
    config = config_of(PINNED, sampler, trials=trials)
    search = opened(workspace, config)
    planned = sampling.Points(config.space, config.study, config.seed).planned(trials)

    for point in planned:
        trial = claimed(search)
        report(search, trial, 0.5)
        same_path = [p for p in planned if p["factors"] == point["factors"] and p != point]
        expected = sorted(int(p["iterations"]) for p in same_path)
        assert (trial.params, search.shared_iterations(trial)) == (point, expected)


def test_a_study_that_learns_or_finds_its_iterations_knows_no_shared_iterations(
    workspace: Workspace,
) -> None:
    learns = opened(workspace, config_of(PINNED, "tpe"), "learns")
    found = {**PINNED, "iterations": {"low": 5, "high": 15}}
    finds = opened(workspace, config_of(found, "random"), "finds")

    assert learns.shared_iterations(claimed(learns)) == []
    assert finds.shared_iterations(claimed(finds)) == []


def test_iterations_that_are_found_are_not_drawn(workspace: Workspace) -> None:
    table = {"factors": [8, 16], "iterations": {"low": 5, "high": 15}}
    search = opened(workspace, config_of(table, "tpe", trials=9))

    assert search.wanted == search.size == 2
    trial = claimed(search)
    assert set(trial.params) == {"factors"}
    search.started(trial, "run")
    search.complete(trial, [0.5], TrialFacts(11, 15, 15))
    assert search.best.params["iterations"] == 11


def test_of_several_objectives_less_is_more_where_it_is_better(
    workspace: Workspace, shown: list[list[sampling.ObservedTrial]]
) -> None:
    config = config_of(MIXED, "tpe", also=["gini@10", "coverage@10"])
    search = opened(workspace, config)
    report(search, claimed(search), 0.5, 0.9, 0.25)
    report(search, claimed(search), 0.75, 0.3, 0.5)

    claimed(search)

    assert [each.values for each in shown[-1]] == [(0.5, -0.9, 0.25), (0.75, -0.3, 0.5)]
    assert [each.values for each in search.done] == [(0.5, 0.9, 0.25), (0.75, 0.3, 0.5)]
    assert search.best.slot == 1
    directions = search._storage.get_study_directions(search._id)
    assert [each.name for each in directions] == ["MAXIMIZE", "MINIMIZE", "MAXIMIZE"]


def test_the_parameter_that_matters_is_the_most_important(workspace: Workspace) -> None:
    table = {"b": {"low": 0.0, "high": 1.0}, "power": {"low": 0.1, "high": 1.0}, "alpha": 2.0}
    search = opened(workspace, config_of(table, trials=24))
    while (trial := claim(search, ME)) is not None:
        report(search, trial, float(trial.params["power"]) ** 2)

    shares = search.importances()

    (name, (share, spread)), *_ = shares.items()
    assert name == "power"
    assert share > 0.8
    assert 0 < spread < 0.3
    assert sum(each for each, _ in shares.values()) == pytest.approx(1)
    assert search.importances() == shares


@pytest.mark.parametrize("values", [(0.1, 0.2, 0.3), (0.5,) * 9])
def test_too_few_or_equal_trials_have_no_importances(
    workspace: Workspace, values: tuple[float, ...]
) -> None:
    search = opened(workspace, config_of(MIXED, trials=9))
    for value in values:
        report(search, claimed(search), value)

    assert search.importances() == {}


def test_importances_are_those_of_the_dashboard(workspace: Workspace) -> None:
    search = opened(workspace, config_of(MIXED, trials=9))
    for value in range(9):
        report(search, claimed(search), float(value))

    shown = optuna.importance.get_param_importances(
        optuna.load_study(study_name="study", storage=open_storage(workspace)),
        evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
    )
    assert {name: share for name, (share, _) in search.importances().items()} == shown
    assert "power" in shown  # also of those with a condition


def test_facts_about_a_study_are_remembered(workspace: Workspace) -> None:
    config = config_of(MIXED)
    search = opened(workspace, config)
    assert search.recall("parent") is None
    search.remember("parent", "run 1")

    assert opened(workspace, config).recall("parent") == "run 1"
    assert opened(workspace, config, "other").recall("parent") is None
    assert search.name == "study"


def test_trials_of_optuna_carry_what_its_dashboard_shows(workspace: Workspace) -> None:
    config = config_of(MIXED, default_first=True)
    search = opened(workspace, config)
    report(search, claimed(search), 0.5)

    study = optuna.load_study(study_name="study", storage=search._storage)

    (trial,) = study.get_trials()
    assert trial.state == TrialState.COMPLETE
    assert trial.params == search._trials()[0].params == trial.user_attrs["point"]
    assert trial.datetime_start is not None
    assert trial.datetime_complete is not None


def test_a_claim_reads_and_writes_under_the_lock_of_the_study(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = opened(workspace, config_of(MIXED, trials=3))
    held: list[str] = []
    touched: list[tuple[str, bool]] = []
    exclusive = FileLocks.exclusive

    @contextmanager
    def noted(self: FileLocks, name: str) -> Iterator[None]:
        with exclusive(self, name):
            held.append(name)
            yield
            held.remove(name)

    monkeypatch.setattr(FileLocks, "exclusive", noted)
    for name in ("get_all_trials", "create_new_trial"):
        called = getattr(JournalStorage, name)

        def spied(*args: Any, called: Any = called, name: str = name, **more: Any) -> Any:
            touched.append((name, "study-study" in held))
            return called(*args, **more)

        monkeypatch.setattr(JournalStorage, name, spied)

    claimed(search)

    assert {name for name, _ in touched} == {"get_all_trials", "create_new_trial"}
    assert all(locked for _, locked in touched)


def test_a_search_ends_where_trials_bring_no_new_best_and_a_killed_one_ends_there_too(
    workspace: Workspace,
) -> None:
    config = config_of({"factors": list(range(1, 41))}, "random", trials=40, stop_after=6)
    whole = opened(workspace, config, "whole")
    points = measure(whole)

    assert whole.wanted == whole.stopped == len(points) < 40
    values = [done.value if done.values else -1.0 for done in whole.finished]
    assert max(values) == max(values[:-6]) > max(values[-6:])
    for n in (3, len(points) - 1):
        search = opened(workspace, config, f"cut at {n}")
        measure(search, n)
        with alive(search, "dies"):
            cut_off = search.claim("dies")
        assert cut_off is not None
        assert measure(opened(workspace, config, f"cut at {n}")) == points[n:]
    longer = opened(workspace, config_of(config_table(config), "random", trials=40), "whole")
    assert longer.wanted == 40
    assert claim(longer, ME) is not None


def config_table(config: ExperimentConfig) -> dict[str, Any]:
    return config.model_dump()["search"]
