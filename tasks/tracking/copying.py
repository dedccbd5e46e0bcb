"""Copy the values and files of a run to another, and delete runs with their files."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recsys.files import link_or_copy
from tasks.tracking.client import open_client
from tasks.tracking.moving import SOURCE_FACTORS
from tasks.tracking.reading import open_reader
from tasks.tracking.recorded import metric_name
from tasks.tracking.runs import SOURCE_RUN, Run, durable_names
from tasks.workspace.layout import Workspace
from tasks.workspace.places import check_inside, is_inside


@dataclass(frozen=True, slots=True)
class Copied:
    """Values that were copied from one run to another.

    Attributes:
        params: As text.
        metrics: Under MLflow's names; the last value of each.
        curves: Those with several values, as (step, value).
    """

    params: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[tuple[int, float]]]


def copy_run(
    source: Run, target: Run, scratch: Path, more: Mapping[str, float] | None = None
) -> Copied:
    """Give a run the metrics, curves and files of another, and a link to it.

    Files on this machine are linked, so they take no room, and stay when the source is deleted.

    Args:
        source: Was measured.
        target: Gets the same.
        scratch: A folder for files on their way.
        more: Metrics that the source has only in its files.
    """
    known, reader = source.recorded(), open_reader(source.workspace)
    curved = [name for name in known.metrics if name.startswith("curve/")]
    curves = {name: reader.history(source.id, name) for name in curved}
    metrics = {**known.metrics, **{metric_name(n): value for n, value in (more or {}).items()}}
    finals = {name: [(0, value)] for name, value in metrics.items() if name not in curves}
    link = {SOURCE_RUN: source.id}
    if source.has("factors"):
        link[SOURCE_FACTORS] = f"{known.address}/factors"
    target.log_curves({**finals, **curves}, tags=link)
    here, there = source.place(), target.place()
    if here is None or there is None:
        target.client.log_artifacts(target.id, str(source.fetch("", scratch)))
    else:
        shutil.copytree(here, there, copy_function=link_or_copy, dirs_exist_ok=True)
        durable_names(there)
    return Copied(known.params, metrics, curves)


def delete_runs(workspace: Workspace, run_ids: Sequence[str]) -> None:
    """Delete runs in MLflow, and their files where they are in the workspace.

    Files at a place that a server chose are the server's, as those in a store are.

    Raises:
        InputError: without a server, files lie outside the workspace; then nothing is deleted.
    """
    client = open_client(workspace)
    folders = {}
    for run_id in run_ids:
        place = Run(run_id, workspace).place()
        if place is not None and workspace.tracking is None:
            check_inside(workspace, place.parent)
        folders[run_id] = None if place is None else place.parent
    for run_id, folder in folders.items():
        if client.get_run(run_id).info.status == "RUNNING":  # its process died
            Run(run_id, workspace).end("KILLED")
        client.delete_run(run_id)
        if folder is not None and is_inside(workspace, folder):
            shutil.rmtree(folder, ignore_errors=True)
