"""Compiled code reads a log as the careful readers do: same arrays, same rejected rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import InputError
from recsys.sources import coding, read, reading

pytest.importorskip("numba")

IDS = st.sampled_from(
    ["u1", "u2", "", "b c", " u1", "7", "7.0", "NA", "Ünal", "a" * 40, 'x"', "\r"]
)
MBIDS = st.sampled_from(["", "m1", "m2", "deed3c6f-e5a1-426b-b133-8453149a99f2", "name:x", "12"])
NAMES = st.sampled_from(["", "The Band", "Björk", "夜の灯台", "\u3000wide\u00a0", 'a "b"', "x\0y"])
NUMBERS = st.sampled_from(
    [
        "1",
        "28",
        "0",
        "-3",
        "28.0",
        "1e3",
        "1,204",
        " 5 ",
        "+4",
        ".5",
        "5.",
        "007",
        "",
        "0x1F",
        "123456789",
        "9" * 17,
        "2.5",
    ]
)
TIMES = st.sampled_from(
    [
        "1234567890",
        "1234567890123",
        "2009-05-04T23:08:57Z",
        "2009-02-29 10:00:00",
        "2008-02-29 10:00:00",
        "1234567890123456",
        "2009-05-04T23:08:57+02:00",
        "-5",
        "20090504",
        "",
    ]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r\r\n", b"\n\n", b"\n\xef\xbb\xbf"])
DAMAGE = st.sampled_from([b""] * 12 + [b"\xff", b"\tmore", b"\xed\xa0\x80", b"\xc3"])


@st.composite
def logs(draw: Any, *fields: st.SearchStrategy[str], delimiter: str = "\t") -> bytes:
    n = draw(st.integers(1, 30))
    rows = b""
    for _ in range(n):
        row = delimiter.join(draw(field) for field in fields).encode()
        rows += row + draw(DAMAGE) + draw(ENDS)
    return rows.rstrip(b"\n") if draw(st.booleans()) else rows


def outcome(path: Path, **options: Any) -> Any:
    try:
        found = read(path, **options)
    except InputError as error:
        return str(error)
    events = found.events
    times = None if events.times is None else events.times.tolist()
    return (
        *(
            ids.to_pylist()
            for each in (events.users, events.items)
            for ids in (each.ids, each.names)
        ),
        *(column.tolist() for column in (events.rows, events.cols, events.plays)),
        times,
        found.n_rows,
        found.rejects.table().to_pylist(),
        (found.n_spellings, found.missing, found.notes, found.columns),
    )


@pytest.fixture(scope="module")
def agree(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    path = tmp_path_factory.mktemp("logs") / "log"

    def check(data: bytes, size: int, **options: Any) -> None:
        path.write_bytes(data)
        with pytest.MonkeyPatch.context() as patch:
            slow = outcome(path, **options)
            patch.setattr(reading, "LARGE", 0)
            patch.setattr(coding, "SIZE", size)
            patch.setattr(coding, "ROWS", 4)
            assert outcome(path, **options) == slow

    return check


KEYS = st.sampled_from(["mbid", "name", "mbid-else-name"])
SIZES = st.sampled_from([40, 200, 10_000])


@settings(deadline=None, max_examples=60)
@given(logs(IDS, MBIDS, NAMES, NUMBERS), KEYS, SIZES)
def test_plays_of_360k(agree: Callable[..., None], data: bytes, key: str, size: int) -> None:
    agree(data, size, format="lastfm-360k", item_key=key)


@settings(deadline=None, max_examples=40)
@given(logs(IDS, TIMES, MBIDS, NAMES, NAMES, NAMES), SIZES)
def test_events_of_1k(agree: Callable[..., None], data: bytes, size: int) -> None:
    agree(data, size, format="lastfm-1k")


@settings(deadline=None, max_examples=60)
@given(logs(IDS, MBIDS, NUMBERS, TIMES, delimiter=","), SIZES, st.sampled_from([".", ",", None]))
def test_columns_with_commas(
    agree: Callable[..., None], data: bytes, size: int, decimal: str | None
) -> None:
    agree(data, size, columns={"user": 0, "item": 1, "plays": 2, "time": 3}, decimal=decimal)


@settings(deadline=None, max_examples=30)
@given(logs(IDS, MBIDS, NUMBERS, TIMES, delimiter=","), SIZES)
def test_ratings(agree: Callable[..., None], data: bytes, size: int) -> None:
    agree(b"userId,movieId,rating,timestamp\n" + data, size, format="movielens")


@settings(deadline=None, max_examples=30)
@given(logs(IDS, NAMES, MBIDS, NUMBERS, delimiter=";"), SIZES)
def test_names_before_ids(agree: Callable[..., None], data: bytes, size: int) -> None:
    columns = {"user": "who", "name": "title", "item": "id", "plays": "n"}
    agree(b"who;title;id;n\n" + data, size, columns=columns)


def test_most_lines_are_read_by_compiled_code(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(
        b"".join(b"u%d\tm%d\tBj\xc3\xb6rk\t%d\n" % (i // 9, i % 7, i) for i in range(99))
    )
    rule = reading.Forms()
    layout = reading.text_layout(path, "lastfm-360k", None)
    spec = coding.spec_of(layout, "mbid", rule)
    assert spec is not None

    (block,) = coding.coded(path, layout, spec)

    assert isinstance(block, coding.CodedBlock)
    assert (block.n, len(block.odd), block.lines.tolist()) == (99, 0, [0])
    assert block.usable is not None
    assert block.usable.plays.tolist() == np.arange(1, 99).tolist()
