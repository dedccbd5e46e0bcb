"""The judged models beside each other: intervals, tables, plots; recorded and shown in Prefect."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from recsys import plots
from recsys.compare import Comparison, Estimate, interval, paired
from recsys.seeds import seed_for
from recsys.store import load_report
from tasks.telling import tell
from tasks.tracking import Run, open_client
from tasks.training import LISTENER, Measured, Study
from tasks.tuning import Done

Estimates = Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class Compared:
    """Everything the end of an experiment shows.

    Attributes:
        models: Model to metric to its estimate on test.
        comparison: The baseline (a) and the winner (b), paired.
        listeners: Model to what it shows the sample listener.
    """

    models: Estimates
    comparison: Comparison
    listeners: Mapping[str, Mapping[str, Any]]


@task(task_run_name="compare on test", cache_policy=NO_CACHE)
def compare(
    study: Study, finals: Mapping[str, Measured], folder: Path, values: Sequence[float | None]
) -> Compared:
    """Intervals of every model, and of the winner against the baseline.

    Args:
        study: Shared by all runs.
        finals: What each model measured; the winner is "als".
        folder: Holds a folder per model with its report.
        values: The value of each trial by slot, None where it failed.
    """
    judge = study.config.judge
    seed = seed_for(study.config.seed, "judge", "bootstrap")
    reports = {kind: load_report(folder / kind) for kind in finals}
    comparison = paired(reports[judge.baseline], reports["als"], seed, judge.resamples, tell)
    models: dict[str, dict[str, Estimate]] = {
        judge.baseline: {row.metric: row.a for row in comparison.rows},
        "als": {row.metric: row.b for row in comparison.rows},
    }
    for kind in finals.keys() - models.keys():
        models[kind] = interval(reports[kind], seed, judge.resamples, tell)
    listeners = {
        kind: json.loads((folder / kind / LISTENER).read_text(encoding="utf-8")) for kind in finals
    }
    compared = Compared(models, comparison, listeners)
    _record(study, finals["als"].run, compared, folder / "tables", values)
    return compared


def _record(
    study: Study, run_id: str, compared: Compared, folder: Path, values: Sequence[float | None]
) -> None:
    folder.mkdir()
    compared.comparison.frame().to_csv(folder / "comparison.csv")
    models = {
        kind: {metric: asdict(estimate) for metric, estimate in estimates.items()}
        for kind, estimates in compared.models.items()
    }
    (folder / "models.json").write_text(json.dumps(models, indent=1), encoding="utf-8")
    name = study.config.study.metric
    drawn = {
        f"{metric}.png": plots.comparison(_bands(compared.models), metric)
        for metric in dict.fromkeys([name.partition("@")[0], "precision", "recall"])
    }
    drawn["search.png"] = plots.history(values, f"{name} on validation")
    for file, figure in drawn.items():
        plots.save(figure, folder / "plots" / file)
    Run(run_id, open_client(study.workspace)).files(folder, "comparison")


def _bands(
    models: Estimates,
) -> dict[str, dict[str, tuple[float, float | None, float | None]]]:
    return {
        kind: {metric: (e.mean, e.low, e.high) for metric, e in estimates.items()}
        for kind, estimates in models.items()
    }


@task(task_run_name="leaderboard", cache_policy=NO_CACHE)
def show_leaderboard(study: Study, done: Sequence[Done], link: str) -> None:
    """The trials as a Prefect table, best first, and a link to MLflow's compare page."""
    ranked = sorted(done, key=lambda each: (-each.value, each.slot))
    metric = study.config.study.metric
    create_table_artifact(
        key="leaderboard",
        table=[{"trial": d.slot, metric: d.value, **d.params, "run": d.run} for d in ranked],
        description=f"Trials of study {study.name}, judged on validation.",
    )
    create_link_artifact(
        key="compare-trials",
        link=link,
        link_text="Compare the trials in MLflow",
        description="Opens while `recsys ui` runs.",
    )


@task(task_run_name="comparison table", cache_policy=NO_CACHE)
def show_comparison(study: Study, comparison: Comparison) -> None:
    """The comparison on test as a Prefect table."""
    create_table_artifact(
        key="comparison",
        table=[
            {
                "metric": row.metric,
                study.config.judge.baseline: _text(row.a),
                "als": _text(row.b),
                "difference": _text(row.difference),
                "improvement": "" if row.improvement is None else f"{row.improvement:+.1%}",
            }
            for row in comparison.rows
        ],
        description=f"Study {study.name} on test, {comparison.n_users} users, 95 % intervals.",
    )


def _text(estimate: Estimate) -> str:
    if estimate.low is None:
        return f"{estimate.mean:.4f}"
    return f"{estimate.mean:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"
