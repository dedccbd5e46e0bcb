"""Studies as their users meet them: options of a search, and the commands that look at studies."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows import studies
from flows.cli import experiment_tables
from flows.result import Result
from recsys.errors import InputError
from tasks.tuning import FinishedTrial, TrialFacts
from tasks.workspace.layout import Workspace
from tests.flows.cli.test_experiment_tables import drawn
from tests.flows.cli.test_main import Recsys, recsys, served
from tests.flows.conftest import Lab, quick
from tests.flows.recorded import artifact, running, values

__all__ = ["recsys", "served"]  # fixtures

pytestmark = pytest.mark.flow

RANGE: dict[str, Any] = {"iterations": {"low": 2, "high": 6}}


@pytest.fixture(scope="module")
def watched(lab: Lab) -> Result:
    """A search that finds iterations, prunes, loses patience and sees a sample of the users."""
    return lab.run(
        "watched",
        search={**RANGE, "alpha": {"low": 0.01, "high": 100.0, "log": True}},
        study={"trials": 12, "pruner": "median", "patience": 2, "finalists": 3},
        judge={"validation_users": 100},
    )


@pytest.fixture(scope="module")
def several(lab: Lab) -> Result:
    """A search with two objectives of which one is to be low, and a pruner that must not act."""
    return lab.run(
        "several",
        search=RANGE,
        study={"trials": 7, "also": ["coverage@10", "popularity@10"], "pruner": "median"},
    )


@pytest.mark.slow
def test_iterations_are_found_where_they_are_a_range(watched: Result) -> None:
    for trial in watched.trials:
        best = max((point for point in trial.curve if point[0] >= 2), key=lambda point: point[1])
        assert trial.params["iterations"] == best[0]
        assert trial.facts.asked == 6


def test_the_summary_says_how_many_iterations_were_run_of_those_asked_for(watched: Result) -> None:
    every = [*watched.trials, *watched.pruned]
    ran = sum(trial.curve[-1][0] for trial in every)

    assert (watched.saved.ran, watched.saved.asked) == (ran, 6 * 12)
    assert ran < 6 * 12
    assert f"iterations: {ran} of 72 run" in drawn(experiment_tables.search_summary(watched))


def test_pruned_trials_are_marked_in_mlflow_and_have_their_curves(
    lab: Lab, watched: Result
) -> None:
    runs = lab.runs(watched.runs["study"])

    assert watched.pruned
    for trial in watched.pruned:
        run = runs[f"trial {trial.slot:03d}"]
        assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "pruned")
        assert run.data.metrics["curve/ndcg_at_10"] == trial.curve[-1][1]


def test_the_finalists_are_judged_on_all_users_and_the_best_of_them_wins(
    lab: Lab, watched: Result
) -> None:
    judged = [each.done.slot for each in watched.chosen.ranked]
    best_on_sample = sorted(watched.trials, key=lambda trial: (-trial.value, trial.slot))[:3]

    assert sorted(judged) == sorted(trial.slot for trial in best_on_sample)
    for each in watched.chosen.ranked:
        sample = pd.read_parquet(artifact(lab, each.done.run, "per_user.parquet"))["ndcg@10"]
        whole = pd.read_parquet(artifact(lab, each.done.run, "all_users/per_user.parquet"))
        assert len(sample) == 100 < len(whole)
        assert sample.mean() == pytest.approx(each.done.value)
        assert whole["ndcg@10"].mean() == pytest.approx(each.estimate.mean)
    means = [each.estimate.mean for each in watched.chosen.ranked]
    assert means == sorted(means, reverse=True)
    assert watched.best.slot == judged[0]
    assert "best 3 again on all" in drawn(experiment_tables.leaderboard(watched))


@pytest.mark.slow
def test_of_several_objectives_the_front_is_shown_and_drawn_and_nothing_is_pruned(
    lab: Lab, several: Result
) -> None:
    found = np.array([trial.values for trial in several.trials]) * [1, 1, -1]
    on_front = [
        not any((other >= mine).all() and (other > mine).any() for other in found) for mine in found
    ]

    assert len(several.trials) == 7
    slots = [trial.slot for trial, is_on in zip(several.trials, on_front, strict=True) if is_on]
    assert [trial.slot for trial in several.front] == slots
    assert f"Pareto front: {len(slots)} of 7" in drawn(experiment_tables.front_table(several))
    names = {path.name for path in artifact(lab, several.runs["study"], "search").iterdir()}
    assert {
        "pareto-ndcg_at_10-coverage_at_10.png",
        "pareto-ndcg_at_10-popularity_at_10.png",
    } < names
    assert several.as_json()["trials"][0]["objectives"].keys() == {
        *("ndcg@10", "coverage@10", "popularity@10")
    }


def test_the_cheapest_of_the_tied_trials_can_win(lab: Lab, first: Result) -> None:
    cheap = lab.run("first", study={"prefer": "cheapest"})

    tied = [each for each in cheap.chosen.ranked if each.tied]
    assert cheap.best.slot == min(tied, key=lambda each: each.cost).done.slot
    assert values(cheap) == values(first)


def test_a_study_begins_with_the_best_points_of_another(lab: Lab, first: Result) -> None:
    warm = flow_from(lab, ["first"], {"trials": 2, "default_first": False})

    ranked = sorted(first.trials, key=lambda trial: (-trial.value, trial.slot))
    assert [trial.params for trial in warm.trials] == [trial.params for trial in ranked[:2]]


def flow_from(lab: Lab, sources: list[str], study: dict[str, Any]) -> Result:
    from flows.experiment import experiment
    from tests.flows.conftest import quick

    config = quick(study=study)
    return experiment(lab.plays, config, lab.workspace.root, None, "warm", sources)


@pytest.mark.slow
def test_a_space_with_fewer_points_than_trials_ends_with_them_and_says_so(lab: Lab) -> None:
    space = {"factors": [2, 4], "iterations": [1, 2], "alpha": 1.0, "weighting": "binary"}

    small = lab.run("small", search=space, study={"trials": 9, "default_first": False})

    assert len({tuple(trial.params.items()) for trial in small.trials}) == len(small.trials) == 4
    assert "only 4 points" in drawn(experiment_tables.search_summary(small))


@pytest.mark.parametrize(
    ("stopped", "wanted", "said"),
    [
        (None, 9, "4 of 9 trials done"),
        (None, 4, "4 of 4 trials, all that the space has, done"),
        (4, 4, "4 of 4 trials, of 9 by study.stop_after, done"),
        (12, 9, "4 of 9 trials done"),
    ],
)
def test_why_a_study_has_fewer_trials_than_requested_is_said(
    stopped: int | None, wanted: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"done": [], "pruned": [], "failed": {}, "ended": 4}
    search = SimpleNamespace(**counts, stopped=stopped, wanted=wanted)
    monkeypatch.setattr(studies, "has_study", lambda *_: True)
    monkeypatch.setattr(studies, "find_search", lambda *_: (search, quick(study={"trials": 9})))

    assert said in studies.standing(Workspace.at(Path("nowhere")), "any")


@pytest.mark.slow
def test_trials_alike_but_for_their_iterations_share_a_training(lab: Lab) -> None:
    space = {"factors": [4], "iterations": [1, 2, 4], "alpha": 1.0, "weighting": "log"}
    grid = {"trials": 3, "sampler": "grid", "default_first": False}

    shared = lab.run("shared", search=space, study=grid)

    assert (shared.saved.ran, shared.saved.asked) == (4, 7)
    for trial in shared.trials:
        alone = lab.run(
            f"alone {trial.params['iterations']}",
            search={**space, "iterations": [trial.params["iterations"]]},
            study={**grid, "trials": 1},
        )
        assert alone.trials[0].value == trial.value
        assert alone.trials[0].curve == trial.curve
        mine, theirs = (
            np.load(artifact(lab, run, "factors/item_factors.npy"))
            for run in (alone.trials[0].run, trial.run)
        )
        np.testing.assert_array_equal(mine, theirs)


def test_studies_are_listed_with_what_became_of_their_trials(
    served: Recsys, lab: Lab, watched: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served("study", "list", "--json", "--workspace", lab.workspace.root) == 0

    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    mine = found["watched"]
    assert (mine["wanted"], mine["complete"], mine["pruned"], mine["running"]) == (
        *(12, len(watched.trials), len(watched.pruned)),
        0,
    )
    assert mine["best"] == max(trial.value for trial in watched.trials)
    assert served("study", "list", "--workspace", lab.workspace.root) == 0
    assert "watched" in capsys.readouterr().out


def test_a_study_is_shown_trial_by_trial(
    served: Recsys, lab: Lab, watched: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served("study", "show", "watched", "--workspace", lab.workspace.root) == 0

    out = capsys.readouterr().out
    assert out.count("measured") >= len(watched.trials)
    assert out.count("│ pruned") == len(watched.pruned)
    assert f"12 of 12 trials done: {len(watched.trials)} measured" in out


@pytest.mark.parametrize("name", ["trials.csv", "trials.parquet"])
def test_the_trials_of_a_study_are_exported(
    served: Recsys, lab: Lab, watched: Result, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "new" / name
    assert served("study", "export", "watched", file, "--workspace", lab.workspace.root) == 0

    table = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
    assert table["trial"].tolist() == list(range(12))
    measured = table[table["state"] == "measured"]
    assert measured["ndcg@10"].tolist() == [trial.value for trial in watched.trials]
    assert measured["params.iterations"].tolist() == [
        trial.params["iterations"] for trial in watched.trials
    ]


def test_an_export_of_another_kind_is_refused(lab: Lab, watched: Result, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"trials\.xlsx: the name must end in \.parquet or \.csv"):
        studies.export(lab.workspace, "watched", tmp_path / "trials.xlsx")


def test_a_deleted_study_is_gone_on_both_sides_with_its_files(
    served: Recsys, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = lab.run("gone", study={"trials": 1, "default_first": False})
    folder = artifact(lab, gone.trials[0].run, "per_user.parquet").parent

    assert served("study", "delete", "gone", "--workspace", lab.workspace.root) == 0

    assert "with 5 MLflow runs" in capsys.readouterr().out
    assert not folder.exists()
    assert lab.runs(gone.runs["study"]) == {}
    assert served("study", "show", "gone", "--workspace", lab.workspace.root) == 2
    assert "study 'gone' is not there; known are: " in capsys.readouterr().err


def test_a_study_goes_on_by_its_name_alone_and_with_more_trials(
    served: Recsys, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = lab.run("by name", study={"trials": 1})

    command = ("study", "resume", "by name", "--trials", "3", "--json")
    assert served(*command, "--workspace", lab.workspace.root) == 0

    found = json.loads(capsys.readouterr().out)
    assert [trial["trial"] for trial in found["trials"]] == [0, 1, 2]
    assert found["trials"][0]["value"] == begun.trials[0].value
    assert running(lab) == []


def test_attempts_and_sources_are_told_beside_what_a_seed_decides(first: Result) -> None:
    copied = FinishedTrial(
        slot=9, params={}, values=(0.1,), run="r", attempts=3, facts=TrialFacts(1, 0, 1, source="s")
    )
    from dataclasses import replace

    told = replace(first, trials=(*first.trials, copied)).as_json()

    assert told["runs"]["attempts"] == {"9": 3}
    assert told["runs"]["sources"] == {"9": "s"}
    assert "attempts" not in told["trials"][-1]
