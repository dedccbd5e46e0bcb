"""Last.fm data sets of Òscar Celma (2010): 360K (plays and profiles) and 1K (events).

Tab-separated UTF-8 without quoting: a quote is part of a name.
"""

import re
from collections.abc import Callable, Sequence

from recsys.sources.layout import Layout

PLAYS = Layout("lastfm-360k", {"user": 0, "item": 1, "name": 2, "plays": 3}, width=4, by_mbid=True)
EVENTS = Layout("lastfm-1k", {"user": 0, "time": 1, "item": 2, "name": 3}, width=6, by_mbid=True)

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def plays_layout(head: Sequence[str]) -> Layout | None:
    """The layout if most lines have four fields and end in a whole number."""
    return PLAYS if _most(head, _is_plays) else None


def events_layout(head: Sequence[str]) -> Layout | None:
    """The layout if most lines have six fields, a time the second of them."""
    return EVENTS if _most(head, _is_event) else None


def is_profiles(head: Sequence[str]) -> bool:
    """Whether most lines are `user, gender, age, country, signup`."""
    return _most(head, _is_profile)


def _most(head: Sequence[str], fits: Callable[[list[str]], bool]) -> bool:
    return 2 * sum(fits(line.split("\t")) for line in head) > len(head)


def _is_plays(fields: list[str]) -> bool:
    return len(fields) == PLAYS.width and re.fullmatch(r"-?\d+", fields[3]) is not None


def _is_event(fields: list[str]) -> bool:
    return len(fields) == EVENTS.width and _TIME.match(fields[1]) is not None


def _is_profile(fields: list[str]) -> bool:
    return len(fields) == 5 and fields[1] in {"m", "f", ""}
