"""A trial that was measured before is copied, and only such a trial."""

from typing import Any

import pytest

from recsys.evaluation.store import load_report
from tasks.study.attempt import AttemptResult
from tasks.tracking.copying import delete_runs
from tasks.tracking.runs import Run
from tasks.tuning import TrialFacts
from tests.tasks.lab import (
    ONE,
    ONE_POINT,
    Bench,
    FitRaises,
    MakeBench,
)

PINNED = {**ONE_POINT, "iterations": 4}
FACTORS = {"factors/user_factors.npy", "factors/item_factors.npy"}


def metrics_of(made: Bench, run: str) -> dict[str, list[tuple[int, float]]]:
    return {name: made.history(run, name) for name in made.run(run).data.metrics}


@pytest.mark.parametrize("table", [ONE, PINNED], ids=["found", "pinned"])
def test_a_measured_trial_is_copied_and_not_trained(
    bench: MakeBench, fits: list[int], table: dict[str, Any]
) -> None:
    first = bench("first", search=table)
    first.attempt()
    (source,) = first.search.done
    trainings = len(fits)
    made = bench("second", search=table)

    outcome = made.attempt()

    assert outcome == AttemptResult(0, "reused")
    assert len(fits) == trainings
    (done,) = made.search.done
    assert done.run != source.run
    assert (done.values, done.curve, done.params) == (source.values, source.curve, source.params)
    assert done.facts == TrialFacts(source.facts.iterations, 0, source.facts.asked, source.run)
    run = made.run(done.run)
    assert run.info.status == "FINISHED"
    assert run.data.tags["source_run"] == source.run
    assert run.data.tags["source_factors"].endswith(f"{source.run}/artifacts/factors")
    assert run.data.tags["study"] == "second"
    assert run.data.params == first.run(source.run).data.params
    assert metrics_of(made, done.run) == metrics_of(first, source.run)
    for (name, path), (other, original) in zip(
        sorted(made.files(done.run).items()), sorted(first.files(source.run).items()), strict=True
    ):
        assert name == other
        assert path.samefile(original)  # a link takes no room


def test_a_study_with_an_objective_at_another_k_takes_it_from_the_files_of_its_source(
    bench: MakeBench, fits: list[int]
) -> None:
    first = bench("first", search=PINNED)
    first.attempt()
    (source,) = first.search.done
    made = bench("second", search=PINNED, study={"metric": "precision@1"})

    outcome = made.attempt()

    assert outcome.state == "reused"
    assert len(fits) == 1
    (done,) = made.search.done
    summary = load_report(made.files(done.run)["per_user.parquet"].parent).summary()
    assert done.values == (summary["precision@1"],)
    known = first.run(source.run).data.metrics
    assert "validation/precision_at_1" not in known
    added = made.run(done.run).data.metrics.keys() - known.keys()
    assert added == {f"validation/{n.replace('@', '_at_')}" for n in summary if n.endswith("@1")}


def test_a_copy_survives_the_deletion_of_its_source_and_is_a_source_itself(
    bench: MakeBench, fits: list[int]
) -> None:
    first = bench("first", search=ONE)
    first.attempt()
    second = bench("second", search=ONE)
    second.attempt()
    (source,) = first.search.done
    learned = {name: path.read_bytes() for name, path in first.arrays(source.run).items()}
    delete_runs(first.study.workspace, [source.run])

    third = bench("third", search=ONE)
    assert third.attempt().state == "reused"

    (copy,), (done,) = second.search.done, third.search.done
    assert done.facts.source == copy.run
    assert {n: path.read_bytes() for n, path in third.arrays(done.run).items()} == learned
    assert len(fits) == 1


@pytest.mark.parametrize(
    "changed",
    [{"study": {"fresh": True}}, {"split": "other"}, {"search": {**ONE, "alpha": 5.0}}],
    ids=["fresh", "split", "point"],
)
def test_a_trial_with_another_key_or_fresh_is_trained(
    bench: MakeBench, changed: dict[str, Any]
) -> None:
    bench("first", search=ONE, study={"keep_factors": "none"}).attempt()

    made = bench("second", **{"search": ONE, **changed})

    assert made.attempt().state == "measured"
    assert made.search.done[0].facts.source is None


def test_a_trial_of_other_code_is_trained(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench("first", search=ONE).attempt()
    monkeypatch.setattr("tasks.study.study.code_id", lambda scope, model: "changed")

    assert bench("second", search=ONE).attempt().state == "measured"


@pytest.mark.parametrize(
    ("had", "wants", "expected"),
    [
        *(("none", "all", "measured"), ("none", "best", "reused"), ("none", "none", "reused")),
        *(("all", "none", "reused"), ("best", "all", "reused")),
    ],
)
def test_a_run_without_the_wanted_factors_is_no_source(
    bench: MakeBench, had: str, wants: str, expected: str
) -> None:
    bench("first", search=ONE, study={"keep_factors": had}).attempt()

    made = bench("second", search=ONE, study={"keep_factors": wants})

    assert made.attempt().state == expected
    (done,) = made.search.done
    if wants == "all":
        assert set(made.files(done.run)) >= FACTORS


def test_an_unfinished_run_is_no_source(
    bench: MakeBench, fit_raises: FitRaises, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench("first", search=ONE)
    with fit_raises(ValueError("no")):
        first.attempt()
    running = bench("running", search=ONE)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "end", lambda *_: None)
        running.attempt()
    assert running.states() == ["RUNNING"]

    assert bench("second", search=ONE).attempt().state == "measured"
