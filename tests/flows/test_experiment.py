import io
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.csv as pcsv
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter

import flows.experiment as flow_module
from flows.result import Result
from recsys.config import AlsConfig
from recsys.errors import InputError
from recsys.evaluate import KS
from recsys.metrics import METRICS
from recsys.models.als import Als
from tasks import training
from tasks.cache import code_version
from tasks.data import Plays, ingest
from tasks.locking import locked
from tasks.tracking import compare_path, open_client
from tests.flows.conftest import Lab, quick

pytestmark = pytest.mark.flow

TRIALS = ["trial 000", "trial 001", "trial 002"]
FINALS = ["final als", "final popularity-listeners", "final popularity-plays"]
FACTORS = "factors"
ALL_METRICS = {
    f"{name}_at_{k}" for name in (*METRICS, "coverage", "gini", "novelty", "popularity") for k in KS
}


def artifact(lab: Lab, run: str, path: str) -> Path:
    """Where an artifact of a run lies; MLflow's own download would copy it elsewhere."""
    (found,) = lab.workspace.artifacts.glob(f"*/{run}/artifacts/{path}")
    return found


def has_factors(lab: Lab, run: str) -> bool:
    return bool(list(lab.workspace.artifacts.glob(f"*/{run}/artifacts/{FACTORS}/*.npy")))


def statuses(lab: Lab, parent: str) -> dict[str, str]:
    return {name: run.info.status for name, run in lab.runs(parent).items()}


def running(lab: Lab) -> list[str]:
    """Whatever MLflow or Optuna still takes for running."""
    with closing(sqlite3.connect(lab.workspace.tracking_uri.removeprefix("sqlite:///"))) as store:
        query = "select name from runs where status = 'RUNNING'"
        runs = [str(name) for (name,) in store.execute(query)]
    lines = lab.workspace.studies.read_text(encoding="utf-8").splitlines()
    operations = [json.loads(line) for line in lines]
    created = sum(each["op_code"] == 4 for each in operations)
    ended = sum(each["op_code"] == 6 and each.get("state") in (1, 3) for each in operations)
    return runs + ["a trial in Optuna"] * (created - ended)


def values(result: Result) -> list[tuple[int, Any, float]]:
    return [(trial.slot, trial.params, trial.value) for trial in result.trials]


def comparable(result: Result) -> dict[str, Any]:
    """What has to be the same for the same seed."""
    found = result.as_json()
    return {name: found[name] for name in found if name not in {"seconds", "runs", "study"}}


@pytest.fixture
def fit_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[int], BaseException], None]:
    """Let the nth fits from now on raise instead, counted from 0."""
    fit = Als.fit

    def install(which: Sequence[int], error: BaseException) -> None:
        calls = iter(range(10_000))

        def failing(self: Als, train: Any) -> Als:
            if next(calls) in which:
                raise error
            return fit(self, train)

        monkeypatch.setattr(Als, "fit", failing)

    return install


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


def test_every_trial_holds_every_metric_and_its_seconds(lab: Lab, first: Result) -> None:
    runs = lab.runs(first.runs["study"])

    for name, trial in zip(TRIALS, first.trials, strict=True):
        metrics = runs[name].data.metrics
        of_validation = {m for m in metrics if m.startswith("validation/")}
        assert {m.removeprefix("validation/") for m in of_validation} == ALL_METRICS
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


def test_the_study_holds_the_whole_configuration(lab: Lab, first: Result) -> None:
    params = open_client(lab.workspace).get_run(first.runs["study"]).data.params

    assert params["study.trials"] == "3"
    assert params["split.kind"] == "random"
    assert params["filter.min_artists"] == "5"
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
        assert tags["code"] == code_version()
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
            factors = np.load(
                artifact(lab, run, f"{FACTORS}/{side}_factors.npy"), allow_pickle=False
            )
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
    assert {path.name for path in drawn.iterdir()} >= {"ndcg.png", "search.png"}


def test_only_coverage_and_gini_have_no_interval(first: Result) -> None:
    for estimates in first.models.values():
        without = {name for name, estimate in estimates.items() if estimate.low is None}
        assert without == {f"{name}@{k}" for name in ("coverage", "gini") for k in KS}


def test_the_winner_is_the_trial_with_the_highest_value(first: Result) -> None:
    assert first.best == max(first.trials, key=lambda trial: trial.value)
    assert first.trials[0].params["factors"] == 8  # the nearest the space has to the default


def test_the_link_opens_all_trials_of_the_study(lab: Lab, first: Result) -> None:
    experiment = open_client(lab.workspace).get_run(first.runs["study"]).info.experiment_id

    assert first.compare_path == compare_path(experiment, [t.run for t in first.trials])


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


def test_unchanged_stages_are_reused_and_say_so(first: Result, second: Result) -> None:
    assert first.reused == {"ingest": False, "filter": False, "split": False}
    assert second.reused == {"ingest": True, "filter": True, "split": True}


