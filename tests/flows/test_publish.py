"""`recsys publish` and `recsys lookup`, against a real study."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flows import environment
from flows import publish as publish_flow
from flows.answering import UserQuery, recommend, similar
from flows.cli import lookup, main
from flows.publish import publish
from flows.result import Result
from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.serving.answers import RankedItem as Answered
from tasks.data.stages import DataFiles, everything
from tasks.orchestration.interfaces import MODEL
from tasks.orchestration.server import Server
from tasks.serving import publish as steps
from tasks.serving.published import open_store
from tasks.serving.published.store import Published, PublishedItem
from tasks.tracking import registering
from tasks.tracking.client import open_client
from tasks.tracking.registry import versions
from tasks.workspace.postgres import DatabaseLost
from tests.flows.conftest import Lab

pytestmark = pytest.mark.flow

ROOT = Path(__file__).parents[2]
K = 6


@pytest.fixture(scope="module")
def made(lab: Lab, first: Result) -> Result:
    """The study whose winner is published."""
    return first


@pytest.fixture(scope="module")
def cells(lab: Lab, made: Result) -> Interactions:
    return everything(lab.workspace, DataFiles(lab.plays), made.config).cells


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where this test publishes."""
    address = f"sqlite:///{tmp_path / 'lists.db'}"
    monkeypatch.setenv(environment.PUBLISHED, address)
    return address


@pytest.fixture
def command(
    lab: Lab, prefect: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., int]]:
    """The command in this process, in the workspace of the lab; without a champion afterwards."""
    known, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    os.environ["PREFECT_API_URL"] = prefect.api
    os.environ["COLUMNS"] = "200"
    yield lambda *words: main.main([*map(str, words), "--workspace", str(lab.workspace.root)])
    signal.signal(signal.SIGTERM, handler)
    os.environ.clear()
    os.environ.update(known)
    if versions(lab.workspace):
        open_client(lab.workspace).delete_registered_model(MODEL)


def check_same(found: Sequence[PublishedItem], asked: Sequence[Answered]) -> None:
    """The same artists with the same scores up to rounding, which may swap equal ones.

    `asked` is longer than `found`, so that it holds what may have been swapped at its end.
    """
    scores = {each.id: each.score for each in asked}
    names = {each.id: each.name for each in asked}
    for place, each in enumerate(found):
        assert each.rank == place + 1
        assert each.name == names[each.id]
        assert each.score == pytest.approx(scores[each.id], rel=1e-5, abs=1e-6)
        assert each.score == pytest.approx(asked[place].score, rel=1e-5, abs=1e-6)
    assert len(found) == min(K, len(asked))


@pytest.mark.parametrize("form", ["database", "lists.parquet", "folder"])
def test_lookup_agrees_with_recommend_and_similar(
    lab: Lab,
    made: Result,
    cells: Interactions,
    form: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = f"sqlite:///{tmp_path / form}" if form == "database" else str(tmp_path / form)
    monkeypatch.setenv(environment.PUBLISHED, place)
    run = made.runs["final"]

    outcome = publish(lab.workspace.root, run, None, K)

    assert outcome.new
    what = outcome.published
    assert (what.run, what.version, what.model, what.study) == (run, run, "als", "first")
    assert (what.users, what.items) == cells.shape
    for user in cells.users.ids.to_pylist()[::37]:
        asked = recommend(lab.workspace, run, UserQuery(user), K + 4, False).answer.items
        found = lookup.user_list(place, user).published
        assert found.published == what
        check_same(found.entries, asked)
    for name in cells.items.names.to_pylist()[::41]:
        found = lookup.similar_list(place, name.upper()).published
        check_same(found.entries, similar(lab.workspace, run, name, K + 4).items)


def test_every_user_is_published_without_the_items_they_have(
    lab: Lab, made: Result, cells: Interactions, there: str
) -> None:
    publish(lab.workspace.root, made.runs["final"], None, K)
    heard: dict[str, set[str]] = {}
    for user, item in zip(cells.rows.tolist(), cells.cols.tolist(), strict=True):
        heard.setdefault(cells.users.id(user), set()).add(cells.items.id(item))

    for user in cells.users.ids.to_pylist():
        found = lookup.user_list(there, user).published
        assert len(found.entries) == K
        assert not {each.id for each in found.entries} & heard[user]


def test_the_same_version_twice_changes_nothing_and_says_so(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], made: Result, there: str
) -> None:
    words = ("publish", "--run", made.runs["study"], "--k", "3")
    told = []
    for more in ((), (), ("--again",)):
        assert command(*words, *more) == 0
        told.append(capsys.readouterr().out)
    assert command(*words, "--json") == 0
    said = json.loads(capsys.readouterr().out)

    run = made.runs["final"]
    assert told[0].startswith(f"run {run} (als of study first): top 3 of ")
    assert f": {there}" in told[0]
    assert told[1].startswith(f"{there}: run {run} (als of study first), top 3, published 20")
    assert told[1].endswith("; unchanged\n")
    assert told[2].startswith(f"run {run} (als of study first): top 3 of ")
    assert (said["new"], said["run"], said["k"], said["place"]) == (False, run, 3, there)


