"""What was measured before is copied, and only that."""

from typing import Any

import pytest

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
def test_what_was_measured_before_is_copied_and_not_trained(
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


OTHER: list[tuple[str, dict[str, Any]]] = [
    ("fresh", {"study": {"fresh": True}}),
    ("seed", {"seed": 1}),
    ("split", {"split": "other"}),
    ("cut-offs", {"judge": {"ks": [1, 5, 7]}}),
    ("users", {"judge": {"validation_users": 9}}),
    ("curve", {"judge": {"curve_every": 2}}),
    ("range", {"search": {**ONE, "iterations": {"low": 2, "high": 5}}}),
    ("point", {"search": {**ONE, "alpha": 5.0}}),
    ("patience", {"study": {"patience": 5}}),
    ("metric", {"study": {"metric": "precision@1"}}),
]


@pytest.mark.parametrize(("what", "changed"), OTHER, ids=[what for what, _ in OTHER])
def test_what_may_give_other_values_is_trained(
    bench: MakeBench, what: str, changed: dict[str, Any]
) -> None:
    bench("first", search=ONE, study={"keep_factors": "none"}).attempt()

    made = bench("second", **{"search": ONE, **changed})

    assert made.attempt().state == "measured"
    assert made.search.done[0].facts.source is None


def test_other_code_is_trained(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_source_without_the_factors_that_are_asked_for_is_none(
    bench: MakeBench, had: str, wants: str, expected: str
) -> None:
    bench("first", search=ONE, study={"keep_factors": had}).attempt()

    made = bench("second", search=ONE, study={"keep_factors": wants})

    assert made.attempt().state == expected
    (done,) = made.search.done
    if wants == "all":
        assert set(made.files(done.run)) >= FACTORS


def test_a_source_that_is_not_finished_is_none(
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
