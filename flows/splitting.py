"""The split of an experiment as files that other programs read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys.config import ExperimentConfig
from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.files import atomic_file
from recsys.library.log import to_pandas
from recsys.splitting.split import Fold
from recsys.splitting.store import load_fold
from tasks.data.stages import DataFiles, ingest, narrow, split
from tasks.workspace.layout import Workspace

SOME = ("refit.parquet", "validation-history.parquet", "test-history.parquet")
"""The files that not every split has."""


@dataclass(frozen=True, slots=True)
class WrittenSide:
    """A file of a split.

    Attributes:
        file: Where it is.
        users: Users with a row.
        items: Items with a row.
        pairs: Rows.
    """

    file: Path
    users: int
    items: int
    pairs: int


def export(
    workspace: Workspace, source: DataFiles, config: ExperimentConfig, folder: Path, adopt: bool
) -> list[WrittenSide]:
    """Write the sides of a split as Parquet, a row for each pair, with ids as the log has them.

    train.parquet, validation.parquet and test.parquet; where the winner is not refitted on train
    and validation together, refit.parquet; where users are folded in, what is known of them, as
    validation-history.parquet and test-history.parquet.

    Args:
        workspace: Holds the cache.
        source: The log and the profiles.
        config: How it is read, filtered and cut.
        folder: Gets the files; made if it is not there.
        adopt: Whether prepared data of other code is used.

    Raises:
        InputError: the data cannot be used, or the folder cannot be written.
    """
    ingested = ingest.fn(workspace, source, config.data, adopt)
    filtered = narrow.fn(workspace, ingested, config.filter, config.seed, adopt)
    place = split.fn(workspace, filtered, config, adopt).folder
    validation, test = (load_fold(place / name) for name in ("validation", "test"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in SOME:
            (folder / name).unlink(missing_ok=True)  # of an earlier export
        return [_written(folder / name, side) for name, side in _sides(validation, test)]
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; give a folder that you may write") from error


def _sides(validation: Fold, test: Fold) -> Iterator[tuple[str, Interactions]]:
    yield "train.parquet", validation.train
    yield "validation.parquet", validation.held_out
    yield "test.parquet", test.held_out
    if not _is_both(test.train, validation):
        yield "refit.parquet", test.train
    for name, fold in (("validation", validation), ("test", test)):
        if fold.folds_in:
            yield f"{name}-history.parquet", fold.history


def _is_both(refit: Interactions, validation: Fold) -> bool:
    """Whether the final training is that of validation and what it held out, plays included."""
    both = validation.train.merged(validation.held_out)
    same = np.array_equal(refit.keys, both.keys)
    return same and np.array_equal(refit.plays, both.plays)


def _written(file: Path, side: Interactions) -> WrittenSide:
    with atomic_file(file) as path:
        to_pandas(side).to_parquet(path, index=False)
    n_items = int((side.per_item() > 0).sum())
    return WrittenSide(file, len(side.users_with_cells()), n_items, len(side))
