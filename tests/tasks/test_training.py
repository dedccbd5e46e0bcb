from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.config import AlsConfig, ExperimentConfig, FilterConfig, PopularityConfig
from recsys.models.als import Als
from recsys.store import load_fold, load_report
from tasks.data import Plays, ingest, narrow, split
from tasks.telling import tell, told_to
from tasks.tracking import DataSet, experiment_id, open_client, start_run
from tasks.training import Measured, Study, flat, fold_at, run_final, run_trial, start_trial
from tasks.tuning import Trial
from tasks.workspace import Workspace
from tests.tasks.test_data import log_of

POINT = Trial(0, 0, {"factors": 2, "iterations": 3, "alpha": 2.0, "weighting": "linear"})
JUDGE = {"ks": [1, 2], "curve_metrics": ["ndcg@2"], "resamples": 10}


@pytest.fixture
def folds(tracked: Workspace, tmp_path: Path) -> Path:
    """Folder of a split of a small log."""
    config = ExperimentConfig(filter=FilterConfig(min_artists=0, min_listeners=0))
    log = log_of(tmp_path / "plays.tsv")
    ingested = ingest.fn(tracked, Plays(log), config.data)
    return split.fn(tracked, narrow.fn(tracked, ingested, config.filter, 0), config).folder


@pytest.fixture
def study(tracked: Workspace) -> Study:
    return study_with(tracked, "all")


def study_with(workspace: Workspace, keep_factors: str) -> Study:
    how = {"metric": "ndcg@2", "keep_factors": keep_factors}
    config = ExperimentConfig.model_validate({"seed": 5, "judge": JUDGE, "study": how})
    experiment = experiment_id(workspace, Path("/small/plays.tsv"))
    data = DataSet("small/plays.tsv", "abcd", "/small/plays.tsv")
    tags = {"data": "abcd", "split": "ef01", "code": "2345"}
    parent = start_run(workspace, experiment, "s", {}, {**tags, "study": "s"}, data)
    return Study(workspace, config, "s", experiment, parent.id, data, tags)


def tried(study: Study, folds: Path, beaten: float | None = None) -> Measured:
    run = start_trial(study, POINT)
    return run_trial.fn(study, folds / "validation", POINT, run, beaten)


def kept(study: Study, run: str) -> set[str]:
    """Names of all files of a run."""
    return {path.name for path in study.workspace.artifacts.rglob(f"{run}/**/*") if path.is_file()}


FACTORS = {"user_factors.npy", "item_factors.npy"}


def test_a_nested_table_becomes_dotted_names() -> None:
    table = {"seed": 0, "search": {"factors": [8, 16], "alpha": {"low": 0.5}}, "split": {}}

    assert flat(table) == {"seed": "0", "search.factors": "[8, 16]", "search.alpha.low": "0.5"}


def test_a_fold_is_read_once_and_kept(folds: Path) -> None:
    fold = fold_at(folds / "validation")

    assert fold_at(folds / "validation") is fold
    assert fold.train.keys.tolist() == load_fold(folds / "validation").train.keys.tolist()


def test_a_trial_is_measured_by_what_it_records(study: Study, folds: Path) -> None:
    measured = tried(study, folds)

    run = open_client(study.workspace).get_run(measured.run)
    assert run.info.status == "FINISHED"
    recorded = {
        name.removeprefix("validation/").replace("_at_", "@"): value
        for name, value in run.data.metrics.items()
        if name.startswith("validation/")
    }
    assert recorded == pytest.approx(measured.summary)
    (folder,) = (each.parent for each in study.workspace.artifacts.rglob("per_user.parquet"))
    assert load_report(folder).summary() == pytest.approx(measured.summary)


def test_the_same_trial_twice_measures_the_same(study: Study, folds: Path) -> None:
    assert tried(study, folds).summary == tried(study, folds).summary


def test_a_trial_has_every_parameter_and_belongs_to_its_study(study: Study) -> None:
    run = start_trial(study, POINT)

    found = open_client(study.workspace).get_run(run.id)
    config = AlsConfig.model_validate(POINT.params)
    expected = {**config.model_dump(), "seed": 5}
    assert found.data.params == {name: str(value) for name, value in expected.items()}
    assert found.data.tags["mlflow.parentRunId"] == study.parent
    assert {"study": "s", "trial": "0", "model": "als", **study.tags}.items() <= (
        found.data.tags.items()
    )


