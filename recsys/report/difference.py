"""The page of `recsys diff`: runs beside the first of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recsys.evaluation.bootstrap import MetricRow
from recsys.evaluation.objectives import lower_is_better
from recsys.plots.models import Band
from recsys.report import figures
from recsys.report.page import Block, Page, Panels, Section, Table, Text, render, section
from recsys.report.words import change_text

NamedChange = tuple[str, float, float]  # of a user or an item: name, by the first, by the other
_DRAWN = 5.0  # a change beyond 500 % is said in the table and not drawn


@dataclass(frozen=True, slots=True)
class OtherRun:
    """A run beside the first.

    Attributes:
        name: Of the run.
        answer: The difference in a sentence.
        rows: The metrics to show; a is the first run, b this one.
        users: Title to the users who gain or lose most.
        items: Title to the items in more or fewer lists.
    """

    name: str
    answer: str
    rows: Sequence[MetricRow]
    users: Mapping[str, Sequence[NamedChange]]
    items: Mapping[str, Sequence[NamedChange]]


@dataclass(frozen=True, slots=True)
class DifferenceTables:
    """What the page shows.

    Attributes:
        names: Of the runs, the first first.
        metric: That users gain or lose.
        side: On which the runs were judged.
        params: Name to a text for each run, of the parameters that differ.
        others: Each beside the first.
        user: What a user is called.
        item: What an item is called.
    """

    names: Sequence[str]
    metric: str
    side: str
    params: Mapping[str, Sequence[str]]
    others: Sequence[OtherRun]
    user: str
    item: str


def difference_report(of: DifferenceTables) -> str:
    """The HTML of the page."""
    return render(difference_page(of))


def difference_page(of: DifferenceTables) -> Page:
    """Answers, parameters, and a section for each run."""
    answers = section("answer", "The answer", *(Text(each.answer, "lead") for each in of.others))
    texts = tuple(range(len(of.names) + 1))
    rows = [(name, *values) for name, values in of.params.items()]
    params = Table(("parameter", *of.names), rows, "Parameters that differ", texts)
    every = [
        answers,
        section("parameters", "Parameters", params if rows else None),
        *(_beside(of, each, at) for at, each in enumerate(of.others, 1)),
    ]
    title = f"{', '.join(of.names[1:])} against {of.names[0]}"
    return Page(title, f"On {of.side}, by {of.metric}", [each for each in every if each])


def _beside(of: DifferenceTables, other: OtherRun, at: int) -> Section | None:
    first = of.names[0]
    metrics = [
        (
            f"{row.metric}{' (lower is better)' * lower_is_better(row.metric)}",
            row.a.text,
            row.b.text,
            row.difference.signed_text,
            change_text(row.improvement),
        )
        for row in other.rows
    ]
    head = ("metric", first, other.name, "difference", "change")
    blocks: list[Block | None] = [
        Table(head, metrics, f"On {of.side}, 95 % intervals"),
        _changes(other, first),
        *(_named(title, of.user, rows, first, other.name) for title, rows in other.users.items()),
        *(_named(title, of.item, rows, first, other.name) for title, rows in other.items.items()),
    ]
    return section(f"run-{at}", f"{other.name} against {first}", *blocks)


def _changes(other: OtherRun, first: str) -> Panels | None:
    changes: dict[str, Band] = {}
    for row in other.rows:
        if row.improvement is not None and abs(row.improvement) <= _DRAWN:
            low, high = row.difference.low, row.difference.high
            ends = (None, None) if low is None or high is None else (low, high)
            shares = [None if end is None else end / row.a.mean for end in ends]
            changes[row.metric] = (row.improvement, shares[0], shares[1])
    if not changes:
        return None
    words = ", ".join(f"{name} {mean:+.1%}" for name, (mean, *_) in changes.items())
    return Panels([figures.improvements(changes, f"Change from {first} to {other.name}", words)])


def _named(
    title: str, what: str, rows: Sequence[NamedChange], first: str, other: str
) -> Table | None:
    if not rows:
        return None
    texts = [(name, f"{a:.4g}", f"{b:.4g}") for name, a, b in rows]
    return Table((what, first, other), texts, title)
