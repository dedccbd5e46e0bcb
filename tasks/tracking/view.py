"""The view that MLflow's page of an experiment opens with: the columns that matter.

MLflow keeps the view that a user shares as a tag of the experiment: JSON, deflated, in base64. The
address of the page names it.
"""

import base64
import json
import zlib
from collections.abc import Iterable

from tasks.tracking.queries import study_runs
from tasks.tracking.reading import open_reader
from tasks.tracking.recorded import metric_name
from tasks.workspace.layout import Workspace

VIEW = "recsys"
TAG = f"mlflow.sharedViewState.{VIEW}"
_TIME = "attributes.start_time"


def view_of(metrics: Iterable[str], params: Iterable[str]) -> dict[str, str]:
    """The tag of an experiment whose page shows these metrics and parameters, newest runs first.

    Args:
        metrics: With the side: "test/ndcg@10".
        params: Names of parameters.
    """
    state = {
        "selectedColumns": [
            _column("attributes", "Description"),
            *(_column("metrics", metric_name(name)) for name in metrics),
            *(_column("params", name) for name in params),
        ],
        "orderByKey": _TIME,
        "orderByAsc": False,
        "searchFilter": "",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "hideEmptyCharts": True,
    }
    deflated = zlib.compress(json.dumps(state).encode())
    return {TAG: f"deflate;{base64.b64encode(deflated).decode()}"}


def first_page(workspace: Workspace) -> str:
    """The page of the newest study's experiment, behind the address of MLflow; "" without one."""
    newest = next(study_runs(workspace), None)
    if newest is None:
        return ""
    page = f"/#/experiments/{newest.experiment}/runs?workflowType=machine_learning"
    if TAG in open_reader(workspace).experiment_tags(newest.experiment):
        page += f"&viewStateShareKey={VIEW}"
    return page


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"
