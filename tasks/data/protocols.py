"""The data of a published protocol, read, filtered and stored in our cache."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.protocols.protocol import Protocol, Task
from recsys.protocols.store import columns_of, write_side
from tasks.progress import report_progress
from tasks.workspace.cache import StageEntry, file_hash, stage
from tasks.workspace.code import SPLITTING
from tasks.workspace.layout import Workspace


def prepare(
    workspace: Workspace,
    protocol: Protocol,
    files: Mapping[str, Path],
    seed: int,
    adopt: bool = False,
) -> StageEntry:
    """Its sides as Parquet files; its facts are what was counted, and the columns of the files.

    Args:
        workspace: Holds the cache.
        protocol: The protocol.
        files: Name of each of its files to where it is.
        seed: Of what we draw.
        adopt: Whether what other code made is used.

    Raises:
        InputError: a file cannot be read, or is not what the protocol reads.
    """
    report_progress(f"checking the files of {protocol.name}", 0, None)
    inputs = {
        "protocol": protocol.name,
        "files": {name: file_hash(workspace, path) for name, path in files.items()},
        "held_out": protocol.held_out,
        "seed": seed if protocol.seeded else None,
    }
    task = Task(files, protocol.held_out, seed, report_progress)
    return stage(
        workspace,
        "bench",
        inputs,
        lambda folder: _prepare(folder, protocol, task),
        (*SPLITTING, "recsys/protocols"),
        adopt,
    )


def _prepare(folder: Path, protocol: Protocol, task: Task) -> dict[str, Any]:
    prepared = protocol.prepare(task)
    columns = columns_of(prepared)
    sides = {"": prepared.log, "-test": prepared.test, "-validation": prepared.validation}
    written = {side: events for side, events in sides.items() if events is not None}
    for side, events in written.items():
        write_side(events, folder / f"{protocol.name}{side}.parquet", list(columns))
    return {"counts": dict(prepared.counts), "columns": columns, "sides": list(written)}
