"""The table of cases: troubles that people reported, with an input, commands and what is right.

An input is small, made here, and of the form in which people had it. The commands are as a user
types them in the folder of the input; $C, $TIMED and $FAST are options that many have in common.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
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


def archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "plays.zip", "w") as packed:
        packed.writestr("plays.csv", table(HEARD))


def timed(written: Callable[[datetime], Any]) -> str:
    """The log with times an hour apart."""
    moments = [datetime.fromtimestamp(START + 3600 * at, UTC) for at in range(N)]
    rows = [(*row, written(moment)) for row, moment in zip(HEARD, moments, strict=True)]
    return table(rows, (*TITLES, "time"))


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
