import gzip
from pathlib import Path

import pytest

from recsys.errors import InputError
from recsys.sources import read, stream

from .logs import triples

ROW = b"u1\tm1\tname\t5"


def numbered(path: Path) -> list[tuple[int, str]]:
    return [
        (number, text)
        for block in stream.lines(path)
        for number, text in zip(block.numbers.tolist(), block.texts.to_pylist(), strict=True)
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\n\n", ["", ""]),
        (b"a\n\n", ["a", ""]),
        (b"a\rb\n", ["a\rb"]),
        ("é\nß\n".encode(), ["é", "ß"]),
        (b"\xff\nb\n", ["\ufffd", "b"]),
        (b"a\0b\n", ["a\0b"]),
    ],
)
def test_lines_are_whole_and_numbered_from_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, texts: list[str], size: int
) -> None:
    monkeypatch.setattr(stream, "BLOCK", size)
    (tmp_path / "file").write_bytes(data)

    assert numbered(tmp_path / "file") == list(enumerate(texts, start=1))


def test_a_byte_order_mark_is_no_part_of_the_first_user(tmp_path: Path) -> None:
    (tmp_path / "plays").write_bytes(b"\xef\xbb\xbf" + ROW + b"\n")

    assert triples(read(tmp_path / "plays").events) == [("u1", "m1", 5.0)]


def test_a_last_line_without_newline_counts(tmp_path: Path) -> None:
    (tmp_path / "plays").write_bytes(ROW + b"\n" + ROW)

    assert read(tmp_path / "plays").n_rows == 2


def test_a_compressed_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    rows = b"".join(b"u%d\tm%d\tname\t5\n" % (n, n * n) for n in range(2000))
    (tmp_path / "plays.gz").write_bytes(gzip.compress(rows)[:-200])

    with pytest.raises(
        InputError, match=r"plays.gz is damaged or cut short .*; get the file again"
    ):
        read(tmp_path / "plays.gz", format="lastfm-360k")


@pytest.mark.parametrize("data", [b"", gzip.compress(b"", mtime=0), b"\xef\xbb\xbf"])
def test_a_file_with_nothing_in_it_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "plays").write_bytes(data)

    with pytest.raises(InputError, match=r"plays is empty.*; give a file with rows"):
        read(tmp_path / "plays")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not exist; give"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is not a file; give"):
        read(tmp_path)


def test_a_line_without_end_is_no_text_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LONGEST_LINE", 100)
    (tmp_path / "plays").write_bytes(b"x" * 101)

    with pytest.raises(InputError, match="longer than 0 MiB, so it is not a text table; give"):
        read(tmp_path / "plays", format="lastfm-360k")


def test_progress_reports_the_rows_read_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BLOCK", len(ROW) + 1)
    (tmp_path / "plays").write_bytes((ROW + b"\n") * 3)
    reports: list[tuple[str, int, int | None]] = []

    read(tmp_path / "plays", progress=lambda *step: reports.append(step))

    assert reports == [("reading rows", n, None) for n in (1, 2, 3)]
