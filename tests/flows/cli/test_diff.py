"""`recsys diff`, against a real study."""

import json
from pathlib import Path

import pytest

from flows.cli import main
from flows.result import Result
from tests.flows.conftest import Lab

pytestmark = pytest.mark.flow


def run(lab: Lab, *words: str) -> int:
    return main.main(["diff", *words, "--workspace", str(lab.workspace.root), "--quiet"])


def test_the_winner_beside_the_baseline_has_the_numbers_of_the_study(
    lab: Lab, first: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = lab.runs(first.runs["study"])["final popularity-users"].info.run_id

    assert run(lab, baseline, "first", "--json") == 0

    found = json.loads(capsys.readouterr().out)
    (difference,) = found["differences"]
    expected = first.comparison["ndcg@10"]
    assert [each["model"] for each in found["runs"]] == ["popularity-users", "als"]
    assert (found["side"], found["metric"]) == ("test", "ndcg@10")
    on_metric = difference["metrics"]["ndcg@10"]
    assert (on_metric["a"], on_metric["b"]) == (expected.a.mean, expected.b.mean)
    assert on_metric["low"] < on_metric["difference"] < on_metric["high"]
    assert found["params"]["kind"] == ["popularity-users", "als"]
    n_changed = difference["n_gained"] + difference["n_lost"]
    assert 0 < n_changed <= difference["n_users"] == first.comparison.n_users
    gains = [each["b"] - each["a"] for each in difference["gained"]]
    assert gains == sorted(gains, reverse=True)


def test_a_page_of_the_difference_is_written(
    lab: Lab, first: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = lab.runs(first.runs["study"])["final popularity-users"].info.run_id
    page = tmp_path / "new" / "diff.html"

    assert run(lab, baseline, "first", "-o", str(page)) == 0
    assert run(lab, baseline, "first", "-o", str(tmp_path)) == 2

    assert "als against popularity-users" in page.read_text(encoding="utf-8")
    assert "is a folder; name a file" in capsys.readouterr().err


def test_trials_are_told_apart_by_their_numbers(
    lab: Lab, first: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (trial.run for trial in first.trials[:2])

    assert run(lab, a, b) == 0

    shown = capsys.readouterr().out
    assert "als of first trial 1 against als of first trial 0 on validation: " in shown
    assert "Users who gain most" in shown or "Listeners who gain most" in shown


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["first"], "1 run is named; name two or more to compare"),
        (["first", "TRIAL"], "name two trials, or two final models or studies"),
        (["first", "STUDY", "--metric", "coverage@10"], "is one of all lists together"),
        (["first", "nowhere"], "'nowhere' is not in MLflow"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(
    lab: Lab, first: Result, capsys: pytest.CaptureFixture[str], words: list[str], error: str
) -> None:
    known = {"TRIAL": first.trials[0].run, "STUDY": first.runs["study"]}

    assert run(lab, *(known.get(word, word) for word in words)) == 2

    said = capsys.readouterr().err
    assert error in said
    assert said.count("\n") == 1
