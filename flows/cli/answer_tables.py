"""Answers of a model, and published lists, as tables."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from flows.answering import Explained, Recommended, SimilarItems
from flows.cli.session import score_text
from recsys.serving.answers import RankedItem
from tasks.serving.load import ServedRun

SHARES = 10  # items of a history that the terminal shows
BY = {
    "plays": "the history",
    "profile": "the profile, no history is known",
    "alike": "what users of a similar profile play, no history is known",
    "popularity": "what most users play",
}


def recommended_table(answer: Recommended) -> RenderableType:
    """The ranked items, and what they are chosen by."""
    by = BY[answer.answer.by] + (f" ({answer.answer.audience})" * bool(answer.answer.audience))
    counted = answer.answer.by in ("alike", "popularity")
    table = _ranking(answer.answer.items, "users" if counted else "score")
    notes = [f"by {by}", *[answer.note] * bool(answer.note), _line(answer.served_run)]
    return Group(table, *map(Text, notes))


def similar_table(answer: SimilarItems) -> RenderableType:
    """The ranked items."""
    table = _ranking(answer.items, "similarity", f"Like {answer.to}")
    return Group(table, Text(_line(answer.served_run)))


def explained_table(answer: Explained) -> RenderableType:
    """The largest shares, and what all of them add up to."""
    why = answer.why
    table = Table("heard", *map(_right, ("plays", "adds", "share")), title=f"Why {why.name}")
    for each in why.shares[:SHARES]:
        part = f"{each.share / why.score:.1%}" if why.score > 0 else ""
        table.add_row(Text(each.name), f"{each.plays:,.6g}", f"{each.share:+.4f}", part)
    rest = why.shares[SHARES:]
    if rest:
        left = sum(each.share for each in rest)
        table.add_row(f"{len(rest)} more", "", f"{left:+.4f}", "")
    already = "; the user plays it already" * why.heard
    score = f"score {why.score:.4f}, the sum over {len(why.shares)} items of the history"
    return Group(table, Text(f"{score}{already}"), Text(_line(answer.served_run)))


def _ranking(items: Sequence[RankedItem], score: str, title: str | None = None) -> Table:
    heard = any(each.heard for each in items)
    table = Table(_right(""), "item", _right(score), *["heard"] * heard, title=title)
    for place, each in enumerate(items, start=1):
        marks = ["*" * each.heard] * heard
        table.add_row(str(place), Text(each.name), score_text(each.score), *marks)
    return table


def _line(served_run: ServedRun) -> str:
    """Which model answered, and why this one."""
    return "" if served_run.selection is None else f"asked {served_run.selection.text}"


def _right(name: str) -> Column:
    return Column(name, justify="right")
