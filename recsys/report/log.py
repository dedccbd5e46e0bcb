"""The page of `recsys inspect`: a log in numbers, pictures and first rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recsys.report import figures
from recsys.report.page import Page, Panels, Table, Text, render, section
from recsys.report.tables import Histogram
from recsys.report.words import listed


@dataclass(frozen=True, slots=True)
class LogTables:
    """What the page shows.

    Attributes:
        file: The log.
        format: How it was read.
        notes: What was assumed, and what is odd.
        numbers: Name to text.
        histograms: The distributions.
        first_rows: User, item and plays as texts.
        most_played: Item, plays and users as texts.
        profiles: Field to group to users; empty without profiles.
        favourite: A sentence and the ids; None where none was asked for.
        user: What a user is called.
        item: What an item is called.
        merged: Items with several spellings, and these.
    """

    file: str
    format: str
    notes: Sequence[str]
    numbers: Sequence[tuple[str, str]]
    histograms: Sequence[Histogram]
    first_rows: Sequence[tuple[str, str, str]]
    most_played: Sequence[tuple[str, str, str]]
    profiles: Mapping[str, Mapping[str, int]]
    favourite: tuple[str, Sequence[str]] | None
    user: str
    item: str
    merged: Sequence[tuple[str, str]] = ()


def log_report(of: LogTables) -> str:
    """The HTML of the page."""
    return render(log_page(of))


def log_page(of: LogTables) -> Page:
    """Numbers, distributions, rows, what is played most, users by profile, and a favourite."""
    users = f"{of.user}s"
    profiles = [
        figures.bars(
            {field: {group: (float(n), None, None) for group, n in groups.items()}},
            users,
            f"{users.capitalize()} by {field}",
            listed(groups),
        )
        for field, groups in of.profiles.items()
    ]
    most = Table((of.item, "plays", users), of.most_played, "Played most")
    first = Table((of.user, of.item, "plays"), of.first_rows, "First rows by id", (0, 1))
    title = f"Spellings of one {of.item} (plays), most under another first"
    spelled = Table((of.item, "spellings"), of.merged, title, (0, 1))
    every = (
        section(
            "numbers",
            "Numbers",
            *(Text(note, "note") for note in of.notes),
            Table(("what", "number"), of.numbers, f"Read as {of.format}", (0, 1)),
        ),
        section(
            "distributions",
            "Distributions",
            Panels([figures.distribution(each) for each in of.histograms])
            if of.histograms
            else None,
        ),
        section(
            "items",
            f"{of.item.capitalize()}s",
            most if of.most_played else None,
            spelled if of.merged else None,
        ),
        section("rows", "Rows", first if of.first_rows else None),
        section("profiles", "Profiles", Panels(profiles) if profiles else None),
        None
        if of.favourite is None
        else section(
            "favourite",
            "A favourite",
            Text(of.favourite[0], "lead"),
            Text(" ".join(of.favourite[1]), "code") if of.favourite[1] else None,
        ),
    )
    return Page(of.file, f"A log, read as {of.format}", [each for each in every if each])
