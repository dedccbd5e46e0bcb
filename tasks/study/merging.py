"""The ensemble of the winners of searches: how to merge their lists is found on validation."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.models.config import ModelConfig
from recsys.models.merging import ways_to_merge
from recsys.search.merges import best_merge
from tasks.progress import report_progress
from tasks.study.measuring import (
    OnValidation,
    record_on_validation,
    recorded_on_validation,
    whole_run,
)
from tasks.study.study import Study, fold_at, start_child, train_seed
from tasks.tracking.runs import MEASURED, Run, texts

MERGE_FIELDS = ("merge", "weights")  # of the configuration of an ensemble


@task(task_run_name="merge lists split {study.config.seed} on validation", cache_policy=NO_CACHE)
def run_best_merge(
    study: Study, validation: Path, config: ModelConfig
) -> tuple[ModelConfig, OnValidation]:
    """The way to merge the lists of the members that does best on validation, and what it reaches.

    Idempotent: what the study has measured before is taken over.

    Args:
        study: Shared by all runs.
        validation: Folder of the validation fold.
        config: The members.
    """
    key = study.key("validation", config)
    known = whole_run(study, key)
    if known is not None:
        return _recorded_way(known, config), recorded_on_validation(study, known)
    tags = {"stage": "validation", MEASURED: key}
    run = start_child(study, f"{config.kind} on validation", config, tags, MERGE_FIELDS)
    with run.closing():
        seed, judge = train_seed(study, config.kind), study.config.judge
        metric, fold = study.config.study.metric, fold_at(validation)
        way, judged = best_merge(config, seed, fold, judge.ks, metric, report_progress)
        found = way.model_dump(include=set(MERGE_FIELDS))
        return way, record_on_validation(study, run, judged, config.kind, found)


def _recorded_way(run: Run, config: ModelConfig) -> ModelConfig:
    """The way whose parameters a run has."""
    params = run.recorded().params
    return next(
        way
        for way in ways_to_merge(config)
        if texts(way.model_dump(include=set(MERGE_FIELDS))).items() <= params.items()
    )
