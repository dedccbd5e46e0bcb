"""The sides of a protocol as Parquet files, in the columns that an experiment reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.interactions import Events
from recsys.protocols.protocol import Prepared

BLOCK = 1 << 22  # rows that are written at once


def columns_of(prepared: Prepared) -> dict[str, str]:
    """The setting data.columns of the files: plays only where not all are 1."""
    sides = [side for side in (prepared.log, prepared.test, prepared.validation) if side]
    plays = any((side.plays != 1).any() for side in sides)
    timed = all(side.times is not None for side in sides)
    names = ["user", "item", *["plays"] * plays, *["time"] * timed]
    return {name: name for name in names}


def write_side(events: Events, path: Path, names: list[str]) -> None:
    """Write a row for each event, with ids as they were read."""
    writer: Any = None
    try:
        for table in _tables(events, names):
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _tables(events: Events, names: list[str]) -> Iterator[Any]:
    for start in range(0, len(events), BLOCK):
        part = slice(start, start + BLOCK)
        columns: dict[str, Any] = {
            "user": events.users.ids.take(pa.array(events.rows[part])),
            "item": events.items.ids.take(pa.array(events.cols[part])),
            "plays": pa.array(np.ascontiguousarray(events.plays[part])),
        }
        if events.times is not None:
            columns["time"] = pa.array(np.ascontiguousarray(events.times[part]))
        yield pa.table({name: columns[name] for name in names})
