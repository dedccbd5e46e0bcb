from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import InputError
from recsys.sources import parse_columns, read

from .logs import packed, shown, triples

TABLE = 'uid{d}n{d}track{d}title{d}ts\nu1{d}2{d}a{d}A{d}10\nu2{d}3{d}b{d}"B ""b""{d}"{d}20\n'


def file_of(folder: Path, text: str) -> Path:
    (folder / "log").write_bytes(text.encode())
    return folder / "log"


@pytest.mark.parametrize("d", [",", ";", "\t"])
def test_columns_are_found_by_name_under_any_delimiter(tmp_path: Path, d: str) -> None:
    text = TABLE.format(d=d)
    if d == "\t":
        text = text.replace('"B ""b""\t"', '"B "b"')
    columns = parse_columns("user=uid,item=track,plays=n,time=ts,name=title")
    reading = read(file_of(tmp_path, text), columns=columns)

    assert reading.format == "columns"
    assert triples(reading.events) == [("u1", "a", 2), ("u2", "b", 3)]
    assert shown(reading.events) == {"a": "A", "b": '"B "b"' if d == "\t" else f'B "b"{d}'}
    assert reading.events.times is not None
    assert reading.events.times.tolist() == [10, 20]


def test_columns_are_found_by_position_and_line_1_is_a_row(tmp_path: Path) -> None:
    columns = parse_columns("user=2,item=0")
    reading = read(file_of(tmp_path, "a;x;u1\nb;y;u1\na;x;u1\n"), columns=columns)

    assert triples(reading.events) == [("u1", "a", 1), ("u1", "a", 1), ("u1", "b", 1)]
    assert reading.n_rows == 3


def test_quoted_and_plain_lines_keep_their_line_numbers(tmp_path: Path) -> None:
    rows = ["user,item,n", "u1,a,x", '"u,1",a,1', 'u1,"a,1', '"u1","b",0', "u1,a", "u1,c,2"]
    columns = parse_columns("user=user,item=item,plays=n")
    reading = read(file_of(tmp_path, "\n".join(rows)), columns=columns)

    assert triples(reading.events) == [("u,1", "a", 1), ("u1", "c", 2)]
    assert reading.rejects.lines.tolist() == [2, 4, 5, 6]
    assert reading.rejects.reasons.to_pylist() == [
        "plays not a whole number",
        "wrong number of fields",
        "plays zero or negative",
        "wrong number of fields",
    ]
    assert reading.n_rows == 6


def test_one_bad_first_line_does_not_decide_how_wide_rows_are(tmp_path: Path) -> None:
    path = file_of(tmp_path, "junk,\nu1,a,3\nu2,b,4\n")
    reading = read(path, columns={"user": 0, "item": 1, "plays": 2})

    assert reading.rejects.lines.tolist() == [1]
    assert len(reading.events) == 2


def test_compressed_tables_read_as_plain_ones(tmp_path: Path) -> None:
    path = file_of(tmp_path, TABLE.format(d=","))
    columns = parse_columns("user=uid,item=track")

    assert triples(read(packed(path, "zstd"), columns=columns).events) == triples(
        read(path, columns=columns).events
    )


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("86400", 86400),
        ("86400.9", 86400),
        ("8.64e4", 86400),
        ("-0.5", -1),
        ("1970-01-02", 86400),
        ("1970-01-02 00:00:01", 86401),
        ("1970-01-02T00:00:01", 86401),
        ("1970-01-02T00:00:01Z", 86401),
        ("1970-01-02T00:00:01.75Z", 86401),
        ("1970-01-02T02:00:01+02:00", 86401),
        ("1970-01-01T22:00:01-0200", 86401),
        ("1969-12-31T23:59:59.5Z", -1),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1970-02-30", None),
        ("1970-01-02T25:00:00", None),
        ("1e300", None),
    ],
)
@pytest.mark.parametrize("mixed", [False, True])
def test_times_are_seconds_or_iso_8601_and_utc_without_an_offset(
    tmp_path: Path, text: str, second: int | None, mixed: bool
) -> None:
    others = ["1970-01-03T00:00:00Z", "1970-01-04", "3.5"] if mixed else []
    rows = "".join(f"u,{i},{each}\n" for i, each in enumerate([text, *others, "0"]))
    reading = read(file_of(tmp_path, rows), columns={"user": 0, "item": 1, "time": 2})
    events = reading.events

    assert events.times is not None
    found = dict(zip((events.items.id(i) for i in events.cols), events.times.tolist(), strict=True))

    assert found.get("0") == second
    assert reading.rejects.counts == ({} if second is not None else {"bad time": 1})
    assert len(events) == len(others) + 1 + (second is not None)


def parquet(folder: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "log.parquet")
    return folder / "log.parquet"


