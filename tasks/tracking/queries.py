"""Runs in MLflow: by id, by tags, by study."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from mlflow.entities import LifecycleStage
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from recsys.errors import InputError
from tasks.tracking.client import NOT_THERE, metric_name, open_client
from tasks.tracking.runs import MEASURED, Run
from tasks.workspace.layout import Workspace

_PAGE, _IDS_A_QUERY = 100, 200

Tags = dict[str, str]


def running_children(workspace: Workspace, experiment: str, parent: str) -> dict[str, Tags]:
    """The tags of each child of a run that is still RUNNING, by its id."""
    return _tags_of(workspace, experiment, parent, "attributes.status = 'RUNNING'")


def children(workspace: Workspace, experiment: str, parent: str) -> dict[str, Tags]:
    """The tags of each child of a run by its id."""
    return _tags_of(workspace, experiment, parent)


def _tags_of(workspace: Workspace, experiment: str, parent: str, more: str = "") -> dict[str, Tags]:
    query = _having({MLFLOW_PARENT_RUN_ID: parent}) + (f" and {more}" if more else "")
    return {run.id: dict(run.tags) for run in _search(workspace, query, [experiment])}


def find_running_study(workspace: Workspace, experiment: str, study: str) -> str | None:
    """The run of a study whose process died before it stored the id of the run."""
    query = "tags.stage = 'study' and attributes.status = 'RUNNING'"
    # The name is not in the query: it may hold a quote.
    runs = _search(workspace, query, [experiment])
    return next((run.id for run in runs if run.tags["study"] == study), None)


def find_measured(
    workspace: Workspace, experiment: str, key: str, parent: str | None = None
) -> list[Run]:
    """The FINISHED runs that measured exactly `key`, oldest first, of one parent if given."""
    query = f"tags.{MEASURED} = '{key}' and attributes.status = 'FINISHED'"
    if parent is not None:
        query += f" and tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}'"
    client = open_client(workspace)
    runs = client.search_runs([experiment], query, order_by=["start_time"])
    return [Run(run.info.run_id, client) for run in runs]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as MLflow has recorded it.

    Attributes:
        id: Of the run.
        name: Of the run.
        experiment: Id of the experiment it is in.
        status: RUNNING, FINISHED, FAILED or KILLED.
        params: By name.
        tags: By name.
        metrics: Last value by MLflow's name; `metric` takes ours.
    """

    id: str
    name: str
    experiment: str
    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, run: MlflowRun) -> Self:
        """From a run of MLflow."""
        info, data = run.info, run.data
        return cls(
            info.run_id,
            info.run_name,
            info.experiment_id,
            info.status,
            data.params,
            data.tags,
            data.metrics,
        )

    @property
    def parent(self) -> str | None:
        """Id of the run that it is a child of, which is that of its study."""
        return self.tags.get(MLFLOW_PARENT_RUN_ID)

    def metric(self, name: str) -> float | None:
        """The last value of a metric, such as `test/ndcg@10`; None without one."""
        return self.metrics.get(metric_name(name))


def read_run(workspace: Workspace, run_id: str) -> Recorded:
    """A run by its id.

    Raises:
        InputError: there is none, or it was deleted.
    """
    try:
        run = open_client(workspace).get_run(run_id)
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        raise InputError(f"run {run_id!r} is not in MLflow; pass the id of one that is") from error
    if run.info.lifecycle_stage == LifecycleStage.DELETED:
        raise InputError(f"run {run_id!r} was deleted in MLflow; restore it there, or pass another")
    return Recorded.of(run)


def finals(
    workspace: Workspace, parent: str | None = None, tags: Mapping[str, str] | None = None
) -> Iterator[Recorded]:
    """The FINISHED runs of models that were judged on test, newest first.

    Args:
        workspace: Holds the runs.
        parent: Id of the run of a study: only its runs.
        tags: Of the runs, without quotes in the values.
    """
    under = {} if parent is None else {MLFLOW_PARENT_RUN_ID: parent}
    query = _having({"stage": "final", **under, **(tags or {})})
    yield from _search(workspace, f"{query} and attributes.status = 'FINISHED'")


def study_runs(workspace: Workspace, name: str | None = None) -> Iterator[Recorded]:
    """The runs of studies, newest first; of one name if given."""
    quotes = name is not None and ("'" in name or "`" in name)  # not possible in a query
    tags = {} if name is None or quotes else {"study": name}
    for run in _search(workspace, _having({"stage": "study", **tags})):
        if name is None or run.tags["study"] == name:
            yield run


def read_runs(workspace: Workspace, ids: Collection[str]) -> dict[str, Recorded]:
    """The runs with these ids, by id; ids without a run are left out."""
    runs: dict[str, Recorded] = {}
    ordered = sorted(ids)
    for start in range(0, len(ordered), _IDS_A_QUERY):
        listed = ", ".join(f"'{each}'" for each in ordered[start : start + _IDS_A_QUERY])
        query = f"attributes.run_id IN ({listed})"
        runs |= {run.id: run for run in _search(workspace, query)}
    return runs


def _having(tags: Mapping[str, str]) -> str:
    return " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())


def find_runs(workspace: Workspace, experiment: str, tags: Mapping[str, str]) -> list[Recorded]:
    """The runs of an experiment with these tags, newest first; no quotes in the values."""
    return list(_search(workspace, _having(tags), [experiment]))


def _search(
    workspace: Workspace, query: str, experiments: Sequence[str] | None = None
) -> Iterator[Recorded]:
    """The runs that match a query, newest first, of all experiments by default, page by page."""
    client = open_client(workspace)
    if experiments is None:
        experiments = [each.experiment_id for each in client.search_experiments()]
    token: str | None = None
    while True:
        page = client.search_runs(
            list(experiments),
            query,
            order_by=["attributes.start_time DESC"],
            max_results=_PAGE,
            page_token=token,
        )
        yield from map(Recorded.of, page)
        token = page.token
        if not token:
            return
