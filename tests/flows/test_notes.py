"""Notes on MLflow's pages; what they say of real runs: test_experiment.py and test_compare.py."""

from types import SimpleNamespace
from typing import Any

import pytest

from flows import notes


def described(monkeypatch: pytest.MonkeyPatch, note: str) -> tuple[str, str]:
    """The notes of a run and of its experiment."""
    put: list[Any] = []
    run = SimpleNamespace(log=lambda values, tags: put.append(tags[notes.NOTE]))
    monkeypatch.setattr(notes, "Run", SimpleNamespace(of=lambda workspace, id_: run))
    monkeypatch.setattr(notes, "tag_experiment", lambda w, e, tags: put.append(tags[notes.NOTE]))
    study: Any = SimpleNamespace(workspace=None, experiment="7")
    pages = {"The report": "http://127.0.0.1:5000/#/experiments/7/runs/a/artifacts/report.html"}
    notes.describe(study, "mine", ["a"], note, pages)
    of_run, of_experiment = put
    return of_run, of_experiment


def test_links_come_after_the_answer_and_stay_at_the_server_that_shows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of_run, of_experiment = described(monkeypatch, "als wins\n\n| a |")

    link = "[The report](#/experiments/7/runs/a/artifacts/report.html)"
    assert of_run == f"als wins\n\n{link}\n\n| a |"
    assert of_experiment == f"**mine**: {of_run}"


def test_the_note_of_an_experiment_is_cut_between_lines_where_mlflow_would_refuse_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = "\n".join(f"| model-{n} | 0.1 |" for n in range(500))

    of_run, of_experiment = described(monkeypatch, f"als wins\n\n{rows}")

    assert of_run.endswith("| model-499 | 0.1 |")
    assert 4_900 < len(of_experiment) <= 5_000
    assert of_experiment.endswith(" | 0.1 |")


def test_the_value_of_a_winner_that_is_not_the_first_is_its_own() -> None:
    ranked = [
        SimpleNamespace(done=SimpleNamespace(slot=slot), estimate=SimpleNamespace(text=text))
        for slot, text in ((3, "0.3000"), (1, "0.2990"))
    ]
    chosen: Any = SimpleNamespace(winner=SimpleNamespace(slot=1), ranked=ranked)

    note = notes.tuned_note("als", "ndcg@10", chosen)

    assert note == "als: trial 1 won with 0.2990 ndcg@10 on validation"
