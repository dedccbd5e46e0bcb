from collections.abc import Callable, Sequence
from typing import Any

import pytest

import flows.experiment as flow_module
from flows.result import Result
from recsys.errors import InputError
from recsys.models.als import Als
from tasks.tracking.client import open_client
from tests.flows.conftest import Lab, quick
from tests.flows.recorded import comparable, has_factors, running, values

pytestmark = pytest.mark.flow


@pytest.fixture
def fit_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[int], BaseException], None]:
    """Let the nth fits from now on raise instead, counted from 0."""
    fit = Als.fit

    def install(which: Sequence[int], error: BaseException) -> None:
        calls = iter(range(10_000))

        def failing(self: Als, *given: Any) -> Als:
            if next(calls) in which:
                raise error
            return fit(self, *given)

        monkeypatch.setattr(Als, "fit", failing)

    return install


@pytest.fixture(scope="module")
def cut_off(lab: Lab, first: Result) -> Result:
    """The first study once more, interrupted in its second trial and in its last model."""
    patch = pytest.MonkeyPatch()
    fit = Als.fit
    calls = iter(range(100))

    def interrupted(self: Als, *given: Any) -> Als:
        # Fit 1 is the second trial; then come trials 1 and 2 again, and the winner.
        if next(calls) in (1, 4):
            raise KeyboardInterrupt
        return fit(self, *given)

    patch.setattr(Als, "fit", interrupted)
    try:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                lab.run("cut off")
            assert running(lab) == []
            assert lab.study("cut off").info.status == "KILLED"
        return lab.run("cut off")
    finally:
        patch.undo()


def test_an_interrupted_study_ends_like_one_that_was_not(first: Result, cut_off: Result) -> None:
    assert comparable(cut_off) == comparable(first)


def test_an_interrupt_as_the_study_opens_leaves_no_run_running(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = flow_module.open_study

    def interrupted(*given: Any) -> Any:
        opening(*given)  # its run is RUNNING
        raise KeyboardInterrupt

    monkeypatch.setattr(flow_module, "open_study", interrupted)
    for _ in range(2):  # new, and resumed
        with pytest.raises(KeyboardInterrupt):
            lab.run("interrupted as it opens")
        assert lab.study("interrupted as it opens").info.status == "KILLED"


def test_an_interrupted_trial_is_killed_and_repeated_with_its_parameters(
    lab: Lab, cut_off: Result
) -> None:
    client = open_client(lab.workspace)
    parent = client.get_run(cut_off.runs["study"])
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' and tags.trial = '1'"
    both = client.search_runs([parent.info.experiment_id], query, order_by=["start_time"])

    assert [run.info.status for run in both] == ["KILLED", "FINISHED"]
    assert both[0].data.params == both[1].data.params
    assert both[1].info.run_id == cut_off.trials[1].run


def test_a_resumed_study_is_one_finished_run(lab: Lab, cut_off: Result) -> None:
    parent = open_client(lab.workspace).get_run(cut_off.runs["study"])

    assert parent.info.status == "FINISHED"
    assert "error" not in parent.data.tags
    assert running(lab) == []


def test_a_study_is_widened_by_asking_for_more_trials(lab: Lab, cut_off: Result) -> None:
    wider = lab.run("cut off", study={"trials": 4, "keep_factors": "none"})

    assert values(wider)[:3] == values(cut_off)
    assert len(wider.trials) == 4
    assert wider.runs["study"] == cut_off.runs["study"]


def test_a_trial_that_fails_is_failed_on_both_sides_and_the_search_goes_on(
    lab: Lab, fit_fails: Callable[[Sequence[int], BaseException], None]
) -> None:
    fit_fails([1, 2, 3], MemoryError("8 TiB of factors"))

    result = lab.run("failing", study={"keep_factors": "none"})

    assert [trial.slot for trial in result.trials] == [0, 2]
    assert result.failed == {1: "MemoryError: 8 TiB of factors"}
    assert result.as_json()["failed"] == {"1": "MemoryError: 8 TiB of factors"}
    failed = lab.runs(result.runs["study"])["trial 001"]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["error"] == "MemoryError: 8 TiB of factors"
    assert failed.data.tags["attempt"] == "3"  # memory may have been another's for a while
    assert running(lab) == []
    runs = [*(trial.run for trial in result.trials), result.runs["final"]]
    assert not any(has_factors(lab, run) for run in runs)


def test_a_study_whose_every_trial_fails_ends_with_the_reason(
    lab: Lab, fit_fails: Callable[[Sequence[int], BaseException], None]
) -> None:
    fit_fails(range(10), ValueError("no factors today"))

    with pytest.raises(InputError, match=r"none of 3 trials .*no factors today"):
        lab.run("hopeless", study={"trials": 10})
    parent = lab.study("hopeless")
    assert parent.info.status == "FAILED"
    assert "no factors today" in parent.data.tags["error"]
    assert running(lab) == []


def test_a_failure_before_a_trial_begins_leaves_nothing_running(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for begun in ("tasks.study.attempt.start_child", "tasks.study.attempt.find_measured"):
        with monkeypatch.context() as patch:
            patch.setattr(begun, interrupted)
            with pytest.raises(KeyboardInterrupt):
                lab.run("not begun", study={"fresh": False})

        assert running(lab) == []


def test_a_killed_study_is_recovered_when_it_is_resumed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGKILL: neither the trial nor any run was closed."""
    config = quick(study={"trials": 1, "keep_factors": "none"})

    class Killed(BaseException):
        """Ends the process as far as this test goes."""

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("tasks.study.attempt.measure", killed)
        patch.setattr("tasks.tuning.Search.interrupt", lambda *_: None)
        patch.setattr("tasks.tracking.runs.Run.end", lambda *_: None)
        patch.setattr("flows.searching.recover", lambda *_: None)
        with pytest.raises(Killed):
            flow_module.experiment(lab.plays, config, lab.workspace.root, None, "killed")
    assert sorted(running(lab)) == ["a trial in Optuna", "killed", "trial 000"]

    result = flow_module.experiment(lab.plays, config, lab.workspace.root, None, "killed")

    assert [trial.slot for trial in result.trials] == [0]
    assert running(lab) == []


def test_a_study_of_other_data_is_not_resumed(lab: Lab, first: Result) -> None:
    with pytest.raises(InputError, match=r"'first' was made with another .*split"):
        lab.run("first", seed=1)

    assert lab.study("first").info.status == "FINISHED"


def test_a_finished_study_that_is_resumed_is_not_judged_again(lab: Lab, first: Result) -> None:
    again = lab.run("first")

    assert comparable(again) == comparable(first)
    assert again.runs["final"] == first.runs["final"]
    assert again.seconds.get("fit", 0.0) == 0.0


def test_a_point_measured_by_one_study_is_not_trained_by_another(
    lab: Lab, first: Result, fit_fails: Callable[[Sequence[int], BaseException], None]
) -> None:
    fit_fails(range(1, 5), AssertionError("trained again"))  # fit 0 is that of the winner

    again = lab.run("the same again", study={"fresh": False, "trials": 3})

    assert values(again) == values(first)
    assert again.saved.reused == 3
    assert [trial.facts.source for trial in again.trials] != [None] * 3
    assert comparable(again)["trials"] == comparable(first)["trials"]
