"""A small study on both sides, Optuna and MLflow, and what can be done with it and to it."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from scipy.sparse import csr_matrix

from recsys.config import ExperimentConfig
from recsys.data.interactions import Interactions
from recsys.models import build
from recsys.models.als import Als
from recsys.models.arrays import StoredArrays
from recsys.models.config import ModelConfig
from recsys.models.iterative import Iteration
from recsys.models.recommender import Recommender
from recsys.search.curves import Curve, CurvePoint
from recsys.splitting.split import random_split
from recsys.splitting.store import save_fold
from tasks.study.attempt import AttemptResult, attempt
from tasks.study.recovery import recover
from tasks.study.study import Study, fold_at, open_study, train_seed
from tasks.tracking.client import open_client
from tasks.tracking.experiments import InDatabase
from tasks.tracking.queries import children
from tasks.tracking.writing import DatabaseWriter, Point
from tasks.tuning import Search, Trial
from tasks.tuning.storage import Journal
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks
from tests.conftest import cells_of, copy_workspace
from tests.tasks.tuning.searching import ME, alive, claimed, opened

PLAYS = Path("/small/plays.tsv")
TABLE: dict[str, Any] = {
    "search": {
        "factors": [2, 3],
        "alpha": [1.0, 4.0, 9.0],
        "weighting": "linear",
        "regularization": 1.0,
        "iterations": {"low": 2, "high": 6},
    },
    "study": {"sampler": "random", "trials": 3, "metric": "ndcg@5"},
    "judge": {"ks": [1, 5], "curve_metrics": ["ndcg@5", "precision@1"], "resamples": 20},
}
ONE_POINT = {"factors": 2, "alpha": 4.0, "weighting": "linear", "regularization": 1.0}
ONE = {**ONE_POINT, "iterations": {"low": 2, "high": 6}}  # a space of one point


def experiment_of(**changed: Any) -> ExperimentConfig:
    """The small experiment; `changed` replaces settings within their tables, `search` wholly."""
    table = {name: dict(inner) for name, inner in TABLE.items()}
    for name, value in changed.items():
        if name in ("study", "judge"):
            table[name].update(value)
        else:
            table[name] = value
    return ExperimentConfig.model_validate(table)


def listening() -> Interactions:
    """Which no model can learn by heart, so that curves rise and fall."""
    rng = np.random.default_rng(11)
    return cells_of((rng.random((40, 30)) < 0.4) * rng.integers(1, 20, (40, 30)))


@pytest.fixture(scope="session")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the validation fold and the test fold of a small log."""
    place = tmp_path_factory.mktemp("folds")
    split = random_split(listening(), 0.2, 5, (1, 2))
    for name, fold in (("validation", split.validation), ("test", split.test)):
        (place / name).mkdir()
        save_fold(fold, place / name)
    return place


@dataclass(frozen=True)
class Bench:
    """One worker at one study."""

    study: Study
    search: Search
    folds: Path

    @property
    def client(self) -> MlflowClient:
        return open_client(self.study.workspace)

    def claim(self) -> Trial:
        return claimed(self.search, self.study.worker)

    def attempt(self, trial: Trial | None = None) -> AttemptResult:
        """The next trial, or the one that was claimed."""
        with alive(self.search, self.study.worker):
            mine = trial or self.claim()
            return attempt(self.study, self.folds / "validation", mine, self.search)

    def finish(self) -> list[AttemptResult]:
        """Every trial that is left."""
        found = []
        with alive(self.search, self.study.worker):
            while (trial := self.search.claim(self.study.worker)) is not None:
                found.append(self.attempt(trial))
        return found

    def recover(self) -> None:
        with alive(self.search, self.study.worker):
            recover(self.study, self.search, workspace_locks(self.study.workspace))

    def run(self, run_id: str) -> MlflowRun:
        return self.client.get_run(run_id)

    def runs(self) -> dict[str, Mapping[str, str]]:
        """Every run under the study by id, with its tags."""
        return children(self.study.workspace, self.study.experiment, self.study.parent)

    def states(self) -> list[str]:
        """Status of every run under the study, in the order they began."""
        found = [self.run(each) for each in self.runs()]
        return [run.info.status for run in sorted(found, key=lambda run: _number(run))]

    def history(self, run_id: str, name: str) -> list[tuple[int, float]]:
        return [(m.step, m.value) for m in self.client.get_metric_history(run_id, name)]

    def files(self, run_id: str) -> dict[str, Path]:
        """Every attached file by its name in the run."""
        place = Path(unquote(str(self.run(run_id).info.artifact_uri).removeprefix("file://")))
        return {
            path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()
        }

    def arrays(self, run_id: str) -> dict[str, Path]:
        """The files of what the model of a run learned, by the names of the arrays."""
        files = self.files(run_id).items()
        return {Path(name).stem: path for name, path in files if name.startswith("factors/")}


