"""Fit a model, judge it, record it."""

import functools
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.config import AlsConfig, ExperimentConfig, ModelConfig
from recsys.evaluate import Report
from recsys.listener import sample_listener, shown_to
from recsys.models import build
from recsys.models.als import Als, Iteration, OnIteration
from recsys.protocol import Curve, CurvePoint, LossProbe, judge
from recsys.recommend import Recommender
from recsys.seeds import seed_for
from recsys.split import Fold
from recsys.store import load_fold, save_report
from tasks.cache import code_version
from tasks.telling import tell
from tasks.tracking import DataSet, Run, experiment_id, reopen_run, start_run
from tasks.tuning import Search, Trial
from tasks.workspace import Workspace

SHOWN = 10  # length of the lists that one listener is shown
LISTENER = "listener.json"


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
        tags: Of every run: the fingerprints of data, split and code.
    """

    workspace: Workspace
    config: ExperimentConfig
    name: str
    experiment: str
    parent: str
    data: DataSet
    tags: Mapping[str, str]


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


@task(task_run_name="trial {trial.slot}", cache_policy=NO_CACHE)
def run_trial(
    study: Study, validation: Path, trial: Trial, run: Run, beaten: float | None
) -> Measured:
    """Fit the point of a trial and judge it on validation.

    Args:
        study: Shared by all trials.
        validation: Folder of the validation fold: all the data that tuning sees.
        trial: The point.
        run: Open; closed here, whatever happens.
        beaten: The best value so far; factors that do not beat it are not kept under
            `keep_factors = "best"`.
    """
    with run.closing(), _scratch(study.workspace) as folder:
        config = AlsConfig.model_validate(trial.params)
        fold = fold_at(validation)
        curve = _curve(study.config, fold)
        fitted = _fit(config, study.config.seed, fold, curve)
        report, seconds = _judged(fitted.model, fold, study.config)
        summary = report.summary()
        wins = beaten is None or summary[study.config.study.metric] > beaten
        _keep(report, fitted.model, folder, study.config.study.keep_factors, wins)
        run.files(folder)
        measured = Measured(run.id, summary, fitted.seconds, seconds + fitted.curve_seconds)
        _log(run, "validation", measured, curve.points, study.config.study.metric)
        return measured


def open_study(
    workspace: Workspace,
    config: ExperimentConfig,
    search: Search,
    plays: Path,
    facts: Mapping[str, Mapping[str, Any]],
    ids: Path,
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
        "code": code_version(),
    }
    experiment = experiment_id(workspace, path)
    known = search.recall("parent")
    if known is None:
        params = flat(config.model_dump(mode="json", exclude_none=True))
        every = {**tags, "study": search.name, "stage": "study"}
        run = start_run(workspace, experiment, search.name, params, every, data)
        search.remember("parent", run.id)
    else:
        run = reopen_run(workspace, known)
    _attach_ids(run, ids)
    return Study(workspace, config, search.name, experiment, run.id, data, tags)


def _attach_ids(run: Run, folder: Path) -> None:
    try:
        for file in ("users.parquet", "items.parquet"):
            run.file(folder / file, "ids")
    except BaseException:
        run.end("KILLED")
        raise


def flat(table: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """A nested table as dotted names to text, as `--set` takes them."""
    found: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{above}{name}.")
        else:
            found[above + name] = str(value)
    return found


def start_trial(study: Study, trial: Trial) -> Run:
    """Open the MLflow run of a trial, with every parameter, searched or not."""
    config = AlsConfig.model_validate(trial.params)
    return _start(study, f"trial {trial.slot:03d}", config, {"trial": str(trial.slot)})


def _start(study: Study, name: str, config: ModelConfig, tags: Mapping[str, str]) -> Run:
    every = {**study.tags, **tags, "study": study.name, "model": config.kind}
    params = {**config.model_dump(), "seed": study.config.seed}
    return start_run(
        study.workspace, study.experiment, name, params, every, study.data, study.parent
    )


@functools.lru_cache(maxsize=2)
def fold_at(folder: Path) -> Fold:
    """The fold in a folder of the cache; kept in memory, for entries never change."""
    return load_fold(folder)


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    model: Recommender
    seconds: float
    curve_seconds: float


def _fit(config: ModelConfig, seed: int, fold: Fold, curve: Curve | LossProbe | None) -> _Fitted:
    """The same seed for every trial of a model, so that trials differ in their point alone."""
    model = build(config, seed_for(seed, "train", config.kind), _telling(config, curve))
    start = time.perf_counter()
    model.fit(fold.train)
    seconds = time.perf_counter() - start
    watching = curve.seconds if curve else 0.0
    return _Fitted(model, seconds - watching, watching)


def _telling(config: ModelConfig, probe: Curve | LossProbe | None) -> OnIteration | None:
    """`probe`, and word of each iteration to whoever listens."""
    if probe is None or not isinstance(config, AlsConfig):
        return None

    def on_iteration(step: Iteration) -> None:
        probe(step)
        tell(f"iterations of {config.factors} factors", step.number, config.iterations)

    return on_iteration


def _curve(config: ExperimentConfig, fold: Fold) -> Curve:
    seed = seed_for(config.seed, "judge", "curve")
    return Curve(fold, config.judge.curve_metrics, config.judge.curve_users, seed)


def _judged(model: Recommender, fold: Fold, config: ExperimentConfig) -> tuple[Report, float]:
    start = time.perf_counter()
    report = judge(model, fold, config.judge.ks, progress=tell)
    return report, time.perf_counter() - start


def _keep(report: Report, model: Recommender, folder: Path, factors: str, wins: bool) -> None:
    """Write per-user values, exposure and, where asked, the factors as plain arrays."""
    save_report(report, folder)
    asked = factors == "all" or (factors == "best" and wins)
    if asked and isinstance(model, Als):
        (folder / "factors").mkdir()
        np.save(folder / "factors" / "user_factors.npy", model.user_factors, allow_pickle=False)
        np.save(folder / "factors" / "item_factors.npy", model.item_factors, allow_pickle=False)


def _curves(points: list[CurvePoint]) -> dict[str, list[tuple[int, float]]]:
    names = points[0].metrics if points else {}
    curves = {name: [(p.iteration, p.metrics[name]) for p in points] for name in names}
    return {"loss": [(p.iteration, p.loss) for p in points], **curves}


def _log(run: Run, side: str, measured: Measured, points: list[CurvePoint], objective: str) -> None:
    """One batch; the objective goes first, for MLflow's comparisons open with the first metric."""
    ordered = {objective: measured.summary[objective], **measured.summary}
    finals = {f"{side}/{name}": [(0, value)] for name, value in ordered.items()}
    seconds = {
        "seconds/fit": [(0, measured.fit_seconds)],
        "seconds/judge": [(0, measured.judge_seconds)],
    }
    curves = {f"curve/{name}": curve for name, curve in _curves(points).items()}
    run.log_curves({**finals, **seconds, **curves})


