import random
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.errors import InputError
from recsys.sources import ItemKey, read, stream

from .logs import packed, shown, triples, written

texts = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), max_size=8)
some_text = texts.filter(bool) | st.sampled_from(['"', '"a', "a''b", "é", "x"])
mbids = st.sampled_from(["", "", "m1", "m2", "name:x", "mbid:name:x", "mbid:m1"])
logs = st.lists(
    st.tuples(some_text, mbids, some_text, st.integers(1, 2**40)), min_size=1, max_size=30
)
in_one_folder = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def file_of(folder: Path, rows: list[tuple[str, str, str, int]], end: str = "\n") -> Path:
    return written(folder / "plays.tsv", ((u, m, n, str(p)) for u, m, n, p in rows), end)


@in_one_folder
@given(logs, st.sampled_from(["\n", "\r\n"]))
def test_a_file_in_360k_format_is_read_exactly(
    tmp_path: Path, rows: list[tuple[str, str, str, int]], end: str
) -> None:
    path = file_of(tmp_path, rows, end)

    reading = read(path, format="lastfm-360k", item_key="name")

    assert triples(reading.events) == sorted((u, n, float(p)) for u, _, n, p in rows)
    assert (reading.n_rows, len(reading.rejects)) == (len(rows), 0)


@in_one_folder
@given(logs)
def test_an_artist_is_its_mbid_or_else_its_name_and_never_both(
    tmp_path: Path, rows: list[tuple[str, str, str, int]]
) -> None:
    events = read(file_of(tmp_path, rows), format="lastfm-360k").events

    artists = {("mbid", m) if m else ("name", n) for _, m, n, _ in rows}
    by_artist: dict[tuple[str, str], float] = defaultdict(float)
    for _, m, n, p in rows:
        by_artist[("mbid", m) if m else ("name", n)] += p

    assert len(events.items) == len(artists)
    assert sorted(by_artist.values()) == sorted(
        events.plays[events.cols == item].sum() for item in range(len(events.items))
    )


@in_one_folder
@given(logs)
def test_the_name_shown_is_the_most_played_spelling(
    tmp_path: Path, rows: list[tuple[str, str, str, int]]
) -> None:
    rows = [(u, m or "m3", n if i % 3 else "", p) for i, (u, m, n, p) in enumerate(rows)]
    events = read(file_of(tmp_path, rows), format="lastfm-360k", item_key="mbid").events

    spellings: dict[str, dict[str, int]] = {m: {} for _, m, _, _ in rows}
    for _, m, n, p in rows:
        if n:
            spellings[m][n] = spellings[m].get(n, 0) + p
    expected = {
        m: min(plays, key=lambda n: (-plays[n], n)) if plays else m
        for m, plays in spellings.items()
    }

    assert shown(events) == expected


@in_one_folder
@given(logs, st.integers(0, 100))
def test_the_order_of_rows_changes_nothing(
    tmp_path: Path, rows: list[tuple[str, str, str, int]], seed: int
) -> None:
    first = read(file_of(tmp_path, rows), format="lastfm-360k").events
    random.Random(seed).shuffle(rows)
    second = read(file_of(tmp_path, rows), format="lastfm-360k").events

    for mine, other in ((first.users, second.users), (first.items, second.items)):
        assert mine.ids.equals(other.ids)
        assert mine.names.equals(other.names)
    for column in ("rows", "cols", "plays"):
        assert getattr(first, column).tolist() == getattr(second, column).tolist()


@in_one_folder
@given(logs, st.integers(1, 40))
def test_where_blocks_are_cut_changes_nothing(
    tmp_path: Path, rows: list[tuple[str, str, str, int]], size: int
) -> None:
    path = file_of(tmp_path, [*rows, ("", "m", "bad", 1)])
    whole = read(path, format="lastfm-360k")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "BLOCK", size)
        pieces = read(path, format="lastfm-360k")

    assert triples(pieces.events) == triples(whole.events)
    assert shown(pieces.events) == shown(whole.events)
    assert pieces.rejects.lines.tolist() == whole.rejects.lines.tolist() == [len(rows) + 1]


