"""Studies and their trials as tables."""

from rich.console import Group, RenderableType
from rich.text import Text

from flows.cli.format import (
    FittedTable,
    TableColumn,
    metric_text,
    moment_text,
    rows_of,
    value_text,
)
from flows.studies import standing, state
from recsys.config import ExperimentConfig
from tasks.tuning import FinishedTrial, Listed, find_search, list_studies
from tasks.workspace.layout import Workspace


def list_table(workspace: Workspace) -> RenderableType:
    """Every study, a line each."""
    studies = list_studies(workspace)
    if not studies:
        return Text("no studies yet: `recsys experiment` makes one")
    heads = ("trials", "measured", "pruned", "failed", "running", "best")
    numbers = [_numbers(each) for each in studies]
    ranks = {"trials": 3, "measured": 4, "pruned": 6, "failed": 5, "running": 7, "best": 1}
    columns = [
        TableColumn("study", [each.name for each in studies], text=True),
        *(TableColumn(n, [row[at] for row in numbers], ranks[n]) for at, n in enumerate(heads)),
        TableColumn("metric", [each.metric for each in studies], rank=2, text=True),
        TableColumn(
            "began (UTC)", [moment_text(each.began) for each in studies], rank=2, text=True
        ),
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
    from flows.cli.experiment_tables import saved_text
    from flows.result import Saved

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
