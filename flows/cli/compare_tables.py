"""Many models beside each other, as a terminal shows them."""

import shlex
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType

from flows.cli.experiment_tables import without_options
from flows.cli.format import FittedTable, TableColumn, metric_text, seconds_text
from flows.compare import CompareResult
from recsys.evaluation.comparison import DIVERSITY, LIFT
from recsys.evaluation.significance import SURE
from recsys.search.widening import Edge

OTHERS = {
    "recall": "recall",
    "coverage": "coverage",
    "gini": "Gini (lower is better)",
    "novelty": "novelty",
    DIVERSITY: "diversity",
    LIFT: "pop. lift",
}


def models_table(result: CompareResult) -> RenderableType:
    """Every model, best first, on what it is judged by and on what lies beyond accuracy."""
    comparison = result.comparison
    metric, k, models = comparison.metric, comparison.k, comparison.models
    n_splits = len(comparison.splits)
    splits = f"{n_splits} split{'s' * (n_splits > 1)}"
    tuned = "tuned on the first split only" if result.request.tune_once else "tuned on each"
    others = [
        TableColumn(
            head, [f"{comparison.estimates[m][f'{name}@{k}'].mean:.3f}" for m in models], 3 + at
        )
        for at, (name, head) in enumerate(OTHERS.items())
    ]
    columns = [
        TableColumn("model", models, text=True),
        TableColumn(f"{metric} [95 %]", [comparison.estimates[m][metric].text for m in models]),
        TableColumn("sd", [_sd(result, model) for model in models], rank=2),
        TableColumn("p", list(_p_values(result)), rank=1),
        *others,
        TableColumn("fit s", [f"{_fit_seconds(result, m):.1f}" for m in models], 3 + len(OTHERS)),
    ]
    title = f"On test: {comparison.n_users:,} users, {splits}, {tuned}; lists of {k}"
    return FittedTable(columns, title)


def _sd(result: CompareResult, model: str) -> str:
    sd = result.comparison.spreads[model][result.comparison.metric].sd
    return "" if sd is None else f"{sd:.4f}"


def _p_values(result: CompareResult) -> Iterator[str]:
    corrected = {pair.b: pair.p_holm for pair in result.comparison.significance.against_best()}
    for model in result.comparison.models:
        p = corrected.get(model)
        yield "best" if p is None else f"{p:.4f}" + (" =" if p > SURE else "")


def _fit_seconds(result: CompareResult, model: str) -> float:
    splits = result.comparison.splits
    return sum(each.results[model].fit_seconds for each in splits) / len(splits)


def user_groups_tables(result: CompareResult) -> RenderableType:
    """The objective in each group of users: who is served worse."""
    comparison = result.comparison
    tables = []
    for grouping, of_models in comparison.user_groups.items():
        groups = [
            TableColumn(
                f"{row.group} ({row.n:,})",
                [f"{of_models[model][at].estimate.mean:.4f}" for model in comparison.models],
                rank=1 + at,
            )
            for at, row in enumerate(of_models[comparison.models[0]])
        ]
        title = f"{metric_text(comparison.metric)} by {grouping} of the user"
        tables.append(FittedTable([_models(result), *groups], title))
    return Group(*tables)


def item_groups_table(result: CompareResult) -> RenderableType:
    """What is found of popular and of rare items."""
    comparison = result.comparison
    groups = [
        TableColumn(
            f"{row.group} ({row.n_held_out:,})",
            [comparison.item_groups[model][at].recall.text for model in comparison.models],
            rank=1 + at,
        )
        for at, row in enumerate(comparison.item_groups[comparison.models[0]])
    ]
    title = f"recall@{comparison.k} of held-out cells by popularity of the item"
    return FittedTable([_models(result), *groups], title)


def beyond(command: Sequence[str], edge: Edge) -> str:
    """The command that searches a model beyond the edge of a range."""
    kept = without_options(command, ("--models", "--seeds", "--name", "--top-items"))
    words = [word for word in kept[1:] if word not in ("--tune-once", "--json")]
    wider = ["--model", edge.model, "--set", f"search.{edge.parameter}={edge.wider}"]
    return shlex.join(["recsys", "experiment", *words, *wider])


def _models(result: CompareResult) -> TableColumn:
    return TableColumn("model", result.comparison.models, text=True)


def notes(result: CompareResult, command: Sequence[str] = ()) -> list[str]:
    """What the tables leave open.

    Args:
        result: The comparison.
        command: The words after `recsys` that made it.
    """
    comparison = result.comparison
    lines = [
        f"sd: of the splits; p: paired bootstrap over users against the best, Holm-corrected for "
        f"{len(comparison.significance.pairs)} pairs; = may be as good as the best"
    ]
    if result.ensemble is not None:
        (one, other), best, merged = result.ensemble
        verdict = "takes part" if merged > best else "is left out"
        lines.append(
            f"ensemble of {one} and {other} on validation: {merged:.4f} against {best:.4f} of the "
            f"best alone: it {verdict}"
        )
    if result.exchange is not None:
        lines.append(result.exchange.sentence)
    for edge in result.edges:
        lines += [
            f"{edge.model}: the best {edge.parameter} is the {edge.edge} on {edge.splits} of "
            f"{edge.of} splits; to search beyond it:",
            f"  {beyond(command, edge)}",
        ]
    lines += [f"{model} took no part: {why}" for model, why in result.failed.items()]
    lines.append(seconds_text(dict(result.seconds)))
    lines.append(f"comparison {result.request.name}: run {result.run} in MLflow (`recsys ui`)")
    return lines