def test_the_champion_is_published_under_its_version(
    lab: Lab,
    made: Result,
    cells: Interactions,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    there: str,
) -> None:
    assert command("promote", made.runs["final"]) == 0
    capsys.readouterr()
    assert command("publish", "--k", "2") == 0
    told = capsys.readouterr().out
    assert command("publish", "--k", "2", "--version", "1") == 0
    again = capsys.readouterr().out
    user, name = cells.users.id(3), cells.items.name(4)
    assert command("lookup", user, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert command("lookup", user) == 0
    table = capsys.readouterr().out
    assert command("lookup", "--item", name, "--json") == 0
    alike = json.loads(capsys.readouterr().out)
    assert command("lookup", "--item", name) == 0
    like = capsys.readouterr().out

    assert told.startswith("version 1 (als of study first): top 2 of ")
    assert again.endswith("unchanged\n")
    assert (found["user"], found["version"], found["run"]) == (user, "1", made.runs["final"])
    assert [each["rank"] for each in found["items"]] == [1, 2]
    assert found["published"].endswith("+00:00")
    for each in found["items"]:
        assert each["name"] in table
    assert "version 1 (als of study first), published 20" in table
    assert (alike["name"], len(alike["items"])) == (name, 2)
    assert f"Like {name}" in like
    assert "similarity" in like


def test_a_champion_promoted_meanwhile_is_not_replaced_by_the_earlier_one(
    lab: Lab,
    made: Result,
    command: Callable[..., int],
    there: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = lab.runs(made.runs["study"])
    later = runs["final popularity-users"].info.run_id
    assert command("promote", made.runs["final"]) == 0
    load, meanwhile = publish_flow.load, iter([later])

    def loading(*args: Any) -> Any:
        for promoted in meanwhile:
            assert command("promote", promoted) == 0
            assert command("publish") == 0
        return load(*args)

    monkeypatch.setattr(publish_flow, "load", loading)
    assert command("publish") == 0

    published = open_store(there).read()
    assert published is not None
    assert published.run == later


def test_the_champion_is_published_as_it_was_registered_by_other_code_and_without_its_plays(
    made: Result,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    there: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert command("promote", made.runs["final"]) == 0
    assert command("publish", "--k", "3") == 0
    monkeypatch.setattr(registering, "code_id", lambda scope: "of tomorrow")
    monkeypatch.delattr(steps, "load_served")
    capsys.readouterr()

    assert command("publish") == 0
    same = capsys.readouterr().out
    assert command("publish", "--run", made.runs["final"], "--again") == 0
    again = capsys.readouterr().out

    assert same.startswith(f"{there}: version 1 (als of study first), top 3, published 20")
    assert same.endswith("; unchanged\n")
    assert again.startswith("version 1 (als of study first): top 3 of ")


def test_a_model_that_does_not_relate_items_is_published_without_similar_items(
    lab: Lab, made: Result, cells: Interactions, there: str
) -> None:
    run = lab.runs(made.runs["study"])["final popularity-users"].info.run_id

    outcome = publish(lab.workspace.root, run, None, K)

    skipped = "no similar items: popularity-users does not say which are similar"
    assert skipped in outcome.lines()
    with pytest.raises(InputError, match=r"is not among the 0 items .* does not relate items"):
        lookup.similar_list(there, cells.items.name(1))
    assert lookup.user_list(there, cells.users.id(1)).published.entries


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lookup", "nobody"), "user 'nobody' is not among the "),
        (("lookup", "--item", "none"), "item 'none' is not among the "),
        (("lookup", "x", "--from", "elsewhere"), "nothing is published at elsewhere/published.par"),
        (("lookup", "x", "--from", "ftp://x"), "'ftp://x' is no place to publish to; give PATH"),
        (("publish", "--version", "99"), "recsys has no version 99; there are: "),
        (("publish", "--to", "x.db"), "'x.db' is no place to publish to; give PATH.parquet"),
    ],
)
def test_errors_are_one_line(
    lab: Lab,
    made: Result,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    there: str,
    words: tuple[str, ...],
    message: str,
) -> None:
    publish(lab.workspace.root, made.runs["final"], None, 2)
    capsys.readouterr()

    assert command(*words) == 2

    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"recsys: {message}")
    if "nobody" in words:
        assert f"run {made.runs['final']} (als of study first), 20" in last


