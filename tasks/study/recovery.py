"""Recovery: what dead workers left open is closed in Optuna, in MLflow and on disk."""

from collections.abc import Mapping

from tasks.study.attempt import NUMBER, STATE
from tasks.study.study import Study
from tasks.tracking.queries import running_children
from tasks.tracking.runs import ERROR, Run
from tasks.tuning import Search
from tasks.workspace.locking import Locks
from tasks.workspace.scratch import remove_left_scratch


def recover(study: Study, search: Search, locks: Locks) -> None:
    """Close what dead workers left open, and what this worker did, which is at no trial now."""
    search.free_dead_trials(idle=study.worker)
    # In this order: a trial is claimed before its run is made, so all of them are known.
    running = running_children(study.workspace, study.experiment, study.parent)
    outcomes = search.outcomes()
    for run_id, tags in running.items():
        ending = _ending(run_id, tags, outcomes, locks, study.worker)
        if ending is not None:
            Run(run_id, study.workspace).end(*ending)
    remove_left_scratch(study.workspace)


def _ending(
    run_id: str,
    tags: Mapping[str, str],
    outcomes: Mapping[int, tuple[str, str | None]],
    locks: Locks,
    worker: str,
) -> tuple[str, dict[str, str]] | None:
    """Status and tags that end a run left open; None for one that a living worker is at."""
    died = "KILLED", {ERROR: "its process died"}
    if NUMBER not in tags:
        owner = tags.get("worker", "")
        return None if owner != worker and locks.lives(owner) else died
    state, counted = outcomes.get(int(tags[NUMBER]), ("cut off", None))
    if state == "running":
        return None
    if counted != run_id:
        return died
    match state:
        case "complete":
            return "FINISHED", {}
        case "pruned":
            return "FINISHED", {STATE: "pruned"}
        case "failed":
            return "FAILED", {ERROR: "the trial failed, and then its process died"}
        case _:
            return died
