from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import InputError
from recsys.sources import Format, companions, read
from recsys.sources.detect import detect
from recsys.sources.reading import HOPELESS

from .logs import packed, shown, triples

FILES: dict[str, tuple[Format, str]] = {
    "plays": ("lastfm-360k", "u\t\tname\t5\nu\tm\tname\tx\nu\tm\tname\t0\n"),
    "events": ("lastfm-1k", "u\t2009-05-04T23:08:57Z\tm\tname\tt\ttrack\n"),
    "user_artists.dat": ("hetrec", "userID\tartistID\tweight\n2\t51\t13883\n3\t51\t1\n"),
    "u.data": ("movielens", "196\t242\t3\t881250949\n"),
    "ratings.dat": ("movielens", "1::1193::5::978300760\n1::661::3.5::978302109\n"),
    "ratings.csv": ("movielens", "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n"),
}
BESIDE = {
    "user_artists.dat": ("artists.dat", 'id\tname\turl\tpictureURL\n51\t"Duran Dürán\t\t\n'),
    "u.data": ("u.item", "242|Kolya é (1996)" + "|0" * 22 + "\n"),
    "ratings.dat": ("movies.dat", "1193::Café: (1975)::Drama\n661::James\n"),
    "ratings.csv": ("movies.csv", 'movieId,title,genres\n31,"Dangerous ""Minds"", A",Drama\n'),
}


def file_of(folder: Path, name: str) -> Path:
    (folder / name).write_bytes(FILES[name][1].encode())
    return folder / name


def put_names_beside(path: Path, encoding: str) -> Path:
    name, text = BESIDE[path.name]
    path.with_name(name).write_bytes(text.encode(encoding))
    return path.with_name(name)


@pytest.mark.parametrize("name", FILES)
def test_each_format_is_known_by_its_first_lines(tmp_path: Path, name: str) -> None:
    path = file_of(tmp_path, name)

    assert detect(path) == FILES[name][0]
    assert detect(packed(path, "gzip")) == FILES[name][0]
    assert read(path).format == FILES[name][0]


@pytest.mark.parametrize("name", FILES)
def test_a_declared_format_reads_as_the_detected_one(tmp_path: Path, name: str) -> None:
    path = file_of(tmp_path, name)

    assert triples(read(path, format=FILES[name][0]).events) == triples(read(path).events)


def test_hetrec_names_are_read_with_quoting_off(tmp_path: Path) -> None:
    path = file_of(tmp_path, "user_artists.dat")
    beside = put_names_beside(path, "utf-8")
    reading = read(path)

    assert triples(reading.events) == [("2", "51", 13883), ("3", "51", 1)]
    assert shown(reading.events) == {"51": '"Duran Dürán'}
    assert reading.names_from == beside
    assert companions(path, "auto") == companions(path, "hetrec") == [beside]


@pytest.mark.parametrize("name", BESIDE)
def test_without_the_file_of_names_ids_are_shown(tmp_path: Path, name: str) -> None:
    path = file_of(tmp_path, name)
    events = read(path).events

    assert companions(path) == []
    assert events.items.names.equals(events.items.ids)


@pytest.mark.parametrize(
    ("name", "encoding", "names"),
    [
        ("u.data", "latin-1", {"242": "Kolya é (1996)"}),
        ("ratings.dat", "latin-1", {"1193": "Café: (1975)", "661": "661"}),
        ("ratings.dat", "utf-8", {"1193": "Café: (1975)", "661": "661"}),
        ("ratings.csv", "utf-8", {"31": 'Dangerous "Minds", A'}),
    ],
)
def test_movielens_titles_come_from_the_file_beside(
    tmp_path: Path, name: str, encoding: str, names: dict[str, str]
) -> None:
    path = file_of(tmp_path, name)
    beside = put_names_beside(path, encoding)

    assert shown(read(path).events) == names
    assert companions(path) == [beside]


def test_a_compressed_file_of_names_is_found(tmp_path: Path) -> None:
    path = file_of(tmp_path, "user_artists.dat")
    plain = put_names_beside(path, "utf-8")
    packed(plain, "gzip").rename(tmp_path / "artists.dat.gz")
    plain.unlink()

    assert shown(read(path).events) == {"51": '"Duran Dürán'}


def test_a_rating_is_the_strength_of_its_row(tmp_path: Path) -> None:
    events = read(file_of(tmp_path, "ratings.dat")).events

    assert triples(events) == [("1", "1193", 5), ("1", "661", 3.5)]
    assert events.times is not None
    assert events.times.tolist() == [978300760, 978302109]


def test_bad_ratings_and_bad_plays_have_different_reasons(tmp_path: Path) -> None:
    path = file_of(tmp_path, "ratings.csv")
    rows = ["1,2,,5", "1,2,nan,5", "1,2,1e999,5", "1,2,0,5", "1,2,-1.5,5", "1,,2,5", "1,2,3,soon"]
    path.write_text(path.read_text() + "\n".join(rows))
    rejects = read(path).rejects

    assert rejects.lines.tolist() == list(range(3, 10))
    assert rejects.reasons.to_pylist() == [
        *["rating not a number"] * 3,
        *["rating zero or negative"] * 2,
        "no item",
        "bad time",
    ]


def test_a_declared_file_without_its_header_loses_no_row(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("2\t51\t13883\n")
    (tmp_path / "b").write_text("1,31,2.5,1260759144\n")

    assert read(tmp_path / "a", format="hetrec").n_rows == 1
    assert read(tmp_path / "b", format="movielens").n_rows == 1


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0" + bytes(range(256)) * 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (PNG, "is not a text table but binary or UTF-16; give"),
        (b"just some words\n", ":1: no known format starts like this: 'just some words'; name"),
        (b"0\t0\t0\n", "name its columns, as in --columns user=0,item=1,plays=2"),
        (b"u\tf\t22\tGermany\tFeb 1, 2007\n", ":1: these are profiles of users, not plays"),
    ],
)
def test_another_kind_of_file_is_refused_with_a_remedy(
    tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "file").write_bytes(data)

    with pytest.raises(InputError) as caught:
        read(tmp_path / "file")

    assert message in str(caught.value)
    assert str(tmp_path / "file") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", ["lastfm-360k", "lastfm-1k", "hetrec", "movielens"])
def test_profiles_given_as_plays_are_refused_when_no_row_fits(
    tmp_path: Path, format: Format
) -> None:
    (tmp_path / "file").write_text("u\tf\t22\tGermany\tFeb 1, 2007\n" * 3)

    with pytest.raises(
        InputError,
        match=f":1: none of the 3 rows read can be used as {format} plays "
        r"\(wrong number of fields: 3\), the first being .*; give the right file",
    ):
        read(tmp_path / "file", format=format)


def test_a_header_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("userID\tartistID\tweight\n")

    with pytest.raises(InputError, match="file has a header but no rows; give a file with rows"):
        read(tmp_path / "file")


def test_a_file_without_usable_rows_is_refused_before_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.sources.stream.BLOCK", 1 << 20)
    (tmp_path / "file").write_text("x\n" * (HOPELESS * 2))

    with pytest.raises(InputError) as caught:
        read(tmp_path / "file", format="lastfm-360k")

    assert "2,000,000" not in str(caught.value)
    assert "wrong number of fields: 1," in str(caught.value)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="--format spotify is unknown; choose one of auto, lastfm-360k"
    ):
        read(file_of(tmp_path, "plays"), format="spotify")  # type: ignore[arg-type]  # a typo


def test_parquet_has_no_companions(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "file")

    assert detect(tmp_path / "file") == "columns"
    assert companions(tmp_path / "file") == []
