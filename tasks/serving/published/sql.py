"""The tables of published lists, and what is asked of them, for SQLite and PostgreSQL alike.

    recsys_published         one row: what the others are of
    recsys_recommendations   listener, rank, artist, name, score
    recsys_similar           artist, rank, other, name, score
    recsys_artists           artist, name, key (the name casefolded), listeners

Each row has `version` and `published`. Who has an empty list has one row, of rank 0 and nulls.

New rows take the place of the old ones, and no new table that of an old one: to a transaction that
began before it, a new table would look empty; rights and views of the old one would be lost.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from datetime import UTC, datetime
from typing import Any

from tasks.serving.published.store import Published, PublishedItem, PublishedList

Ask = Callable[..., list[tuple[Any, ...]]]
"""Called as ask(query, *values): every row of the answer; values stand for ? in the query."""

Put = Callable[[str, Sequence[str], Iterable[tuple[Any, ...]]], None]
"""Called as put(table, columns, rows): adds them."""

ABOUT, BEST, ALIKE, ARTISTS = (
    "recsys_published",
    "recsys_recommendations",
    "recsys_similar",
    "recsys_artists",
)
_TABLES = {
    ABOUT: "version text NOT NULL, run text NOT NULL, model text NOT NULL, study text NOT NULL, "
    "identity text NOT NULL, k integer NOT NULL, listeners integer NOT NULL, "
    "artists integer NOT NULL, published {time} NOT NULL",
    BEST: "listener text NOT NULL, rank integer NOT NULL, artist text, name text, "
    "score double precision, version text NOT NULL, published {time} NOT NULL, "
    "PRIMARY KEY (listener, rank)",
    ALIKE: "artist text NOT NULL, rank integer NOT NULL, other text, name text, "
    "score double precision, version text NOT NULL, published {time} NOT NULL, "
    "PRIMARY KEY (artist, rank)",
    ARTISTS: "artist text NOT NULL PRIMARY KEY, name text NOT NULL, key text NOT NULL, "
    "listeners integer NOT NULL, version text NOT NULL, published {time} NOT NULL",
}
_NAMES = tuple(each.name for each in fields(Published) if each.name != "at")
_LISTED = ("rank", "artist", "name", "score")  # of a block


def make_tables(ask: Ask, time: str, more: str = "") -> None:
    """Make what is missing.

    Args:
        ask: The database.
        time: Its type for a moment.
        more: Said at the end of each table that has a primary key.
    """
    for table, columns in _TABLES.items():
        end = more if "PRIMARY KEY" in columns else ""
        ask(f"CREATE TABLE IF NOT EXISTS {table} ({columns.format(time=time)}) {end}")
    ask(f"CREATE INDEX IF NOT EXISTS {ARTISTS}_key ON {ARTISTS} (key)")


def read(ask: Ask) -> Published | None:
    """What is published; the tables are there."""
    rows = ask(f"SELECT {', '.join(_NAMES)}, published FROM {ABOUT}")
    if not rows:
        return None
    values: dict[str, Any] = dict(zip(_NAMES, rows[0][:-1], strict=True))
    return Published(**values, at=_moment(rows[0][-1]))


def fill(put: Put, what: Published, blocks: Iterable[tuple[str, Any]], at: Any) -> None:
    """Add the rows of a publication to empty tables.

    Args:
        put: The database.
        what: What is published.
        blocks: As `recsys.serving.lists.lists` gives them.
        at: When, as the database takes it.
    """
    same = (what.version, at)
    for kind, block in blocks:
        for table, columns, rows in _parts(kind, block):
            put(table, (*columns, "version", "published"), ((*row, *same) for row in rows))
    put(ABOUT, (*_NAMES, "published"), [(*astuple(what)[:-1], at)])


def clear(ask: Ask) -> None:
    """Remove every row of ours; they stay for whoever reads until the transaction ends."""
    for table in _TABLES:
        ask(f"DELETE FROM {table}")


def listener(ask: Ask, user: str) -> PublishedList | None:
    """See `Shelf.listener`; the tables are there, and do not change meanwhile."""
    about = read(ask)
    if about is None:
        return None
    rows = ask(
        f"SELECT rank, artist, name, score FROM {BEST} WHERE listener = ? ORDER BY rank", user
    )
    return PublishedList(about, user if rows else None, user, _entries(rows))


def artist(ask: Ask, text: str) -> PublishedList | None:
    """See `Shelf.artist`; the tables are there, and do not change meanwhile."""
    about = read(ask)
    if about is None:
        return None
    named = f"SELECT artist, name FROM {ARTISTS} WHERE key = ? ORDER BY listeners DESC, artist"
    found = ask(named, text.casefold()) or ask(
        f"SELECT artist, name FROM {ARTISTS} WHERE artist = ?", text
    )
    if not found:
        return PublishedList(about, None, "", ())
    number, name = found[0]
    rows = ask(
        f"SELECT rank, other, name, score FROM {ALIKE} WHERE artist = ? ORDER BY rank", number
    )
    return PublishedList(about, number, name, _entries(rows))


def _entries(rows: Iterable[tuple[Any, ...]]) -> tuple[PublishedItem, ...]:
    return tuple(PublishedItem(*row) for row in rows if row[0])


def _parts(kind: str, block: Any) -> Iterator[tuple[str, Sequence[str], Iterable[tuple[Any, ...]]]]:
    if kind == "listener":
        columns = ("listener", "rank", "artist", "name", "score")
        yield BEST, columns, _rows(block, "subject", *_LISTED)
        return
    yield ALIKE, ("artist", "rank", "other", "name", "score"), _rows(block, "subject", *_LISTED)
    every = _rows(block, "rank", "subject", "subject_name", "key", "cells")
    yield ARTISTS, ("artist", "name", "key", "listeners"), (row[1:] for row in every if row[0] < 2)


def _rows(block: Any, *columns: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(block[name].to_pylist() for name in columns), strict=True)


def _moment(value: Any) -> datetime:
    when = datetime.fromisoformat(value) if isinstance(value, str) else value
    return when.astimezone(UTC)
