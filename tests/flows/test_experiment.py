import json
import re
from typing import Any

import numpy as np
import optuna
import optuna_dashboard
import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter

from flows.experiment import new_study_name
from flows.result import Result
from recsys.errors import InputError
from recsys.evaluation.metrics import METRICS
from recsys.evaluation.report import KS
from recsys.models.als import AlsConfig
from tasks.tracking.client import open_client
from tasks.tracking.runs import compare_url
from tasks.tuning.storage import open_storage
from tasks.workspace.code import MEASURING, code_id
from tests.flows.conftest import Lab, flow_runs, quick
from tests.flows.recorded import artifact, comparable, running

pytestmark = pytest.mark.flow

TRIALS = ["trial 000", "trial 001", "trial 002"]
FINALS = ["final als", "final popularity-plays", "final popularity-users"]
ALL_METRICS = {
    f"{name}_at_{k}" for name in (*METRICS, "coverage", "gini", "novelty", "popularity") for k in KS
}


def statuses(lab: Lab, parent: str) -> dict[str, str]:
    return {name: run.info.status for name, run in lab.runs(parent).items()}


def test_a_study_is_a_run_with_a_child_for_every_trial_and_every_final_model(
    lab: Lab, first: Result
) -> None:
    found = statuses(lab, first.runs["study"])

    assert sorted(found) == [*FINALS, *TRIALS]
    assert set(found.values()) == {"FINISHED"}
    parent = open_client(lab.workspace).get_run(first.runs["study"])
    assert (parent.info.run_name, parent.info.status) == ("first", "FINISHED")
    assert lab.runs(first.runs["study"])["final als"].info.run_id == first.runs["final"]


def test_nothing_is_left_running_on_either_side(lab: Lab, first: Result) -> None:
    assert running(lab) == []


def test_every_trial_holds_all_parameters_searched_or_not(lab: Lab, first: Result) -> None:
    runs = lab.runs(first.runs["study"])

    for name, trial in zip(TRIALS, first.trials, strict=True):
        config = AlsConfig.model_validate(trial.params)
        expected = {**config.model_dump(), "seed": 0}
        assert runs[name].data.params == {key: str(value) for key, value in expected.items()}


def test_every_trial_holds_the_metrics_at_the_k_of_the_objective_and_its_seconds(
    lab: Lab, first: Result
) -> None:
    runs = lab.runs(first.runs["study"])

    for name, trial in zip(TRIALS, first.trials, strict=True):
        metrics = runs[name].data.metrics
        of_validation = {m for m in metrics if m.startswith("validation/")}
        assert {m.removeprefix("validation/") for m in of_validation} == {
            m for m in ALL_METRICS if m.endswith("_at_10")
        }
        assert len(metrics) == len(of_validation) + 5  # two of seconds, three curves
        assert metrics["validation/ndcg_at_10"] == trial.value
        assert metrics["seconds/fit"] > 0
        assert metrics["seconds/judge"] > 0
        assert not any(m.startswith("test/") for m in metrics)


def test_the_final_runs_hold_every_metric_of_the_test_side(lab: Lab, first: Result) -> None:
    runs = lab.runs(first.runs["study"])

    for name in FINALS:
        metrics = runs[name].data.metrics
        of_test = {m.removeprefix("test/") for m in metrics if m.startswith("test/")}
        assert of_test == ALL_METRICS
        assert not any(m.startswith("validation/") for m in metrics)
        ndcg = first.models[name.removeprefix("final ")]["ndcg@10"].mean
        assert metrics["test/ndcg_at_10"] == pytest.approx(ndcg)


def test_every_trial_has_curves_by_iteration(lab: Lab, first: Result) -> None:
    client = open_client(lab.workspace)
    for trial in first.trials:
        n = AlsConfig.model_validate(trial.params).iterations
        for name in ("loss", "ndcg_at_10", "precision_at_10"):
            history = client.get_metric_history(trial.run, f"curve/{name}")
            assert [point.step for point in history] == list(range(1, n + 1))
        # All validation users fit into the sample here, so the curve ends at the trial's value.
        (*_, last) = client.get_metric_history(trial.run, "curve/ndcg_at_10")
        assert last.value == pytest.approx(trial.value)


def test_the_study_holds_the_best_so_far_by_trial(lab: Lab, first: Result) -> None:
    client = open_client(lab.workspace)

    history = client.get_metric_history(first.runs["study"], "best/ndcg_at_10")

    expected = np.maximum.accumulate([trial.value for trial in first.trials])
    assert [(p.step, p.value) for p in history] == list(enumerate(expected))
    tags = client.get_run(first.runs["study"]).data.tags
    assert (tags["best_trial"], tags["best_run"]) == (str(first.best.slot), first.best.run)
    on_test = client.get_run(first.runs["study"]).data.metrics["test/ndcg_at_10"]
    assert on_test == first.comparison["ndcg@10"].b.mean


