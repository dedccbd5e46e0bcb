"""Rows of the table whose commands need a server, a database or a disk: minutes together."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.cases.table import (
    BASE,
    EACH,
    HEARD,
    ITEMS,
    ONE_LINE,
    USERS,
    Case,
    N,
    Step,
    file,
    files,
    inspected,
    parquet,
    table,
    timed,
)


def events(folder: Path) -> None:
    """A database with an event per row, each pair twice or more."""
    with closing(sqlite3.connect(folder / "events.db")) as database, database:
        database.execute("create table heard (user text, artist text)")
        rows = [(user, item) for user, item, plays in HEARD for _ in range(2 + plays % 5)]
        database.executemany("insert into heard values (?, ?)", rows)


def named(name: Callable[[str], str]) -> str:
    return table((user, name(item), plays) for user, item, plays in HEARD)


READ = f"{N} pairs of {N} rows"
BANDS = "".join(f"{n}\tMotörhead {n}\thttp://x/{n}\thttp://y/{n}\n" for n in range(ITEMS))
ACCENTED = named(lambda item: f"Björk {item}")
HYPHEN = table([*HEARD, *(("-Xabc", item, plays) for _, item, plays in HEARD[:EACH])])

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
                "kill $!; wait $! || true",
                words=("set MLFLOW_SERVER_ALLOWED_HOSTS=NAME:", "status 200", "status 403"),
            ),
        ),
    ),
]
