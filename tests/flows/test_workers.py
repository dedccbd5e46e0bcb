import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path

import pytest

from flows import environment
from flows.experiment import experiment, work
from recsys.config import ExperimentConfig, load_config
from tasks.tuning import FinishedTrial, Search, find_search
from tasks.workspace.layout import Workspace
from tests.flows.conftest import Lab
from tests.flows.processes import Worker, benchmark, workers

pytestmark = [pytest.mark.flow, pytest.mark.slow]

same_study = benchmark("same_study")

CONFIG = """
name = "tiny"
[search]
factors = { low = 2, high = 8 }
iterations = { low = 1, high = 3 }
alpha = { low = 0.5, high = 5.0 }
[study]
trials = 24
[judge]
resamples = 50
"""
N_TRIALS = 24
Asked = list[str | Path]


@pytest.fixture(params=["journal", pytest.param("postgres", marks=pytest.mark.postgres)])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The environment of workers whose studies are in a journal, or in PostgreSQL."""
    if request.param == "postgres":
        monkeypatch.setenv(environment.STORAGE, request.getfixturevalue("postgres"))
    else:
        monkeypatch.delenv(environment.STORAGE, raising=False)
    return dict(os.environ)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def work_on(study: str, plays: Path, config: Path, root: Path, *more: str) -> Asked:
    return [
        "study",
        "work",
        study,
        "--plays",
        plays,
        "--config",
        config,
        "--workspace",
        root,
        *more,
    ]


def searched(root: Path, study: str) -> tuple[Workspace, Search, ExperimentConfig]:
    place = environment.place(root)
    return place, *find_search(place, study)


def without_found(done: FinishedTrial) -> tuple[object, ...]:
    """A point, without the iterations that were found along its training."""
    return tuple(value for name, value in sorted(done.params.items()) if name != "iterations")


def ended_well(worker: Worker) -> str:
    code, out, err = worker.end()
    assert code == 0, err
    return out


def test_four_workers_of_whom_two_die_do_each_trial_once(
    lab: Lab, config: Path, tmp_path: Path, storage: Mapping[str, str]
) -> None:
    root = tmp_path / "runs"  # it does not exist: all four workers start without it
    with workers(4, work_on("shared", lab.plays, config, root), storage) as four:
        survivors = without_two(four)
        said = [ended_well(worker) for worker in survivors]

    place, search, asked = searched(root, "shared")
    assert all("shared: 24 of 24 trials done: 24 measured" in out for out in said)
    assert [done.slot for done in search.finished] == list(range(N_TRIALS))
    assert len({without_found(done) for done in search.finished}) == N_TRIALS
    assert sum(done.attempts for done in search.finished) <= N_TRIALS + 2
    runs = [run for run in same_study.runs(place, "shared") if run.status == "FINISHED"]
    assert Counter(run.subject for run in runs) == Counter(
        ["shared", *(f"trial {slot}" for slot in range(N_TRIALS))]
    )
    assert {run.id for run in runs} > {done.run for done in search.finished}
    # The lock of who died between two trials goes when the next worker comes: in what follows.
    assert [text for _, text in same_study.orphans(place) if not text.startswith("locks/")] == []
    _finds_nothing_to_train(lab, place, asked, {run.id for run in runs})


def without_two(four: Sequence[Worker]) -> list[Worker]:
    """The first two that train after four trials die of it, the second after eight."""
    with ThreadPoolExecutor(len(four)) as pool:
        training = {pool.submit(worker.training, 4): worker for worker in four}
        first, second = islice(as_completed(training), 2)
        kill(training[first])
        training[second].training(8)
        kill(training[second])
    return [worker for each, worker in training.items() if each not in (first, second)]


def kill(worker: Worker) -> None:
    worker.send(signal.SIGKILL)
    assert worker.end()[0] == -signal.SIGKILL


def _finds_nothing_to_train(
    lab: Lab, place: Workspace, asked: ExperimentConfig, known: set[str]
) -> None:
    result = experiment(lab.plays, asked, place.root, None, "shared")

    made = {run.subject for run in same_study.runs(place, "shared") if run.id not in known}
    assert len(result.trials) == N_TRIALS
    assert {name for name in made if name.startswith("trial")} <= {
        run.subject for run in same_study.runs(place, "shared") if run.status == "KILLED"
    }
    assert {name for name in made if name.startswith("final")} == {
        "final als",
        "final popularity-plays",
        "final popularity-users",
    }
    assert same_study.orphans(place) == []


def test_a_space_with_fewer_points_than_trials_ends_when_all_are_done(
    sample: tuple[Path, Path], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(environment.STORAGE, raising=False)
    few = ["--set", "search.factors=2,4", "--set", "search.alpha=1.0,2.0,3.0"]
    asked = work_on("few", sample[0], config, tmp_path / "runs", *few, "--trials", "10")
    with workers(2, asked, os.environ) as two:
        said = [ended_well(worker) for worker in two]

    place, search, _ = searched(tmp_path / "runs", "few")
    assert all(
        "few: 6 of 6 trials, all that the space has, done: 6 measured" in out for out in said
    )
    assert [done.slot for done in search.finished] == list(range(6))
    assert len({without_found(done) for done in search.finished}) == 6
    assert same_study.orphans(place) == []


def test_however_many_draw_at_random_the_points_are_the_same(
    sample: tuple[Path, Path], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(environment.STORAGE, raising=False)
    more = ["--set", "study.sampler=random", "--trials", "9", "--seed", "5"]
    with workers(
        3, work_on("drawn", sample[0], config, tmp_path / "together", *more), os.environ
    ) as three:
        place = environment.place(tmp_path / "alone")
        settings = {"study.sampler": "random", "study.trials": 9, "seed": 5}
        asked = load_config(config, settings)
        work(sample[0], asked, place, None, "drawn", [], through_prefect=False)
        for worker in three:
            ended_well(worker)

    first, second = (searched(tmp_path / name, "drawn")[1] for name in ("alone", "together"))
    assert len(first.finished) == 9
    assert {(d.slot, without_found(d), d.values) for d in first.finished} == {
        (d.slot, without_found(d), d.values) for d in second.finished
    }
