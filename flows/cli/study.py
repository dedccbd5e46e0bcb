"""Looking at studies, exporting and deleting them."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from flows.cli.experiment_tables import saved_text
from flows.cli.format import (
    Column,
    FittedTable,
    metric_text,
    moment_text,
    rows_of,
    value_text,
)
from flows.result import Saved
from recsys.config import ExperimentConfig
from recsys.errors import InputError
from tasks.tracking.copying import delete_runs
from tasks.tracking.registry import versions
from tasks.tracking.runs import children, experiment_of
from tasks.tuning import (
    FinishedTrial,
    Listed,
    Search,
    deleting_study,
    find_search,
    has_study,
    list_studies,
)
from tasks.workspace.layout import Workspace

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
    fewer = ", all that the space has," if search.wanted < config.study.trials else ""
    return f"{search.ended} of {search.wanted} trials{fewer} done: {', '.join(parts)}{best}"


def listed(workspace: Workspace) -> list[dict[str, Any]]:
    """Every study as JSON values."""
    return [
        {**asdict(each), "began": None if each.began is None else each.began.isoformat()}
        for each in list_studies(workspace)
    ]


def list_table(workspace: Workspace) -> RenderableType:
    """Every study, a line each."""
    studies = list_studies(workspace)
    if not studies:
        return Text("no studies yet: `recsys experiment` makes one")
    heads = ("trials", "measured", "pruned", "failed", "running", "best")
    numbers = [_numbers(each) for each in studies]
    ranks = {"trials": 3, "measured": 4, "pruned": 6, "failed": 5, "running": 7, "best": 1}
    columns = [
        Column("study", [each.name for each in studies], text=True),
        *(Column(n, [row[at] for row in numbers], ranks[n]) for at, n in enumerate(heads)),
        Column("metric", [each.metric for each in studies], rank=2, text=True),
        Column("began (UTC)", [moment_text(each.began) for each in studies], rank=2, text=True),
    ]
    return FittedTable(columns)


def _numbers(each: Listed) -> list[str]:
    counts = (each.wanted, each.complete, each.pruned, each.failed, each.running)
    return [*map(str, counts), "" if each.best is None else f"{each.best:.4f}"]


def show_table(workspace: Workspace, name: str) -> RenderableType:
    """Every trial of a study by slot, and what was saved.

    Raises:
        InputError: there is no such study.
    """
    search, config = find_search(workspace, name)
    finished, failed = search.finished, search.failed
    names = list(dict.fromkeys(name for done in finished for name in done.params))
    objectives = map(metric_text, config.objectives)
    heads = ["trial", "state", *objectives, *names, "iterations run", "attempts"]
    rows = [_cells(done, config, names) for done in finished]
    rows += [[str(slot), "failed", *[""] * (len(heads) - 2)] for slot in sorted(failed)]
    columns = rows_of([(head, head in ("trial", "state")) for head in heads], rows)
    table = FittedTable(columns, f"Study {name}")
    notes = [Text(standing(workspace, name)), Text(saved_text(Saved.of(finished)))]
    notes += [Text(f"trial {slot} failed: {error}") for slot, error in sorted(failed.items())]
    return Group(table, *notes)


def _cells(done: FinishedTrial, config: ExperimentConfig, names: list[str]) -> list[str]:
    values = [f"{value:.4f}" for value in done.values] or [""] * len(config.objectives)
    params = [value_text(done.params.get(name)) for name in names]
    ran = f"{done.facts.ran} of {done.facts.asked}"
    return [str(done.slot), state(done), *values, *params, ran, str(done.attempts)]


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


def frame(search: Search, config: ExperimentConfig) -> pd.DataFrame:
    """One row per finished trial: trial, state, objectives, parameters, where it is in MLflow."""
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
        InputError: there is no such study, somebody works on it, or its model serves.
    """
    search, _ = find_search(workspace, name)
    parent = search.recall("parent")
    runs: list[str] = []
    with deleting_study(workspace, name):
        if parent is not None:
            experiment = experiment_of(workspace, parent)
            runs = [*children(workspace, experiment, parent), parent]
        _refuse_serving(workspace, name, runs)
        delete_runs(workspace, runs)
        shutil.rmtree(workspace.paths(name), ignore_errors=True)
    return len(runs)


def _refuse_serving(workspace: Workspace, name: str, runs: list[str]) -> None:
    """What `recsys recommend` asks, or asks again after a rollback, is fitted from its study."""
    for version in versions(workspace):
        if version.run in runs and version.aliases:
            raise InputError(
                f"study {name} made version {version.number} of {version.name}, the "
                f"{' and '.join(version.aliases)}; `recsys promote` another model first"
            )
