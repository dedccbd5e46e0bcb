"""`recsys retrain` on real flows: promoted, refused, stopped, interrupted, repeated."""

import json
import os
import re
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flows import environment, registering
from flows.cli import main
from flows.clock import Clock
from flows.experiment import opened
from flows.retrain import Retrained, retrain
from flows.retrain_request import RetrainRequest, limits
from flows.searching import joined
from recsys.config import checked
from recsys.errors import InputError
from recsys.evaluation.gate import Gate
from recsys.models.als import Als, AlsConfig
from recsys.models.ensemble import EnsembleConfig
from recsys.models.item_knn import ItemKnnConfig
from tasks.data import database
from tasks.data.new_plays import gather
from tasks.data.stages import DataFiles
from tasks.orchestration.server import Server
from tasks.retraining import history
from tasks.retraining.history import RetrainHistory
from tasks.serving.published import open_store
from tasks.study.measuring import run_final
from tasks.tracking import registry as store
from tasks.tracking.client import open_client
from tasks.tracking.recorded import Recorded
from tasks.tracking.writing import DatabaseWriter
from tasks.tuning import stored_request
from tasks.workspace.cleaning import DAY, unused
from tasks.workspace.layout import Workspace
from tests.conftest import copy_database
from tests.flows.conftest import Lab, copied, flow_runs, quick

pytestmark = pytest.mark.flow
SLOW = pytest.mark.slow

Lines = list[str]


def lines_of(lab: Lab) -> Lines:
    return lab.plays.read_text(encoding="utf-8").splitlines(keepends=True)


def written(path: Path, lines: Lines) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def without_plays(lines: Lines) -> Lines:
    """Every second row has no number of plays, but for the first, by which a format is known."""
    return [
        "\t".join([*line.split("\t")[:3], "many\n"]) if n % 2 and n > 100 else line
        for n, line in enumerate(lines)
    ]


def louder(lines: Lines) -> Lines:
    """Everybody plays everything fifty times as often."""
    rows = [line.rstrip("\n").split("\t") for line in lines]
    return ["\t".join([*row[:3], f"{int(row[3]) * 50}\n"]) for row in rows if row[3].isdigit()]


def request_of(plays: Path, **more: Any) -> RetrainRequest:
    table = {"config": quick(study={"trials": 2, "fresh": False}), "name": "served", **more}
    return RetrainRequest(plays, None, **table)


