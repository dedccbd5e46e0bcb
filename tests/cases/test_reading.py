"""Files as other programs write them, through `recsys inspect`: right counts, or one sentence.

Each case makes its small input, and says the exit code, the counts, and words of what is shown.
"""

import bz2
import csv
import datetime
import gzip
import io
import json
import lzma
import uuid
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli.main import main
from recsys import plots

USERS, ITEMS = 12, 5
COLUMNS = "user=user,item=item,plays=plays"
TIMED = COLUMNS + ",time=time"
START = 1_549_024_440  # 2019-02-01 12:34:00 UTC

Row = tuple[Any, ...]
Make = Callable[[Path], Path]


def rows(*, plays: Callable[[int], Any] = lambda n: n) -> list[Row]:
    """(user, item, plays) of every user and item, plays being made of 1 to 60."""
    return [
        (f"u{user:03}", f"a{item:03}", plays(1 + user * ITEMS + item))
        for user in range(USERS)
        for item in range(ITEMS)
    ]


TOTAL = sum(plays for _, _, plays in rows())
ALL = {"rows_read": 60, "rows": 60, "users": USERS, "items": ITEMS, "total_plays": TOTAL}


def table(
    lines: Iterable[Row],
    *,
    sep: str = ",",
    header: Row | None = ("user", "item", "plays"),
    quoting: Any = csv.QUOTE_MINIMAL,
    end: str = "\n",
) -> str:
    """A text table as the csv module writes it."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=sep, quoting=quoting, lineterminator=end)
    writer.writerows([header] if header else [])
    writer.writerows(lines)
    return out.getvalue()


def text(content: str | bytes, name: str = "log.csv", encoding: str = "utf-8") -> Make:
    """A file with this content."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return make


def parquet(**columns: Any) -> Make:
    def make(folder: Path) -> Path:
        pq.write_table(pa.table(columns), folder / "log.parquet")
        return folder / "log.parquet"

    return make


def columns_of(lines: list[Row]) -> dict[str, list[Any]]:
    return dict(zip(("user", "item", "plays"), map(list, zip(*lines, strict=True)), strict=True))


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, PLAIN)
    return out.getvalue()


def timed(written: Callable[[int], Any]) -> str:
    """A log whose times are an hour apart, each made of its seconds."""
    lines = [(*row, written(START + 3600 * at)) for at, row in enumerate(rows())]
    return table(lines, header=("user", "item", "plays", "time"))


def moment(seconds: int, form: str) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime(form)


@dataclass(frozen=True)
class Case:
    """An input, the options, and what comes of them."""

    make: Make
    options: tuple[str, ...] = ("--columns", COLUMNS)
    code: int = 0
    counts: Mapping[str, Any] = field(default_factory=lambda: ALL)
    words: tuple[str, ...] = ()


def refused(make: Make, *words: str, options: tuple[str, ...] = ("--columns", COLUMNS)) -> Case:
    return Case(make, options, code=2, words=words)


def with_time(make: Make, *words: str, first: int | None = START) -> Case:
    counts = ALL if first is None else {**ALL, "first": first}
    return Case(make, ("--columns", TIMED), counts=counts, words=words)


PLAIN = table(rows())
TABS = table(rows(), sep="\t")
HASHES = [f"{n:040x}" for n in range(USERS)]
MBID = "b10bbbfc-cf9e-42e0-be17-e2c3e1d2600{}"
HIGH = [(user, item, f"{n * 100:,}") for user, item, n in rows()]
ROW = '{{"user": "{}", "item": "{}", "plays": {}}}'
LINES = "".join(ROW.format(*row) + "\n" for row in rows())
UUIDS = [uuid.UUID(int=2**127 + user).bytes for user in range(USERS) for _ in range(ITEMS)]