def same_arrays(made: Bench, run_id: str, model: Recommender) -> bool:
    """Whether a run kept exactly what a model learned, bit for bit."""
    kept, learned = made.arrays(run_id), model.arrays()
    if kept.keys() != learned.keys():
        return False
    for name, array in learned.items():
        folder = StoredArrays(kept[name].parent)
        kind, shape = array.dtype.type, array.shape
        if isinstance(array, csr_matrix):
            differences = (folder.sparse(name, kind, *shape) != array).nnz
        else:
            differences = int((folder.dense(name, kind, *shape) != array).sum())
        if differences:
            return False
    return True


def _number(run: MlflowRun) -> tuple[int, int]:
    return int(run.data.tags.get("number", 10**9)), run.info.start_time


def summary_of(table: Any, prefix: str) -> dict[str, float]:
    """Metrics of an MLflow run under a prefix, under our names."""
    return {
        name.removeprefix(prefix).replace("_at_", "@"): value
        for name, value in table.items()
        if name.startswith(prefix)
    }


def trained(made: Bench, config: ModelConfig) -> Recommender:
    """The model of a trial, trained alone."""
    fold = fold_at(made.folds / "validation")
    return build(config, train_seed(made.study, config.kind), fold.profiles).fit(fold.train)


def of_both_sides(made: Bench) -> list[Any]:
    """All that a study found, as it has to be however often it was interrupted."""
    found = []
    for done in made.search.finished:
        run = made.run(done.run)
        metrics = {n: v for n, v in run.data.metrics.items() if not n.startswith("seconds/")}
        names = sorted(made.files(done.run))
        found.append((done.slot, done.params, done.values, done.curve, done.facts, metrics, names))
    return found


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(tracked: Workspace, folds: Path) -> MakeBench:
    """Opens a study under a name; the same name again goes on with it."""

    def make(
        name: str = "study",
        worker: str = ME,
        config: ExperimentConfig | None = None,
        split: str = "ef01",
        place: Workspace = tracked,
        **changed: Any,
    ) -> Bench:
        asked = config or experiment_of(**changed)
        search = opened(place, asked, name)
        facts: dict[str, dict[str, Any]] = {
            "ingest": {"format": "columns"},
            "filter": {"fingerprint": "abcd", "matrix": {"users": 40, "items": 30}},
            "split": {"fingerprint": split},
        }
        ids = folds / "validation"
        study = open_study(place, asked, search, PLAYS, facts, ids, worker)
        return Bench(study, search, folds)

    return make


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The iterations of each training that took place, from where it began."""
    found: list[int] = []
    factorise = Als._factorise

    def counting(self: Als, train: Interactions, on_iteration: Any) -> None:
        found.append(self._config.iterations - self._iteration)
        factorise(self, train, on_iteration)

    monkeypatch.setattr(Als, "_factorise", counting)
    return found


Script = Callable[[Iteration], float]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], None]:
    """Let curves hold what is scripted, not what is measured."""

    def install(value: Script) -> None:
        def noted(self: Curve, step: Iteration) -> None:
            values = dict.fromkeys(self._metrics, value(step))
            self.points.append(CurvePoint(step.number, step.loss, values, step.seconds))

        monkeypatch.setattr(Curve, "__call__", noted)

    return install


FitRaises = Callable[[BaseException], AbstractContextManager[None]]


@pytest.fixture
def fit_raises(monkeypatch: pytest.MonkeyPatch) -> FitRaises:
    """Within the block every training ends in an error."""

    @contextmanager
    def install(error: BaseException) -> Iterator[None]:
        def failing(self: Als, *_: Any) -> Als:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(Als, "fit", failing)
            yield

    return install


class Pruning:
    """A study whose last trial is hopeless: every trial before it is better everywhere."""

    def __init__(
        self,
        bench: MakeBench,
        script: Callable[[Script], None],
        table: Mapping[str, Any],
        model: str,
    ) -> None:
        study = {"pruner": "median", "trials": 6, "keep_factors": "none", "fresh": True}
        self.open: MakeBench = partial(bench, "study", search=table, study=study, model=model)
        self.bench = self.open("worker")
        self.n_begun = 0
        script(self._value)

    def _value(self, step: Iteration) -> float:
        self.n_begun += step.number == 1
        return 0.01 if self.n_begun >= 6 else 0.1 * self.n_begun + step.number / 100

    def finish_but_the_last(self) -> None:
        for _ in range(5):
            assert self.bench.attempt().state == "measured"

    def copy(self, place: Workspace) -> Bench:
        """The study as it is now in a separate workspace."""
        copy_workspace(self.bench.study.workspace, place)
        return self.open("worker", place=place)


WIDE = {**ONE, "alpha": {"low": 1.0, "high": 9.0}}


def pruning(
    bench: MakeBench,
    script: Callable[[Script], None],
    table: Mapping[str, Any] = WIDE,
    model: str = "als",
) -> Pruning:
    return Pruning(bench, script, table, model)


class PowerCut(BaseException):
    """Ends a process as far as these tests go: no later write of it takes place."""


class Writes:
    """Every write to disk or database that a trial makes, in order; they may end at any."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.last: int | None = None

    def end_after(self, n: int) -> None:
        self.names.clear()
        self.last = n

    def note(self, name: str) -> None:
        if self.last is not None and len(self.names) >= self.last:
            raise PowerCut
        self.names.append(name)


