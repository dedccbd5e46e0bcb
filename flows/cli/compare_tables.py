"""Many models beside each other, as a terminal shows them."""

from rich.console import Group, RenderableType
from rich.table import Column, Table

from flows.cli.experiment_tables import estimate_text, right
from flows.compare import CompareResult
from recsys.evaluation.comparison import DIVERSITY, LIFT

SURE = 0.05
OTHERS = {
    "recall": "recall",
    "coverage": "coverage",
    "gini": "Gini",
    "novelty": "novelty",
    DIVERSITY: "diversity",
    LIFT: "pop. lift",
}


def models_table(result: CompareResult) -> RenderableType:
    """Every model, best first, on what it is judged by and on what lies beyond accuracy."""
    comparison = result.comparison
    metric, k = comparison.metric, comparison.k
    n_splits = len(comparison.splits)
    heads = (f"{metric} [95 %]", "sd", "p", *OTHERS.values(), "fit s")
    splits = f"{n_splits} split{'s' * (n_splits > 1)}"
    tuned = "tuned on the first split only" if result.request.tune_once else "tuned on each"
    table = Table(
        Column("model", no_wrap=True),
        *map(right, heads),
        title=f"On test: {comparison.n_users:,} users, {splits}, {tuned}; lists of {k}",
    )
    corrected = {pair.b: pair.p_holm for pair in comparison.significance.against_best()}
    for model in comparison.models:
        of = comparison.estimates[model]
        sd = comparison.spreads[model][metric].sd
        p = corrected.get(model)
        fit = sum(each.results[model].fit_seconds for each in comparison.splits) / n_splits
        table.add_row(
            model,
            estimate_text(of[metric]),
            "" if sd is None else f"{sd:.4f}",
            "best" if p is None else f"{p:.4f}" + (" =" if p > SURE else ""),
            *(f"{of[f'{name}@{k}'].mean:.3f}" for name in OTHERS),
            f"{fit:.1f}",
        )
    return table


def listener_groups(result: CompareResult) -> RenderableType:
    """The objective in each group of listeners: who is served worse."""
    comparison = result.comparison
    tables = []
    for grouping, of_models in comparison.user_groups.items():
        rows = of_models[comparison.models[0]]
        table = Table(
            Column("model", no_wrap=True),
            *(right(f"{row.group} ({row.n:,})") for row in rows),
            title=f"{comparison.metric} by {grouping} of the listener",
        )
        for model in comparison.models:
            table.add_row(model, *(f"{row.estimate.mean:.4f}" for row in of_models[model]))
        tables.append(table)
    return Group(*tables)


def artist_groups(result: CompareResult) -> RenderableType:
    """What is found of popular and of rare artists."""
    comparison = result.comparison
    rows = comparison.item_groups[comparison.models[0]]
    table = Table(
        Column("model", no_wrap=True),
        *(right(f"{row.group} ({row.n_held_out:,})") for row in rows),
        title=f"recall@{comparison.k} of held-out cells by popularity of the artist",
    )
    for model in comparison.models:
        table.add_row(model, *(estimate_text(row.recall) for row in comparison.item_groups[model]))
    return table


def notes(result: CompareResult) -> list[str]:
    """What the tables leave open."""
    comparison = result.comparison
    found = [
        f"sd: of the splits; p: paired bootstrap over users against the best, Holm-corrected for "
        f"{len(comparison.significance.pairs)} pairs; = cannot be told from the best"
    ]
    if result.ensemble is not None:
        (one, other), best, merged = result.ensemble
        verdict = "takes part" if merged > best else "is left out"
        found.append(
            f"ensemble of {one} and {other} on validation: {merged:.4f} against {best:.4f} of the "
            f"best alone: it {verdict}"
        )
    found += [f"{model} took no part: {why}" for model, why in result.failed.items()]
    seconds = ", ".join(f"{part} {value:.1f}" for part, value in result.seconds.items())
    found.append(f"seconds: {seconds}")
    found.append(f"comparison {result.request.name}: run {result.run} in MLflow (`recsys ui`)")
    return found
