from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import InputError
from recsys.evaluation.protocol import judge
from recsys.evaluation.store import load_report
from recsys.models import build, make_config
from recsys.models.als import AlsConfig
from recsys.models.config import ModelConfig
from recsys.models.popularity import PopularityConfig
from recsys.models.recommender import Relating
from recsys.splitting.store import load_fold
from tasks.progress import report_progress, reporting_to
from tasks.study.measuring import Measured, run_final
from tasks.study.study import flat, fold_at, train_seed
from tasks.tracking.runs import Run
from tests.tasks import lab
from tests.tasks.lab import Bench, MakeBench, summary_of

WINNER = AlsConfig(factors=2, iterations=3, alpha=2.0, weighting="linear", regularization=1.0)
BASELINE = PopularityConfig(kind="popularity-plays")
REPORT = {"per_user.parquet", "exposure.parquet", "sample_user.json", "lists.npz"}
ALIKE = {"similar.json"}  # of a model that relates items
FACTORS = {"factors/user_factors.npy", "factors/item_factors.npy"}
IDS = {"ids/users.parquet", "ids/items.parquet"}


def final(made: Bench, config: ModelConfig, into: Path) -> Measured:
    return run_final.fn(made.study, made.folds / "test", config, into)


def test_a_nested_table_becomes_dotted_names() -> None:
    table = {"seed": 0, "search": {"factors": [8, 16], "alpha": {"low": 0.5}}, "split": {}}

    assert flat(table) == {"seed": "0", "search.factors": "[8, 16]", "search.alpha.low": "0.5"}


def test_a_fold_is_read_once_and_kept(folds: Path) -> None:
    fold = fold_at(folds / "validation")

    assert fold_at(folds / "validation") is fold
    assert fold.train.keys.tolist() == load_fold(folds / "validation").train.keys.tolist()


def test_the_run_of_a_study_has_its_settings_its_data_and_the_ids_of_rows(
    bench: MakeBench,
) -> None:
    made = bench(seed=5)

    run = made.run(made.study.parent)
    assert (run.info.run_name, run.info.status) == ("study", "RUNNING")
    assert run.data.params["seed"] == "5"
    assert run.data.params["search.iterations.low"] == "2"
    tags = {"study": "study", "stage": "study", "data": "abcd", "split": "ef01"}
    assert tags.items() <= run.data.tags.items()
    assert set(made.files(made.study.parent)) == IDS
    ids = load_fold(made.folds / "validation").train.users.ids
    assert len(ids) == 40
    assert made.search.recall("parent") == made.study.parent
    assert made.client.get_experiment(made.study.experiment).name == "small/plays.tsv"


def test_a_resumed_study_reopens_its_run(bench: MakeBench) -> None:
    first = bench()
    Run.of(first.study.workspace, first.study.parent).end("KILLED", {"error": "interrupted"})

    again = bench(worker="another")

    assert again.study.parent == first.study.parent
    run = again.run(again.study.parent)
    assert run.info.status == "RUNNING"
    assert "error" not in run.data.tags


def test_a_run_is_adopted_whose_worker_died_before_the_study_had_its_id(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tasks.tuning.Search.remember", interrupted)
        patch.setattr("tasks.tracking.runs.Run.end", lambda *_: None)  # a dead process ends nothing
        with pytest.raises(KeyboardInterrupt):
            bench()

    made = bench()

    query = "tags.stage = 'study'"
    (run,) = made.client.search_runs([made.study.experiment], query)
    assert run.info.run_id == made.study.parent


@pytest.mark.parametrize("name", ["it's", 'a "b"', "50 % / ö"])
def test_a_study_may_have_any_name(bench: MakeBench, name: str) -> None:
    made = bench(name, search={"factors": 2, "iterations": 2})
    made.attempt()
    made.recover()

    assert made.states() == ["FINISHED"]
    assert bench(name, search={"factors": 2, "iterations": 2}).study.parent == made.study.parent


@pytest.mark.parametrize("left", [set[str](), {"ids/users.parquet"}])
def test_a_resumed_study_attaches_missing_ids(bench: MakeBench, left: set[str]) -> None:
    first = bench()
    for name, path in first.files(first.study.parent).items():
        if name not in left:
            path.unlink()

    again = bench()

    assert set(again.files(again.study.parent)) == IDS


def test_an_error_while_a_study_is_opened_leaves_no_run_open(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "files", full)
        with pytest.raises(OSError, match="No space"):
            bench()

    made = bench("other")
    runs = made.client.search_runs([made.study.experiment], "tags.study = 'study'")
    assert [run.info.status for run in runs] == ["KILLED"]


def test_a_study_whose_run_was_deleted_is_refused(bench: MakeBench) -> None:
    made = bench()
    made.client.delete_run(made.study.parent)

    with pytest.raises(InputError, match=r"was deleted.*--study"):
        bench()


def test_a_key_is_that_of_split_and_code_and_of_no_worker_or_name(bench: MakeBench) -> None:
    study = bench().study
    key = study.key("validation", WINNER)

    same = replace(study, worker="w", name="n", parent="p", tags={**study.tags, "worker": "w"})
    assert same.key("validation", WINNER) == key
    changed = [study.key("test", WINNER), study.key("validation", BASELINE)]
    changed += [
        replace(study, tags={**study.tags, name: "x"}).key("validation", WINNER)
        for name in ("split", "code")
    ]
    assert len({key, *changed}) == len(changed) + 1


def test_the_seed_of_a_training_is_that_of_the_study_and_the_model(bench: MakeBench) -> None:
    one, other = bench("one").study, bench("other", seed=1).study

    assert train_seed(one, "als") == train_seed(replace(one, name="n", worker="w"), "als")
    assert train_seed(one, "als") != train_seed(other, "als")
    assert train_seed(one, "als") != train_seed(one, "popularity-plays")


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("als", {"factors": 2, "iterations": 3}),
        ("slim", {"neighbours": 9, "iterations": 3}),
        ("ease", {}),
        ("popularity-users", {}),
    ],
)
def test_a_final_is_fitted_on_all_that_is_not_the_test_judged_on_it_and_kept(
    bench: MakeBench, tmp_path: Path, kind: str, params: dict[str, Any]
) -> None:
    made, config = bench(), make_config(kind, params)

    measured = final(made, config, tmp_path / "final" / kind)

    fold = load_fold(made.folds / "test")
    alone = build(config, train_seed(made.study, kind)).fit(fold.train)
    assert lab.same_arrays(made, measured.run, alone)
    assert measured.summary == judge(alone, fold, (1, 5)).summary()
    run = made.run(measured.run)
    assert run.info.status == "FINISHED"
    assert summary_of(run.data.metrics, "test/") == measured.summary
    losses = [step for step, _ in made.history(measured.run, "curve/loss")]
    assert losses == list(range(1, params.get("iterations", 0) + 1))
    names = {f"factors/{path.name}" for path in made.arrays(measured.run).values()}
    alike = ALIKE if isinstance(alone, Relating) else set()
    assert set(made.files(measured.run)) == REPORT | names | alike
    assert load_report(tmp_path / "final" / kind).summary() == measured.summary


