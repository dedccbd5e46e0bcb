"""MovieLens: `u.data` (100K), `ratings.dat` (1M, 10M), `ratings.csv` (20M and later).

The strength of a row is its unchanged rating. Titles come from the file beside it.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from recsys.sources.layout import Layout, Role

_FIELDS: dict[Role, int] = {"user": 0, "item": 1, "rating": 2, "time": 3}
_TITLES: dict[Role, int] = {"item": 0, "name": 1}
_ROW = re.compile(r"\d+(\t|::|,)\d+\1(?P<rating>\d+(\.\d+)?)\1(?P<time>\d+)")
_RATING = re.compile("rat|scor|star|grade|value")
_HIGHEST = 10  # rating; what is more often higher counts something
_SINCE, _UNTIL = 788_918_400, 4_102_444_800  # seconds of 1995 and 2100
HEADER = "userId,movieId,rating,timestamp"

U_ITEM = Layout("movielens", _TITLES, width=24, delimiter="|", encoding="latin-1")
MOVIES_DAT = Layout("movielens", _TITLES, width=3, delimiter="::", encoding="latin-1")
MOVIES_CSV = Layout("movielens", _TITLES, width=3, delimiter=",", quoted=True)

U_DATA = Layout("movielens", _FIELDS, width=4, names=("u.item", U_ITEM))
RATINGS_DAT = Layout(
    "movielens", _FIELDS, width=4, delimiter="::", names=("movies.dat", MOVIES_DAT)
)
RATINGS_CSV = Layout(
    "movielens",
    _FIELDS,
    width=4,
    delimiter=",",
    header=True,
    quoted=True,
    names=("movies.csv", MOVIES_CSV),
)


def layout(head: Sequence[str]) -> Layout | None:
    """The layout if line 1 is the known header, or most lines are four numbers."""
    if head[0] == HEADER:
        return RATINGS_CSV
    rows = [row for line in head if (row := _ROW.fullmatch(line))]
    if 2 * len(rows) <= len(head):
        return None
    return {"\t": U_DATA, "::": RATINGS_DAT}.get(rows[0][1])


def doubt(head: Sequence[str]) -> str:
    """Why lines of four numbers are no ratings, "" where they are."""
    rows = [row for line in head if (row := _ROW.fullmatch(line))]
    titles = head[0].split(rows[0][1])
    if len(titles) == 4 and titles[2].isalpha() and not _RATING.search(titles[2].lower()):
        return f"line 1 calls field 3 {titles[2]!r}, which is no rating"
    if 2 * sum(float(row["rating"]) <= _HIGHEST for row in rows) < len(rows):
        return f"field 3 is mostly above {_HIGHEST}, so it is no rating"
    if 2 * sum(_SINCE < float(row["time"]) < _UNTIL for row in rows) < len(rows):
        return "field 4 holds no times since 1995 in seconds"
    return ""


def forced(head: Sequence[str]) -> Layout:
    """The layout for a file declared as this format, by its delimiter."""
    if detected := layout(head):
        return detected
    if "::" in head[0]:
        return RATINGS_DAT
    if "," in head[0] and "\t" not in head[0]:
        return replace(RATINGS_CSV, header=not _ROW.fullmatch(head[0]))
    return U_DATA
