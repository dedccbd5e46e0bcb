"""Registered models, in a real MLflow store, loaded where our repository is not."""

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import pytest

from flows.answering import UserQuery, recommend
from flows.cli import main
from flows.registering import Registered, promote, register, rollback
from flows.result import Result
from recsys.data.interactions import Interactions
from recsys.errors import InputError
from tasks.data.stages import DataFiles, everything
from tasks.orchestration.interfaces import MODEL
from tasks.tracking import registering
from tasks.tracking import registry as store
from tasks.tracking.client import open_client
from tasks.tracking.queries import read_run
from tasks.workspace.cleaning import DAY, unused
from tasks.workspace.layout import Workspace
from tests.flows.conftest import Lab

pytestmark = pytest.mark.flow

NAME = "tested"  # not the one that `recsys recommend` asks: other tests share the workspace
SECONDS = 60  # after which a server that does not answer is given up


@pytest.fixture(scope="module")
def made(first: Result) -> Result:
    """The study whose models are registered."""
    return first


@pytest.fixture(scope="module")
def later(lab: Lab, made: Result) -> Result:
    """A study that was made after it."""
    return lab.run("later", study={"trials": 1})


@pytest.fixture(scope="module")
def winner(lab: Lab, made: Result) -> Registered:
    """Its winner, version 1."""
    return register(lab.workspace, made.runs["final"], NAME)


@pytest.fixture(scope="module")
def baselines(lab: Lab, made: Result, winner: Registered) -> list[Registered]:
    """Two more, versions 2 and 3."""
    runs = lab.runs(made.runs["study"])
    kinds = ("popularity-users", "popularity-plays")
    return [register(lab.workspace, runs[f"final {kind}"].info.run_id, NAME) for kind in kinds]


@pytest.fixture(scope="module")
def cells(lab: Lab, made: Result) -> Interactions:
    return everything(lab.workspace, DataFiles(lab.plays), made.config).cells


@pytest.fixture
def three(lab: Lab, baselines: list[Registered]) -> Workspace:
    """Versions 1, 2 and 3, of which 2 is the champion and 1 the previous one."""
    client = open_client(lab.workspace)
    for alias, number in ((store.CHAMPION, "2"), (store.PREVIOUS, "1")):
        client.set_registered_model_alias(NAME, alias, number)
    return lab.workspace


def aliases(workspace: Workspace) -> dict[str, int]:
    """The number that each alias points at."""
    return {a: each.number for each in store.versions(workspace, NAME) for a in each.aliases}


def files(lab: Lab, registered: Registered) -> Path:
    """Where the files of a version are."""
    number = str(registered.version.number)
    uri = open_client(lab.workspace).get_model_version_download_uri(NAME, number)
    return Path(uri.removeprefix("file://"))


def artist_names(lab: Lab, made: Result, listener: UserQuery, k: int) -> list[tuple[str, object]]:
    """What `recsys recommend` shows, with scores."""
    answer = recommend(lab.workspace, made.runs["final"], listener, k, False).answer
    return [(each.name, pytest.approx(each.score, rel=1e-5)) for each in answer.items]


def test_a_version_says_which_run_it_is_judged_by_and_what_it_is_made_of(
    lab: Lab, made: Result, winner: Registered
) -> None:
    client = open_client(lab.workspace)
    judged = client.get_run(made.runs["final"])
    found = client.get_model_version(NAME, "1")

    assert winner.new
    assert found.run_id == made.runs["final"]
    assert found.tags["judged_run"] == made.runs["final"]
    assert made.runs["final"] in found.tags["metrics_of"]
    assert found.tags["data"] == judged.data.tags["data"]
    assert winner.version.value == judged.data.metrics["test/ndcg_at_10"]
    logged = client.get_logged_model(found.tags["logged_model"])
    on_test = {n: v for n, v in judged.data.metrics.items() if n.startswith("test/")}
    assert {metric.key: metric.value for metric in logged.metrics or []} == on_test
    assert len(client.get_metric_history(made.runs["final"], "test/ndcg_at_10")) == 1
    assert logged.params == judged.data.params