@task(task_run_name="judge {config.kind} on test", cache_policy=NO_CACHE)
def run_final(study: Study, test: Path, config: ModelConfig, into: Path) -> Measured:
    """Fit a model on train + validation and judge it on test, once.

    Args:
        study: Shared by all runs.
        test: Folder of the test fold.
        config: The winner, or a baseline.
        into: Folder for the report and the lists of one listener, made here.
    """
    run = _start(study, f"final {config.kind}", config, {"stage": "final"})
    with run.closing():
        fold = fold_at(test)
        probe = LossProbe() if isinstance(config, AlsConfig) else None
        fitted = _fit(config, study.config.seed, fold, probe)
        report, seconds = _judged(fitted.model, fold, study.config)
        into.mkdir(parents=True)
        _keep(report, fitted.model, into, study.config.study.keep_factors, wins=True)
        listener = sample_listener(fold, study.config.seed)
        shown = shown_to(fitted.model, fold, listener, SHOWN)
        (into / LISTENER).write_text(json.dumps(asdict(shown)), encoding="utf-8")
        run.files(into)
        measured = Measured(run.id, report.summary(), fitted.seconds, seconds)
        _log(run, "test", measured, probe.points if probe else [], study.config.study.metric)
        return measured


@contextmanager
def _scratch(workspace: Workspace) -> Iterator[Path]:
    workspace.scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=workspace.scratch))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