def test_ctrl_c_leaves_what_was_published(
    lab: Lab,
    made: Result,
    command: Callable[..., int],
    cells: Interactions,
    there: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = publish(lab.workspace.root, made.runs["final"], None, 2).published

    def interrupted(what: str, done: int, total: int | None) -> None:
        if what == "publishing similar items":
            raise KeyboardInterrupt

    monkeypatch.setattr(steps, "report_progress", interrupted)
    assert command("publish", "--run", made.runs["final"], "--k", "3") == main.INTERRUPTED

    assert open_store(there).read() == before
    assert len(lookup.user_list(there, cells.users.id(99)).published.entries) == 2


class Unreliable:
    """A place that cannot be reached at first."""

    place = "postgresql://me:***@host/x"

    def __init__(self, failures: int, error: type[InputError]) -> None:
        self._left, self._error = failures, error
        self.calls: list[str] = []

    def read(self) -> None:
        self.calls.append("read")
        self._fail()

    def replace(self, what: Published, blocks: Any, again: bool) -> Published:
        self.calls.append("replace")
        self._fail()
        return what

    def _fail(self) -> None:
        self._left -= 1
        if self._left >= 0:
            raise self._error("the server is not there")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    for name in ("look", "put"):
        prompt = getattr(steps, name).with_options(retry_delay_seconds=0)
        monkeypatch.setattr(publish_flow, name, prompt)


@pytest.mark.usefixtures("at_once", "there")
def test_a_lost_server_is_retried(lab: Lab, made: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Unreliable(2, DatabaseLost)
    monkeypatch.setattr(publish_flow, "open_store", lambda address: shelf)

    assert publish(lab.workspace.root, made.runs["final"], None, 2).new

    assert shelf.calls == ["read", "read", "read", "replace"]


@pytest.mark.usefixtures("at_once", "there")
def test_an_error_of_the_user_is_not_retried(
    lab: Lab, made: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Unreliable(9, InputError)
    monkeypatch.setattr(publish_flow, "open_store", lambda address: shelf)

    with pytest.raises(InputError, match="the server is not there"):
        publish(lab.workspace.root, made.runs["final"], None, 2)

    assert shelf.calls == ["read"]


@pytest.mark.usefixtures("at_once")
def test_a_password_is_neither_shown_nor_stored(
    lab: Lab,
    made: Result,
    command: Callable[..., int],
    capfd: pytest.CaptureFixture[str],
    prefect: Any,
    tmp_path: Path,
) -> None:
    place = "postgresql://me:hush-hush@127.0.0.1:1/x"

    assert command("publish", "--run", made.runs["final"], "--to", place) == 2
    assert command("lookup", "somebody", "--from", place) == 2

    out, err = capfd.readouterr()
    assert "postgresql://me:***@127.0.0.1:1/x" in err
    assert "hush-hush" not in out + err
    from prefect.settings import PREFECT_HOME

    stored = [path for path in Path(PREFECT_HOME.value()).rglob("*") if path.is_file()]
    stored += [path for path in lab.workspace.root.rglob("*") if path.is_file()]
    assert any(path.name.startswith("prefect.db") for path in stored)
    assert [path for path in stored if b"hush-hush" in path.read_bytes()] == []


@pytest.mark.postgres
def test_postgres_gives_what_a_file_gives(
    lab: Lab,
    made: Result,
    cells: Interactions,
    postgres: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    places = [postgres, str(tmp_path / "lists.parquet")]
    for place in places:
        monkeypatch.setenv(environment.PUBLISHED, place)
        publish(lab.workspace.root, made.runs["final"], None, K)

    for user in cells.users.ids.to_pylist()[::23]:
        one, other = (lookup.user_list(place, user).published.entries for place in places)
        assert one == other
    for name in cells.items.names.to_pylist()[::23]:
        one, other = (lookup.similar_list(place, name).published.entries for place in places)
        assert one == other


LIGHT = """
import sys
from flows.cli.main import main
assert main(sys.argv[1:]) == 0
heavy = {"numpy", "pandas", "pyarrow", "scipy", "prefect", "mlflow", "optuna", "sqlalchemy"}
sys.exit(", ".join(heavy & sys.modules.keys()) or 0)
"""


def test_nothing_heavy_is_loaded_to_look_something_up(
    lab: Lab, made: Result, cells: Interactions, there: str, tmp_path: Path
) -> None:
    publish(lab.workspace.root, made.runs["final"], None, 2)

    for words in ([cells.users.id(0)], ["--item", cells.items.name(0), "--json"]):
        command = ["lookup", *words, "--workspace", str(tmp_path / "mlruns")]
        done = subprocess.run(
            [sys.executable, "-c", LIGHT, *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
