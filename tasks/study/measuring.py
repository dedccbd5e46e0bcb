"""Fit a model, judge it, record it; the models that are judged on test."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.evaluation.fitting import JudgedModel, OnFitted, Watch, fit_and_judge, ignored
from recsys.evaluation.sample_user import sample_user, shown_to
from recsys.evaluation.store import load_report, save_lists, save_report
from recsys.files import link_or_copy, sync_all
from recsys.models.arrays import StoredArrays, save_arrays
from recsys.models.config import ModelConfig
from recsys.models.iterative import Iterative
from recsys.models.recommender import Recommender
from recsys.report.fold_tables import similar_items
from recsys.search.curves import CurvePoint, LossProbe
from recsys.splitting.split import Fold
from tasks.progress import report_progress
from tasks.study.study import Study, fold_at, start_child, train_seed
from tasks.tracking.recorded import RUN_NAME
from tasks.tracking.runs import MEASURED, Run, find_measured

SHOWN = 10  # length of the lists of the sample user
SAMPLE_USER = "sample_user.json"
PER_USER = "per_user.parquet"  # as `save_report` calls it
SIMILAR = "similar.json"  # the best known items, and those that the model finds most similar
FACTORS = "factors"  # folder of what a model learned, as `recsys.models.arrays` writes it


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

    @classmethod
    def of(cls, run: Run, judged: JudgedModel, curve_seconds: float = 0.0) -> Self:
        """What a run measured; `curve_seconds` went into the curve along the training."""
        seconds = judged.judge_seconds + curve_seconds
        return cls(run.id, judged.report.summary(), judged.fit_seconds, seconds)


@dataclass(frozen=True, slots=True, eq=False)
class OnValidation:
    """What a model reached on all validation users.

    Attributes:
        run: Id of its MLflow run.
        value: The objective.
        per_user: The objective of each user, float64, shape (m,), in the order of the fold.
        seconds: Of fitting and judging it.
    """

    run: str
    value: float
    per_user: npt.NDArray[np.float64]
    seconds: float


def measure(
    study: Study,
    fold: Fold,
    config: ModelConfig,
    watch: Watch | None = None,
    stored: StoredArrays | None = None,
    fitted: OnFitted = ignored,
) -> JudgedModel:
    """A model of a study, fitted or restored, and judged: see `recsys.evaluation.fitting`."""
    seed, ks = train_seed(study, config.kind), study.config.judge.ks
    return fit_and_judge(config, seed, fold, ks, stored, watch, report_progress, fitted)


def save_measured(judged: JudgedModel, folder: Path, with_arrays: bool) -> None:
    """Write per-user values, exposure and, if wanted, what the model learned."""
    save_report(judged.report, folder)
    if with_arrays:
        save_learned(judged.model, folder)


def save_learned(model: Recommender, folder: Path) -> None:
    """Write what a model learned into a folder, if that is not there yet."""
    learned = model.arrays()
    if learned and not (folder / FACTORS).exists():
        (folder / FACTORS).mkdir()
        save_arrays(learned, folder / FACTORS)


@contextmanager
def saving_meanwhile(folder: Path, wanted: bool) -> Iterator[OnFitted]:
    """Gives the block what writes a model that trained in iterations while that is judged.

    At the end of the block it is on disk.
    """

    def save(model: Recommender) -> None:
        save_learned(model, folder)
        sync_all(path for path in (folder / FACTORS).rglob("*") if path.is_file())

    with ThreadPoolExecutor(1) as thread:
        begun: list[Future[None]] = []

        def begin(model: Recommender) -> None:
            if wanted and isinstance(model, Iterative):
                begun.append(thread.submit(save, model))

        yield begin
        for each in begun:
            each.result()


def stored_in(folder: Path) -> StoredArrays | None:
    """What a model learned, if `save_measured` kept it in this folder."""
    return StoredArrays(folder / FACTORS) if (folder / FACTORS).exists() else None


def curves_of(points: Sequence[CurvePoint]) -> dict[str, list[tuple[int, float]]]:
    """(iteration, value) of the loss and of every metric along a training."""
    names = points[0].metrics if points else {}
    curves = {name: [(p.iteration, p.metrics[name]) for p in points] for name in names}
    every = {"loss": [(p.iteration, p.loss) for p in points], **curves}
    return {f"curve/{name}": curve for name, curve in every.items()}


def run_name(model: str, found: str, of: str) -> str:
    """A name that begins with what differs: "als 0.2939 trial 7"."""
    return f"{model} {found} {of}"


def columns_of(summary: Mapping[str, float], objectives: Sequence[str]) -> dict[str, float]:
    """What MLflow gets of a trial: the objectives, then every metric at the k of one of them.

    The values at every k are those of the run's per_user.parquet, as `load_report` reads them.
    """
    ks = {name.partition("@")[2] for name in objectives}
    at = [name for name in summary if name.partition("@")[2] in ks]
    return {name: summary[name] for name in dict.fromkeys([*objectives, *at])}


def log_measured(
    run: Run,
    side: str,
    measured: Measured,
    points: list[CurvePoint],
    first: Sequence[str],
    name: tuple[str, str],
    found: Mapping[str, object] | None = None,
) -> None:
    """Log in one batch, the objectives first: MLflow's comparisons open with the first metric.

    On test a run gets all metrics, on validation those of `columns_of`.

    Args:
        run: Gets the values.
        side: Of the split; before the names of metrics.
        measured: The values.
        points: Of the curve along the training.
        first: The objectives.
        name: The model and what it is of; between them goes the first objective, as the run's name.
        found: Parameters that the training found.
    """
    ordered = columns_of(measured.summary, first)
    if side == "test":
        ordered |= measured.summary
    finals = {f"{side}/{name}": [(0, value)] for name, value in ordered.items()}
    seconds = {
        "seconds/fit": [(0, measured.fit_seconds)],
        "seconds/judge": [(0, measured.judge_seconds)],
    }
    tags = {RUN_NAME: run_name(name[0], f"{measured.summary[first[0]]:.4f}", name[1])}
    run.log_curves({**finals, **seconds, **curves_of(points)}, found, tags)


@task(task_run_name="judge {config.kind} split {study.config.seed} on test", cache_policy=NO_CACHE)
def run_final(study: Study, test: Path, config: ModelConfig, into: Path) -> Measured:
    """Fit a model on train + validation and judge it on test, once.

    Idempotent: what the study has measured before is taken over.

    Args:
        study: Shared by all runs.
        test: Folder of the test fold.
        config: The winner, or a baseline.
        into: Folder for the report and the lists of the sample user, made here.
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


