"""The reports of runs as MLflow keeps them, and the ids behind their rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from recsys.data.ids import IdMap
from recsys.data.store import load_ids
from recsys.errors import InputError
from recsys.evaluation.report import Report
from recsys.files import temporary_folder
from tasks.tracking.recorded import Recorded
from tasks.tracking.runs import Run
from tasks.workspace.layout import Workspace

Side = Literal["validation", "test"]
_FILES = ("per_user.parquet", "exposure.parquet")


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """A run and what it was judged to be.

    Attributes:
        run: As MLflow has recorded it.
        side: Of the split, on which it was judged.
        report: User by user.
    """

    run: Recorded
    side: Side
    report: Report


def load_judged(workspace: Workspace, run: Recorded) -> JudgedRun:
    """A run of a trial or a final model with its report.

    Raises:
        InputError: it keeps no report, or its files are not there.
    """
    at = Run.of(workspace, run.id)
    if not all(at.has(name) for name in _FILES):
        raise InputError(f"run {run.id} keeps no values of users; name one that was judged")
    with _files(at, _FILES) as paths:
        frames = [pd.read_parquet(path) for path in paths]
    side: Side = "test" if run.tags.get("stage") == "final" else "validation"
    return JudgedRun(run, side, Report.from_frames(*frames))


def ids_of(workspace: Workspace, run: Recorded) -> tuple[IdMap, IdMap]:
    """Users and items behind the rows of a run, which its study keeps.

    Raises:
        InputError: the files are not there.
    """
    study = Run.of(workspace, run.parent or run.id)
    with _files(study, ("ids/users.parquet", "ids/items.parquet")) as (users, items):
        return load_ids(users), load_ids(items)


@contextmanager
def _files(run: Run, names: Sequence[str]) -> Iterator[list[Path]]:
    """Files of a run: those on this machine, or copies that are there until the block ends."""
    if run.place() is not None:
        yield [run.fetch(name, Path()) for name in names]  # nothing is copied
        return
    with temporary_folder(run.workspace.scratch, "files-") as folder:
        yield [run.fetch(name, folder) for name in names]
