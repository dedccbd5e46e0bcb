"""The table of cases: troubles that people reported, with an input, commands and what is right.

An input is small, made here, and of the form in which people had it. The commands are as a user
types them in the folder of the input; $C, $TIMED and $FAST are options that many have in common.
"""

import csv
import io
import json
import os
import sqlite3
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SHORT = {
    "$TIMED": "--columns user=user,item=item,plays=plays,time=time",
    "$C": "--columns user=user,item=item,plays=plays",
    "$FAST": "--trials 2 --set search.factors=4 --set search.iterations=2 --set study.pruner=none "
    "--set study.first=[] --set judge.resamples=50",
}

Row = tuple[Any, ...]
Make = Callable[[Path], None]

USERS, ITEMS, EACH = 30, 20, 8
HEARD: list[Row] = [
    (f"u{user:03}", f"a{(3 * user + 7 * n) % ITEMS:03}", 1 + (7 * user + 11 * n) % 50)
    for user in range(USERS)
    for n in range(EACH)
]
N = len(HEARD)
PLAYS = sum(plays for _, _, plays in HEARD)
START = 1_549_024_440  # 2019-02-01 12:34:00 UTC
TITLES = ("user", "item", "plays")


@dataclass(frozen=True)
class Step:
    """A command and what is right.

    Attributes:
        line: What the user types.
        code: The exit code.
        words: What stdout and stderr say.
        figures: Lines of `recsys inspect` by their labels; None for one that is not there.
    """

    line: str
    code: int = 0
    words: tuple[str, ...] = ()
    figures: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        number: Of the case.
        name: Of the case.
        make: Puts the input into a folder.
        steps: The commands, in their order.
        left: What is in the folder afterwards beside the input.
    """

    number: str
    name: str
    make: Make
    steps: tuple[Step, ...]
    left: tuple[str, ...] | None = None


def table(rows: Iterable[Row], titles: Row | None = TITLES, **form: Any) -> str:
    """A text table as the csv module writes it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", **form)
    writer.writerows(([titles] if titles else []) + list(rows))
    return out.getvalue()


def file(name: str, content: str | bytes) -> Make:
    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def files(*made: Make) -> Make:
    def make(folder: Path) -> None:
        for each in made:
            each(folder)

    return make


def parquet(name: str, *columns: Any) -> Make:
    def make(folder: Path) -> None:
        pq.write_table(pa.table(dict(zip(TITLES, columns, strict=True))), folder / name)

    return make


def events(folder: Path) -> None:
    """A database with an event per row, each pair twice or more."""
    with closing(sqlite3.connect(folder / "events.db")) as database, database:
        database.execute("create table heard (user text, artist text)")
        rows = [(user, item) for user, item, plays in HEARD for _ in range(2 + plays % 5)]
        database.executemany("insert into heard values (?, ?)", rows)


def archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "plays.zip", "w") as packed:
        packed.writestr("plays.csv", table(HEARD))


def timed(written: Callable[[datetime], Any]) -> str:
    """The log with times an hour apart."""
    moments = [datetime.fromtimestamp(START + 3600 * at, UTC) for at in range(N)]
    rows = [(*row, written(moment)) for row, moment in zip(HEARD, moments, strict=True)]
    return table(rows, (*TITLES, "time"))


def named(name: Callable[[str], str]) -> str:
    return table((user, name(item), plays) for user, item, plays in HEARD)


def inspected(
    line: str, *words: str, rows: int = N, plays: int = PLAYS, **figures: str | None
) -> tuple[Step, ...]:
    """`recsys inspect` of the whole log: all rows are used, each user, item and play is there."""
    right: dict[str, str | None] = {
        "rows read": f"{rows:,}",
        "rows used": f"{rows:,}",
        "rows rejected": "none",
        "users": str(USERS),
        "items": str(ITEMS),
        "plays in all": f"{plays:,}",
    }
    return (Step(line, 0, words, right | figures),)


BASE = file("base.csv", table(HEARD))
READ = f"{N} pairs of {N} rows"
BANDS = "".join(f"{n}\tMotörhead {n}\thttp://x/{n}\thttp://y/{n}\n" for n in range(ITEMS))
ACCENTED = named(lambda item: f"Björk {item}")
HYPHEN = table([*HEARD, *(("-Xabc", item, plays) for _, item, plays in HEARD[:EACH])])
ONE_LINE = "recsys: "  # begins the one line on stderr that explains