@task(
    task_run_name="judge {config.kind} split {study.config.seed} on validation",
    cache_policy=NO_CACHE,
)
def run_on_validation(study: Study, validation: Path, config: ModelConfig) -> OnValidation:
    """The objective of a model that no trial measured, such as an ensemble of winners.

    Idempotent: what the study has measured before is taken over.

    Args:
        study: Shared by all runs.
        validation: Folder of the validation fold.
        config: The model.
    """
    key = study.key("validation", config)
    known = whole_run(study, key)
    if known is not None:
        return recorded_on_validation(study, known)
    tags = {"stage": "validation", MEASURED: key}
    run = start_child(study, f"{config.kind} on validation", config, tags)
    with run.closing():
        judged = measure(study, fold_at(validation), config)
        return record_on_validation(study, run, judged, config.kind)


def whole_run(study: Study, key: str) -> Run | None:
    """A finished run of a study that measured exactly `key` and has the values of each user."""
    known = find_measured(study.workspace, study.experiment, key, study.parent)
    return next((run for run in known if run.has(PER_USER)), None)


def record_on_validation(
    study: Study,
    run: Run,
    judged: JudgedModel,
    kind: str,
    found: Mapping[str, object] | None = None,
) -> OnValidation:
    """Log what a model reached on validation, and attach the values of each user.

    Args:
        study: Gives the objective.
        run: Of the model.
        judged: The model.
        kind: Its name.
        found: Parameters that the measuring found.
    """
    metric = study.config.study.metric
    measured = Measured.of(run, judged)
    name = kind, "on validation"
    log_measured(run, "validation", measured, [], study.config.objectives, name, found)
    with study.scratch() as folder:
        save_report(judged.report, folder)
        run.files(folder)
    return OnValidation(
        run.id,
        measured.summary[metric],
        judged.report.per_user[metric].to_numpy(np.float64),
        measured.fit_seconds + measured.judge_seconds,
    )


def recorded_on_validation(study: Study, run: Run) -> OnValidation:
    """What a run measured that has ended."""
    metric = study.config.study.metric
    seconds = run.last("seconds/fit") + run.last("seconds/judge")
    return OnValidation(
        run.id, run.last(f"validation/{metric}"), per_user_values(study, run, PER_USER), seconds
    )


def per_user_values(study: Study, run: Run, name: str) -> npt.NDArray[np.float64]:
    """The objective of each user in a file of a run, float64, shape (m,)."""
    metric = study.config.study.metric
    with study.scratch() as folder:
        path = run.fetch(name, folder)
        return pd.read_parquet(path, columns=[metric])[metric].to_numpy(np.float64)


def _measure_final(study: Study, fold: Fold, config: ModelConfig, run: Run, into: Path) -> Measured:
    probe = LossProbe()
    judged = measure(study, fold, config, probe)
    into.mkdir(parents=True)
    save_lists(judged.recs, into)
    save_measured(judged, into, study.config.study.keep_factors != "none")
    user = sample_user(fold, study.config.seed)
    shown = shown_to(judged.model, fold, user, SHOWN)
    (into / SAMPLE_USER).write_text(json.dumps(asdict(shown)), encoding="utf-8")
    if similar := similar_items(judged.model, fold.train):
        (into / SIMILAR).write_text(json.dumps(similar), encoding="utf-8")
    with study.scratch() as folder:
        shutil.copytree(into, folder, copy_function=link_or_copy, dirs_exist_ok=True)
        run.files(folder)
    measured = Measured.of(run, judged)
    name = config.kind, "on test"
    log_measured(run, "test", measured, probe.points, study.config.objectives, name)
    return measured
