"""The models that a search over models tried: what each cost, and a table of all of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from recsys.report.comparison import TriedRow
from tasks.study.study import Study
from tasks.tracking.queries import FINAL, read_runs
from tasks.tracking.recorded import metric_name
from tasks.tracking.runs import Run
from tasks.tuning import Search

TRIED = "tried.json"  # in the folder of a comparison
SECONDS = ("seconds/fit", "seconds/judge")


def search_seconds(study: Study, search: Search) -> float:
    """Seconds of training and judging the finished trials of a study, by whichever worker."""
    runs = read_runs(study.workspace, [each.run for each in search.finished]).values()
    names = [metric_name(name) for name in SECONDS]
    return sum(run.metrics.get(name, 0.0) for run in runs for name in names)


@task(task_run_name="models tried", cache_policy=NO_CACHE)
def record_tried(study: Study, run_id: str, final: str, tried: Sequence[TriedRow]) -> None:
    """Attach the table of the models to the run of a comparison, and show it in Prefect.

    Args:
        study: One of those that were searched; says where.
        run_id: Of the comparison.
        final: Id of the run of the winner on test.
        tried: The best first.
    """
    run = Run.of(study.workspace, run_id)
    with study.scratch() as folder:
        text = json.dumps([asdict(row) for row in tried], indent=1)
        (folder / TRIED).write_text(text, encoding="utf-8")
        run.files(folder, "compare")
    run.log({}, tags={FINAL: final})
    metric = study.config.study.metric
    create_table_artifact(
        key="models-tried",
        table=[
            {
                "model": row.model,
                f"{metric} on validation": row.estimate.text,
                "tied with the best": "yes" if row.tied else "",
                "trials": row.trials,
                "seconds": round(row.seconds, 1),
            }
            for row in tried
        ],
        description=f"Models that {study.name} was tried beside, judged on validation.",
    )