def test_nothing_is_pickled_and_only_what_serving_needs_is_required(
    lab: Lab, winner: Registered
) -> None:
    folder = files(lab, winner)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pyc"))]
    assert {"MLmodel", "registered_model.py", "artifacts/served/item_factors.npy"} <= names
    assert {path.name for path in (folder / "code").iterdir()} == {"recsys"}
    wanted = (folder / "requirements.txt").read_text(encoding="utf-8").split()
    assert f"implicit=={installed('implicit')}" in wanted
    assert all("==" in line for line in wanted)
    assert {line.partition("==")[0] for line in wanted} == set(registering.LIBRARIES)


def test_the_same_model_is_the_same_version(
    lab: Lab, made: Result, winner: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = register(lab.workspace, made.runs["study"], NAME)

    assert not again.new
    assert again.version.number == winner.version.number
    monkeypatch.setattr(registering, "code_id", lambda scope: "of another day")
    assert (
        registering.identity(read_run(lab.workspace, again.version.run)) != again.version.identity
    )


LOAD = """
import importlib.util, json, sys
sys.path += sys.argv[1:3]
assert importlib.util.find_spec("recsys") is None
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model(sys.argv[3])
known, history, unknown = (pandas.DataFrame([each]) for each in json.loads(sys.argv[4]))
assert importlib.util.find_spec("recsys").origin.startswith(sys.argv[3])
found = [model.predict(each, params={"k": 4}).to_dict("records") for each in (known, history)]
try:
    model.predict(unknown)
except mlflow.MlflowException as error:
    found.append(error.message)
print(json.dumps(found))
"""


@pytest.mark.slow
def test_it_answers_where_the_repository_is_not(
    lab: Lab, made: Result, winner: Registered, cells: Interactions, tmp_path: Path
) -> None:
    one, other = cells.items.name(4), cells.items.name(9)
    user = cells.users.id(3)
    typed = f"{one}:3, {other}"
    questions = [{"user": user}, {"items": typed}, {"items": other + "x"}]
    folder = str(files(lab, winner))
    libraries = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]

    # Without `site` no .pth file leads to the repository.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOAD, *libraries, folder, json.dumps(questions)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    known, history, refused = json.loads(done.stdout.splitlines()[-1])
    expected = artist_names(lab, made, UserQuery(user), 4)
    assert [(row["name"], row["score"]) for row in known] == expected
    assert [row["rank"] for row in known] == [1, 2, 3, 4]
    heard = {cells.items.id(item) for item in cells.cols[cells.rows == 3].tolist()}
    assert not heard & {row["item"] for row in known}
    expected = artist_names(lab, made, UserQuery(items=typed), 4)
    assert [(row["name"], row["score"]) for row in history] == expected
    assert f"row 0: item {other + 'x'!r} is not known; nearest are {other!r}" in refused


