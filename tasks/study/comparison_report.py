"""What a comparison of many models asks of the outside: item vectors, a run, a table, pictures."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from recsys import plots
from recsys.evaluation.bootstrap import Estimate
from recsys.evaluation.comparison import DIVERSITY, LIFT, Comparison, ModelResult, SplitResult
from recsys.evaluation.store import load_lists, load_report
from recsys.models.reference import reference_vectors
from recsys.seeds import seed_for
from tasks.progress import report_progress
from tasks.study.measuring import Measured
from tasks.study.study import Study, fold_at
from tasks.tracking.recorded import DataSet
from tasks.tracking.runs import start_run

COST = "cost.json"  # in the folder of the comparison


@task(task_run_name="judge the lists of split {seed}", cache_policy=NO_CACHE)
def judge_split(
    test: Path, seed: int, results: Mapping[str, tuple[Measured, Mapping[str, Any], Path]], k: int
) -> SplitResult:
    """Everything that is measured on the lists of all models of one split.

    Args:
        test: Folder of the test fold.
        seed: Of the split.
        results: Model to what it measured, to `params`, `validation`, `trials` and
            `search_seconds`, and to the folder with its report and lists.
        k: Cut-off.
    """
    fold = fold_at(test)
    found = {
        model: ModelResult(
            report=load_report(folder),
            lists=load_lists(folder),
            fit_seconds=measured.fit_seconds,
            **details,
        )
        for model, (measured, details, folder) in results.items()
    }
    report_progress("factors that diversity is measured on", 0, None)
    vectors = reference_vectors(fold.train, seed_for(seed, "judge", "vectors"))
    return SplitResult.of(seed, fold, found, vectors, k)


@task(task_run_name="record the comparison", cache_policy=NO_CACHE)
def record_comparison(
    study: Study,
    name: str,
    comparison: Comparison,
    params: Mapping[str, Any],
    failed: Mapping[str, str],
) -> str:
    """Keep a comparison as a run of MLflow and a table of Prefect; returns the run's id.

    Args:
        study: One of those that were compared; says where.
        name: Of the run.
        comparison: The comparison.
        params: Parameters of the run.
        failed: Model to why it could not take part.
    """
    data: DataSet = study.data
    kept = {tag: study.tags[tag] for tag in ("data", "code", "format") if tag in study.tags}
    tags = {"stage": "compare", "comparison": name, **kept}
    run = start_run(study.workspace, study.experiment, name, dict(params), tags, data)
    with run.closing():
        run.log(
            {
                f"{model}/{metric}": estimate.mean
                for model, estimates in comparison.estimates.items()
                for metric, estimate in _columns(estimates, comparison.metric)
            }
        )
        with study.scratch() as folder:
            _write(comparison, failed, folder)
            run.files(folder, "compare")
    create_table_artifact(
        key="compare-models",
        table=[
            {"model": m, comparison.metric: comparison.estimates[m][comparison.metric].text}
            for m in comparison.models
        ],
        description=f"{name}: {comparison.n_users} users, "
        f"{len(comparison.splits)} splits, on test.",
    )
    return run.id


def _columns(estimates: Mapping[str, Estimate], metric: str) -> Iterator[tuple[str, Estimate]]:
    """What MLflow gets of a model: its metrics at the k of the objective; files have the rest."""
    k = metric.partition("@")[2]
    return ((name, each) for name, each in estimates.items() if name.partition("@")[2] == k)


def _write(comparison: Comparison, failed: Mapping[str, str], folder: Path) -> None:
    table = {"models": comparison.as_json(), "failed": dict(failed)}
    (folder / "models.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
    seconds = {
        model: {
            str(split.seed): (split.results[model].fit_seconds, split.results[model].search_seconds)
            for split in comparison.splits
        }
        for model in comparison.models
    }
    cost = {"n_users": comparison.n_users, "seconds": seconds}
    (folder / COST).write_text(json.dumps(cost, indent=1), encoding="utf-8")
    comparison.frame().to_csv(folder / "models.csv")
    comparison.significance.frame().to_csv(folder / "significance.csv", index=False)
    for file, figure in _figures(comparison).items():
        plots.save(figure, folder / "plots" / file)


def _figures(comparison: Comparison) -> dict[str, Any]:
    metric, k = comparison.metric, comparison.k
    values = {m: _band(comparison.estimates[m][metric]) for m in comparison.models}
    what = f"{metric} on test"
    figures = {"models.png": plots.ranking(values, what, comparison.ties)}
    for other in (f"coverage@{k}", f"novelty@{k}", f"{DIVERSITY}@{k}", f"{LIFT}@{k}"):
        both = {
            m: (_band(comparison.estimates[m][metric]), _band(comparison.estimates[m][other]))
            for m in comparison.models
        }
        figures[f"{metric}-{other}.png"] = plots.tradeoff(both, (metric, other))
    for grouping, of_models in comparison.user_groups.items():
        rows = {m: {r.group: _band(r.estimate) for r in of_models[m]} for m in comparison.models}
        sizes = {r.group: r.n for r in of_models[comparison.models[0]]}
        figures[f"by-{grouping}.png"] = plots.groups(rows, metric, sizes=sizes)
    items = {
        m: {r.group: _band(r.recall) for r in comparison.item_groups[m]} for m in comparison.models
    }
    figures["by-items.png"] = plots.groups(items, f"recall@{k}")
    return figures


def _band(estimate: Estimate) -> tuple[float, float | None, float | None]:
    return estimate.mean, estimate.low, estimate.high
