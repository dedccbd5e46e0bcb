"""Runs in MLflow: by id, by tags, by study. Nothing here is slow to load."""

from collections.abc import Collection, Iterator, Mapping

from recsys.errors import InputError
from tasks.tracking.reading import open_reader
from tasks.tracking.recorded import PARENT_RUN, Recorded
from tasks.workspace.layout import Workspace

Tags = dict[str, str]


def running_children(workspace: Workspace, experiment: str, parent: str) -> dict[str, Tags]:
    """The tags of each child of a run that is still RUNNING, by its id."""
    runs = open_reader(workspace).runs(
        {PARENT_RUN: parent}, experiment=experiment, status="RUNNING"
    )
    return {run.id: dict(run.tags) for run in runs}


def children(workspace: Workspace, experiment: str, parent: str) -> dict[str, Tags]:
    """The tags of each child of a run by its id."""
    return {
        run.id: dict(run.tags) for run in find_runs(workspace, experiment, {PARENT_RUN: parent})
    }


def find_running_study(workspace: Workspace, experiment: str, study: str) -> str | None:
    """The run of a study whose process died before it stored the id of the run."""
    tags = {"stage": "study", "study": study}
    runs = open_reader(workspace).runs(tags, experiment=experiment, status="RUNNING")
    return next((run.id for run in runs), None)


def running_studies(workspace: Workspace, study: str) -> list[str]:
    """The ids of the runs of a study that are RUNNING."""
    tags = {"stage": "study", "study": study}
    return [run.id for run in open_reader(workspace).runs(tags, status="RUNNING")]


def read_run(workspace: Workspace, run_id: str) -> Recorded:
    """A run by its id.

    Raises:
        InputError: there is none, or it was deleted.
    """
    run = open_reader(workspace).run(run_id)
    if run is None:
        raise InputError(f"run {run_id!r} is not in MLflow; pass the id of one that is")
    if run.deleted:
        raise InputError(f"run {run_id!r} was deleted in MLflow; restore it there, or pass another")
    return run


def finals(
    workspace: Workspace, parent: str | None = None, tags: Mapping[str, str] | None = None
) -> Iterator[Recorded]:
    """The FINISHED runs of models that were judged on test, newest first.

    Args:
        workspace: Holds the runs.
        parent: Id of the run of a study: only its runs.
        tags: Of the runs.
    """
    under = {} if parent is None else {PARENT_RUN: parent}
    every = {"stage": "final", **under, **(tags or {})}
    return open_reader(workspace).runs(every, status="FINISHED")


def study_runs(workspace: Workspace, name: str | None = None) -> Iterator[Recorded]:
    """The runs of studies, newest first; of one name if given."""
    tags = {} if name is None else {"study": name}
    return open_reader(workspace).runs({"stage": "study", **tags})


def read_runs(workspace: Workspace, ids: Collection[str]) -> dict[str, Recorded]:
    """The runs with these ids, by id; ids without a run are left out."""
    return {run.id: run for run in open_reader(workspace).runs({}, ids=ids)}


def find_runs(workspace: Workspace, experiment: str, tags: Mapping[str, str]) -> list[Recorded]:
    """The runs of an experiment with these tags, newest first."""
    return list(open_reader(workspace).runs(tags, experiment=experiment))


FINAL = "final"  # tag of a search over models: the run of its winner on test


def find_comparison(workspace: Workspace, name: str) -> str | None:
    """The run of the newest comparison of a name; None without one."""
    runs = open_reader(workspace).runs({"stage": "compare"}, status="FINISHED")
    return next((r.id for r in runs if name in (r.name, r.tags.get("comparison"))), None)
