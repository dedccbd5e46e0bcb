"""Fit a model, judge it, record it; the models that are judged on test."""

import functools
import json
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.config import ExperimentConfig
from recsys.data.store import load_fold, load_report, save_lists, save_report
from recsys.evaluation.protocol import CurvePoint, LossProbe, judge, recommend, scored
from recsys.evaluation.report import Report
from recsys.evaluation.sample_user import sample_listener, shown_to
from recsys.models import build
from recsys.models.als import Als, Iteration, OnIteration
from recsys.models.params import AlsConfig, ModelConfig
from recsys.models.recommender import Recommender
from recsys.seeds import seed_for
from recsys.splitting.split import Fold
from tasks.progress import report_progress
from tasks.tracking.runs import (
    MEASURED,
    DataSet,
    Run,
    describe_run,
    experiment_id,
    experiment_of,
    find_measured,
    find_running_study,
    reopen_run,
    start_run,
)
from tasks.tuning import Search
from tasks.workspace.cache import code_version
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import Locks, workspace_locks

SHOWN = 10  # length of the lists that one listener is shown
LISTENER = "listener.json"
FACTORS, USER_FACTORS, ITEM_FACTORS = "factors", "user_factors.npy", "item_factors.npy"
_SCRATCH = "worker-"
# Beside `recsys`: what picks points, and what decides where a training stops.
DECIDING = ("tuning/sampling.py", "study/monitor.py")


@dataclass(frozen=True, slots=True)
class Study:
    """What all runs of a study share.

    Attributes:
        workspace: Where things are.
        config: The experiment.
        name: Of the study.
        experiment: MLflow's id of the experiment.
        parent: Id of the MLflow run of the study.
        data: What MLflow shows as the data set.
        tags: Of every run: the fingerprints of data, split and code, and who made it.
        worker: Who works on it in this process.
    """

    workspace: Workspace
    config: ExperimentConfig
    name: str
    experiment: str
    parent: str
    data: DataSet
    tags: Mapping[str, str]
    worker: str

    def key(self, side: str, config: ModelConfig, **more: object) -> str:
        """The hash of everything that the values of a run depend on.

        Args:
            side: "validation" or "test".
            config: The model with its parameters.
            more: What else they depend on, as JSON values.
        """
        described = {
            "side": side,
            "model": config.model_dump(mode="json"),
            "seed": self.config.seed,
            "ks": self.config.judge.ks,
            **{name: self.tags[name] for name in ("split", "code")},
            **more,
        }
        return sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


