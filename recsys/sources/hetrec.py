"""HetRec 2011 Last.fm-2K: `user_artists.dat`, artists named by `artists.dat` beside it."""

from collections.abc import Sequence
from dataclasses import replace

from recsys.sources.layout import Layout

HEADER = ["userID", "artistID", "weight"]
ARTISTS = Layout("hetrec", {"item": 0, "name": 1}, width=4, encoding="latin-1")
PLAYS = Layout(
    "hetrec",
    {"user": 0, "item": 1, "plays": 2},
    width=3,
    header=True,
    names=("artists.dat", ARTISTS),
)


def layout(head: Sequence[str]) -> Layout | None:
    """The layout if the header is the one of this data set."""
    return PLAYS if head[0].split("\t") == HEADER else None


def forced(head: Sequence[str]) -> Layout:
    """The layout for a file declared as this format, with or without the header."""
    return layout(head) or replace(PLAYS, header=False)