@pytest.fixture
def server(lab: Lab, winner: Registered, tmp_path: Path) -> Iterator[str]:
    """MLflow's own server of the model, by its version in the registry."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{NAME}/1"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", port]
    place = {
        "MLFLOW_TRACKING_URI": lab.workspace.tracking_uri,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **place},
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}", process, tmp_path / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    last = time.monotonic() + SECONDS
    while time.monotonic() < last and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"{address} does not answer: {log.read_text(encoding='utf-8')[-3000:]}")


def post(address: str, rows: list[dict[str, Any]], k: int) -> tuple[int, dict[str, Any]]:
    """Status and body of a question to the server."""
    body = json.dumps({"dataframe_records": rows, "params": {"k": k}}).encode()
    request = urllib.request.Request(
        f"{address}/invocations", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.slow
def test_mlflow_serves_it_over_http(
    lab: Lab, made: Result, server: str, cells: Interactions
) -> None:
    user, name = cells.users.id(3), cells.items.name(9)
    history = {"items": [name], "plays": [2]}
    rows: list[dict[str, Any]] = [{"user": user}, history, {"user": "me", "items": f"{name}:2"}]

    status, body = post(server, rows, 2)
    unknown = post(server, [{"user": user}, {"items": name + "x"}], 2)
    nobody = post(server, [{"user": user + "x"}], 2)
    none = post(server, [{"user": user}], 0)

    assert status == 200
    found = body["predictions"]
    assert [(row["user"], row["rank"]) for row in found] == [
        (who, rank) for who in (user, None, "me") for rank in (1, 2)
    ]
    shown = [(row["name"], row["score"]) for row in found[:2]]
    assert shown == artist_names(lab, made, UserQuery(user), 2)
    assert [row["name"] for row in found[2:4]] == [row["name"] for row in found[4:]]
    assert [status for status, _ in (unknown, nobody, none)] == [400, 400, 400]
    wanted = f"row 1: item {name + 'x'!r} is not known; nearest are {name!r}"
    assert wanted in unknown[1]["message"]
    assert f"user {user + 'x'!r} is not known; nearest are" in nobody[1]["message"]
    assert "k is 0; give a number from 1" in none[1]["message"]


def test_promoting_makes_the_champion_the_previous_one(three: Workspace) -> None:
    assert promote(three, "3", NAME).aliases == (store.CHAMPION,)
    assert aliases(three) == {store.CHAMPION: 3, store.PREVIOUS: 2}
    promote(three, "3", NAME)
    assert aliases(three) == {store.CHAMPION: 3, store.PREVIOUS: 2}


def test_a_run_is_promoted_by_its_id(three: Workspace, made: Result) -> None:
    promote(three, made.runs["final"], NAME)

    assert aliases(three) == {store.CHAMPION: 1, store.PREVIOUS: 2}


def test_who_shares_the_registry_cleans_without_the_study_of_the_champion(
    three: Workspace, tmp_path: Path
) -> None:
    elsewhere = Workspace.at(tmp_path, None, three.tracking_uri)
    elsewhere.incoming.mkdir()
    old = elsewhere.incoming / "query-old.parquet"
    old.touch()

    found = unused(elsewhere, old.stat().st_mtime + 99 * DAY)

    assert store.CHAMPION in aliases(elsewhere)
    assert [each.path for each in found] == [old]


def test_rolling_back_twice_changes_nothing(three: Workspace) -> None:
    assert rollback(three, NAME).number == 1
    assert aliases(three) == {store.CHAMPION: 1, store.PREVIOUS: 2}
    assert rollback(three, NAME).number == 2
    assert aliases(three) == {store.CHAMPION: 2, store.PREVIOUS: 1}


class Killed(BaseException):
    """The process died."""


@pytest.fixture
def dying_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the process die after so many moves of an alias."""

    def arrange(writes: int) -> None:
        write, left = store._point, iter(range(writes))

        def dying(*args: Any) -> None:
            if next(left, None) is None:
                raise Killed
            write(*args)

        monkeypatch.setattr(store, "_point", dying)

    return arrange


@pytest.mark.parametrize("writes", [0, 1])
def test_whoever_is_killed_while_promoting_leaves_the_champion_and_repeats_it(
    three: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    dying_after: Callable[[int], None],
    writes: int,
) -> None:
    dying_after(writes)
    with pytest.raises(Killed):
        promote(three, "3", NAME)
    left = aliases(three)
    monkeypatch.undo()
    promote(three, "3", NAME)

    assert left[store.CHAMPION] == 2
    assert aliases(three) == {store.CHAMPION: 3, store.PREVIOUS: 2}