PLAYS = [
    ("u1", "m1", "die Ärzte", "3"),
    ("u1", "m1", "die ärzte", "4"),
    ("u2", "", 'the "quoted', "5"),
    ("u2", "m2", "", "6"),
    ("u1", "m1", "die Ärzte", "3"),
]


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_compressed_file_reads_as_the_plain_one(tmp_path: Path, codec: str) -> None:
    path = written(tmp_path / "plays", [*PLAYS, ("u3", "m1", "x", "0")])
    plain, small = read(path), read(packed(path, codec))

    assert triples(small.events) == triples(plain.events)
    assert small.rejects.table().equals(plain.rejects.table())
    assert small.rejects.lines.tolist() == [6]


def test_rows_of_one_pair_stay_apart_and_their_cells_are_summed(tmp_path: Path) -> None:
    events = read(written(tmp_path / "plays", PLAYS)).events

    assert [plays for _, item, plays in triples(events) if item == "m1"] == [3, 3, 4]
    assert sorted(events.cells().plays.tolist()) == [5, 6, 10]


@pytest.mark.parametrize(
    ("key", "items", "rejected"),
    [
        ("mbid", {"m1": "die Ärzte", "m2": "m2"}, [3]),
        (
            "name",
            {"die Ärzte": "die Ärzte", "die ärzte": "die ärzte", 'the "quoted': 'the "quoted'},
            [4],
        ),
        (
            "mbid-else-name",
            {"m1": "die Ärzte", "m2": "m2", 'name:the "quoted': 'the "quoted'},
            [],
        ),
    ],
)
def test_the_item_key_decides_which_rows_are_one_artist(
    tmp_path: Path, key: ItemKey, items: dict[str, str], rejected: list[int]
) -> None:
    reading = read(written(tmp_path / "plays", PLAYS), item_key=key)

    assert shown(reading.events) == items
    assert reading.rejects.lines.tolist() == rejected
    assert set(reading.rejects.counts) <= {"no item"}


def test_a_row_without_mbid_and_name_has_no_artist(tmp_path: Path) -> None:
    reading = read(written(tmp_path / "plays", [*PLAYS, ("u1", "", "", "7")]))

    assert reading.rejects.counts == {"no item": 1}
    assert reading.rejects.lines.tolist() == [6]


def test_a_spelling_of_equal_plays_yields_to_the_smaller(tmp_path: Path) -> None:
    rows = [("u1", "m1", "b", "2"), ("u2", "m1", "a", "2"), ("u3", "m1", "c", "1")]

    assert shown(read(written(tmp_path / "plays", rows)).events) == {"m1": "a"}


EVENTS = [
    ("user_1", "2009-05-04T23:08:57Z", "m1", "Deep Dish", "", "Fuck Me Im Famous"),
    ("user_1", "2009-05-04T13:54:10Z", "m1", 'Deep "Dish', "t1", "Composition 0919"),
    ("user_2", "1970-01-01T00:00:01Z", "", "坂本龍一", "t1", "Tibetan Dance"),
]


def test_a_1k_row_counts_one_play_of_its_artist_at_its_time(tmp_path: Path) -> None:
    reading = read(written(tmp_path / "events", EVENTS))

    assert reading.format == "lastfm-1k"
    assert triples(reading.events) == [
        ("user_1", "m1", 1),
        ("user_1", "m1", 1),
        ("user_2", "name:坂本龍一", 1),
    ]
    assert reading.events.times is not None
    assert reading.events.times.tolist() == [1241445250, 1241478537, 1]
    assert shown(reading.events)["m1"] == 'Deep "Dish'


def test_a_time_that_is_no_time_costs_its_row_only(tmp_path: Path) -> None:
    bad = ("user_1", "2009-02-30T00:00:00Z", "m1", "Deep Dish", "", "")
    reading = read(written(tmp_path / "events", [EVENTS[0], bad, *EVENTS[1:]]))

    assert reading.rejects.counts == {"bad time": 1}
    assert reading.rejects.lines.tolist() == [2]
    assert reading.events.times is not None
    assert reading.events.times.tolist() == [1241445250, 1241478537, 1]


def test_an_unknown_item_key_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "plays", PLAYS)

    with pytest.raises(InputError, match="--item-key artist is unknown; choose one of mbid, name"):
        read(path, item_key="artist")  # type: ignore[arg-type]  # what a person may type