NUMBERS = {
    "28.0": Case(text(table(rows(plays=lambda n: f"{n}.0")))),
    "28.": Case(text(table(rows(plays=lambda n: f"{n}.")))),
    "1e3": Case(text(table(rows(plays=lambda n: f"{n}e3"))), counts={"total_plays": TOTAL * 1000}),
    "1.2e+01": Case(text(table(rows(plays=lambda n: f"{n:.1e}")))),
    "28.5 is no count": refused(
        text(table(rows(plays=lambda n: n + 0.5))), "plays not a whole number: 60"
    ),
    "1 204": Case(
        text(table((u, i, p.replace(",", " ")) for u, i, p in HIGH)),
        counts={"total_plays": TOTAL * 100},
    ),
    "1'204 in a TSV": Case(
        text(table(((u, i, p.replace(",", "'")) for u, i, p in HIGH), sep="\t")),
        counts={"total_plays": TOTAL * 100},
    ),
    "narrow blanks": Case(
        text(table((u, i, p.replace(",", "\u202f")) for u, i, p in HIGH)),
        counts={"total_plays": TOTAL * 100},
    ),
    "12,34,000": Case(
        text(table(rows(plays=lambda n: f"{n},00,000"))), counts={"total_plays": TOTAL * 100_000}
    ),
    "1.204 is advised": refused(
        text(table(((u, i, p.replace(",", ".")) for u, i, p in HIGH), sep=";")),
        "may be thousands with a dot or fractions; pass --decimal , or --decimal .",
    ),
    "1.000 alone is advised": refused(
        text(table(rows(plays=lambda n: f"{n}.000"))), "may be thousands with a dot or fractions"
    ),
    "1.000 with --decimal .": Case(
        text(table(rows(plays=lambda n: f"{n}.000"))), ("--columns", COLUMNS, "--decimal", ".")
    ),
    "1.204 with --decimal": Case(
        text(table(((u, i, p.replace(",", ".")) for u, i, p in HIGH), sep=";")),
        ("--columns", COLUMNS, "--decimal", ","),
        counts={**ALL, "total_plays": TOTAL * 100},
    ),
    "28,0 is advised": refused(
        text(table(rows(plays=lambda n: f"{n},0"), sep=";")),
        "have a decimal comma; pass --decimal ,",
    ),
    "28,0 with --decimal": Case(
        text(table(rows(plays=lambda n: f"{n},0"), sep=";")),
        ("--columns", COLUMNS, "--decimal", ","),
    ),
    "28.5 with --decimal ,": refused(
        text(table(rows(plays=lambda n: f"{n}.5"), sep=";")),
        "pass --decimal .",
        options=("--columns", COLUMNS, "--decimal", ","),
    ),
    "unquoted 1,204": refused(
        text("user,item,plays\n" + "".join(f"{u},{i},{p}\n" for u, i, p in HIGH if "," in p)),
        "wrong number of fields",
    ),
    "blanks around numbers": Case(text(table(rows(plays=lambda n: f" {n} ")))),
}
IDS = {
    "floats in Parquet": Case(
        parquet(
            user=[float(10**10 + user) for user in range(USERS) for _ in range(ITEMS)],
            item=[1.0, 2.0, 3.0, 4.0, 5.0] * USERS,
            plays=list(range(1, 61)),
        )
    ),
    "floats too large": refused(
        parquet(user=[1e17, 2e17], item=["a", "b"], plays=[1, 1]), "last digits are lost"
    ),
    "decimals in Parquet": Case(
        parquet(
            user=pa.array([Decimal(n % USERS) for n in range(60)], pa.decimal128(38, 0)),
            item=pa.array([Decimal(n % ITEMS) for n in range(60)], pa.decimal128(9, 2)),
            plays=pa.array([Decimal(n) for n in range(1, 61)], pa.decimal128(38, 0)),
        )
    ),
    "UUIDs in Parquet": Case(
        parquet(
            user=pa.array(UUIDS, pa.binary(16)),
            item=[i for _, i, _ in rows()],
            plays=list(range(1, 61)),
        )
    ),
    "text as binary in Parquet": Case(
        parquet(
            **{
                name: pa.array([str(each).encode() for each in values], pa.binary())
                for name, values in columns_of(rows()).items()
            }
        )
    ),
    "floats in a CSV": Case(
        text(
            table(
                [(f"1234567{u[1:]}.0", f"{int(i[1:])}.0", p) for u, i, p in rows()]
                + [("nan", "1.0", 1)]
            )
        ),
        counts={**ALL, "rows_read": 61, "rejected": {"no user": 1}},
        words=("ids of item and user are whole numbers written as 12.0",),
    ),
    "powers of R in a CSV": Case(
        text("user,item,plays\n99999,1,1\n1e+05,1,2\n100000,2,3\n"),
        counts={"users": 2, "rows": 3},
    ),
    "blanks and quotes": Case(
        text(table(rows(), quoting=csv.QUOTE_ALL, sep=";").replace(";", " ; "))
    ),
    "blanks around tabs": Case(text(TABS.replace("\t", " \t  "))),
}
FILES = {
    "quoted TSV, pandas": Case(text(table(((f'the "{u}"', i, p) for u, i, p in rows()), sep="\t"))),
    "bare quotes in a TSV": Case(text(TABS.replace("u00", '"u00').replace("a003", 'a"003"'))),
    "row names of R": Case(
        text(
            '"user" "item" "plays"\n'
            + "".join(f'"{n}" "{u}" "{i}" {p}\n' for n, (u, i, p) in enumerate(rows(), 1))
        ),
        words=("the first holds row names",),
    ),
    "bars": Case(text(table(rows(), sep="|"))),
    "line breaks in quotes": Case(
        text(table((f"{u}\nb", f'{i}\r\n"x"', p) for u, i, p in rows())), counts=ALL
    ),
    "line breaks in a quoted TSV": Case(
        text(table(((u, f'{i}\n"x"', p) for u, i, p in rows()), sep="\t"))
    ),
    "backslashes before quotes": Case(
        text(
            "user,item,plays\n" + "".join(f'{u},"5\\" of {i}, \\"B\\"",{p}\n' for u, i, p in rows())
        )
    ),
    "a quote that stays open": Case(
        text(PLAIN + 'u900,"a,1\n' + "u000,a000,1\n"),
        counts={"rows_read": 62, "rows": 61, "rejected": {"wrong number of fields": 1}},
    ),
    "JSON lines, keys": refused(
        text(LINES, "log.jsonl"), "JSON lines with the keys user, item, plays", options=()
    ),
    "JSON within JSON": Case(
        text("".join(json.dumps({"user": u, "a": {"b": i}, "n": p}) + "\n" for u, i, p in rows())),
        ("--columns", "user=user,item=a.b,plays=n"),
    ),
    "JSON with a broken line": Case(
        text(LINES + '{"user":\n' + ROW.format("u000", "a000", "[1]") + "\n"),
        counts={"rows": 60, "rows_read": 62},
    ),
    "JSON array": refused(
        text("[" + ",\n".join(LINES.splitlines()) + "]"), "is a JSON array", "one object a line"
    ),
    "JSON arrays in lines": refused(
        text("".join(json.dumps(row) + "\n" for row in rows())),
        "is a JSON array",
        options=("--columns", "user=0,item=1,plays=2"),
    ),
    "JSON of columns": refused(
        text(json.dumps({"user": {"0": "u"}, "item": {"0": "a"}})), "is one JSON object"
    ),
    "a hint for Excel": refused(text("sep=;\n" + table(rows(), sep=";")), "a hint for Excel"),
    "zip of macOS": Case(text(zipped("log.csv", "__MACOSX/._log.csv"), "log.zip")),
    "zip of two": refused(
        text(zipped("a.csv", "b.csv"), "log.zip"), "zip archive of 2 files (a.csv, b.csv)", "unpack"
    ),
    "workbook": refused(
        text(zipped("[Content_Types].xml", "xl/workbook.xml"), "log.xlsx"),
        "Excel",
        "save the sheet as CSV",
    ),
    "xz": Case(text(lzma.compress(PLAIN.encode()), "log.csv.xz")),
    "bz2": Case(text(bz2.compress(PLAIN.encode()), "log.csv.bz2")),
    "gzip": Case(text(gzip.compress(PLAIN.encode()), "log.csv.gz")),
    "xz cut short": refused(
        text(lzma.compress(PLAIN.encode())[:-20], "log.csv.xz"), "damaged or cut short"
    ),
    "UTF-16": Case(text(PLAIN, encoding="utf-16")),
    "UTF-16 without a mark": Case(text(PLAIN, encoding="utf-16-be")),
    "UTF-16 TSV of Excel": Case(
        text(
            table(((u, f"é{i}", p) for u, i, p in rows()), sep="\t", end="\r\n"), encoding="utf-16"
        )
    ),
    "ends of lines of old Macs": Case(text(table(rows(), end="\r"))),
    "Latin-1": Case(
        text(table((u, f"Motörhead {i}", p) for u, i, p in rows()), encoding="latin-1"),
        words=("read as Latin-1",),
    ),
    "360K in Latin-1": Case(
        text(
            table(((u, "", f"Motörhead {i}", p) for u, i, p in rows()), sep="\t", header=None),
            encoding="latin-1",
        ),
        (),
        words=("read as Latin-1",),
    ),
    "Cyrillic is not Latin-1": refused(
        text(table((u, f"Кино {i}", p) for u, i, p in rows()), encoding="cp1251"),
        "not UTF-8: 60",
        "convert it",
    ),
    "SQLite": refused(text(b"SQLite format 3\0" + b"\0" * 99), "an SQLite database", "--database"),
    "web page": refused(text("<!DOCTYPE html>\n<html>\n"), "a web page"),
    "tar": refused(text(b"log.csv".ljust(257, b"\0") + b"ustar  \0" * 9), "a tar archive"),
    "folder": refused(lambda folder: folder, "is not a file", "recsys retrain"),
    "empty": refused(text(""), "is empty"),
}
TIMES = {
    "seconds": with_time(text(timed(str))),
    "microseconds": with_time(text(timed(lambda s: s * 10**6)), "microseconds"),
    "seconds and milliseconds": with_time(text(timed(lambda s: s * 1000 if s % 7 else s))),
    "years": with_time(text(timed(lambda s: 2019)), "which look like years", first=2019),
    "days of a spreadsheet": with_time(
        text(timed(lambda s: s / 86_400 + 25_569)), "the days of a spreadsheet", first=None
    ),
    "nanoseconds": with_time(text(timed(lambda s: s * 10**9)), "nanoseconds"),
    "seconds as floats": with_time(text(timed(lambda s: f"{s}.25"))),
    "milliseconds in Parquet": with_time(
        parquet(**columns_of(rows()), time=[(START + n) * 1000 for n in range(60)]), "milliseconds"
    ),
    "eight digits": with_time(
        text(timed(lambda s: moment(s, "%Y%m%d"))), "YYYYMMDD", first=1_548_979_200
    ),
    "eight digits in Parquet": with_time(
        parquet(**columns_of(rows()), time=[20190201] * 60), "YYYYMMDD", first=1_548_979_200
    ),
    "fourteen digits": with_time(text(timed(lambda s: moment(s, "%Y%m%d%H%M%S"))), "YYYYMMDDhhmm"),
    "... UTC": with_time(text(timed(lambda s: moment(s, "%Y-%m-%d %H:%M:%S UTC")))),
    "... +0000": with_time(text(timed(lambda s: moment(s, "%Y-%m-%d %H:%M:%S.000 +0000")))),
    "Last.fm export without a comma": with_time(text(timed(lambda s: moment(s, "%d %b %Y %H:%M")))),
    "mail": with_time(text(timed(lambda s: moment(s, "%a, %d %b %Y %H:%M:%S +0000")))),
    "Twitter": with_time(text(timed(lambda s: moment(s, "%a %b %d %H:%M:%S +0000 %Y")))),
    "slashes, year first": with_time(text(timed(lambda s: moment(s, "%Y/%m/%d %H:%M")))),
    "dots": with_time(text(timed(lambda s: moment(s, "%d.%m.%Y %H:%M")))),
    "ctime": with_time(text(timed(lambda s: moment(s, "%a %b %d %H:%M:%S %Y")))),
    "half days": with_time(text(timed(lambda s: moment(s, "%b %d, %Y, %I:%M %p")))),
    "days beyond 12 show the order": with_time(
        text(timed(lambda s: moment(s + 20 * 86_400, "%d/%m/%Y %H:%M"))),
        "day, month, year",
        first=START + 20 * 86_400,
    ),
    "day or month first": refused(
        text(timed(lambda s: moment(s, "%d/%m/%Y"))),
        "may begin with the day or with the month",
        options=("--columns", TIMED),
    ),
    "words": refused(
        text(timed(lambda s: "yesterday")),
        "times like 'yesterday' are not understood",
        options=("--columns", TIMED),
    ),
    "before 1995": with_time(
        text(timed(lambda s: s - 10**9)), "most times lie before 1995", first=START - 10**9
    ),
    "after tomorrow": with_time(
        text(timed(lambda s: s + 10**10)), "after tomorrow", first=START + 10**10
    ),
}
DETECTION = {
    "360K": Case(
        text(
            table(
                ((HASHES[int(u[1:])], MBID.format(i[-1]), i, p) for u, i, p in rows()),
                sep="\t",
                header=None,
            ),
            "plays.tsv",
        ),
        (),
        words=("1 user, 2 item, 3 name, 4 plays",),
    ),
    "360K in quotes": Case(
        text(
            table(
                ((HASHES[int(u[1:])], MBID.format(i[-1]), f'the "{i}"', p) for u, i, p in rows()),
                sep="\t",
                header=None,
                quoting=csv.QUOTE_NONNUMERIC,
            )
        ),
        (),
    ),
    "a rank is no id": refused(
        text(table(((u, p, i, p) for u, i, p in rows()), sep="\t", header=None)),
        "field 2 holds numbers, no MusicBrainz ids",
        options=(),
    ),
    "artist and track are no id and name": refused(
        text(table(((u, f"The {i}", f"Song {p}", p) for u, i, p in rows()), sep="\t", header=None)),
        "field 2 holds names",
        options=(),
    ),
    "times are no plays": refused(
        text(table(((u, i, f"name {i}", START + p) for u, i, p in rows()), sep="\t", header=None)),
        "field 4 holds seconds since 1970, not plays",
        options=(),
    ),
    "ids that are no MBIDs are said": Case(
        text(table(((u, i, f"name {i}", p) for u, i, p in rows()), sep="\t", header=None)),
        (),
        words=("no MusicBrainz id",),
    ),
    "counts are no ratings": refused(
        text(table(((1, 2, 300 + p, START) for u, i, p in rows()), sep="\t", header=None)),
        "it is no rating",
        options=(),
    ),
    "a header is advised": refused(
        text(table(rows(), header=("userId", "artist_name", "playcount"))),
        "--columns user=userId,item=artist_name,plays=playcount",
        options=(),
    ),
    "another header by position": Case(
        text(table(rows(), header=("User ID", "Artist", "Play Count"), sep=";")),
        ("--columns", "user=0,item=1,plays=2"),
        words=("line 1 is a header",),
    ),
    "unknown titles over numbers": Case(
        text(table(((u[1:], i[1:], p) for u, i, p in rows()), header=("Käufer", "Ware", "Anzahl"))),
        ("--columns", "user=0,item=1,plays=2"),
        words=("line 1 is a header",),
    ),
    "a header among the rows": Case(
        text(PLAIN + PLAIN),
        counts={
            **ALL,
            "rows_read": 121,
            "rows": 120,
            "total_plays": 2 * TOTAL,
            "rejected": {"header among the rows": 1},
        },
    ),
    "no header": refused(text(table(rows(), header=None)), "give positions from 0"),
}
CASES = {**NUMBERS, **IDS, **FILES, **TIMES, **DETECTION}


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "save", lambda *_: None)