def prefect_names(lab: Lab, flow_of: str) -> tuple[set[str], dict[str, Any]]:
    """Names of the task runs, and artifacts by key, of the flow run that recorded a study."""
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts()
        (board,) = [
            each
            for each in artifacts
            if each.key == "leaderboard" and flow_of in (each.description or "")
        ]
        assert board.flow_run_id is not None
        chosen = FlowRunFilter.model_validate({"id": {"any_": [board.flow_run_id]}})
        tasks = client.read_task_runs(flow_run_filter=chosen)
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[board.flow_run_id]))
        kept = client.read_artifacts(artifact_filter=mine)
    return {task.name for task in tasks}, {str(each.key): each for each in kept}


def test_prefect_shows_tasks_by_readable_names_and_the_tables(lab: Lab, first: Result) -> None:
    names, artifacts = prefect_names(lab, "study first,")

    assert names == {
        *("ingest plays.tsv", "filter", "split random", "trial 0", "trial 1", "trial 2"),
        *("judge als on test", "judge popularity-plays on test", "leaderboard"),
        *("judge popularity-listeners on test", "compare on test", "comparison table"),
    }
    assert first.compare_path in str(artifacts["compare-trials"].data)
    board = json.loads(str(artifacts["leaderboard"].data))
    ranked = sorted(first.trials, key=lambda trial: -trial.value)
    assert [row["trial"] for row in board] == [trial.slot for trial in ranked]
    assert board[0]["ndcg@10"] == first.best.value
    table = json.loads(str(artifacts["comparison"].data))
    (row,) = [row for row in table if row["metric"] == "ndcg@10"]
    assert row["als"].startswith(f"{first.comparison['ndcg@10'].b.mean:.4f} [")


@pytest.fixture(scope="module")
def cut_off(lab: Lab, second: Result) -> Result:
    """The first study once more, interrupted in its second trial and in its last model."""
    patch = pytest.MonkeyPatch()
    fit = Als.fit
    calls = iter(range(100))

    def interrupted(self: Als, train: Any) -> Als:
        # Fit 1 is the second trial; then come trials 1 and 2 again, and the winner.
        if next(calls) in (1, 4):
            raise KeyboardInterrupt
        return fit(self, train)

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


def test_a_study_that_was_gone_on_with_is_one_finished_run(lab: Lab, cut_off: Result) -> None:
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
    fit_fails([1], MemoryError("8 TiB of factors"))

    result = lab.run("failing", study={"keep_factors": "none"})

    assert [trial.slot for trial in result.trials] == [0, 2]
    assert result.failed == {1: "MemoryError: 8 TiB of factors"}
    assert result.as_json()["failed"] == {"1": "MemoryError: 8 TiB of factors"}
    failed = lab.runs(result.runs["study"])["trial 001"]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["error"] == "MemoryError: 8 TiB of factors"
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


