"""What the tests of the readers share: writing a log, and reading events back as plain rows."""

import gzip
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from recsys.data.interactions import Events
from tests import conftest

Row = tuple[str, str, float]


def written(path: Path, rows: Iterable[Iterable[str]], end: str = "\n") -> Path:
    text = "".join("\t".join(row) + end for row in rows)
    path.write_bytes(text.encode())
    return path


def packed(path: Path, codec: str) -> Path:
    data = path.read_bytes()
    target = path.with_name(path.name + f".{codec}")
    match codec:
        case "gzip":
            # Two members in a row, as `cat a.gz b.gz` makes: half of such a file is not enough.
            half = len(data) // 2
            target.write_bytes(gzip.compress(data[:half]) + gzip.compress(data[half:]))
        case _:
            target.write_bytes(pa.Codec(codec).compress(data, asbytes=True))
    return target


def triples(events: Events) -> list[Row]:
    """(user id, item id, plays) of each event, sorted."""
    return sorted(conftest.triples(events))


def shown(events: Events) -> dict[str, str]:
    """Display name of each item id."""
    return dict(zip(events.items.ids.to_pylist(), events.items.names.to_pylist(), strict=True))
