"""Answers of a model, and published lists, as tables."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from flows.answering import Explained, Recommended, SimilarItems
from flows.cli.format import FittedTable, TableColumn, rows_of
from flows.cli.session import score_text
from flows.user_view import UserView
from recsys.serving.answers import RankedItem
from recsys.sources.layout import Nouns
from tasks.serving.load import ServedRun

SHARES = 10  # items of a history that the terminal shows
BY = {
    "plays": "the history",
    "profile": "the profile, no history is known",
    "alike": "what {users} of a similar profile play, no history is known",
    "popularity": "what most {users} play",
}


def recommended_table(answer: Recommended) -> RenderableType:
    """The ranked items, and what they are chosen by."""
    users = _nouns(answer.served_run).users
    by = BY[answer.answer.by].format(users=users) + (
        f" ({answer.answer.audience})" * bool(answer.answer.audience)
    )
    counted = answer.answer.by in ("alike", "popularity")
    table = _ranking(answer.served_run, answer.answer.items, None if counted else "score")
    notes = [f"by {by}", *[answer.note] * bool(answer.note), _line(answer.served_run)]
    return Group(table, *map(Text, notes))


def user_tables(view: UserView) -> RenderableType:
    """The profile in a line, the history, and the list with its reasons."""
    nouns = _nouns(view.served_run)
    known = ", ".join(f"{name} {value}" for name, value in (view.profile or {}).items())
    about = f"{nouns.user} {view.user}" + f": {known}" * bool(known)
    heard = TableColumn("plays", [f"{each.score:,.6g}" for each in view.history])
    most = [TableColumn(nouns.item, [each.name for each in view.history], text=True), heard]
    counts = f"{view.n_items:,} {nouns.items} in the history, {view.plays:,.0f} plays"
    items = view.answer.items
    columns = [
        TableColumn("", [str(place) for place in range(1, len(items) + 1)]),
        TableColumn(nouns.item, [each.name for each in items], text=True),
        TableColumn("score", [score_text(each.score) for each in items]),
    ]
    if view.why is not None:
        reasons = [", ".join(each.name for each in shares) for shares in view.why]
        columns.append(TableColumn("follows from", reasons, rank=1, text=True))
    return Group(
        Text(about),
        Text(f"{counts}; played most:"),
        FittedTable(most, plain=True),
        Text("\nRecommended:"),
        FittedTable(columns, plain=True),
        Text(_line(view.served_run)),
    )


def similar_table(answer: SimilarItems) -> RenderableType:
    """The ranked items."""
    table = _ranking(answer.served_run, answer.items, "similarity", f"Like {answer.to}")
    return Group(table, Text(_line(answer.served_run)))


def explained_table(answer: Explained) -> RenderableType:
    """The largest shares, and what all of them add up to."""
    why = answer.why
    nouns = _nouns(answer.served_run)
    rows = [
        [
            each.name,
            f"{each.plays:,.6g}",
            f"{each.share:+.4f}",
            f"{each.share / why.score:.1%}" if why.score > 0 else "",
        ]
        for each in why.shares[:SHARES]
    ]
    if rest := why.shares[SHARES:]:
        left = sum(each.share for each in rest)
        rows.append([f"{len(rest)} more", "", f"{left:+.4f}", ""])
    heads = [("heard", True), ("plays", False), ("adds", False), ("share", False)]
    table = FittedTable(rows_of(heads, rows), f"Why {why.name}")
    already = f"; the {nouns.user} plays it already" * why.heard
    score = f"score {why.score:.4f}, the sum over {len(why.shares)} {nouns.items} of the history"
    return Group(table, Text(f"{score}{already}"), Text(_line(answer.served_run)))


def _ranking(
    served_run: ServedRun, items: Sequence[RankedItem], score: str | None, title: str = ""
) -> FittedTable:
    """A table of items with their scores; without a name these count users."""
    nouns = _nouns(served_run)
    columns = [
        TableColumn("", [str(place) for place in range(1, len(items) + 1)]),
        TableColumn(nouns.item, [each.name for each in items], text=True),
        TableColumn(score or nouns.users, [score_text(each.score) for each in items]),
    ]
    if any(each.heard for each in items):
        columns.append(TableColumn("heard", ["*" * each.heard for each in items], text=True))
    return FittedTable(columns, title)


def _nouns(served_run: ServedRun) -> Nouns:
    selection = served_run.selection
    return Nouns() if selection is None else selection.nouns


def _line(served_run: ServedRun) -> str:
    """Which model answered, and why this one."""
    return "" if served_run.selection is None else f"asked {served_run.selection.text}"