@contextmanager
def watched(patch: pytest.MonkeyPatch) -> Iterator[Writes]:
    """Within the block all writes are noted."""
    writes = Writes()

    def watch(owner: Any, name: str, say: Callable[..., str]) -> None:
        real = getattr(owner, name)

        def noting(*given: Any, **named: Any) -> Any:
            writes.note(say(*given, **named))
            return real(*given, **named)

        patch.setattr(owner, name, noting)

    watch(Journal, "append_logs", lambda _, logs: _said(logs[0]))
    watch(InDatabase, "create", _named("experiment"))
    watch(DatabaseWriter, "reopen", _named("run again"))
    watch(DatabaseWriter, "create", _named("run"))
    watch(DatabaseWriter, "describe", _named("parameters"))
    watch(DatabaseWriter, "log", lambda _, run, points, *__: f"mlflow: {_batch(points)}")
    watch(DatabaseWriter, "end", lambda _, run, status, tags: f"mlflow: {status}")
    watch(shutil, "move", lambda source, target: f"file: {Path(target).name}")
    watch(os, "link", lambda source, target: f"file: {Path(target).name}")
    watch(Als, "fit", lambda *_, **__: "train")
    yield writes


def _named(what: str) -> Callable[..., str]:
    return lambda *_, **__: f"mlflow: {what}"


def _said(log: Mapping[str, Any]) -> str:
    """What an entry of Optuna's journal says."""
    states = {0: "RUNNING", 1: "COMPLETE", 2: "PRUNED", 3: "FAIL"}
    if "user_attr" in log:
        return f"optuna: {next(iter(log['user_attr']))}"
    if "intermediate_value" in log:
        return "optuna: curve"
    return f"optuna: {states[log['state']] if 'state' in log else 'study'}"


def _batch(points: Sequence[Point]) -> str:
    return "metrics" if points else "parameters"
