"""A published protocol as a terminal shows it."""

from rich.console import RenderableType

from flows.bench import BenchResult
from flows.cli.format import FittedTable, TableColumn, seconds_text
from recsys.evaluation.bootstrap import Estimate


def counts_table(result: BenchResult) -> RenderableType:
    """What was read and cut, beside what is published."""
    counts = result.counts
    columns = [
        TableColumn("what", [count.name for count in counts], text=True),
        TableColumn("here", [f"{count.ours:,}" for count in counts]),
        TableColumn(
            "published", ["" if c.published is None else f"{c.published:,}" for c in counts]
        ),
        TableColumn("", [count.note for count in counts], text=True),
    ]
    return FittedTable(columns, f"{result.request.protocol.title}: the data", plain=True)


def rows_table(result: BenchResult) -> RenderableType:
    """Our rows and the published ones, the best first."""
    protocol, rows = result.request.protocol, result.rows
    metrics = [
        TableColumn(
            f"{metric} [95 %]" if metric == protocol.objective else metric,
            [_text(row.values[at], metric == protocol.objective) for row in rows],
            rank=0 if metric == protocol.objective else 2 + at,
        )
        for at, metric in enumerate(protocol.metrics)
    ]
    columns = [
        TableColumn("model", [row.model for row in rows], text=True),
        *metrics,
        TableColumn("source", [row.source for row in rows], rank=1, text=True),
    ]
    title = f"On test, by {protocol.objective}; rows of recsys are tuned on validation"
    return FittedTable(columns, title)


def _text(value: Estimate, whole: bool) -> str:
    return value.text if whole else f"{value.mean:.4f}"


def notes(result: BenchResult) -> list[str]:
    """What the tables leave open."""
    protocol, compared = result.request.protocol, result.compared
    lines = [f"warning: {text}" for text in result.warnings]
    lines += [f"cut: {protocol.paper}", *(f"note: {text}" for text in protocol.notes)]
    if not protocol.published:
        lines.append("note: no published rows for this protocol")
    lines.append(result.alike.sentence)
    lines += [f"{model} took no part: {why}" for model, why in compared.failed.items()]
    lines.append(seconds_text(dict(compared.seconds)))
    lines.append(
        f"comparison {compared.request.name}: run {compared.run} in MLflow (`recsys ui`), with "
        "every interval; --json prints them"
    )
    return lines
