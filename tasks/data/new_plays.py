"""New plays for `recsys retrain`: a file, a folder of dated files, or the result of a query.

    FILE      is read as it is
    FOLDER    its files, by name, are one log; a Parquet of all their events in the workspace
    query     its rows; a Parquet in the workspace

Written files are named by their content, and stay while they are used, so that a study on them can
be repeated. `tasks.workspace.cleaning` removes those that were unused for long.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.drift import LogProfile
from recsys.data.interactions import Events
from recsys.data.store import load_events
from recsys.errors import InputError, LeftOutWarning, NoRows
from recsys.files import atomic_file
from recsys.sources.config import DataConfig
from tasks.data.database import COLUMNS, DatabaseColumns
from tasks.data.stages import DataFiles, ingest
from tasks.progress import report_progress
from tasks.workspace.cache import StageEntry, file_hash
from tasks.workspace.layout import Workspace

_ENOUGH = 20  # rows that two files do not have alike by chance


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the new plays.

    Attributes:
        name: Of the file within the folder.
        digest: Of its bytes.
        facts: Of its rows.
    """

    name: str
    digest: str
    facts: LogProfile


@dataclass(frozen=True, slots=True)
class Incoming:
    """New plays, as an experiment reads them.

    Attributes:
        plays: One file.
        data: How it is read.
        parts: The files it is made of, by name; one where the user passed a file.
        whole: Facts of all rows.
        fingerprint: Of the events, independent of the files they are in, 16 hex digits.
    """

    plays: Path
    data: DataConfig
    parts: tuple[Part, ...]
    whole: LogProfile
    fingerprint: str


def gather(workspace: Workspace, plays: Path, config: DataConfig) -> Incoming:
    """The plays of a file, or of all files of a folder in the order of their names.

    Files without rows, and files whose name begins with a dot or an underscore (`_SUCCESS`), are
    left out. Folders within are read where they are partitions, key=value; their values are no
    columns.

    Raises:
        InputError: there is no such file or no file in the folder, one cannot be read, two are the
            same, or the files do not have the same format or not all have times.
    """
    if not plays.is_dir():
        part, entry = _part(workspace, plays, config)
        return Incoming(plays, config, (part,), part.facts, _fingerprint(entry.folder))
    files = _files(plays, config)
    read = [each for file in files if (each := _part_with_rows(workspace, plays, file, config))]
    if not read:
        raise InputError(f"{plays}: no file in this folder has rows; put the plays there")
    parts, entries = [part for part, _ in read], [entry for _, entry in read]
    _refuse_copies(plays, {part.name: part.digest for part in parts})
    _refuse_copies(
        plays,
        {
            part.name: _fingerprint(entry.folder)
            for part, entry in read
            if entry.facts["rows"] >= _ENOUGH
        },
    )
    formats = {entry.facts["format"]: part.name for part, entry in read}
    if len(formats) > 1:
        kinds = ", ".join(f"{name} is {kind}" for kind, name in formats.items())
        raise InputError(f"{plays}: the files differ in format ({kinds}); keep those of one format")
    events = [load_events(entry.folder) for entry in entries]
    with_times = {each.times is not None for each in events}
    if len(with_times) > 1:
        raise InputError(f"{plays}: some files have times and some do not; keep those of one kind")
    digest = sha256("".join(entry.key for entry in entries).encode()).hexdigest()[:16]
    merged = workspace.incoming / f"{plays.resolve().name}-{digest}.parquet"
    if merged.exists():
        merged.touch()  # the time of its last use
    else:
        report_progress(f"adding up {len(parts)} files", 0, None)
        _write([_table(each) for each in events], merged)
    columns: DatabaseColumns = {
        k: v for k, v in COLUMNS.items() if k != "time" or True in with_times
    }
    data = DataConfig(columns=columns, strict=config.strict)
    entry = ingest.fn(workspace, DataFiles(merged), data)
    in_all = (entry.facts[name] for name in ("users", "items"))
    whole = LogProfile.together([part.facts for part in parts], *in_all)
    return Incoming(merged, data, tuple(parts), whole, _fingerprint(entry.folder))


def _files(folder: Path, config: DataConfig) -> list[Path]:
    """The data files in a folder and in its partitions, by name.

    Raises:
        InputError: there is none, or one of --columns is a key of the partitions.
    """
    found: list[Path] = []
    keys: set[str] = set()
    others: list[str] = []
    pending = [folder]
    while pending:
        for each in pending.pop().iterdir():
            if each.name[0] in "._":
                continue
            if each.is_file():
                found.append(each)
            elif "=" in each.name:
                pending.append(each)
                keys.add(each.name.partition("=")[0])
            else:
                others.append(each.name)
    for role, column in (config.columns or {}).items():
        if column in keys:
            raise InputError(
                f"{folder}: {column} is a key of the partitions ({column}=...), which is not read "
                f"as the {role}; write it into the files as a column"
            )
    if not found:
        within = f" (folders such as {min(others)} are not read)" if others else ""
        raise InputError(f"{folder}: no file is in this folder{within}; put the plays there")
    if others:
        text = f"{folder}: folders such as {min(others)} are not read; a partition is key=value"
        warnings.warn(text, LeftOutWarning, stacklevel=2)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _part_with_rows(
    workspace: Workspace, folder: Path, file: Path, config: DataConfig
) -> tuple[Part, StageEntry] | None:
    """A file of the folder; None where it has no rows, as the empty parts that Spark writes."""
    try:
        part, entry = _part(workspace, file, config)
    except NoRows:
        return None
    return replace(part, name=file.relative_to(folder).as_posix()), entry


def _refuse_copies(folder: Path, digests: Mapping[str, str]) -> None:
    """Refuse files of equal bytes, or of equal rows: packed, or with other ends of lines.

    Raises:
        InputError: two are equal.
    """
    names: dict[str, str] = {}
    for name, digest in digests.items():
        other = names.setdefault(digest, name)
        if other != name:
            raise InputError(
                f"{folder}: {name} is a copy of {other}, and its plays would count twice; "
                "remove one of them"
            )


def _part(workspace: Workspace, path: Path, config: DataConfig) -> tuple[Part, StageEntry]:
    entry = ingest.fn(workspace, DataFiles(path), config)
    counts = {name: entry.facts[name] for name in ("rows", "rejected", "users", "items")}
    facts = LogProfile.of(**counts, plays=load_events(entry.folder).plays)
    return Part(path.name, file_hash(workspace, path), facts), entry


def _fingerprint(folder: Path) -> str:
    digest = sha256()
    for name in ("users.parquet", "items.parquet", "events.npz"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


def _table(events: Events) -> Any:  # pyarrow.Table; pyarrow ships no types
    if (events.plays != np.floor(events.plays)).any():
        raise InputError("plays that are no whole numbers cannot be added up; pass one file")
    rows, cols = pa.array(events.rows), pa.array(events.cols)
    columns = {
        "user": events.users.ids.take(rows),
        "item": events.items.ids.take(cols),
        "name": events.items.names.take(cols),
        "plays": pa.array(events.plays.astype(np.int64)),
    }
    if events.times is not None:
        columns["time"] = pa.array(events.times)
    return pa.table(columns)


def _write(tables: Sequence[Any], path: Path) -> None:
    """One Parquet file; atomic."""
    with atomic_file(path) as part, pq.ParquetWriter(part, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)