@pytest.mark.parametrize(
    ("keep_factors", "beaten", "expected"),
    [
        *(("all", None, True), ("all", 2.0, True), ("none", None, False)),
        *(("best", None, True), ("best", -1.0, True), ("best", 2.0, False)),
    ],
)
def test_factors_are_kept_as_asked(
    tracked: Workspace, folds: Path, keep_factors: str, beaten: float | None, expected: bool
) -> None:
    study = study_with(tracked, keep_factors)

    measured = tried(study, folds, beaten)

    assert (kept(study, measured.run) >= FACTORS) == expected
    assert {"per_user.parquet", "exposure.parquet"} <= kept(study, measured.run)


def test_a_tie_is_not_better_than_the_best(tracked: Workspace, folds: Path) -> None:
    study = study_with(tracked, "best")
    first = tried(study, folds)

    again = tried(study, folds, first.summary["ndcg@2"])

    assert not kept(study, again.run) & FACTORS


@pytest.mark.parametrize(
    ("error", "status"), [(MemoryError("8 TiB"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_trial_that_does_not_end_well_closes_its_run_and_leaves_no_files(
    study: Study,
    folds: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: str,
) -> None:
    def failing(self: Als, train: Any) -> Als:
        raise error

    monkeypatch.setattr(Als, "fit", failing)
    run = start_trial(study, POINT)

    with pytest.raises(type(error)):
        run_trial.fn(study, folds / "validation", POINT, run, None)

    assert open_client(study.workspace).get_run(run.id).info.status == status
    assert list(study.workspace.scratch.iterdir()) == []


def test_the_baseline_needs_no_curve_and_keeps_no_factors(
    study: Study, folds: Path, tmp_path: Path
) -> None:
    config = PopularityConfig(kind="popularity-plays")

    measured = run_final.fn(study, folds / "test", config, tmp_path / "final" / config.kind)

    metrics = open_client(study.workspace).get_run(measured.run).data.metrics
    assert metrics["test/ndcg_at_2"] == pytest.approx(measured.summary["ndcg@2"])
    assert not [name for name in metrics if name.startswith(("curve/", "validation/"))]
    assert kept(study, measured.run) == {"per_user.parquet", "exposure.parquet", "listener.json"}


def test_the_winner_is_fitted_on_all_that_is_not_the_test(
    study: Study, folds: Path, tmp_path: Path
) -> None:
    config = AlsConfig.model_validate(POINT.params)

    measured = run_final.fn(study, folds / "test", config, tmp_path / "final" / "als")

    fold = load_fold(folds / "test")
    report = load_report(tmp_path / "final" / "als")
    assert report.users.tolist() == fold.judged.tolist()
    expected = Als(config, 0, threads=1).fit(fold.train)
    (items,) = study.workspace.artifacts.rglob(f"{measured.run}/**/item_factors.npy")
    assert np.load(items, allow_pickle=False).shape == expected.item_factors.shape
    curve = open_client(study.workspace).get_metric_history(measured.run, "curve/loss")
    assert [point.step for point in curve] == [1, 2, 3]


def test_another_seed_is_another_model(study: Study, folds: Path) -> None:
    config = study.config.model_copy(update={"seed": 6})

    other = replace(study, config=config)

    runs = [tried(each, folds).run for each in (study, other)]
    factors = [
        np.load(next(study.workspace.artifacts.rglob(f"{run}/**/user_factors.npy"))) for run in runs
    ]
    assert not np.array_equal(*factors)


@pytest.fixture
def heard() -> Iterator[list[str]]:
    found: list[str] = []
    with told_to(lambda what, done, total: found.append(what)):
        yield found


def test_long_work_says_how_far_it_is(study: Study, folds: Path, heard: list[str]) -> None:
    tried(study, folds)

    assert "judging users" in heard


def test_nobody_listens_after_the_block() -> None:
    found: list[str] = []
    with told_to(lambda what, done, total: found.append(what)):
        tell("inside", 1, None)
    tell("outside", 1, None)

    assert found == ["inside"]