def test_a_final_keeps_no_arrays_where_the_setting_says_none(
    bench: MakeBench, tmp_path: Path
) -> None:
    made = bench(study={"keep_factors": "none"})

    measured = final(made, WINNER, tmp_path / "als")

    assert set(made.files(measured.run)) == REPORT | ALIKE


def test_a_final_that_was_judged_is_taken_over_and_not_judged_again(
    bench: MakeBench, tmp_path: Path, fit_raises: lab.FitRaises
) -> None:
    made = bench()
    first = final(made, WINNER, tmp_path / "one")
    with fit_raises(AssertionError("is trained again")):
        again = final(bench(worker="another"), WINNER, tmp_path / "two")

    assert (again.run, again.summary) == (first.run, first.summary)
    assert (again.fit_seconds, again.judge_seconds) == (0.0, 0.0)
    names = [{path.name for path in (tmp_path / each).iterdir()} for each in ("one", "two")]
    assert names[0] == names[1] == {*REPORT, *ALIKE, "factors"}
    assert list(made.files(first.run)) != []  # copied, not moved


def test_the_final_of_another_study_is_not_taken_over(bench: MakeBench, tmp_path: Path) -> None:
    """Each study has its own final runs to compare."""
    first = final(bench("one"), WINNER, tmp_path / "one")

    other = final(bench("other"), WINNER, tmp_path / "other")

    assert other.run != first.run
    assert other.summary == first.summary


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (MemoryError("8 TiB"), "FAILED", "MemoryError: 8 TiB"),
        (KeyboardInterrupt(), "KILLED", "interrupted"),
    ],
)
def test_a_final_that_fails_closes_its_run_leaves_no_files_and_is_repeated(
    bench: MakeBench,
    tmp_path: Path,
    fit_raises: lab.FitRaises,
    error: BaseException,
    status: str,
    told: str,
) -> None:
    made = bench()
    with fit_raises(error), pytest.raises(type(error)):
        final(made, WINNER, tmp_path / "als")

    (run,) = (made.run(each) for each in made.runs())
    assert (run.info.status, run.data.tags["error"]) == (status, told)
    assert list(made.study.workspace.scratch.glob("*")) == []
    assert final(made, WINNER, tmp_path / "als").run != run.info.run_id


def test_scratch_files_are_removed_after_an_interrupt(bench: MakeBench) -> None:
    study = bench().study

    def interrupted() -> None:
        with study.scratch() as folder:
            (folder / "half.npy").touch()
            assert folder.is_relative_to(study.workspace.scratch)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(study.workspace.scratch.iterdir()) == []


@pytest.fixture
def heard() -> Iterator[list[str]]:
    found: list[str] = []
    with reporting_to(lambda what, done, total: found.append(what)):
        yield found


def test_long_work_reports_progress(bench: MakeBench, tmp_path: Path, heard: list[str]) -> None:
    made = bench()
    made.attempt()
    trial = set(heard)
    heard.clear()
    final(made, WINNER, tmp_path / "als")

    for each in (trial, set(heard)):
        assert "judging users" in each
        assert any(what.startswith("iterations of ") for what in each)


def test_progress_is_not_reported_after_the_block() -> None:
    found: list[str] = []
    with reporting_to(lambda what, done, total: found.append(what)):
        report_progress("inside", 1, None)
    report_progress("outside", 1, None)

    assert found == ["inside"]
