from pathlib import Path

import pytest

from recsys.errors import InputError
from recsys.sources import Reason, Rejects, read

from .logs import packed, triples

GOOD = b"u1\tm1\tname\t5"
NASTY = [
    (b"u1\tm1\tname", "wrong number of fields"),
    (b"u1\tm1\tname\t5\t", "wrong number of fields"),
    (b"", "wrong number of fields"),
    (b"u1\tm1\tname\t12.5", "plays not a whole number"),
    (b"u1\tm1\tname\tabc", "plays not a whole number"),
    (b"u1\tm1\tname\t", "plays not a whole number"),
    (b"u1\tm1\tname\t1e-3", "plays not a whole number"),
    (b"u1\tm1\tname\t5 5", "plays not a whole number"),
    (b"u1\tm1\tname\t5,5", "plays not a whole number"),
    (b"u1\tm1\tname\t0x10", "plays not a whole number"),
    ("u1\tm1\tname\t٣".encode(), "plays not a whole number"),
    (b"u1\tm1\tname\t9007199254740993", "plays not a whole number"),
    (b"u1\tm1\tname\t99999999999999999999999", "plays not a whole number"),
    (b"u1\tm1\tname\t0", "plays zero or negative"),
    (b"u1\tm1\tname\t-7", "plays zero or negative"),
    (b"u1\tm1\tname\t-99999999999999999999999", "plays zero or negative"),
    (b"\tm1\tname\t5", "no user"),
    (b"u1\t\t\t5", "no item"),
    (b"u1\tm1\tna\xffme\t5", "not UTF-8"),
    (b"u1\tm1\tn\xe9\t0\t0", "not UTF-8"),
    (b"\t\t\tx", "no user"),
]


def nasty_file(folder: Path, end: bytes = b"\n") -> Path:
    """Line 1 is good, and every second one after it."""
    path = folder / "nasty.tsv"
    path.write_bytes(end.join([GOOD, *(piece for bad, _ in NASTY for piece in (bad, GOOD))]))
    return path


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_every_bad_row_is_rejected_with_its_line_reason_and_text(
    tmp_path: Path, end: bytes
) -> None:
    reading = read(nasty_file(tmp_path, end))

    assert reading.rejects.lines.tolist() == list(range(2, 2 * len(NASTY) + 2, 2))
    assert reading.rejects.reasons.to_pylist() == [reason for _, reason in NASTY]
    assert reading.rejects.texts.to_pylist() == [bad.decode(errors="replace") for bad, _ in NASTY]
    assert triples(reading.events) == [("u1", "m1", 5.0)] * (len(NASTY) + 1)
    assert reading.n_rows == 2 * len(NASTY) + 1


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_line_numbers_are_the_same_in_a_compressed_file(tmp_path: Path, codec: str) -> None:
    path = nasty_file(tmp_path)

    assert read(packed(path, codec)).rejects.table().equals(read(path).rejects.table())


@pytest.mark.parametrize(("bad", "reason"), NASTY)
def test_strict_stops_at_the_first_bad_row_and_shows_it(
    tmp_path: Path, bad: bytes, reason: str
) -> None:
    path = tmp_path / "plays.tsv"
    path.write_bytes(b"\n".join([GOOD, GOOD, bad, GOOD, b"\tx\ty\t0"]))

    with pytest.raises(InputError) as caught:
        read(path, strict=True)

    text = repr(bad.decode(errors="replace"))
    assert str(caught.value).startswith(f"{path}:3: {reason}: {text}; ")


def test_counts_are_by_reason_and_sorted(tmp_path: Path) -> None:
    counts = read(nasty_file(tmp_path)).rejects.counts

    assert list(counts) == sorted(counts)
    assert counts == {reason: [r for _, r in NASTY].count(reason) for _, reason in NASTY}


def test_the_written_table_restores_the_rejected_lines(tmp_path: Path) -> None:
    rejects = read(nasty_file(tmp_path)).rejects
    rejects.write(tmp_path / "rejects.tsv")

    header, *rows = (tmp_path / "rejects.tsv").read_text(encoding="utf-8").split("\n")[:-1]

    assert header == "line\treason\ttext"
    assert [row.split("\t", 2) for row in rows] == [
        [str(line), reason, text]
        for line, reason, text in zip(
            rejects.lines.tolist(),
            rejects.reasons.to_pylist(),
            rejects.texts.to_pylist(),
            strict=True,
        )
    ]


def test_a_file_without_bad_rows_has_empty_rejects(tmp_path: Path) -> None:
    path = tmp_path / "plays.tsv"
    path.write_bytes(GOOD)
    rejects = read(path, strict=True).rejects

    assert len(rejects) == 0
    assert rejects.counts == {}
    assert rejects.table().num_rows == 0


def test_joined_rejects_have_the_order_of_the_file(tmp_path: Path) -> None:
    rejects = read(nasty_file(tmp_path)).rejects
    late, early = (
        Rejects(rejects.lines[part], rejects.reasons[part], rejects.texts[part])
        for part in (slice(5, None), slice(0, 5))
    )

    assert Rejects.join([late, early]).table().equals(rejects.table())


def test_every_reason_but_none_has_words() -> None:
    from recsys.sources import rejects

    assert len(rejects._TEXTS) == len(Reason)
    assert len(set(rejects._TEXTS.to_pylist())) == len(Reason)