@pytest.mark.parametrize(("writes", "champion"), [(0, 2), (1, 1)])
def test_whoever_is_killed_while_rolling_back_leaves_a_champion(
    three: Workspace, dying_after: Callable[[int], None], writes: int, champion: int
) -> None:
    dying_after(writes)
    with pytest.raises(Killed):
        rollback(three, NAME)

    assert aliases(three) == {store.CHAMPION: champion, store.PREVIOUS: 1}


def test_what_a_killed_registration_left_is_gone_on_with(
    lab: Lab, later: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_client(lab.workspace)
    run = later.runs["final"]
    experiment = client.get_run(run).info.experiment_id

    def mine() -> list[str]:
        found = client.search_logged_models([experiment], f"tags.judged_run = '{run}'")
        return [f"{each.model_id} {each.status}" for each in found]

    def dying(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(registering, "_copy_metrics", dying)
    with pytest.raises(Killed):
        register(lab.workspace, run, "cut-off")
    left = mine()
    monkeypatch.undo()
    assert store.versions(lab.workspace, "cut-off") == []
    made_now = register(lab.workspace, run, "cut-off")

    assert [each.split()[1] for each in left] == ["PENDING"]
    assert mine() == [left[0].replace("PENDING", "READY")]
    assert made_now.version.number == 1
    assert list(lab.workspace.scratch.glob("registering-*")) == []


@pytest.fixture
def command(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., int]]:
    """The command in this process, in the workspace of the lab; without a champion afterwards."""
    known, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    yield lambda *words: main.main([*map(str, words), "--workspace", str(lab.workspace.root)])
    signal.signal(signal.SIGTERM, handler)
    os.environ.clear()
    os.environ.update(known)
    if store.versions(lab.workspace):
        open_client(lab.workspace).delete_registered_model(MODEL)


def test_the_champion_is_what_recommend_asks(
    lab: Lab,
    later: Result,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("promote", "later") == 0
    told = capsys.readouterr().out
    assert command("recommend", "--k", "1", "--json") == 0
    asked = json.loads(capsys.readouterr().out)
    assert command("models") == 0
    shown = capsys.readouterr().out
    assert command("models", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert command("register", "--run", later.runs["final"]) == 0
    again = capsys.readouterr().out

    assert told.startswith("recsys version 1, champion: als of study later, ndcg@10 0.")
    assert "over HTTP: recsys serve --workspace " in told
    assert asked["run"] == later.runs["final"]
    assert asked["selected"] == "the champion, version 1"
    assert "champion" in shown
    assert [(each["number"], each["aliases"]) for each in listed] == [(1, ["champion"])]
    assert listed[0]["value"] == pytest.approx(
        open_client(lab.workspace).get_run(later.runs["final"]).data.metrics["test/ndcg_at_10"]
    )
    assert "it was registered before" in again


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("promote", "7", "--name", NAME), "tested has no version 7; there are: 1, 2, 3"),
        (("promote", "1", "--name", "empty"), "empty has no version 1; there are: none"),
        (("promote", "0" * 32), f"run {'0' * 32!r} is not in MLflow"),
        (("rollback", "--name", "empty"), "nothing to go back to: of the model empty none serves"),
        (("models", "--name", "a/b"), "--name 'a/b': a registered model is named by letters"),
    ],
)
def test_what_is_not_there_is_refused_in_a_line(
    baselines: list[Registered],
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    assert command(*words) == 2

    assert capsys.readouterr().err.splitlines()[-1].startswith(f"recsys: {message}")


def test_a_trial_is_not_registered_for_it_was_not_judged_on_test(lab: Lab, made: Result) -> None:
    with pytest.raises(InputError, match=r"was not judged on test, and only what was is"):
        register(lab.workspace, made.trials[0].run, NAME)


def test_the_study_of_the_champion_is_not_deleted(
    later: Result, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("promote", later.runs["final"]) == 0

    assert command("study", "delete", "later") == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("recsys: study later made version 1 of recsys, the champion;")
