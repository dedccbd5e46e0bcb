from pathlib import Path

import pytest

from recsys.sources import ItemKey, read, stream

from .logs import written

PLAYS = (
    ("u1", "m1", "A", "3"),
    ("u1", "", "B", "2"),
    ("u2", "", "C", "1"),
    ("u2", "m2", "", "5"),
    ("u3", "", "", "7"),  # no artist at all: rejected under every key
    ("u3", "", "A", "none"),  # no number: rejected
    ("u3", "", "B", "9"),
)


@pytest.mark.parametrize(
    ("key", "missing"),
    [
        ("mbid-else-name", {"mbid": 3, "name": 1}),
        ("name", {"mbid": 3, "name": 0}),
        ("mbid", {"mbid": 0, "name": 1}),
    ],
)
def test_empty_mbids_and_names_are_counted_over_the_rows_used(
    tmp_path: Path, key: ItemKey, missing: dict[str, int]
) -> None:
    reading = read(written(tmp_path / "plays.tsv", PLAYS), item_key=key)

    assert reading.missing == missing


def test_empty_fields_are_counted_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BLOCK", 16)

    reading = read(written(tmp_path / "plays.tsv", PLAYS), format="lastfm-360k")

    assert reading.missing == {"mbid": 3, "name": 1}


def test_empty_fields_of_events_are_counted(tmp_path: Path) -> None:
    time = "2009-05-04T23:08:57Z"
    rows = [
        ("u1", time, "", "A", "", "T"),
        ("u1", time, "m", "A", "", ""),
        ("u2", time, "m", "", "", ""),
    ]

    reading = read(written(tmp_path / "events.tsv", rows), format="lastfm-1k")

    assert reading.missing == {"mbid": 1, "name": 1}


def test_a_table_misses_only_the_names_that_it_has_a_column_for(tmp_path: Path) -> None:
    path = written(tmp_path / "log.tsv", [("u1", "a", ""), ("u2", "a", "A"), ("u2", "b", "")])

    named = read(path, columns={"user": 0, "item": 1, "name": 2})
    unnamed = read(path, columns={"user": 0, "item": 1})

    assert named.missing == {"name": 2}
    assert unnamed.missing == {}
