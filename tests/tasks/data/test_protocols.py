"""The data of a protocol in the cache: read once, and the same for an experiment."""

from pathlib import Path

import pytest

from recsys import sources
from recsys.errors import InputError
from recsys.protocols import PROTOCOLS
from tasks.data.protocols import prepare
from tasks.workspace.layout import Workspace
from tests.conftest import pairs
from tests.recsys.protocols import made_up


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "runs")


def test_both_sides_are_files_that_an_experiment_reads(
    workspace: Workspace, tmp_path: Path
) -> None:
    train, test = made_up.adjacency()
    made_up.write_adjacency(tmp_path / "train.txt", train)
    made_up.write_adjacency(tmp_path / "test.txt", test)
    protocol = PROTOCOLS["gowalla"]
    files = protocol.found(tmp_path)

    entry = prepare(workspace, protocol, files, 0)

    assert entry.facts["columns"] == {"user": "user", "item": "item"}
    assert entry.facts["sides"] == ["", "-test"]
    for side, expected in (("", train), ("-test", test)):
        path = entry.folder / f"gowalla{side}.parquet"
        assert pairs(sources.read(path, columns=entry.facts["columns"]).events) == expected
    assert entry.facts["counts"]["interactions"] == len(train) + len(test)
    assert prepare(workspace, protocol, files, 9).reused, "nothing is drawn, so no seed counts"


def test_values_and_times_stay_where_the_protocol_has_them(
    workspace: Workspace, tmp_path: Path
) -> None:
    rows = made_up.write_u_data(tmp_path)
    protocol = PROTOCOLS["movielens-100k"]
    files = protocol.found(tmp_path)

    entry = prepare(workspace, protocol, files, 0)

    assert entry.facts["sides"] == ["", "-test", "-validation"]
    columns = entry.facts["columns"]
    assert list(columns) == ["user", "item", "plays", "time"]
    found = set()
    for side in entry.facts["sides"]:
        events = sources.read(
            entry.folder / f"movielens-100k{side}.parquet", columns=columns
        ).events
        assert events.times is not None
        users, items = events.users.ids.to_pylist(), events.items.ids.to_pylist()
        table = zip(events.rows, events.cols, events.plays, events.times, strict=True)
        found |= {f"{users[u]}\t{items[i]}\t{plays:g}\t{time}" for u, i, plays, time in table}
    assert found == set(rows)
    assert not prepare(workspace, protocol, files, 1).reused, "the seed draws the validation side"


def test_another_number_of_held_out_users_is_another_entry(
    workspace: Workspace, tmp_path: Path
) -> None:
    made_up.write_lastfm(tmp_path)
    protocol = PROTOCOLS["lastfm-360k"]

    entries = [
        prepare(workspace, protocol.with_held_out(n), protocol.found(tmp_path), 0) for n in (8, 9)
    ]

    assert entries[0].key != entries[1].key
    with pytest.raises(InputError, match="10,000 users are to lose two items or more"):
        prepare(workspace, protocol, protocol.found(tmp_path), 0)