def test_study_and_final_describe_what_was_found(lab: Lab, first: Result) -> None:
    client = open_client(lab.workspace)

    of_study, of_final = (
        client.get_run(first.runs[run]).data.tags["mlflow.note.content"]
        for run in ("study", "final")
    )

    assert of_study == of_final
    experiment = client.get_run(first.runs["study"]).info.experiment_id
    optunas = optuna.load_study(study_name=first.study, storage=open_storage(lab.workspace))
    assert optuna_dashboard.get_note(optunas).startswith(of_study.partition("\n")[0])
    of_all = client.get_experiment(experiment).tags["mlflow.note.content"]
    assert of_all.startswith("**")
    page = f"#/experiments/{experiment}/runs/{first.runs['study']}/artifacts/report.html"
    assert f"\n\n[The report]({page}?workflowType=machine_learning), [the best " in of_study
    assert "trials side by side](#/compare-runs?runs=%5B%22" in of_study
    value = first.comparison["ndcg@10"].b
    assert of_study.startswith(f"als finds {value.mean:.3f} ndcg@10, ")
    assert f"| ndcg@10 | {first.comparison['ndcg@10'].a.text} | {value.text} |" in of_study
    assert f"| {first.best.slot} (winner) |" in of_study


def test_the_study_holds_the_whole_configuration(lab: Lab, first: Result) -> None:
    params = open_client(lab.workspace).get_run(first.runs["study"]).data.params

    assert params["study.trials"] == "3"
    assert params["split.kind"] == "random"
    assert params["filter.min_items"] == "5"
    assert params["seed"] == "0"
    assert "search.factors" in params


def test_every_run_says_what_it_was_made_from(lab: Lab, first: Result) -> None:
    client = open_client(lab.workspace)
    everyone = [*lab.runs(first.runs["study"]).values(), client.get_run(first.runs["study"])]

    for run in everyone:
        tags = run.data.tags
        assert tags["study"] == "first"
        assert tags["data"] == first.facts["filter"]["fingerprint"]
        assert tags["split"] == first.facts["split"]["fingerprint"]
        assert tags["code"] == code_id(MEASURING, "als")
        assert run.inputs is not None
        (used,) = run.inputs.dataset_inputs
        assert used.dataset.digest == first.facts["filter"]["fingerprint"]
        assert json.loads(used.dataset.source)["uri"] == str(lab.plays.resolve())
    runs = lab.runs(first.runs["study"])
    assert [runs[name].data.tags["trial"] for name in TRIALS] == ["0", "1", "2"]
    assert {runs[name].data.tags["stage"] for name in FINALS} == {"final"}


def test_factors_of_every_trial_load_without_pickle(lab: Lab, first: Result) -> None:
    matrix = first.facts["filter"]["matrix"]
    for run, params in [(t.run, t.params) for t in first.trials] + [
        (first.runs["final"], first.best.params)
    ]:
        width = AlsConfig.model_validate(params).factors
        for side, n in (("user", matrix["users"]), ("item", matrix["items"])):
            factors = np.load(artifact(lab, run, f"factors/{side}_factors.npy"), allow_pickle=False)
            assert (factors.shape, factors.dtype) == ((n, width), np.float32)
            assert np.isfinite(factors).all()


def test_the_values_of_each_user_are_kept_for_every_trial_and_final_model(
    lab: Lab, first: Result
) -> None:
    runs = lab.runs(first.runs["study"])
    for name in (*TRIALS, *FINALS):
        side = "validation" if name in TRIALS else "test"
        frame = pd.read_parquet(artifact(lab, runs[name].info.run_id, "per_user.parquet"))

        assert len(frame) == first.facts["split"][side]["judged_users"]
        mean = runs[name].data.metrics[f"{side}/ndcg_at_10"]
        assert frame["ndcg@10"].mean() == pytest.approx(mean)


def test_the_final_run_holds_the_tables_and_the_plots(lab: Lab, first: Result) -> None:
    run = first.runs["final"]
    table = pd.read_csv(artifact(lab, run, "comparison/comparison.csv"), index_col="metric")
    models = json.loads(artifact(lab, run, "comparison/models.json").read_text(encoding="utf-8"))

    row = first.comparison["ndcg@10"]
    assert table.loc["ndcg@10", "mean_b"] == pytest.approx(row.b.mean)
    assert models["als"]["ndcg@10"]["low"] == first.models["als"]["ndcg@10"].low
    drawn = artifact(lab, run, "comparison/plots")
    at_k = {"metrics.png", "improvement.png", "gains.png"}
    by_k = {"ndcg.png", "precision.png", "recall.png"}
    assert {path.name for path in drawn.iterdir()} == at_k | by_k


def test_the_run_of_the_study_holds_pictures_of_the_search(lab: Lab, first: Result) -> None:
    drawn = artifact(lab, first.runs["study"], "search")

    names = {"history.png", "importance.png", "slices.png", "contours.png", "importance.json"}
    names |= {"convergence.png", "cost.png"}
    assert {path.name for path in drawn.iterdir()} == names


