"""The tables of published lists and their queries, for SQLite and PostgreSQL alike.

    recsys_published         one row: the publication
    recsys_recommendations   user_id, rank, item_id, name, score
    recsys_similar           item_id, rank, other_id, name, score
    recsys_items             item_id, name, key (of the casefolded name, KEY letters), users

Each row has `version` and `published`. An empty list is one row of rank 0 and nulls. The names end
in _id because `user` alone is a word of SQL, and would have to be quoted in every query.

New rows replace old rows, and no new table replaces an old one: to a transaction that began before
it, a new table would look empty; rights and views of the old one would be lost.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from datetime import UTC, datetime
from typing import Any

from tasks.serving.published.store import Published, PublishedItem, PublishedList

ExecuteSql = Callable[..., list[tuple[Any, ...]]]
"""Called as execute(query, *values): every row of the result; values stand for ? in the query."""

Insert = Callable[[str, Sequence[str], Iterable[tuple[Any, ...]]], None]
"""Called as insert(table, columns, rows)."""

PUBLISHED, BEST, SIMILAR, ITEMS = (
    "recsys_published",
    "recsys_recommendations",
    "recsys_similar",
    "recsys_items",
)
KEY = 400  # letters: PostgreSQL's index takes 2,704 bytes
OLD_ITEMS = "recsys_artists"  # is there where an earlier version of recsys published
_TABLES = {
    PUBLISHED: "version text NOT NULL, run text NOT NULL, model text NOT NULL, "
    "study text NOT NULL, identity text NOT NULL, k integer NOT NULL, users integer NOT NULL, "
    "items integer NOT NULL, published {time} NOT NULL",
    BEST: "user_id text NOT NULL, rank integer NOT NULL, item_id text, name text, "
    "score double precision, version text NOT NULL, published {time} NOT NULL, "
    "PRIMARY KEY (user_id, rank)",
    SIMILAR: "item_id text NOT NULL, rank integer NOT NULL, other_id text, name text, "
    "score double precision, version text NOT NULL, published {time} NOT NULL, "
    "PRIMARY KEY (item_id, rank)",
    ITEMS: "item_id text NOT NULL PRIMARY KEY, name text NOT NULL, key text NOT NULL, "
    "users integer NOT NULL, version text NOT NULL, published {time} NOT NULL",
}
_RENAMED = (
    (PUBLISHED, "listeners", "users"),
    (PUBLISHED, "artists", "items"),
    (BEST, "listener", "user_id"),
    (BEST, "artist", "item_id"),
    (SIMILAR, "artist", "item_id"),
    (SIMILAR, "other", "other_id"),
    (OLD_ITEMS, "artist", "item_id"),
    (OLD_ITEMS, "listeners", "users"),
)
_NAMES = tuple(each.name for each in fields(Published) if each.name != "at")
_LISTED = ("rank", "item_id", "name", "score")  # of a block


def create_tables(execute: ExecuteSql, time: str, more: str = "") -> None:
    """Create the tables that are missing.

    Args:
        execute: The database.
        time: Its type for a moment.
        more: Added to the definition of each table that has a primary key.
    """
    for table, columns in _TABLES.items():
        end = more if "PRIMARY KEY" in columns else ""
        execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns.format(time=time)}) {end}")
    execute(f"CREATE INDEX IF NOT EXISTS {ITEMS}_key ON {ITEMS} (key)")


def rename_old(execute: ExecuteSql) -> None:
    """Give the tables of an earlier version today's names; their rights and views stay."""
    for table, old, new in _RENAMED:
        execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    execute(f"DROP INDEX IF EXISTS {OLD_ITEMS}_key")
    execute(f"ALTER TABLE {OLD_ITEMS} RENAME TO {ITEMS}")


def read(execute: ExecuteSql) -> Published | None:
    """The publication; the tables are there."""
    rows = execute(f"SELECT {', '.join(_NAMES)}, published FROM {PUBLISHED}")
    if not rows:
        return None
    values: dict[str, Any] = dict(zip(_NAMES, rows[0][:-1], strict=True))
    return Published(**values, at=_moment(rows[0][-1]))


def fill(insert: Insert, what: Published, blocks: Iterable[tuple[str, Any]], at: Any) -> None:
    """Add the rows of a publication to empty tables.

    Args:
        insert: The database.
        what: The publication.
        blocks: As `recsys.serving.lists.lists` gives them.
        at: When, as the database takes it.
    """
    same = (what.version, at)
    for kind, block in blocks:
        for table, columns, rows in _parts(kind, block):
            insert(table, (*columns, "version", "published"), ((*row, *same) for row in rows))
    insert(PUBLISHED, (*_NAMES, "published"), [(*astuple(what)[:-1], at)])


def clear(execute: ExecuteSql) -> None:
    """Delete all our rows; readers see them until the transaction ends."""
    for table in _TABLES:
        execute(f"DELETE FROM {table}")


def user(execute: ExecuteSql, user: str) -> PublishedList | None:
    """See `ListStore.user`; the tables are there, and do not change meanwhile."""
    published = read(execute)
    if published is None:
        return None
    rows = execute(
        f"SELECT rank, item_id, name, score FROM {BEST} WHERE user_id = ? ORDER BY rank", user
    )
    return PublishedList(published, user if rows else None, user, _entries(rows))


def item(execute: ExecuteSql, text: str) -> PublishedList | None:
    """See `ListStore.item`; the tables are there, and do not change meanwhile."""
    published = read(execute)
    if published is None:
        return None
    named = f"SELECT item_id, name FROM {ITEMS} WHERE key = ? ORDER BY users DESC, item_id"
    key = text.casefold()
    alike = execute(named, key[:KEY])
    matches = [each for each in alike if len(key) < KEY or each[1].casefold() == key] or execute(
        f"SELECT item_id, name FROM {ITEMS} WHERE item_id = ?", text
    )
    if not matches:
        return PublishedList(published, None, "", ())
    number, name = matches[0]
    rows = execute(
        f"SELECT rank, other_id, name, score FROM {SIMILAR} WHERE item_id = ? ORDER BY rank", number
    )
    return PublishedList(published, number, name, _entries(rows))


def _entries(rows: Iterable[tuple[Any, ...]]) -> tuple[PublishedItem, ...]:
    return tuple(PublishedItem(*row) for row in rows if row[0])


def _parts(kind: str, block: Any) -> Iterator[tuple[str, Sequence[str], Iterable[tuple[Any, ...]]]]:
    if kind == "user":
        columns = ("user_id", "rank", "item_id", "name", "score")
        yield BEST, columns, _rows(block, "subject", *_LISTED)
        return
    columns = ("item_id", "rank", "other_id", "name", "score")
    yield SIMILAR, columns, _rows(block, "subject", *_LISTED)
    every = _rows(block, "rank", "subject", "subject_name", "key", "cells")
    yield ITEMS, ("item_id", "name", "key", "users"), (_keyed(row) for row in every if row[0] < 2)


def _keyed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    _, item, name, key, users = row
    return item, name, key[:KEY], users


def _rows(block: Any, *columns: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(block[name].to_pylist() for name in columns), strict=True)


def _moment(value: Any) -> datetime:
    when = datetime.fromisoformat(value) if isinstance(value, str) else value
    return when.astimezone(UTC)