def inspected(
    folder: Path, capsys: pytest.CaptureFixture[str], path: Path, *options: str
) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON and what went to stderr."""
    place = ["--workspace", str(folder.parent / f"{folder.name}-ws")]
    try:
        code = main(["inspect", str(path), *options, "--json", *place])
    except SystemExit as error:
        code = error.code
    shown = capsys.readouterr()
    return int(code or 0), json.loads(shown.out) if shown.out else {}, shown.err


@pytest.mark.parametrize("name", CASES)
def test_what_other_programs_write_is_read_or_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    case = CASES[name]

    code, found, errors = inspected(tmp_path, capsys, case.make(tmp_path), *case.options)

    assert code == case.code, errors
    if not code:
        assert {key: found[key] for key in case.counts} == dict(case.counts)
    said = " ".join([errors, found.get("columns", ""), *found.get("notes", ())])
    assert [word for word in case.words if word not in said] == [], said
    assert "Traceback" not in errors


PROFILE_ROWS = [
    (u, "f" if n % 2 else "m", 20 + n, "Peru")
    for n, u in enumerate(dict.fromkeys(u for u, _, _ in rows()))
]
PROFILES = {
    "CSV with its names": (
        text(table(PROFILE_ROWS, header=("user", "gender", "age", "country")), "p.csv"),
        None,
        0,
    ),
    "CSV with other names": (
        text(table(PROFILE_ROWS, header=("uid", "mw", "years", "land"), sep=";"), "p.csv"),
        "user=uid,gender=mw,age=years,country=land",
        0,
    ),
    "no header": (
        text(table(PROFILE_ROWS, header=None), "p.csv"),
        "user=0,gender=1,age=2,country=3",
        0,
    ),
    "rejected rows": (
        text(
            table(
                [*PROFILE_ROWS, PROFILE_ROWS[0], ("", "m", 2, "x")],
                header=("user", "gender", "age", "country"),
            ),
            "p.csv",
        ),
        None,
        2,
    ),
    "JSON lines": (
        text(
            "".join(
                json.dumps(dict(zip(("user", "gender", "age", "country"), row, strict=True))) + "\n"
                for row in PROFILE_ROWS
            ),
            "p.jsonl",
        ),
        None,
        0,
    ),
    "gzip TSV": (
        text(
            gzip.compress(
                table(PROFILE_ROWS, header=("user", "gender", "age", "country"), sep="\t").encode()
            ),
            "p.tsv.gz",
        ),
        None,
        0,
    ),
}


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_come_from_any_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    make, columns, rejected = PROFILES[name]
    option = ("--profile-columns", columns) if columns else ()
    log = text(PLAIN)(tmp_path)
    known = make(tmp_path)

    code, found, errors = inspected(
        tmp_path, capsys, log, "--columns", COLUMNS, "--profiles", str(known), *option
    )

    assert code == 0, errors
    assert found["missing"] == {"gender": 0, "age": 0, "country": 0, "signup": USERS}
    assert found["made_missing"]["signup"] == {"no column": USERS}
    assert sum(found["profile_rejected"].values()) == rejected
    assert found["profile_rows"] == USERS + rejected


def test_profiles_come_from_parquet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users, genders, ages, countries = map(list, zip(*PROFILE_ROWS, strict=True))
    day = [datetime.date(2007, 2, 1)] * USERS
    pq.write_table(
        pa.table({"user": users, "sex": genders, "age": ages, "land": countries, "day": day}),
        tmp_path / "p.parquet",
    )
    log = text(PLAIN)(tmp_path)

    code, found, errors = inspected(
        tmp_path,
        capsys,
        log,
        "--columns",
        COLUMNS,
        "--profiles",
        str(tmp_path / "p.parquet"),
        "--profile-columns",
        "user=user,gender=sex,age=age,country=land,signup=day",
    )

    assert code == 0, errors
    assert found["missing"] == {"gender": 0, "age": 0, "country": 0, "signup": 0}


def test_profiles_of_another_form_say_which_form_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = text(PLAIN)(tmp_path)
    known = text("u1;m;25\nu2;f;30\n", "p.csv")(tmp_path)

    code, _, errors = inspected(
        tmp_path, capsys, log, "--columns", COLUMNS, "--profiles", str(known)
    )

    assert code == 2
    assert "tab-separated: user, gender, age, country, signup" in errors
    assert "--profile-columns" in errors
