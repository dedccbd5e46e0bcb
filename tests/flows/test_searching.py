"""A search that is deleted, joined or that fails while it runs: what is left, and what is said."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import flows.experiment
import flows.searching
import tasks.study.study
from flows import environment, studies
from flows.cli.main import main
from flows.cli.resuming import stored as request_of
from recsys.errors import InputError
from recsys.models.als import Als
from tasks.tuning import list_studies
from tasks.workspace.layout import Workspace
from tests.conftest import copy_database

pytestmark = [pytest.mark.flow, pytest.mark.slow]

OPTIONS = (
    *("--set", "search.factors=2,4", "--set", "search.iterations=2,3"),
    "--quiet",
)


class Killed(BaseException):
    """Ends a command where it stands, as SIGKILL does."""


class Site:
    """A workspace, and commands on it in this process."""

    def __init__(self, plays: Path, workspace: Workspace) -> None:
        self.plays = plays
        self.workspace = workspace

    def recsys(self, *words: object) -> int:
        return main([*map(str, words), "--workspace", str(self.workspace.root)])

    def work(self, study: str, trials: int = 1) -> int:
        request = ("--plays", self.plays, "--trials", trials, *OPTIONS)
        return self.recsys("study", "work", study, *request)

    def asked(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.workspace.tracking_database)) as database:
            return database.execute(query).fetchall()

    @property
    def running(self) -> list[tuple[Any, ...]]:
        return self.asked("select name from runs where status = 'RUNNING'")

    @property
    def active(self) -> list[tuple[Any, ...]]:
        return self.asked("select name from runs where lifecycle_stage = 'active'")

    def studies(self) -> list[str]:
        return [each.name for each in list_studies(self.workspace)]


@pytest.fixture
def site(
    sample: tuple[Path, Path], mlflow_database: Path, tmp_path: Path, same_environment: None
) -> Site:
    workspace = Workspace.at(tmp_path / "runs")
    copy_database(mlflow_database, workspace.tracking_database)
    return Site(sample[0], workspace)


@pytest.fixture
def same_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands set variables of this process; afterwards they are as before."""
    known = dict(os.environ)
    monkeypatch.delenv(environment.STORAGE, raising=False)
    yield
    os.environ.clear()
    os.environ.update(known)


@pytest.fixture(params=["journal", pytest.param("postgres", marks=pytest.mark.postgres)])
def stored(request: pytest.FixtureRequest, site: Site) -> Site:
    """A workspace whose studies are in a journal, or in PostgreSQL."""
    if request.param == "postgres":
        os.environ[environment.STORAGE] = request.getfixturevalue("postgres")
        return Site(site.plays, environment.place(site.workspace.root))
    return site


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[int]], None]:
    """Let the nth fits raise, counted from 0."""
    fit = Als.fit

    def install(which: Sequence[int]) -> None:
        calls = iter(range(100))

        def failing(self: Als, *given: Any) -> Als:
            if next(calls) in which:
                raise ValueError("no factors today")
            return fit(self, *given)

        monkeypatch.setattr(Als, "fit", failing)

    return install


def at(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, before: Callable[[], object]
) -> None:
    """Have `before` called just before a function of a module is called the first time."""
    original, calls = getattr(module, name), iter(range(100))

    def called(*given: Any, **named: Any) -> Any:
        if next(calls) == 0:
            before()
        return original(*given, **named)

    monkeypatch.setattr(module, name, called)


def work_beside(site: Site, study: str) -> None:
    """Another worker comes, does what is left and goes."""
    plays, profiles, config = request_of(site.workspace, study, None)
    flows.experiment.work(plays, config, site.workspace, profiles, study, [], False)


@pytest.mark.parametrize(
    ("module", "function"),
    [
        pytest.param(flows.experiment, "open_study", id="between Optuna's study and MLflow's run"),
        pytest.param(tasks.study.study, "start_run", id="before the run"),
        pytest.param(tasks.study.study, "_attach_ids", id="while the run is filled"),
        pytest.param(flows.experiment, "search_all", id="before the first trial"),
    ],
)
def test_a_study_is_not_deleted_while_a_worker_opens_it(
    stored: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: Any,
    function: str,
) -> None:
    refused: list[str] = []

    def delete() -> None:
        with pytest.raises(InputError) as error:
            studies.delete(stored.workspace, "open")
        refused.append(str(error.value))

    at(monkeypatch, module, function, delete)
    assert stored.work("open") == 0
    assert refused == ["study 'open' is being worked on; stop its workers first"]
    assert "1 of 1 trials done" in capsys.readouterr().out
    assert stored.running == []

    assert stored.recsys("study", "delete", "open") == 0
    assert (stored.active, stored.studies()) == ([], [])


def test_a_study_that_is_deleted_before_a_worker_opens_it_is_made_anew(
    stored: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stored.work("again") == 0
    at(
        monkeypatch,
        flows.experiment,
        "new_worker",
        lambda: studies.delete(stored.workspace, "again"),
    )
    assert stored.work("again") == 0

    assert stored.studies() == ["again"]
    assert stored.running == []
    assert len(stored.active) == 2  # the study and its trial


@pytest.mark.parametrize("killed_at", ["start_run", "_attach_ids"])
def test_the_run_of_a_study_whose_process_died_in_opening_is_deleted_with_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    """One dies before the study knows its run, the other after."""
    original = getattr(tasks.study.study, killed_at)

    def killed(*given: Any) -> None:
        if killed_at == "start_run":
            original(*given)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(tasks.study.study, killed_at, killed)
        patch.setattr(tasks.study.study.Run, "end", lambda *_: None)  # nothing closes the run
        with pytest.raises(Killed):
            site.work("dead")
    assert site.running == [("dead",)]

    assert site.recsys("study", "delete", "dead") == 0
    assert (site.running, site.active, site.studies()) == ([], [], [])


def test_work_whose_every_trial_fails_says_why_in_a_line_and_exits_with_1(
    site: Site, fails: Callable[[Sequence[int]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fails(range(9))

    assert site.work("hopeless", 2) == 1

    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        "recsys: study hopeless: none of 2 trials could be measured "
        "(ValueError: no factors today); change [search] or the data\n",
    )
    assert site.asked("select status from runs where name = 'hopeless'") == [("FAILED",)]
    assert site.running == []


def test_work_that_gives_up_says_why_and_exits_with_1_though_trials_were_measured(
    site: Site, fails: Callable[[Sequence[int]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fails([1, 2, 3])

    assert site.work("giving up", 4) == 0  # all are done
    capsys.readouterr()
    assert site.work("giving up", 6) == 1

    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        "recsys: study giving up: the last 3 trials failed (ValueError: no factors today); "
        "4 of 6 trials are done\n",
    )
    assert site.running == []


def test_a_worker_that_joins_just_after_a_trial_doubles_no_point_of_the_best_values(
    stored: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one notes what it measured, the other what a dead worker may have left out."""
    at(monkeypatch, flows.searching, "_note_best", lambda: work_beside(stored, "shared"))
    assert stored.work("shared", 2) == 0

    points = stored.asked(
        "select step from metrics where key like 'best/%' "
        "and run_uuid in (select run_uuid from runs where name = 'shared') order by step"
    )
    assert points == [(0,), (1,)]


def test_the_point_that_a_worker_missed_by_dying_is_noted_by_the_next(
    stored: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(flows.searching, "_note_best", killed)
        with pytest.raises(Killed):
            stored.work("missed", 2)
    assert stored.work("missed", 2) == 0

    points = stored.asked("select step from metrics where key like 'best/%' order by step")
    assert points == [(0,), (1,)]