def test_what_fails_before_a_trial_begins_leaves_nothing_running(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(flow_module, "run_trial", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lab.run("not begun")
    monkeypatch.setattr(flow_module, "start_trial", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lab.run("not begun")

    assert running(lab) == []


def test_a_study_that_was_killed_is_tidied_when_it_goes_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGKILL: neither the trial nor any run was closed."""
    config = quick(study={"trials": 1, "keep_factors": "none"})

    class Killed(Exception):
        """Ends the process as far as this test goes."""

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(flow_module, "run_trial", killed)
        patch.setattr("tasks.tuning.Search.interrupt", lambda *_: None)
        patch.setattr("tasks.tracking.Run.end", lambda *_: None)
        patch.setattr(flow_module, "end_unfinished", lambda *_: None)
        with pytest.raises(Killed):
            flow_module.experiment(lab.plays, config, lab.workspace.root, None, "killed")
    assert sorted(running(lab)) == ["a trial in Optuna", "killed", "trial 000"]

    result = flow_module.experiment(lab.plays, config, lab.workspace.root, None, "killed")

    assert [trial.slot for trial in result.trials] == [0]
    assert running(lab) == []


def test_a_study_of_other_data_is_not_gone_on_with(lab: Lab, first: Result) -> None:
    with pytest.raises(InputError, match=r"'first' was made with another .*split"):
        lab.run("first", seed=1)

    assert lab.study("first").info.status == "FINISHED"


def test_a_study_in_use_is_refused(lab: Lab, first: Result) -> None:
    with (
        locked(lab.workspace.lock("study-first")),
        pytest.raises(InputError, match="'first' is being worked on by another process"),
    ):
        lab.run("first")


def shares_of_time(lab: Lab, folder: Path) -> Path:
    """The sample as events with times: each row becomes one listen at a made-up second."""
    rows = pcsv.read_csv(
        io.BytesIO(lab.plays.read_bytes()),
        read_options=pcsv.ReadOptions(column_names=["user", "mbid", "artist", "plays"]),
        parse_options=pcsv.ParseOptions(delimiter="\t", quote_char=False),
    ).to_pandas()
    rows["time"] = 1_200_000_000 + np.random.default_rng(0).permutation(len(rows)) * 60
    rows.drop(columns="mbid").to_parquet(folder / "events.parquet")
    return folder / "events.parquet"


def test_timed_data_can_be_cut_by_time_and_only_the_best_factors_kept(
    lab: Lab, tmp_path: Path
) -> None:
    columns = {"user": "user", "item": "artist", "plays": "plays", "time": "time"}
    result = lab.run(
        "timed",
        plays=shares_of_time(lab, tmp_path),
        data={"columns": columns},
        split={"kind": "time"},
        study={"keep_factors": "best", "trials": 4, "sampler": "random"},
    )

    assert result.facts["split"]["method"].startswith("by time")
    kept = [trial.slot for trial in result.trials if has_factors(lab, trial.run)]
    assert kept == [result.best.slot]
    assert result.best.slot > 0, "the first trial wins: nothing had to be taken back"
    assert has_factors(lab, result.runs["final"])


def test_a_cohort_is_chosen_by_profile_and_costs_no_second_reading(lab: Lab) -> None:
    known = ingest.fn(lab.workspace, Plays(lab.plays, lab.profiles), quick().data)

    women = lab.run("women", profiles=lab.profiles, filter={"genders": ["f"]}, study={"trials": 1})

    assert (women.reused["ingest"], women.reused["filter"]) == (True, False)
    steps = [women.facts["filter"]["steps"][n]["users"] for n in (0, 1)]
    assert 0 < steps[1] < steps[0] == known.facts["users"] == 300


@pytest.fixture(scope="module")
def hasty(lab: Lab, first: Result) -> tuple[Result, list[str]]:
    """Another search, out of time at once, and the folds that were read, by name."""
    read: list[str] = []
    load = training.fold_at

    def noted(folder: Path) -> Any:
        read.append(folder.name)
        return load(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "fold_at", noted)
        search = {"factors": [2], "alpha": [0.5, 1.0]}
        how = {"trials": 4, "sampler": "grid", "timeout": 1e-6, "keep_factors": "none"}
        return lab.run("hasty", search=search, study=how), read


def test_changing_only_the_search_repeats_no_stage(hasty: tuple[Result, list[str]]) -> None:
    assert set(hasty[0].reused.values()) == {True}
    assert hasty[0].best.params["factors"] == 2


def test_a_search_stops_when_its_time_is_up_but_never_without_a_trial(
    hasty: tuple[Result, list[str]],
) -> None:
    assert len(hasty[0].trials) == 1


def test_trials_read_the_validation_side_and_final_models_the_test_side(
    hasty: tuple[Result, list[str]],
) -> None:
    assert hasty[1] == ["validation", "test", "test", "test"]


def hidden_apart(lab: Lab, folder: Path, which: int) -> tuple[Path, Path]:
    """A train side, and one of two test sides over the same listeners and artists."""
    lines = lab.plays.read_text(encoding="utf-8").splitlines(keepends=True)
    by_user: dict[str, list[str]] = {}
    for line in lines:
        by_user.setdefault(line.split("\t")[0], []).append(line)
    by_user = {user: of for user, of in by_user.items() if len(of) > 4}
    train, test = folder / "train.tsv", folder / f"test{which}.tsv"
    train.write_text("".join(line for of in by_user.values() for line in of[4:]), encoding="utf-8")
    known = {line.split("\t")[2] for of in by_user.values() for line in of[4:]}
    chosen = [
        line
        for of in by_user.values()
        for line in of[2 * which : 2 * which + 2]
        if line.split("\t")[2] in known
    ]
    test.write_text("".join(chosen), encoding="utf-8")
    return train, test


def test_a_given_test_side_is_used_and_never_reaches_the_tuning(lab: Lab, tmp_path: Path) -> None:
    results = []
    for which in (0, 1):
        train, test = hidden_apart(lab, tmp_path, which)
        results.append(
            lab.run(
                f"given {which}",
                plays=train,
                data={"artist_key": "name"},
                filter={"min_artists": 0, "min_listeners": 0},
                split={"kind": "given", "test": test},
                study={"keep_factors": "none", "trials": 2},
            )
        )

    one, other = results
    assert one.facts["filter"]["matrix"] == other.facts["filter"]["matrix"]
    assert one.facts["split"]["method"].startswith("test as given")
    assert values(one) == values(other)
    assert one.best.params == other.best.params
    assert one.models["als"]["ndcg@10"] != other.models["als"]["ndcg@10"]
    assert one.models["popularity-plays"] != other.models["popularity-plays"]
