"""Fit a model, judge it, record it; the models that are judged on test."""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.config import ExperimentConfig
from recsys.evaluation.protocol import judge, recommend, scored
from recsys.evaluation.report import Report
from recsys.evaluation.sample_user import sample_user, shown_to
from recsys.evaluation.store import load_report, save_lists, save_report
from recsys.models import build
from recsys.models.als import Als, AlsConfig
from recsys.models.config import ModelConfig
from recsys.models.iterative import Iteration, OnIteration
from recsys.models.recommender import Recommender
from recsys.search.curves import CurvePoint, LossProbe
from recsys.splitting.split import Fold
from tasks.progress import report_progress
from tasks.study.study import Study, fold_at, start_child, train_seed
from tasks.tracking.runs import (
    MEASURED,
    Run,
    find_measured,
)

SHOWN = 10  # length of the lists that one listener is shown
SAMPLE_USER = "sample_user.json"
FACTORS, USER_FACTORS, ITEM_FACTORS = "factors", "user_factors.npy", "item_factors.npy"


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
        model = build(config, train_seed(study, config.kind), fold.profiles)
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
    model = build(config, seed, fold.profiles, _telling(config, probe))
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
    user = sample_user(fold, study.config.seed)
    shown = shown_to(model, fold, user, SHOWN)
    (into / SAMPLE_USER).write_text(json.dumps(asdict(shown)), encoding="utf-8")
    with study.scratch() as folder:
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
