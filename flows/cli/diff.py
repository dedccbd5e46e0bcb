"""`recsys diff`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Group, RenderableType
from rich.text import Text

from flows.cli.format import FittedTable, change_text, metric_text, rows_of
from flows.cli.report import check_page, write_page
from flows.cli.session import HERE, Count, Json, Place, progress, show
from flows.differing import RunsDiffer, sentence, shown_metrics
from flows.differing import diff as find_difference
from recsys.evaluation.difference import Change, Difference


def diff(
    *runs: str,
    metric: Annotated[str | None, Parameter(metavar="NAME")] = None,
    n: Annotated[Count, Parameter(name="--n", help="Users and items listed.")] = 5,
    all: Annotated[bool, Parameter(name="--all")] = False,
    html: Annotated[Path | None, Parameter(name=("--html", "-o"), metavar="FILE")] = None,
    as_json: Json = False,
    place: Place = HERE,
) -> None:
    """Show how runs differ: in parameters, metrics, users who gain and items shown.

    Each run is compared with the first, over the same users; both were judged on the same side of
    the same split.

    Example:
        recsys diff first second
        recsys diff RUN RUN --metric recall@20 --json

    Args:
        runs: Two or more studies, or MLflow runs of final models or trials.
        metric: That users gain or lose, such as recall@20. Without it: what the first was
            searched for.
        all: Show every metric.
        html: Also write a page, in the style of `recsys report`.
    """
    if html is not None:
        check_page(html)
    with progress(place):
        found = find_difference(place.open(), runs, metric, n)
    if html is not None:
        from flows.differing import page_of

        write_page(html, page_of(found))
    show(found.as_json(), as_json, lambda: diff_tables(found, all))


def diff_tables(found: RunsDiffer, everything: bool = False) -> RenderableType:
    """Every difference: a sentence and tables."""
    parts: list[RenderableType] = []
    if found.params:
        names = [(found.name(at), True) for at in range(len(found.runs))]
        rows = [(name, *texts) for name, texts in found.params.items()]
        parts.append(FittedTable(rows_of([("parameter", True), *names], rows), plain=True))
    for at, each in enumerate(found.differences, 1):
        parts += _difference(found, each, found.name(0), found.name(at), everything)
    return Group(*parts)


def _difference(
    found: RunsDiffer, of: Difference, a: str, b: str, everything: bool
) -> list[RenderableType]:
    rows = {row.metric: row for row in of.comparison.rows}
    names = list(rows) if everything else [name for name in shown_metrics(found) if name in rows]
    metrics = [
        (
            metric_text(name),
            f"{rows[name].a.mean:.4f}",
            f"{rows[name].b.mean:.4f}",
            rows[name].difference.signed_text,
            change_text(rows[name].improvement),
        )
        for name in names
    ]
    heads = [("metric", True), (a, False), (b, False), ("difference [95 %]", False)]
    users, items = found.nouns.users, found.nouns.items
    return [
        Text(f"\n{sentence(found, of, a, b)}"),
        FittedTable(rows_of([*heads, ("change", False)], metrics), plain=True),
        *_changes(f"{users} who gain most", found.nouns.user, of.gained, found.user, a, b),
        *_changes(f"{users} who lose most", found.nouns.user, of.lost, found.user, a, b),
        *_changes(f"{items} in more lists", found.nouns.item, of.shown_more, found.item, a, b),
        *_changes(f"{items} in fewer lists", found.nouns.item, of.shown_less, found.item, a, b),
    ]


def _changes(
    title: str,
    what: str,
    changes: Sequence[Change],
    named: Callable[[Change], str],
    a: str,
    b: str,
) -> list[RenderableType]:
    if not changes:
        return []
    rows = [(named(each), f"{each.a:.4g}", f"{each.b:.4g}") for each in changes]
    columns = rows_of([(what, True), (a, False), (b, False)], rows)
    return [FittedTable(columns, title.capitalize(), plain=True)]