def test_the_run_of_the_study_holds_its_report(lab: Lab, first: Result) -> None:
    html = artifact(lab, first.runs["study"], "report.html").read_text(encoding="utf-8")

    sections = set(re.findall(r'<section id="([^"]+)"', html))
    assert sections >= {"answer", "data", "split", "comparison", "cutoffs", "convergence"}
    assert sections >= {"sensitivity", "trials", "tradeoff", "exposure", "groups", "users"}
    assert sections >= {"similar", "map", "again"}
    row = first.comparison["ndcg@10"]
    assert f"als finds {row.b.mean:.3f} ndcg@10" in html
    assert len(html) < 8_000_000


def test_the_winner_is_the_trial_with_the_highest_value(first: Result) -> None:
    assert first.best == max(first.trials, key=lambda trial: trial.value)
    assert first.trials[0].params["factors"] == 8  # the nearest the space has to the default


def test_the_link_opens_all_trials_of_the_study(lab: Lab, first: Result) -> None:
    experiment = open_client(lab.workspace).get_run(first.runs["study"]).info.experiment_id

    assert first.compare_url == compare_url(
        lab.workspace, experiment, [t.run for t in first.trials]
    )


def test_seconds_are_counted_by_part(first: Result) -> None:
    parts = {"data", "tracking", "optuna", "fit", "judge", "final", "compare", "total"}

    assert parts <= first.seconds.keys()
    assert all(second >= 0 for second in first.seconds.values())
    assert first.seconds["total"] >= first.seconds["fit"] + first.seconds["judge"]


def test_the_workspace_keeps_nothing_on_its_way(lab: Lab, first: Result) -> None:
    assert list(lab.workspace.scratch.iterdir()) == []


@pytest.fixture(scope="module")
def second(lab: Lab, first: Result) -> Result:
    """The same again, under a name that is made up."""
    return lab.run()


def test_the_same_seed_gives_the_same_results(first: Result, second: Result) -> None:
    assert comparable(second) == comparable(first)
    assert json.dumps(first.as_json())
    assert second.study != first.study
    assert second.study.startswith("quick-")


def test_unchanged_stages_are_reused(second: Result) -> None:
    assert second.reused == {"ingest": True, "filter": True, "split": True}


def prefect_names(lab: Lab, flow_of: str) -> tuple[set[str], dict[str, Any]]:
    """Names of the task runs, and artifacts by key, of the flow run that recorded a study."""
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts()
        boards = [
            each
            for each in artifacts
            if str(each.key).startswith("leaderboard") and flow_of in (each.description or "")
        ]
        board = min(boards, key=lambda each: str(each.created))  # later ones resumed the study
        assert board.flow_run_id is not None
        chosen = FlowRunFilter.model_validate({"id": {"any_": [board.flow_run_id]}})
        tasks = client.read_task_runs(flow_run_filter=chosen)
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[board.flow_run_id]))
        kept = client.read_artifacts(artifact_filter=mine)
    return {task.name for task in tasks}, {str(each.key): each for each in kept}


def test_prefect_shows_tasks_by_readable_names_and_the_tables(lab: Lab, first: Result) -> None:
    names, artifacts = prefect_names(lab, "study first,")

    assert names == {
        *("ingest plays.tsv", "filter", "split random"),
        *(f"als split 0 trial {n}" for n in range(3)),
        *("choose the winner", "plots of the study"),
        *("judge als split 0 on test", "judge popularity-plays split 0 on test", "leaderboard"),
        *(
            "judge popularity-users split 0 on test",
            "compare on test",
            "comparison table",
            "report",
        ),
    }
    link = str(artifacts["compare-trials"].data)
    assert "](http://127.0.0.1:5000/#/compare-runs?" in link
    assert all(trial.run in link for trial in first.trials)
    page = f"/runs/{first.runs['study']}/artifacts/report.html?workflowType=machine_learning)"
    assert page in str(artifacts["report"].data)
    board = json.loads(str(artifacts["leaderboard-first"].data))
    ranked = sorted(first.trials, key=lambda trial: -trial.value)
    assert [row["trial"] for row in board] == [trial.slot for trial in ranked]
    assert board[0]["ndcg@10"].startswith(f"{first.best.value:.4f} [")
    assert artifacts["progress-first"].data == 100
    assert "experiment first" in flow_runs()
    table = json.loads(str(artifacts["comparison"].data))
    (row,) = [row for row in table if row["metric"] == "ndcg@10"]
    assert row["als"].startswith(f"{first.comparison['ndcg@10'].b.mean:.4f} [")


def test_a_study_is_not_named_after_a_configuration_of_a_name_without_end() -> None:
    with pytest.raises(InputError, match="300 bytes; use a name of at most 150"):
        new_study_name(quick(name="n" * 300))