@pytest.fixture(scope="module")
def fresh(
    starting: Server,
    sample: tuple[Path, Path],
    mlflow_database: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Lab:
    """A lab in which nothing was done."""
    workspace = Workspace.at(tmp_path_factory.mktemp("fresh") / "mlruns")
    copy_database(mlflow_database, workspace.tracking_database)
    starting.wait()
    return Lab(workspace, *sample)


@pytest.fixture(scope="module")
def retrained(fresh: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab with the first version of the model "served"."""
    lab = copied(fresh, tmp_path_factory.mktemp("retrained") / "mlruns")
    assert run(lab, request_of(lab.plays)).verdict == "promoted"
    return lab


@pytest.fixture
def lab(retrained: Lab, tmp_path: Path) -> Lab:
    """A copy of it for each test: to retrain with the same settings again costs little."""
    return copied(retrained, tmp_path / "mlruns")


@pytest.fixture
def ask(lab: Lab) -> Callable[..., RetrainRequest]:
    """A request to retrain the model "served", or another one by its name."""
    return lambda plays=None, **more: request_of(plays or lab.plays, **more)


def run(lab: Lab, asked: RetrainRequest) -> Retrained:
    return retrain(asked, lab.workspace.root)


def serving(lab: Lab, asked: RetrainRequest) -> int | None:
    found = store.champion(lab.workspace, asked.name)
    return None if found is None else found.number


def runs(lab: Lab, asked: RetrainRequest) -> list[Recorded]:
    """Newest first."""
    return list(RetrainHistory.of(lab.workspace, asked.name).runs)


def later(lab: Lab, folder: Path) -> Path:
    """The plays of another day: the same without the last tenth."""
    lines = lines_of(lab)
    return written(folder / "later.tsv", lines[: len(lines) * 9 // 10])


def test_the_first_is_promoted_and_the_same_plays_again_change_nothing(
    lab: Lab, ask: Callable[..., RetrainRequest]
) -> None:
    new = ask(name="new")
    first = run(lab, new)
    before = runs(lab, new)
    again = run(lab, new)

    assert (first.verdict, first.version, first.champion) == ("promoted", 1, 1)
    assert first.reasons == ("first: nothing serves yet",)
    assert first.study.replace("-", " ", 1) in flow_runs()
    assert (again.verdict, again.version, again.champion) == ("unchanged", 1, 1)
    assert "retrained already with these settings, and version 1 was promoted" in again.reasons[0]
    assert runs(lab, new) == before
    assert len(store.versions(lab.workspace, new.name)) == 1
    (recorded,) = before
    assert recorded.tags["verdict"] == "promoted"
    assert recorded.params["gate"] == "not-worse"
    data = open_client(lab.workspace).get_run(recorded.id).data
    assert data.metrics["gate/challenger"] == first.table["decision"]["challenger"]["mean"]
    assert again.table["parts"] == json.loads(json.dumps(first.table["parts"]))


@SLOW
def test_the_search_begins_at_the_champion_which_is_judged_on_the_same_test(
    lab: Lab, ask: Callable[..., RetrainRequest], tmp_path: Path
) -> None:
    first = run(lab, ask())
    second = run(lab, ask(later(lab, tmp_path)))

    client = open_client(lab.workspace)
    champion = store.get_version(lab.workspace, first.version, ask().name)
    params = client.get_run(champion.run).data.params
    parent = client.search_runs(
        [e.experiment_id for e in client.search_experiments()],
        f"tags.study = '{second.study}' and tags.stage = 'study'",
    )[0]
    children = lab.runs(parent.info.run_id)
    assert children["trial 000"].data.params == params
    finals = client.search_runs(
        [parent.info.experiment_id], f"tags.study = '{second.study}' and tags.stage = 'final'"
    )
    assert len({each.data.tags["split"] for each in finals}) == 1
    assert params in [each.data.params for each in finals]
    decision = second.table["decision"]
    assert decision["champion"]["mean"] in [each.data.metrics["test/ndcg_at_10"] for each in finals]
    assert second.verdict == decision["verdict"]
    assert second.champion == (second.version if second.verdict == "promoted" else first.version)
    assert decision["on_new"] is None  # nothing new: every pair was in the champion's data


@SLOW
def test_the_champion_as_it_serves_is_judged_on_new_pairs_unless_its_files_are_lost(
    lab: Lab, ask: Callable[..., RetrainRequest], tmp_path: Path
) -> None:
    lines = lines_of(lab)
    some = written(tmp_path / "some.tsv", [line for n, line in enumerate(lines) if n % 5])
    run(lab, ask(some, name="grows"))
    second = run(lab, ask(name="grows", refit=True, gate=Gate("always")))

    on_new = second.table["decision"]["on_new"]
    assert 0 < on_new["n_users"] <= on_new["n_pairs"] < len(lines) / 5
    assert second.reasons[-1].startswith(f"as it serves, on {on_new['n_pairs']} pairs of ")

    client, number = open_client(lab.workspace), str(second.version)
    place = client.get_model_version_download_uri("grows", number).removeprefix("file://")
    Path(place, "artifacts", "served", "users.parquet").unlink()
    third = run(lab, ask(later(lab, tmp_path), name="grows", refit=True))

    assert (third.verdict, third.champion) == ("promoted", third.version)
    assert third.table["decision"]["on_new"] is None
    assert third.reasons[-1].startswith(
        "the served champion cannot be judged, which decides nothing: "
    )


@SLOW
def test_another_model_that_is_better_takes_the_place_and_one_that_is_worse_does_not(
    lab: Lab, ask: Callable[..., RetrainRequest], tmp_path: Path
) -> None:
    table = ask().config.model_dump(mode="json", exclude_none=True)
    popular = checked({**table, "model": "popularity-plays", "search": {}}, "of a test")
    plays = later(lab, tmp_path)

    first = run(lab, ask(name="other", config=popular, refit=True))
    better = run(lab, ask(plays, name="other", follows=False, gate=Gate("better")))
    worse = run(lab, ask(name="other", config=popular, follows=False, gate=Gate(coverage=0)))

    assert first.champion == 1
    assert (better.verdict, better.champion) == ("promoted", 2)
    assert better.reasons[0].startswith("better: ndcg@10 0.")
    assert (worse.verdict, worse.version, worse.champion) == ("refused", 3, 2)
    assert worse.reasons[0].startswith("may be worse beyond the margin of 1.0%")


@SLOW
def test_a_champion_that_is_only_refitted_is_not_better_than_itself(
    lab: Lab, ask: Callable[..., RetrainRequest], tmp_path: Path
) -> None:
    plays = later(lab, tmp_path)

    refused = run(lab, ask(plays, refit=True, gate=Gate("better")))
    passed = run(lab, ask(plays, refit=True))

    assert (refused.verdict, refused.champion) == ("refused", 1)
    assert refused.reasons[0].startswith("not shown to be better")
    assert refused.table["decision"]["difference"]["mean"] == 0
    assert (passed.verdict, passed.champion) == ("promoted", refused.version)


def ensemble(lab: Lab) -> str:
    """The run of an ensemble that was judged on test."""
    members = (AlsConfig(factors=4, iterations=2), ItemKnnConfig())
    source = DataFiles(lab.plays, None)
    asked = (lab.workspace, source, quick(), "merged", (), Clock())
    with opened(*asked, through_prefect=False) as (study, search, stages), joined(study, search):
        test, folder = stages["split"].folder / "test", lab.workspace.root / "merged"
        return run_final.fn(study, test, EnsembleConfig(members=members), folder).run


@SLOW
def test_an_ensemble_that_serves_is_refitted_though_its_first_run_was_deleted(
    lab: Lab, ask: Callable[..., RetrainRequest], tmp_path: Path
) -> None:
    judged = ensemble(lab)
    registering.promote(lab.workspace, judged, "merged")
    client = open_client(lab.workspace)
    client.delete_run(judged)

    done = run(lab, ask(later(lab, tmp_path), name="merged", refit=True))

    serves = store.get_version(lab.workspace, 2, "merged")
    assert (done.verdict, done.champion, serves.model) == ("promoted", 2, "ensemble")
    assert done.table["decision"]["difference"]["mean"] == 0
    assert (
        client.get_run(serves.run).data.params["members"]
        == (client.get_run(judged).data.params["members"])
    )


def test_the_gate_never_leaves_the_champion(
    lab: Lab, ask: Callable[..., RetrainRequest], tmp_path: Path
) -> None:
    nothing = run(lab, ask(name="none", gate=Gate("never")))
    second = run(lab, ask(later(lab, tmp_path), gate=Gate("never")))

    assert (nothing.verdict, nothing.champion) == ("refused", None)
    assert (second.verdict, second.champion) == ("refused", 1)
    assert second.reasons[0].startswith("--gate never")
    assert len(second.reasons) >= 3


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        pytest.param(without_plays, "day.tsv: more rows cannot be used: 4", marks=SLOW),
        (louder, "day.tsv: plays have another distribution"),
    ],
)
def test_a_broken_day_stops_the_retraining_unless_it_is_accepted(
    lab: Lab,
    ask: Callable[..., RetrainRequest],
    tmp_path: Path,
    breaks: Callable[[Lines], Lines],
    words: str,
) -> None:
    broken = written(tmp_path / "day.tsv", breaks(lines_of(lab)))

    with pytest.raises(
        InputError, match=r"Nothing is changed; .* repeat with --accept-drift"
    ) as why:
        run(lab, ask(broken, gate=Gate("always")))
    stopped = runs(lab, ask())[0]
    left = serving(lab, ask())
    accepted = run(lab, ask(broken, gate=Gate("always"), accept_drift=True))
    back = run(lab, ask(later(lab, tmp_path), gate=Gate("always")))

    assert words in str(why.value)
    assert stopped.tags["verdict"] == "stopped"
    assert words in stopped.tags["reasons"]
    assert stopped.status == "FINISHED"
    assert left == 1
    assert (accepted.verdict, accepted.champion) == ("promoted", 2)
    assert back.verdict == "promoted"  # the odd day is not what a good one is held against


class Killed(BaseException):
    """The process died."""


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, int], None]:
    """Let a function kill us at its nth call, from 0; once."""

    def arrange(place: Any, name: str, at: int) -> None:
        function, calls = getattr(place, name), iter(range(10_000))

        def dying(*args: Any, **more: Any) -> Any:
            if next(calls) == at:
                raise Killed
            return function(*args, **more)

        monkeypatch.setattr(place, name, dying)

    return arrange


@pytest.mark.parametrize(
    ("place", "function", "at"),
    [
        pytest.param(DatabaseWriter, "create", 0, marks=SLOW, id="before it has a run"),
        pytest.param(Als, "fit", 1, id="in the second trial"),
        pytest.param(Als, "fit", 2, marks=SLOW, id="in the refitted champion"),
        pytest.param(registering, "register", 0, marks=SLOW, id="before it registers"),
        pytest.param(registering, "promote", 0, marks=SLOW, id="before it promotes"),
        pytest.param(history, "show_decision", 0, marks=SLOW, id="after everything"),
    ],
)
def test_a_kill_leaves_the_champion_and_the_same_command_resumes(
    lab: Lab,
    ask: Callable[..., RetrainRequest],
    tmp_path: Path,
    dies: Callable[[Any, str, int], None],
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    function: str,
    at: int,
) -> None:
    asked = ask(later(lab, tmp_path), gate=Gate("always"))
    dies(place, function, at)
    with pytest.raises(Killed):
        run(lab, asked)
    monkeypatch.undo()
    left = serving(lab, asked)
    studies = {each.tags["study"] for each in runs(lab, asked)}
    done = run(lab, asked)

    promoted = function == "show_decision"
    assert left == (2 if promoted else 1)
    assert done.verdict == ("unchanged" if promoted else "promoted")
    resumed = {each.tags["study"] for each in runs(lab, asked)}
    assert studies <= resumed
    assert len(resumed) == 2
    assert [each.status for each in runs(lab, asked)] == ["FINISHED"] * 2
    assert serving(lab, asked) == 2
    assert len(store.versions(lab.workspace, asked.name)) == 2
    second, one = runs(lab, asked)
    assert second.params.keys() == one.params.keys()
    client = open_client(lab.workspace)
    assert len(client.get_run(second.id).inputs.dataset_inputs) == 1
    assert len(client.get_metric_history(second.id, "gate/challenger")) == 1


@SLOW
def test_a_kill_right_after_the_promotion_keeps_it(
    lab: Lab, ask: Callable[..., RetrainRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(later(lab, tmp_path), gate=Gate("always"))
    promote = registering.promote

    def dying(*args: Any) -> Any:
        promote(*args)
        raise Killed

    monkeypatch.setattr(registering, "promote", dying)
    with pytest.raises(Killed):
        run(lab, asked)
    monkeypatch.undo()
    assert serving(lab, asked) == 2
    done = run(lab, asked)

    assert (done.verdict, done.version, done.champion) == ("promoted", 2, 2)
    assert done.table["decision"]["champion"] is not None
    assert len(runs(lab, asked)) == 2


@SLOW
def test_the_files_of_a_folder_are_one_log_and_a_broken_one_is_named(
    lab: Lab, ask: Callable[..., RetrainRequest], tmp_path: Path
) -> None:
    lines = lines_of(lab)
    folder = tmp_path / "days"
    written(folder / "2026-01-01.tsv", lines[::2])
    written(folder / "2026-01-02.tsv", lines[1::2])
    written(folder / ".hidden", ["nothing"])
    request = partial(ask, name="days")
    config = request().config.data

    both = gather(lab.workspace, folder, config)
    assert both.fingerprint == gather(lab.workspace, folder, config).fingerprint
    assert [part.name for part in both.parts] == ["2026-01-01.tsv", "2026-01-02.tsv"]
    whole = gather(lab.workspace, lab.plays, config)
    usable = [sum(p.facts.rows - p.facts.rejected for p in e.parts) for e in (both, whole)]
    assert usable[0] == usable[1]
    first = run(lab, request(folder))
    written(folder / "2026-01-03.tsv", without_plays(lines[::2]))
    with pytest.raises(InputError, match=r"2026-01-03.tsv: more rows cannot be used: 4"):
        run(lab, request(folder))
    written(folder / "2026-01-03.tsv", lines[1::2])
    with pytest.raises(InputError, match=r"2026-01-03.tsv is a copy of 2026-01-02.tsv, and its p"):
        run(lab, request(folder))
    written(folder / "2026-01-03.tsv", lines[1::3])
    second = run(lab, request(folder, gate=Gate("always")))
    for name in ("2026-01-01.tsv", "2026-01-02.tsv"):
        (folder / name).unlink()
    # What is left is known, and yet it is not what there was.
    with pytest.raises(
        InputError, match="have drifted from the last ones: all files together: fewer rows"
    ):
        run(lab, request(folder))

    assert (first.champion, second.champion) == (1, 2)
    assert len(second.table["parts"]) == 3
    # A rollback leads back to the first, so its plays stay, however old; whose neither is may go.
    third = run(lab, request(later(lab, tmp_path), gate=Gate("always")))
    for study, kept in ((first.study, False), (second.study, True), (third.study, True)):
        plays = Path(stored_request(lab.workspace, study)["plays"])
        old = {each.path for each in unused(lab.workspace, plays.stat().st_mtime + 99 * DAY)}
        assert (plays in old) is not kept


def database_of(lab: Lab, path: Path, order: int = 1) -> list[tuple[str, str, int]]:
    """A database that holds the plays of the lab; its rows."""
    rows = [line.rstrip("\n").split("\t") for line in lines_of(lab)]
    usable = [(row[0], row[2], int(row[3])) for row in rows if row[3].isdigit() and row[2]]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table heard (who text, what text, n int)")
        database.executemany("insert into heard values (?, ?, ?)", usable[::order])
    return usable


QUERY = "select who as user, what as artist, n as plays from heard"


@SLOW
def test_plays_come_from_a_database_in_any_order(
    lab: Lab, ask: Callable[..., RetrainRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usable = database_of(lab, tmp_path / "plays.db")
    database_of(lab, tmp_path / "reversed.db", order=-1)
    asked = replace(ask(name="queried", refit=True, query=QUERY), plays=None)

    monkeypatch.setenv(environment.DATABASE, f"sqlite:///{tmp_path / 'plays.db'}")
    first = run(lab, asked)
    monkeypatch.setenv(environment.DATABASE, f"sqlite:///{tmp_path / 'reversed.db'}")
    again = run(lab, asked)

    (part,) = first.table["parts"]
    assert (first.verdict, again.verdict) == ("promoted", "unchanged")
    assert part["facts"]["rows"] == len(usable)
    assert part["facts"]["rejected"] == sum(n <= 0 for _, _, n in usable)
    assert runs(lab, asked)[0].params["plays"] == "query"


def test_a_lost_database_is_retried_and_its_password_is_not_shown(
    lab: Lab, ask: Callable[..., RetrainRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = iter(range(10))
    place = "postgresql://me:hush-hush@127.0.0.1:1/x"
    monkeypatch.setenv(environment.DATABASE, place)
    connected = database.connected

    def counted(*args: Any) -> Any:
        next(attempts)
        return connected(*args)

    monkeypatch.setattr(database, "connected", counted)
    at_once = database.query_plays.with_options(retry_delay_seconds=0)
    monkeypatch.setattr(database, "query_plays", at_once)
    asked = replace(ask(name="lost", query=QUERY), plays=None)

    with pytest.raises(InputError, match=r"PostgreSQL at postgresql://me:\*{3}@127.0.0.1:1/x"):
        run(lab, asked)

    assert next(attempts) == 4
    (stopped,) = runs(lab, asked)
    assert (stopped.tags["verdict"], stopped.status) == ("stopped", "FINISHED")
    assert "hush" not in json.dumps(stopped.tags)


def test_plays_that_cannot_be_read_are_recorded_as_stopped(
    lab: Lab, ask: Callable[..., RetrainRequest], tmp_path: Path
) -> None:
    torn = written(tmp_path / "day.tsv", ["no table\n", "at all\n"])

    with pytest.raises(InputError, match=r"day\.tsv"):
        run(lab, ask(torn))

    stopped = runs(lab, ask())[0]
    assert (stopped.tags["verdict"], stopped.status) == ("stopped", "FINISHED")
    assert "day.tsv" in stopped.tags["reasons"]
    assert stopped.tags["champion"] == "1"
    assert serving(lab, ask()) == 1
    assert run(lab, ask()).verdict == "unchanged"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"query": QUERY}, "either as a file or folder, or by a query"),
        (
            {"config": quick(split={"kind": "given", "test": "test.tsv"})},
            r"leave out the published test side \(--test",
        ),
    ],
)
def test_requests_that_cannot_be_retrained_are_refused(
    lab: Lab, ask: Callable[..., RetrainRequest], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(lab, ask(**more))


@SLOW
def test_a_new_champion_is_published_once_and_one_that_was_refused_is_not(
    lab: Lab, ask: Callable[..., RetrainRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "lists.parquet")
    monkeypatch.setenv(environment.PUBLISHED, address)
    plays = later(lab, tmp_path)

    first = run(lab, ask(name="published", publish=True))
    again = run(lab, ask(name="published", publish=True))
    refused = run(lab, ask(plays, name="published", publish=True, gate=Gate("never")))
    left = open_store(address).read()
    silent = run(lab, ask(plays, name="published", gate=Gate("always")))

    assert (first.verdict, first.published and first.published.new) == ("promoted", True)
    assert (again.verdict, again.published and again.published.new) == ("unchanged", False)
    assert (refused.published, silent.published) == (None, None)
    assert left is not None
    assert left.version == str(first.version)
    assert open_store(address).read() == left


@SLOW
def test_a_champion_that_could_not_be_published_is_published_by_the_same_command(
    lab: Lab, ask: Callable[..., RetrainRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(name="published", publish=True)
    (tmp_path / "lists.db").write_bytes(b"no database" * 100)
    monkeypatch.setenv(environment.PUBLISHED, f"sqlite:///{tmp_path / 'lists.db'}")
    with pytest.raises(InputError, match=r"version 1 serves, but its lists are not published: "):
        run(lab, asked)
    monkeypatch.setenv(environment.PUBLISHED, str(tmp_path / "lists.parquet"))
    done = run(lab, asked)

    assert (done.verdict, done.champion) == ("unchanged", 1)
    assert done.published is not None
    assert done.published.new


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size=2", "--drift size=2: write NAME=X with one of shrink"),
        ("grow=big", "--drift grow=big: 'big' is no number"),
        ("grow=0.1", "drift limit grow is 0.1: use 1 to inf"),
    ],
)
def test_limits_that_make_no_sense_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        limits([text])


@pytest.fixture
def command(
    lab: Lab, starting: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., int]]:
    """The command in this process, in the workspace of the lab."""
    known, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_API_URL", starting.api)
    yield lambda *words: main.main([*map(str, words), "--workspace", str(lab.workspace.root)])
    signal.signal(signal.SIGTERM, handler)
    os.environ.clear()
    os.environ.update(known)


@SLOW
def test_the_command_prints_the_decision_and_exits_with_2_on_drift(
    lab: Lab,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    broken = written(tmp_path / "day.tsv", without_plays(lines_of(lab)))
    words = ("retrain", "--name", "commanded", "--trials", "0", "--set", "search.factors=4")

    assert command(*words, "--plays", lab.plays) == 0
    told = capsys.readouterr().out
    assert command(*words, "--plays", lab.plays, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert command(*words, "--plays", broken) == 2
    stopped = capsys.readouterr().err

    assert told.startswith("commanded version 1: promoted; version 1 serves\n  first: nothing")
    assert again["verdict"] == "unchanged"
    assert "recsys: the plays have drifted from the last ones: day.tsv: more rows" in stopped

    assert command("clean", "--dry-run") == 0
    assert re.fullmatch(
        r"0 entries, 0.0 MB, unused for 30 days: could be removed\n", capsys.readouterr().out
    )


def test_files_that_do_not_fit_together_are_refused(lab: Lab, tmp_path: Path) -> None:
    data = quick().data
    folder = tmp_path / "days"
    folder.mkdir()
    with pytest.raises(InputError, match="no file is in this folder"):
        gather(lab.workspace, folder, data)

    written(folder / "1.csv", ["u,i,t\n", "a,x,100\n"])
    columns = {"user": "u", "item": "i", "time": "t"}
    assert len(gather(lab.workspace, folder, replace_columns(data, columns)).parts) == 1
    assert database.COLUMNS["time"] == "time"


def replace_columns(data: Any, columns: dict[str, str]) -> Any:
    return data.model_copy(update={"columns": columns})
