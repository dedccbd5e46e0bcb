import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pcsv
import pytest

from flows import experiment
from flows.notes import finalists_note
from flows.result import Result
from tasks.data.stages import DataFiles, ingest
from tasks.study import study
from tests.flows.conftest import Lab, quick
from tests.flows.recorded import artifact, has_factors, values

pytestmark = pytest.mark.flow


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_cohort_is_chosen_by_profile_and_costs_no_second_reading(lab: Lab) -> None:
    known = ingest.fn(lab.workspace, DataFiles(lab.plays, lab.profiles), quick().data)

    women = lab.run("women", profiles=lab.profiles, filter={"genders": ["f"]}, study={"trials": 1})

    assert (women.reused["ingest"], women.reused["filter"]) == (True, False)
    steps = [women.facts["filter"]["steps"][n]["users"] for n in (0, 1)]
    assert 0 < steps[1] < steps[0] == known.facts["users"] == 300


@pytest.fixture(scope="module")
def hasty(lab: Lab, first: Result) -> tuple[Result, list[str]]:
    """Another search, out of time at once, and the folds in the order they were first read."""
    read: list[str] = []
    load = study.load_fold

    def noted(folder: Path) -> Any:
        read.append(folder.name)
        return load(folder)

    study.fold_at.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "load_fold", noted)
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
    assert hasty[1] == ["validation", "test"]


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
        with test.open("a", encoding="utf-8") as more:
            more.write("broken line\n")
        results.append(
            lab.run(
                f"given {which}",
                plays=train,
                data={"item_key": "name"},
                filter={"min_items": 0, "min_users": 0},
                split={"kind": "given", "test": test},
                study={"keep_factors": "none", "trials": 2},
            )
        )

    one, other = results
    assert one.facts["split"]["test_file"]["reasons"] == {"wrong number of fields": 1}
    assert one.test_rejects is not None
    assert "broken line" in Path(one.test_rejects).read_text(encoding="utf-8")
    assert one.facts["filter"]["matrix"] == other.facts["filter"]["matrix"]
    assert one.facts["split"]["method"].startswith("test as given")
    assert values(one) == values(other)
    assert one.best.params == other.best.params
    assert one.models["als"]["ndcg@10"] != other.models["als"]["ndcg@10"]
    assert one.models["popularity-plays"] != other.models["popularity-plays"]
    assert one.exchange is not None
    assert other.exchange is not None
    assert one.exchange.validation == other.exchange.validation
    assert one.exchange.test != other.exchange.test
    assert one.exchange.test.mean == one.models["popularity-users"]["ndcg@10"].mean
    assert "random cut" in one.as_json()["split"]["random_cut"]["sentence"]
    assert one.facts["split"]["sides"]["users_only_in_test"] == 0


@pytest.mark.slow
def test_on_equal_plays_a_search_tries_one_of_the_weightings_that_are_one(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a study that was made before that was known goes on with its search."""
    said: list[str] = []
    monkeypatch.setattr(experiment, "report_result", said.append)
    pairs = tmp_path / "pairs.tsv"
    rows = (line.split("\t") for line in lab.plays.read_text(encoding="utf-8").splitlines())
    pairs.write_text("".join(f"{row[0]}\t{row[2]}\n" for row in rows), encoding="utf-8")
    weightings = ["log", "tfidf", "binary", "linear", "share"]
    search = {"weighting": weightings, "factors": 4, "iterations": 2, "alpha": [1.0, 2.0]}
    asked = {
        "plays": pairs,
        "data": {"columns": {"user": 0, "item": 1}},
        "search": search,
        "study": {"sampler": "grid", "trials": 6, "cuts": 2},
    }

    result = lab.run("pairs", **asked)

    tried = sorted(str(trial.params["weighting"]) for trial in result.trials)
    assert tried == ["binary", "binary", "tfidf", "tfidf"]
    assert result.chosen.best_before in range(4)
    html = artifact(lab, result.runs["study"], "report.html").read_text(encoding="utf-8")
    assert f"Finalists, {finalists_note(result.chosen)}." in html
    assert said == [
        "note: all plays are equal, so of the weightings log, tfidf, binary, linear, share it "
        "tries binary, tfidf"
    ]
    again = lab.run("pairs", **asked)
    assert [trial.run for trial in again.trials] == [trial.run for trial in result.trials]

    monkeypatch.setattr(experiment, "without_repeats", lambda config: config)
    before = lab.run("older pairs", **asked)
    monkeypatch.undo()
    resumed = lab.run("older pairs", **asked)
    assert [trial.run for trial in resumed.trials] == [trial.run for trial in before.trials]
    assert len(resumed.trials) == 6
