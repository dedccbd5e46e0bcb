"""`recsys user`, against a real study."""

import json

import pytest

from flows.answering import UserQuery, explain, recommend
from flows.cli import main
from flows.result import Result
from flows.user_view import REASONS, view_user
from tasks.serving.load import find_served_run, load_served
from tests.flows.conftest import Lab

pytestmark = pytest.mark.flow


@pytest.fixture
def somebody(lab: Lab, first: Result) -> str:
    """A user that the filters keep."""
    served = load_served(lab.workspace, find_served_run(lab.workspace, "first"))
    return served.cells.users.id(3)


def test_a_user_has_the_plays_of_the_file_most_first(
    lab: Lab, first: Result, somebody: str
) -> None:
    view = view_user(lab.workspace, "first", somebody, 4)

    lines = [line.split("\t") for line in lab.plays.read_text(encoding="utf-8").splitlines()]
    plays = sorted((int(line[-1]) for line in lines if line[0] == somebody), reverse=True)
    shown = [each.score for each in view.history]
    assert shown == sorted(shown, reverse=True)
    assert set(shown) <= set(plays)
    assert 4 <= view.n_items <= len(plays)


def test_the_list_is_that_of_recommend_and_its_reasons_those_of_explain(
    lab: Lab, first: Result, somebody: str
) -> None:
    query = UserQuery(user=somebody)

    view = view_user(lab.workspace, "first", somebody, 3)

    assert view.answer == recommend(lab.workspace, "first", query, 3, False).answer
    assert view.why is not None
    for item, reasons in zip(view.answer.items, view.why, strict=True):
        why = explain(lab.workspace, "first", query, item.id).why
        assert list(reasons) == list(why.shares[:REASONS])


def test_a_model_without_reasons_shows_the_list_alone(
    lab: Lab, first: Result, somebody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = lab.runs(first.runs["study"])["final popularity-users"].info.run_id
    words = ["user", somebody, "--run", run, "--workspace", str(lab.workspace.root), "--quiet"]

    assert main.main(words) == 0
    shown = capsys.readouterr().out
    assert main.main([*words, "--json"]) == 0

    table = json.loads(capsys.readouterr().out)
    assert "follows from" not in shown
    assert somebody in shown
    assert [each["because"] for each in table["items"]] == [[]] * 10


def test_an_unknown_user_is_a_line(
    lab: Lab, first: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["user", "nobody", "--run", "first", "--workspace", str(lab.workspace.root), "--quiet"]

    assert main.main(words) == 2

    assert "user 'nobody' is not known" in capsys.readouterr().err