READING = [
    Case(
        "12",
        "text-ids-rating-timestamp",
        file(
            "rated.tsv",
            table(((u, i, 1 + p % 5, START + p) for u, i, p in HEARD), None, delimiter="\t"),
        ),
        (
            Step(
                "recsys inspect rated.tsv",
                2,
                (
                    "field 3 holds numbers, not the names of artists",
                    "name its columns",
                    "--columns",
                ),
            ),
        ),
    ),
    Case(
        "20",
        "header-is-a-listener",
        file("header.csv", table((row[:2] for row in HEARD), TITLES[:2])),
        inspected(
            "recsys inspect header.csv --columns user=0,item=1", "line 1 is a header", plays=N
        ),
    ),
    Case(
        "23",
        "thousands-separators",
        file("thousands.csv", table((u, i, f"{100 * p:,}") for u, i, p in HEARD)),
        inspected("recsys inspect thousands.csv $C", plays=100 * PLAYS),
    ),
    Case(
        "39",
        "r-write-table",
        file("r.tsv", table(HEARD, delimiter="\t", quoting=csv.QUOTE_NONNUMERIC)),
        inspected("recsys inspect r.tsv $C"),
    ),
    Case(
        "41",
        "json-lines",
        file(
            "l.jsonl",
            "".join(json.dumps(dict(zip(TITLES, row, strict=True))) + "\n" for row in HEARD),
        ),
        inspected("recsys inspect l.jsonl $C"),
    ),
    Case("42", "zip-with-columns", archive, inspected("recsys inspect plays.zip $C")),
    Case(
        "44",
        "space-after-comma",
        file("spaces.csv", table(HEARD).replace(",", ", ")),
        inspected("recsys inspect spaces.csv $C"),
    ),
    Case(
        "49",
        "decimal-ids",
        parquet(
            "snowflake.parquet",
            pa.array([Decimal(user[1:]) for user, _, _ in HEARD], pa.decimal128(38, 0)),
            [item for _, item, _ in HEARD],
            [plays for _, _, plays in HEARD],
        ),
        inspected("recsys inspect snowflake.parquet $C"),
    ),
    Case(
        "51",
        "milliseconds",
        file("ms.csv", timed(lambda moment: int(moment.timestamp() * 1000))),
        inspected(
            "recsys inspect ms.csv $TIMED",
            "times are read as milliseconds since 1970",
            times="2019-02-01 12:34:00 to 2019-02-11 11:34:00 UTC",
        ),
    ),
    Case(
        "53",
        "lastfm-export-dates",
        file("dates.csv", timed(lambda moment: f"{moment:%d %b %Y, %H:%M}")),
        inspected(
            "recsys inspect dates.csv $TIMED",
            times="2019-02-01 12:34:00 to 2019-02-11 11:34:00 UTC",
        ),
    ),
    Case(
        "57",
        "profiles-as-csv",
        files(
            BASE,
            file("p2.csv", 'user,gender,age,country,signup\nu001,m,25,Germany,"Feb 1, 2007"\n'),
        ),
        inspected(
            "recsys inspect base.csv $C --profiles p2.csv",
            **{
                "users without": "gender 29, age 29, country 29, signup 29",
                "profile rows read": "1",
                "profile rows rejected": "none",
            },
        ),
    ),
    Case(
        "10",
        "question-mark-in-workspace",
        BASE,
        (
            Step(
                "recsys experiment --workspace 'what?now' --plays base.csv $C $FAST",
                2,
                (ONE_LINE, "cannot hold a ?; pass --workspace with another name"),
            ),
        ),
        left=(),
    ),
]