@functools.cache
def search_version() -> str:
    """16 hex digits of what points and values depend on: code and libraries."""
    parts = [code_version(), *(version(name) for name in ("implicit", "numpy", "optuna", "scipy"))]
    root = Path(__file__).parents[1]
    parts += [(root / name).read_text(encoding="utf-8") for name in DECIDING]
    return sha256("\0".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out of one fitted model.

    Attributes:
        run: Id of its MLflow run.
        summary: Every metric.
        fit_seconds: Training, without what measures along the way.
        judge_seconds: Recommending and scoring, curves included.
    """

    run: str
    summary: Mapping[str, float]
    fit_seconds: float
    judge_seconds: float


def open_study(
    workspace: Workspace,
    config: ExperimentConfig,
    search: Search,
    plays: Path,
    facts: Mapping[str, Mapping[str, Any]],
    ids: Path,
    worker: str,
) -> Study:
    """Open the MLflow run of a study, or the one it had when it is gone on with.

    One experiment per data set: the name of the file and of the folder it is in. The run of the
    study keeps the ids and names behind the rows of all its factors.
    """
    path = plays.resolve()
    filtered = facts["filter"]
    data = DataSet(
        f"{path.parent.name}/{path.name}", filtered["fingerprint"], str(path), filtered["matrix"]
    )
    tags = {
        "data": filtered["fingerprint"],
        "split": facts["split"]["fingerprint"],
        "code": search_version(),
    }
    with workspace_locks(workspace).exclusive(f"parent-{search.name}"):
        known = search.recall("parent")
        # On another machine the same data may lie elsewhere: the study stays in its experiment.
        experiment = (
            experiment_id(workspace, path) if known is None else experiment_of(workspace, known)
        )
        run = _parent(workspace, config, search, experiment, data, tags)
        every = {**tags, "worker": worker}
        study = Study(workspace, config, search.name, experiment, run.id, data, every, worker)
        try:
            _attach_ids(study, run, ids)
        except BaseException:
            run.end("KILLED")
            raise
    return study


def _parent(
    workspace: Workspace,
    config: ExperimentConfig,
    search: Search,
    experiment: str,
    data: DataSet,
    tags: Mapping[str, str],
) -> Run:
    """The run it has, or one whose maker died before the study knew of it, or a new one."""
    known = search.recall("parent")
    if known is not None:
        return reopen_run(workspace, known)
    params = flat(config.model_dump(mode="json", exclude_none=True))
    begun = find_running_study(workspace, experiment, search.name)
    if begun is None:
        every = {**tags, "study": search.name, "stage": "study"}
        run = start_run(workspace, experiment, search.name, params, every, data)
    else:
        run = Run.of(workspace, begun)
        describe_run(workspace, run, params, data)
    try:
        search.remember("parent", run.id)
    except BaseException:
        run.end("KILLED")
        raise
    return run


def _attach_ids(study: Study, run: Run, folder: Path) -> None:
    """Whoever is killed between the two, or within one, leaves them to who goes on."""
    names = ("users.parquet", "items.parquet")
    if not all(run.has(f"ids/{name}") for name in names):
        with scratch(study) as copies:
            for name in names:
                shutil.copy(folder / name, copies / name)
            run.files(copies, "ids")


def flat(table: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """A nested table as dotted names to text, as `--set` takes them."""
    found: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{above}{name}.")
        else:
            found[above + name] = str(value)
    return found


def start_child(
    study: Study,
    name: str,
    config: ModelConfig,
    tags: Mapping[str, str],
    without: Collection[str] = (),
) -> Run:
    """Open a run of a model under that of the study, with every parameter, searched or not.

    Args:
        study: Its parent.
        name: Of the run.
        config: The model with its parameters.
        tags: Besides those of every run of the study.
        without: Parameters that are not known yet.
    """
    every = {**study.tags, **tags, "study": study.name, "model": config.kind}
    params = {**config.model_dump(exclude=set(without)), "seed": study.config.seed}
    return start_run(
        study.workspace, study.experiment, name, params, every, study.data, study.parent
    )


@functools.lru_cache(maxsize=2)
def fold_at(folder: Path) -> Fold:
    """The fold in a folder of the cache; kept in memory, for entries never change."""
    return load_fold(folder)


def train_seed(study: Study, kind: str) -> int:
    """The same for every trial of a model, so that trials differ in their point alone."""
    return seed_for(study.config.seed, "train", kind)


def judge_timed(model: Recommender, fold: Fold, config: ExperimentConfig) -> tuple[Report, float]:
    """What a model is worth on a fold, and the seconds it took to say."""
    start = time.perf_counter()
    report = judge(model, fold, config.judge.ks, progress=report_progress)
    return report, time.perf_counter() - start


def save_measured(report: Report, model: Recommender, folder: Path, factors: bool) -> None:
    """Write per-user values, exposure and, where asked, the factors as plain arrays."""
    save_report(report, folder)
    if factors and isinstance(model, Als):
        (folder / FACTORS).mkdir()
        np.save(folder / FACTORS / USER_FACTORS, model.user_factors, allow_pickle=False)
        np.save(folder / FACTORS / ITEM_FACTORS, model.item_factors, allow_pickle=False)


def curves_of(points: Sequence[CurvePoint]) -> dict[str, list[tuple[int, float]]]:
    """(iteration, value) of the loss and of every metric along a training."""
    names = points[0].metrics if points else {}
    curves = {name: [(p.iteration, p.metrics[name]) for p in points] for name in names}
    every = {"loss": [(p.iteration, p.loss) for p in points], **curves}
    return {f"curve/{name}": curve for name, curve in every.items()}


def log_measured(
    run: Run, side: str, measured: Measured, points: list[CurvePoint], first: Sequence[str]
) -> None:
    """One batch; the objectives go first, for MLflow's comparisons open with the first metric."""
    ordered = {**{name: measured.summary[name] for name in first}, **measured.summary}
    finals = {f"{side}/{name}": [(0, value)] for name, value in ordered.items()}
    seconds = {
        "seconds/fit": [(0, measured.fit_seconds)],
        "seconds/judge": [(0, measured.judge_seconds)],
    }
    run.log_curves({**finals, **seconds, **curves_of(points)})


@task(task_run_name="judge {config.kind} on test", cache_policy=NO_CACHE)
def run_final(study: Study, test: Path, config: ModelConfig, into: Path) -> Measured:
    """Fit a model on train + validation and judge it on test, once.

    A study that is gone on with after its winner was judged takes over what was measured then.

    Args:
        study: Shared by all runs.
        test: Folder of the test fold.
        config: The winner, or a baseline.
        into: Folder for the report and the lists of one listener, made here.
    """
    key = study.key("test", config)
    known = find_measured(study.workspace, study.experiment, key, study.parent)
    if known:
        shutil.copytree(known[0].fetch("", into.with_name(f"{into.name}-fetched")), into)
        return Measured(known[0].id, load_report(into).summary(), 0.0, 0.0)
    tags = {"stage": "final", MEASURED: key}
    run = start_child(study, f"final {config.kind}", config, tags)
    with run.closing():
        measured = _measure_final(study, fold_at(test), config, run, into)
    return measured


@task(task_run_name="judge {config.kind} on validation", cache_policy=NO_CACHE)
def run_on_validation(study: Study, validation: Path, config: ModelConfig) -> float:
    """The objective of a model that no trial measured, such as an ensemble of winners.

    Args:
        study: Shared by all runs.
        validation: Folder of the validation fold.
        config: The model.
    """
    metric = study.config.study.metric
    key = study.key("validation", config)
    known = find_measured(study.workspace, study.experiment, key, study.parent)
    if known:
        return known[0].last(f"validation/{metric}")
    tags = {"stage": "validation", MEASURED: key}
    run = start_child(study, f"{config.kind} on validation", config, tags)
    with run.closing():
        fold = fold_at(validation)
        model = build(config, train_seed(study, config.kind), profiles=fold.profiles)
        start = time.perf_counter()
        model.fit(fold.train)
        fit_seconds = time.perf_counter() - start
        report, seconds = judge_timed(model, fold, study.config)
        measured = Measured(run.id, report.summary(), fit_seconds, seconds)
        log_measured(run, "validation", measured, [], study.config.objectives)
    return measured.summary[metric]


def _measure_final(study: Study, fold: Fold, config: ModelConfig, run: Run, into: Path) -> Measured:
    probe = LossProbe()
    seed = train_seed(study, config.kind)
    model = build(config, seed, _telling(config, probe), fold.profiles)
    start = time.perf_counter()
    model.fit(fold.train)
    fit_seconds = time.perf_counter() - start
    start = time.perf_counter()
    recs = recommend(model, fold, fold.judged, max(study.config.judge.ks), report_progress)
    report = scored(recs, fold, study.config.judge.ks)
    seconds = time.perf_counter() - start
    into.mkdir(parents=True)
    save_lists(recs, into)
    save_measured(report, model, into, study.config.study.keep_factors != "none")
    listener = sample_listener(fold, study.config.seed)
    shown = shown_to(model, fold, listener, SHOWN)
    (into / LISTENER).write_text(json.dumps(asdict(shown)), encoding="utf-8")
    with scratch(study) as folder:
        shutil.copytree(into, folder, dirs_exist_ok=True)
        run.files(folder)
    measured = Measured(run.id, report.summary(), fit_seconds, seconds)
    log_measured(run, "test", measured, probe.points, study.config.objectives)
    return measured


def _telling(config: ModelConfig, probe: LossProbe) -> OnIteration | None:
    """`probe`, and word of each iteration to whoever listens."""
    if not isinstance(config, AlsConfig):
        return None

    def on_iteration(step: Iteration) -> None:
        probe(step)
        report_progress(f"iterations of {config.factors} factors", step.number, config.iterations)

    return on_iteration


def own_scratch(workspace: Workspace, worker: str) -> Path:
    """The folder of a worker for what is on its way; when it is gone, whoever comes removes it."""
    folder = workspace.scratch / f"{_SCRATCH}{worker}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def scratch(study: Study) -> Iterator[Path]:
    """A folder for files on their way; when we are killed, whoever goes on removes it."""
    mine = own_scratch(study.workspace, study.worker)
    folder = Path(tempfile.mkdtemp(dir=mine))
    try:
        yield folder
    finally:
        shutil.rmtree(mine, ignore_errors=True)


def remove_left_scratch(workspace: Workspace, locks: Locks) -> None:
    """Remove the folders of workers that are gone."""
    for folder in workspace.scratch.glob(f"{_SCRATCH}*"):
        if not locks.lives(folder.name.removeprefix(_SCRATCH)):
            shutil.rmtree(folder, ignore_errors=True)
