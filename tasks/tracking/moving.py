"""Files of runs and models in a workspace that was copied, moved, renamed or mounted elsewhere.

MLflow stores whole addresses: WORKSPACE/artifacts/EXPERIMENT/RUN/artifacts. Two things make up for
it, each enough for our own commands:

    `place_of`    reads such an address as one in the present workspace; nothing is written
    `update`      rewrites the addresses in the workspace's database, for MLflow's own programs

Only the database in the workspace is rewritten. A server, or a database that MLFLOW_TRACKING_URI
names, knows its own places.
"""

import json
import os
import re
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from recsys.errors import MovedWarning
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks

SOURCE = "source"  # tag of an experiment: the file its data set is read from
SOURCE_FACTORS = "source_factors"  # tag of a run: the factors that it has copies of

_ID = "[0-9a-f]{32}"
_FILES = re.compile(rf"(.*)/(artifacts/[^/]+/(?:{_ID}|models/m-{_ID})/artifacts(?:/.*)?)")
_EXPERIMENT = re.compile(r"(.*)/(artifacts/[^/]+)")
_ADDRESSES = (
    ("experiments", "artifact_location", "1", _EXPERIMENT),
    ("runs", "artifact_uri", "1", _FILES),
    ("logged_models", "artifact_location", "1", _FILES),
    ("model_versions", "source", "1", _FILES),
    ("model_versions", "storage_location", "1", _FILES),
    ("tags", "value", f"key = '{SOURCE_FACTORS}'", _FILES),
)
_WAIT = 30.0  # seconds for writers of other processes


@dataclass(frozen=True, slots=True)
class _Change:
    """A new value of a column in one row."""

    table: str
    column: str
    row: int
    value: str


def place_of(workspace: Workspace, address: str) -> Path | None:
    """The folder at an address of files of a run or a model; None where it is not a local one."""
    parsed = urlparse(address)
    if parsed.scheme != "file":
        return None
    path = Path(unquote(parsed.path))
    return path if workspace.tracking is not None else _moved(workspace.root, path, _FILES)[0]


def _moved(root: Path, path: Path, shape: re.Pattern[str]) -> tuple[Path, Path | None]:
    """A stored path today, and the workspace that it was in; None where it has not moved.

    A path stays where it is if it leads to files that somebody keeps in a folder that is no
    workspace, and the present workspace has none in its place.
    """
    match = shape.fullmatch(path.as_posix())
    former = None if match is None else Path(match[1])
    if match is None or former in (None, root):
        return path, None
    here = root / match[2]
    if os.path.exists(here) or not os.path.exists(path) or _is_workspace(former):
        return here, former
    return path, None


def _is_workspace(folder: Path | None) -> bool:
    return folder is not None and os.path.exists(Workspace(folder).tracking_database)


def update(workspace: Workspace) -> None:
    """Let the addresses in the workspace's database name its present folder; in one transaction.

    Idempotent, and needed by MLflow alone: where it cannot be written, nothing happens. Hold the
    lock on the database. Two processes that see one workspace under two names rewrite it in turn.

    Warns:
        MovedWarning: it was done.
    """
    database = workspace.tracking_database
    if workspace.tracking is not None or not database.exists():
        return
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            if not _changes(connection, workspace.root)[1]:
                return
        with closing(sqlite3.connect(database, _WAIT, isolation_level=None)) as connection:
            connection.execute("begin immediate")
            formers, changes = _changes(connection, workspace.root)
            for each in changes:
                query = f"update {each.table} set {each.column} = ? where rowid = ?"
                connection.execute(query, (each.value, each.row))
            connection.execute("commit")
    except sqlite3.OperationalError:
        return
    before = ", ".join(map(str, sorted(formers)))
    warnings.warn(
        f"workspace {workspace.root} was copied or moved from {before}: {len(changes)} addresses "
        "in its mlflow.db name the present folder now",
        MovedWarning,
        stacklevel=2,
    )


def update_alone(workspace: Workspace) -> None:
    """`update` for a program that opens the database by itself."""
    if workspace.tracking is None:
        with workspace_locks(workspace).exclusive("mlflow"):
            update(workspace)


def _changes(connection: sqlite3.Connection, root: Path) -> tuple[set[Path], list[_Change]]:
    """The folders that the workspace was in, and what is to be rewritten."""
    formers: set[Path] = set()
    changes = []
    prefix = f"{root.as_uri()}/"
    for table, column, where, shape in _ADDRESSES:
        query = (
            f"select rowid, {column} from {table} where {where} and {column} like 'file:%' "
            f"and substr({column}, 1, ?) <> ?"
        )
        for row, address in connection.execute(query, (len(prefix), prefix)).fetchall():
            path = Path(unquote(urlparse(address).path))
            now, former = _moved(root, path, shape)
            if former is not None:
                formers.add(former)
                changes.append(_Change(table, column, row, now.as_uri()))
    return formers, [*changes, *_data_sets(connection, root, formers)]


def _data_sets(connection: sqlite3.Connection, root: Path, formers: set[Path]) -> Iterator[_Change]:
    """Files of plays that lie in the workspace, as experiments and runs name them."""
    query = "select rowid, value from experiment_tags where key = ?"
    for row, text in connection.execute(query, (SOURCE,)).fetchall():
        if (within := _within(text, root, formers)) is not None:
            yield _Change("experiment_tags", "value", row, within.as_posix())
    query = "select rowid, dataset_source from datasets where dataset_source_type = 'local'"
    for row, text in connection.execute(query).fetchall():
        if (within := _within(json.loads(text).get("uri", ""), root, formers)) is not None:
            source = json.dumps({"uri": str(root / within)})
            yield _Change("datasets", "dataset_source", row, source)


def _within(text: str, root: Path, formers: set[Path]) -> Path | None:
    """A path relative to the former folder that it lies in; None where it is in none of them."""
    path = Path(text)
    folders = [each for each in formers if path.is_relative_to(each)]
    if path.is_relative_to(root):
        return None  # which may lie in a former one
    return path.relative_to(max(folders, key=lambda each: len(each.parts))) if folders else None