RUNNING = [
    Case(
        "01",
        "copy-then-delete-destroys-original",
        BASE,
        (
            Step("recsys experiment --workspace A --plays base.csv $C $FAST --study s1"),
            Step("cp -a A B"),
            Step("find A/artifacts -type f | sort | xargs cksum > before"),
            Step("recsys study delete --workspace B s1", words=("study s1 is deleted",)),
            Step("find A/artifacts -type f | sort | xargs cksum | diff before -"),
            Step("recsys study resume --workspace A s1 --trials 3", words=("trial 3/3", READ)),
        ),
    ),
    Case(
        "02",
        "moved-workspace-cannot-go-on",
        BASE,
        (
            Step("recsys experiment --workspace A --plays base.csv $C $FAST --study s1"),
            Step("mv A C2"),
            Step(
                "recsys study resume --workspace C2 s1 --trials 3",
                words=("copied or moved from", "trial 3/3", READ),
            ),
        ),
        left=("C2",),
    ),
    Case(
        "05",
        "proxy-variables",
        BASE,
        (
            Step(
                "http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 "
                "recsys experiment --workspace ws --plays base.csv $C $FAST",
                words=(READ,),
            ),
        ),
    ),
    Case(
        "07",
        "tasks-py-in-the-folder",
        files(
            BASE,
            *(
                file(name, "raise SystemExit('not this one')\n")
                for name in ("tasks.py", "flows.py", "prefect.py", "sitecustomize.py")
            ),
        ),
        (Step("recsys experiment --workspace ws --plays base.csv $C $FAST", words=(READ,)),),
    ),
    Case(
        "15",
        "sql-count-is-ignored",
        events,
        (
            Step(
                "recsys retrain --workspace ws --database sqlite:///events.db "
                "--query 'select user, artist, count(*) from heard group by user, artist' "
                "$FAST --json",
                words=('"verdict": "promoted"', f'"rows": {N}'),
            ),
            Step(
                "recsys inspect ws/incoming/query-*.parquet $C",
                figures={"plays in all": f"{sum(2 + p % 5 for _, _, p in HEARD):,}"},
            ),
        ),
    ),
    Case(
        "18",
        "compact-dates-are-1970",
        file("dates.csv", timed(lambda moment: f"{moment:%Y%m%d}")),
        (
            Step(
                "recsys experiment --workspace ws --plays dates.csv $TIMED $FAST "
                "--set split.kind=time",
                words=("times are read as dates of eight digits (YYYYMMDD)", READ),
            ),
            *inspected(
                "recsys inspect dates.csv $TIMED",
                times="2019-02-01 00:00:00 to 2019-02-11 00:00:00 UTC",
            ),
        ),
    ),
    Case(
        "22",
        "plays-as-3.0",
        file("float.csv", table((u, i, float(p)) for u, i, p in HEARD)),
        (
            Step("recsys experiment --workspace ws --plays float.csv $C $FAST", words=(READ,)),
            *inspected("recsys inspect float.csv $C"),
        ),
    ),
    Case(
        "25",
        "float-ids-in-parquet",
        parquet(
            "float.parquet",
            [12_345_678_900.0 + int(user[1:]) for user, _, _ in HEARD],
            [100_000_000_000.0 + int(item[1:]) for _, item, _ in HEARD],
            [plays for _, _, plays in HEARD],
        ),
        (
            Step("recsys experiment --workspace ws --plays float.parquet $C $FAST"),
            Step(
                "recsys recommend --workspace ws --user 12345678901", words=("1000000000", "score")
            ),
        ),
    ),
    Case(
        "28",
        "nfd-name",
        file("names.csv", ACCENTED),
        (
            Step("recsys experiment --workspace ws --plays names.csv $C $FAST"),
            Step(
                """recsys similar --workspace ws "$(printf 'Bjo\\xcc\\x88rk a001')\"""",
                words=("Like Björk a001", "similarity"),
            ),
            Step("recsys similar --workspace ws 'BJÖRK A001'", words=("Like Björk a001",)),
        ),
    ),
    Case(
        "30",
        "ids-with-a-hyphen-first",
        file("base.csv", HYPHEN),
        (
            Step("recsys experiment --workspace ws --plays base.csv $C $FAST"),
            Step("recsys recommend --workspace ws --user -Xabc", words=("score", "by the history")),
            Step("recsys publish --workspace ws", words=(f"{USERS + 1} users",)),
            Step("recsys lookup --workspace ws -Xabc", words=("score",)),
        ),
    ),
    Case(
        "31",
        "ascii-output-after-the-search",
        file("names.csv", ACCENTED),
        (
            Step(
                "PYTHONIOENCODING=ascii recsys experiment --workspace ws --plays names.csv "
                "$C $FAST",
                words=(READ, "Bj\\xf6rk"),
            ),
        ),
    ),
    Case(
        "34",
        "servers-away",
        BASE,
        (
            Step(
                "PREFECT_API_URL=http://127.0.0.1:9/api "
                "recsys experiment --workspace ws --plays base.csv $C $FAST",
                2,
                (ONE_LINE, "http://127.0.0.1:9/api (PREFECT_API_URL)"),
            ),
            Step(
                "MLFLOW_TRACKING_URI=http://127.0.0.1:9 MLFLOW_HTTP_REQUEST_MAX_RETRIES=1 "
                "recsys experiment --workspace ws --plays base.csv $C $FAST",
                2,
                (ONE_LINE, "http://127.0.0.1:9 (MLFLOW_TRACKING_URI)"),
            ),
        ),
    ),
    Case(
        "46",
        "folder-with-SUCCESS",
        files(
            file("days/2024-01-01.csv", table(HEARD[: N // 2])),
            file("days/2024-01-02.csv", table(HEARD[N // 2 :])),
            file("days/_SUCCESS", ""),
        ),
        (
            Step(
                "recsys retrain --workspace ws --plays days $C $FAST",
                words=(
                    "promoted; version 1 serves",
                    f"{USERS} users, and similar items of {ITEMS}",
                ),
            ),
        ),
    ),
    Case(
        "48",
        "partitioned-folder",
        files(
            file("days/date=2024-01-01/part-0.csv", table(HEARD[: N // 2])),
            file("days/date=2024-01-02/part-0.csv", table(HEARD[N // 2 :])),
        ),
        (
            Step(
                "recsys retrain --workspace ws --plays days $C $FAST",
                words=(
                    "promoted; version 1 serves",
                    f"{USERS} users, and similar items of {ITEMS}",
                ),
            ),
        ),
    ),
    Case(
        "54",
        "hetrec-latin1-names",
        files(
            file("artists.dat", ("id\tname\turl\tpictureURL\n" + BANDS).encode("latin-1")),
            file(
                "user_artists.dat",
                table(
                    ((int(u[1:]), int(i[1:]), p) for u, i, p in HEARD),
                    ("userID", "artistID", "weight"),
                    delimiter="\t",
                ),
            ),
        ),
        (
            Step("recsys experiment --workspace ws --plays user_artists.dat $FAST", words=(READ,)),
            Step("recsys similar --workspace ws 'Motörhead 3'", words=("Like Motörhead 3",)),
        ),
    ),
    Case(
        "58",
        "parquet-list-cut",
        lambda folder: None,
        (
            Step("recsys sample big --users 1100 --artists 1300"),
            Step(
                "recsys experiment --workspace ws --plays big/plays.tsv $FAST "
                "--set filter.min_artists=0 --set filter.min_listeners=0"
            ),
            Step("recsys publish --workspace ws --k 1200 --to lists.parquet"),
            Step(
                'recsys lookup --from lists.parquet "$(user_at_row lists.parquet 1048576)"',
                words=(" 1200 ",),
            ),
        ),
    ),
]


def heard_in_postgres(folder: Path) -> None:
    """The table of events in the database of RECSYS_DATABASE."""
    import psycopg

    with psycopg.connect(os.environ["RECSYS_DATABASE"]) as database, database.cursor() as cursor:
        cursor.execute('create table heard ("user" text, artist text, plays integer)')
        cursor.executemany("insert into heard values (%s, %s, %s)", HEARD)


POSTGRES = [
    Case(
        "17",
        "postgres-user-is-the-role",
        heard_in_postgres,
        (
            Step(
                "recsys retrain --workspace ws --query 'select user, artist, plays from heard'",
                2,
                ("reserved word of PostgreSQL", 'write "user" in double quotes'),
            ),
            Step(
                "recsys retrain --workspace ws $FAST "
                """--query 'select "user", artist, plays from heard'""",
                words=(
                    "promoted; version 1 serves",
                    f"{USERS} users, and similar items of {ITEMS}",
                ),
            ),
        ),
    ),
]
MOUNTING = [
    Case(
        "33",
        "disk-full-in-sqlite",
        files(BASE, lambda folder: (folder / "small").mkdir()),
        (
            Step("mount -t tmpfs -o size=6m tmpfs small"),
            Step(
                "recsys experiment --workspace small/ws --plays base.csv $C $FAST",
                2,
                ("recsys: no space left", "make room, and repeat the command"),
            ),
        ),
    ),
]
SERVING = [
    Case(
        "36",
        "port-in-use-exit-0",
        lambda folder: None,
        (
            Step(
                "recsys ui --workspace ws --port $BUSY",
                2,
                (ONE_LINE, "is in use; pass another with --port"),
            ),
        ),
    ),
    Case(
        "37",
        "ui-on-all-hosts",
        lambda folder: None,
        (
            Step(
                "recsys ui --workspace ws --host 0.0.0.0 --port $FREE & "
                "status_of $FREE 127.0.0.1:$FREE; status_of $FREE gpubox.example.org:$FREE; "
                "kill -INT $!; wait $!",
                words=("set MLFLOW_SERVER_ALLOWED_HOSTS=NAME:", "status 200", "status 403"),
            ),
        ),
    ),
]