def test_parquet_columns_keep_their_types(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        uid=pa.array([7, None, 8, 9, 10]),
        track=pa.array(["a\nb", "b", None, "a\nb", "c"]).dictionary_encode(),
        n=pa.array([2.0, 1.0, 1.0, 0.5, None]),
        title=["A", "B", "C", "D", "E"],
        at=pa.array([datetime(2009, 5, 4, 23, 8, 57, 999_999, tzinfo=UTC)] * 5),
    )
    columns = parse_columns("user=uid,item=track,plays=n,name=title,time=at")
    reading = read(path, columns=columns)

    assert triples(reading.events) == [("7", "a\nb", 2)]
    assert shown(reading.events) == {"a\nb": "A"}
    assert reading.events.times is not None
    assert reading.events.times.tolist() == [1241478537]
    assert reading.rejects.lines.tolist() == [2, 3, 4, 5]
    assert reading.rejects.reasons.to_pylist() == [
        "no user",
        "no item",
        *["plays not a whole number"] * 2,
    ]
    assert not any("\n" in text for text in reading.rejects.texts.to_pylist())


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pa.array([date(1970, 1, 2)] * 2), 86400),
        (pa.array([datetime(1970, 1, 2, 0, 0, 1)] * 2, pa.timestamp("ns")), 86401),  # noqa: DTZ001 - naive is UTC
        (pa.array([-1, -1], pa.timestamp("ms", "Europe/Berlin")), -1),
        (pa.array([86400.9] * 2), 86400),
        (pa.array(["1970-01-02T00:00:00Z", "86400"]), 86400),
    ],
)
def test_parquet_times_of_any_type_are_seconds_utc(
    tmp_path: Path, times: Any, expected: int
) -> None:
    path = parquet(tmp_path, user=["u", "u"], item=["a", "b"], time=times)
    events = read(path, columns={"user": 0, "item": 1, "time": 2}).events

    assert events.times is not None
    assert events.times.tolist() == [expected] * 2


def test_rows_of_a_parquet_file_are_numbered_across_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.sources.parquet.BATCH", 2)
    path = parquet(tmp_path, user=["u", "", "u", "u", ""], item=["a", "b", "c", "d", "e"])
    reading = read(path, columns={"user": 0, "item": 1})

    assert reading.rejects.lines.tolist() == [2, 5]
    assert reading.n_rows == 5


def test_ids_that_became_floats_read_as_the_numbers_they_were(tmp_path: Path) -> None:
    path = parquet(tmp_path, user=[1.0, 2.0, float("nan")], item=["a", "b", "c"])
    reading = read(path, columns={"user": "user", "item": "item"})

    assert reading.events.users.ids.to_pylist() == ["1", "2"]
    assert reading.rejects.counts == {"no user": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not role=column"),
        ("user", "not role=column"),
        ("user=,item=b", "not role=column"),
        ("user=a", "names no item column"),
        ("item=a", "names no user column"),
        ("user=a,user=b,item=c", "gives user twice"),
        ("user=a,item=b,when=c", "unknown role 'when'; the roles are user, item, plays, time"),
        ("user=0,item=b", "mixes names and positions"),
        ("user=a,item=a", "takes user and item from the same column"),
    ],
)
def test_invalid_columns_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_columns(text)


def test_columns_by_name_and_by_position_are_understood() -> None:
    assert parse_columns("user=uid, item=a=b") == {"user": "uid", "item": "a=b"}
    assert parse_columns("user=0,item=12") == {"user": 0, "item": 12}


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("a,b\n1,2\n", "user=a,item=c", ":1: no column 'c'; name one of a, b in --columns"),
        ("a,b\n1,2\n", "user=0,item=2", "no column at position 2, .* 2 fields; .* from 0 to 1"),
        ("a,b,b\n1,2,3\n", "user=a,item=b", ":1: two columns are called 'b'; rename one"),
        ("words\nmore\n", "user=0,item=1", "neither tab, comma nor semicolon in 'words'"),
    ],
)
def test_a_column_that_is_not_there_is_refused(
    tmp_path: Path, text: str, columns: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(file_of(tmp_path, text), columns=parse_columns(columns))


def test_columns_go_with_the_format_that_needs_them(tmp_path: Path) -> None:
    path = file_of(tmp_path, "a,b\n1,2\n")

    with pytest.raises(InputError, match="needs --columns"):
        read(path, format="columns")
    with pytest.raises(InputError, match="--columns does not go with --format hetrec"):
        read(path, format="hetrec", columns={"user": 0, "item": 1})


def test_a_parquet_file_that_cannot_serve_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, user=["u"], items=[["a", "b"]], flag=[True])

    with pytest.raises(InputError, match="columns user, items, flag; assign them"):
        read(path)
    with pytest.raises(InputError, match="no column 'item'; name one of user, items, flag"):
        read(path, columns={"user": "user", "item": "item"})
    with pytest.raises(InputError, match=r"column 'items' is of type list<.*, which cannot be a"):
        read(path, columns={"user": "user", "item": "items"})


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, user=["u"], item=["a"])
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(InputError, match="is a damaged Parquet file"):
        read(path, columns={"user": 0, "item": 1})
