"""`recsys split export`: the sides of a split as files that other programs read."""

from pathlib import Path

import pandas as pd
import pytest

from flows.splitting import export
from recsys.data.store import load_events
from recsys.errors import InputError
from recsys.splitting.store import load_fold
from tasks.data.stages import DataFiles, ingest, narrow, split
from tasks.workspace.layout import Workspace
from tests.conftest import pairs
from tests.flows.conftest import quick


def rows(file: Path) -> set[tuple[str, str]]:
    frame = pd.read_parquet(file)
    return set(zip(frame["user"], frame["item"], strict=True))


def test_the_files_hold_the_pairs_that_an_experiment_has(
    sample: tuple[Path, Path], tmp_path: Path
) -> None:
    workspace, config = Workspace.at(tmp_path / "runs"), quick()
    written = export(workspace, DataFiles(*sample), config, tmp_path / "cut", False)

    filtered = narrow.fn(
        workspace, ingest.fn(workspace, DataFiles(*sample), config.data), config.filter, 0
    )
    place = split.fn(workspace, filtered, config).folder
    validation, test = load_fold(place / "validation"), load_fold(place / "test")
    assert [each.file.name for each in written] == [
        "train.parquet",
        "validation.parquet",
        "test.parquet",
    ]
    sides = (validation.train, validation.held_out, test.held_out)
    assert [rows(each.file) for each in written] == [pairs(side) for side in sides]
    assert [each.pairs for each in written] == [len(side) for side in sides]
    everything = set.union(*(rows(each.file) for each in written))
    assert everything == pairs(load_events(filtered.folder).cells())
    assert set(pd.read_parquet(written[0].file).columns) >= {"user", "item", "name", "plays"}


@pytest.mark.slow
def test_what_is_known_of_folded_in_users_is_a_file_too(
    sample: tuple[Path, Path], tmp_path: Path
) -> None:
    config = quick(split={"kind": "users", "validation": 0.2, "test": 0.2})
    workspace = Workspace.at(tmp_path / "runs")
    written = export(workspace, DataFiles(*sample), config, tmp_path / "cut", False)

    names = {each.file.stem for each in written}
    assert names == {
        *("train", "validation", "test", "refit", "validation-history", "test-history")
    }
    history, hidden = (rows(tmp_path / "cut" / f"{n}.parquet") for n in ("test-history", "test"))
    assert {user for user, _ in history} == {user for user, _ in hidden}
    assert not history & hidden


def test_a_folder_that_cannot_be_written_is_one_error(
    sample: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "cut").write_text("a file")
    workspace = Workspace.at(tmp_path / "runs")
    with pytest.raises(InputError, match="cut: File exists; give a folder that you may write"):
        export(workspace, DataFiles(*sample), quick(), tmp_path / "cut", False)
