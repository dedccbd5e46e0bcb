"""Last.fm data sets of Òscar Celma (2010): 360K (plays and profiles) and 1K (events).

Tab-separated UTF-8 without quoting: a quote is part of a name.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from recsys.sources.layout import Layout
from recsys.sources.times import WORDS, unit_of_times

PLAYS = Layout("lastfm-360k", {"user": 0, "item": 1, "name": 2, "plays": 3}, width=4, by_mbid=True)
EVENTS = Layout("lastfm-1k", {"user": 0, "time": 1, "item": 2, "name": 3}, width=6, by_mbid=True)

_DATE = re.compile(r"\d{4}-\d\d-\d\d\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_MBID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_FRACTION = re.compile(r"\d+\.\d*[1-9]0*")


def plays_layout(head: Sequence[str]) -> Layout | None:
    """The layout if most lines have four fields and end in a whole number."""
    return PLAYS if _most(head, _is_plays) else None


def events_layout(head: Sequence[str]) -> Layout | None:
    """The layout if most lines have six fields, a time the second of them."""
    return EVENTS if _most(head, _is_event) else None


def doubt(head: Sequence[str], layout: Layout) -> str:
    """Why lines of the width of a layout are another table, "" where they are not."""
    rows = [row for line in head if len(row := line.split("\t")) == layout.width]
    item, name = layout.fields["item"], layout.fields["name"]
    ids = [row[item] for row in rows if row[item]]
    if _mostly(ids, _NUMBER.fullmatch):
        return f"field {item + 1} holds numbers, no MusicBrainz ids"
    if _mostly([row[name] for row in rows], _NUMBER.fullmatch):
        return f"field {name + 1} holds numbers, not the names of artists"
    if not _mostly(ids, _MBID.fullmatch) and any(re.search(r"\S\s\S", each) for each in ids):
        return f"field {item + 1} holds names, no MusicBrainz ids"
    for form, what in ((_MBID, "MusicBrainz ids"), (_DATE, "dates")):
        if _mostly([row[name] for row in rows], form.match):
            return f"field {name + 1} holds {what}, not the names of artists"
    return _doubt_of_plays(rows, layout.fields["plays"]) if "plays" in layout.fields else ""


def _doubt_of_plays(rows: Sequence[Sequence[str]], at: int) -> str:
    plays = [row[at] for row in rows]
    fractions = sum(bool(_FRACTION.fullmatch(text)) for text in plays)
    if fractions > 2 and 20 * fractions > len(plays):
        return f"field {at + 1} holds fractions, as ratings do, not plays"
    numbers = [float(text) for text in plays if _NUMBER.fullmatch(text)]
    if unit := unit_of_times(np.array(numbers)):
        return f"field {at + 1} holds {WORDS[unit]}, not plays"
    return ""


def has_mbids(head: Sequence[str], layout: Layout) -> bool:
    """Whether the ids are MusicBrainz ids as far as there are any."""
    rows = [row for line in head if len(row := line.split("\t")) == layout.width]
    ids = [row[layout.fields["item"]] for row in rows if row[layout.fields["item"]]]
    return not ids or _mostly(ids, _MBID.fullmatch)


def is_profiles(head: Sequence[str]) -> bool:
    """Whether most lines are `user, gender, age, country, signup`."""
    return _most(head, _is_profile)


def _most(head: Sequence[str], fits: Callable[[list[str]], bool]) -> bool:
    return 2 * sum(fits(line.split("\t")) for line in head) > len(head)


def _mostly(texts: Sequence[str], fits: Callable[[str], object]) -> bool:
    return 2 * sum(bool(fits(text)) for text in texts) > len(texts)


def _is_plays(fields: list[str]) -> bool:
    return len(fields) == PLAYS.width and re.fullmatch(r" *-?\d+(\.0*)? *", fields[3]) is not None


def _is_event(fields: list[str]) -> bool:
    return len(fields) == EVENTS.width and _TIME.match(fields[1]) is not None


def _is_profile(fields: list[str]) -> bool:
    return len(fields) == 5 and fields[1] in {"m", "f", ""}
