"""Studies listed, exported and deleted."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.config import ExperimentConfig
from recsys.errors import InputError
from tasks.tuning import (
    FinishedTrial,
    Search,
    deleting_study,
    find_search,
    has_study,
    list_studies,
    stored_request,
)
from tasks.workspace.layout import Workspace
from tasks.workspace.places import check_inside

if TYPE_CHECKING:
    import pandas as pd

KINDS = (".parquet", ".csv")


def standing(workspace: Workspace, name: str) -> str:
    """How far a study is, in words."""
    if not has_study(workspace, name):
        return f"study {name} has not begun"
    search, config = find_search(workspace, name)
    parts = [f"{len(search.done)} measured"]
    parts += [f"{len(search.pruned)} pruned"] * bool(search.pruned)
    parts += [f"{len(search.failed)} failed"] * bool(search.failed)
    best = (
        f", best {config.study.metric} {search.best.value:.4f} (trial {search.best.slot})"
        if search.done
        else ""
    )
    fewer = ""
    if search.stopped is not None and search.stopped < config.study.trials:
        fewer = f", of {config.study.trials} by study.stop_after,"
    elif search.wanted < config.study.trials:
        fewer = ", all that the space has,"
    wanted = max(search.wanted, search.ended)  # `study work --trials` asked for more since
    return f"{search.ended} of {wanted} trials{fewer} done: {', '.join(parts)}{best}"


def listed(workspace: Workspace) -> list[dict[str, Any]]:
    """Every study as JSON values."""
    return [
        {**asdict(each), "began": None if each.began is None else each.began.isoformat()}
        for each in list_studies(workspace)
    ]


def state(done: FinishedTrial) -> str:
    """What became of a finished trial, in a word."""
    if not done.values:
        return "pruned"
    return "measured" if done.facts.source is None else "reused"


def export(workspace: Workspace, name: str, file: Path) -> int:
    """Write the finished trials, one row each; how many there are.

    Raises:
        InputError: there is no such study, or the file is of another kind or cannot be written.
    """
    if file.suffix not in KINDS:
        raise InputError(f"{file}: the name must end in {' or '.join(KINDS)}")
    search, config = find_search(workspace, name)
    table = frame(search, config)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".csv":
            table.to_csv(file, index=False)
        else:
            table.to_parquet(file, index=False)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; name a file that you may write") from error
    return len(table)


def frame(search: Search, config: ExperimentConfig) -> "pd.DataFrame":
    """One row per finished trial: trial, state, objectives, parameters, where it is in MLflow."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "trial": done.slot,
                "state": state(done),
                **dict(zip(config.objectives, done.values or [None] * 9, strict=False)),
                **{f"params.{name}": value for name, value in done.params.items()},
                "iterations_run": done.facts.ran,
                "iterations_asked": done.facts.asked,
                "attempts": done.attempts,
                "run": done.run,
                "source_run": done.facts.source,
            }
            for done in search.finished
        ]
    )


def delete(workspace: Workspace, name: str) -> int:
    """Delete a study on both sides; how many MLflow runs went with it.

    Raises:
        InputError: there is no such study, a worker works on it, its model serves, or its files
            lie outside the workspace.
    """
    from tasks.tracking.copying import delete_runs  # MLflow, which is slow to load
    from tasks.tracking.queries import children
    from tasks.tracking.runs import experiment_of

    runs: list[str] = []
    with deleting_study(workspace, name) as search:
        parent = search.recall("parent") or _unknown_parent(workspace, name)
        if parent is not None:
            experiment = experiment_of(workspace, parent)
            runs = [*children(workspace, experiment, parent), parent]
        _refuse_serving(workspace, name, runs)
        check_inside(workspace, workspace.paths(name))
        delete_runs(workspace, runs)
        shutil.rmtree(workspace.paths(name), ignore_errors=True)
    return len(runs)


def _unknown_parent(workspace: Workspace, name: str) -> str | None:
    """The run that a process made and did not note in its study before it died."""
    from tasks.tracking.experiments import experiment_id
    from tasks.tracking.queries import find_running_study

    plays = Path(stored_request(workspace, name)["plays"])
    return find_running_study(workspace, experiment_id(workspace, plays), name)


def _refuse_serving(workspace: Workspace, name: str, runs: list[str]) -> None:
    """What `recsys recommend` asks, or asks again after a rollback, is fitted from its study."""
    from tasks.tracking.registry import versions

    for version in versions(workspace):
        if version.run in runs and version.aliases:
            raise InputError(
                f"study {name} made version {version.number} of {version.name}, the "
                f"{' and '.join(version.aliases)}; `recsys promote` another model first"
            )
