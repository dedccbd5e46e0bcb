"""Neighbours of the cases: inputs of the same kinds that were read as something else in silence."""

import json
from datetime import datetime

import pyarrow as pa

from tests.cases.table import (
    HEARD,
    PLAYS,
    START,
    TITLES,
    USERS,
    Case,
    N,
    Row,
    Step,
    file,
    files,
    inspected,
    parquet,
    table,
    timed,
)

PAIRS = [row[:2] for row in HEARD]
TIMED = "recsys inspect log.csv $TIMED"
READ = "recsys inspect log.csv $C"
BY_PLACE = "recsys inspect log.csv --columns user=0,item=1"
LAST = "2019-02-01 12:34:00 to 2019-02-11 11:34:00 UTC"


def refused(line: str, *words: str) -> tuple[Step, ...]:
    return (Step(line, 2, ("recsys: ", *words)),)


def tabs(rows: list[Row], titles: Row | None = None) -> str:
    return table(rows, titles, delimiter="\t")


def joined(*parts: str) -> bytes:
    """Files that a program for spreadsheets wrote, one behind the other."""
    return b"".join(b"\xef\xbb\xbf" + part.encode() for part in parts)


def clock(moment: datetime) -> str:
    """As browsers write it: a narrow blank before PM."""
    return f"{moment:%b %d, %Y, %I:%M:%S\u202f%p}"


NEIGHBOURS = [
    Case(
        "12",
        "plays of 360K that are milliseconds",
        file(
            "log.tsv",
            tabs([(u, f"x{i}", "Name", 1000 * (START + p)) for u, i, p in HEARD]),
        ),
        refused("recsys inspect log.tsv", "field 4 holds milliseconds since 1970, not plays"),
    ),
    Case(
        "12",
        "names of 360K that are dates",
        file("log.tsv", tabs([(u, f"x{i}", "2019-02-01", p) for u, i, p in HEARD])),
        refused("recsys inspect log.tsv", "field 3 holds dates, not the names of artists"),
    ),
    Case(
        "12",
        "plays of 360K that are ratings with halves",
        file("log.tsv", tabs([(u, f"x{i}", "Name", 1 + p % 9 / 2) for u, i, p in HEARD])),
        refused("recsys inspect log.tsv", "field 4 holds fractions, as ratings do, not plays"),
    ),
    Case(
        "12",
        "tags under the header of HetRec",
        file(
            "log.dat",
            tabs(
                [(2, 3, 1 + p % 9, START) for _, _, p in HEARD],
                ("userID", "artistID", "tagID", "timestamp"),
            ),
        ),
        refused("recsys inspect log.dat", "line 1 calls field 3 'tagID', which is no rating"),
    ),
    Case(
        "18",
        "dates of eight digits taken for plays",
        file("log.csv", table((u, i, 20_190_201 + p % 20) for u, i, p in HEARD)),
        (Step(READ, words=("plays look like dates of eight digits (YYYYMMDD)",)),),
    ),
    Case(
        "18",
        "the sum of all plays as a row",
        file("log.csv", table([*HEARD, ("Total", "all", PLAYS)])),
        (Step(READ, words=(f"one row has half of all plays or more, {PLAYS:,}",)),),
    ),
    Case(
        "20",
        "titles with types, as RecBole writes them",
        file("log.csv", tabs(PAIRS, ("user_id:token", "item_id:token"))),
        inspected(BY_PLACE, "line 1 is a header", plays=N),
    ),
    Case(
        "20",
        "titles in another language",
        file("log.csv", table(PAIRS, ("Benutzer", "Künstler"))),
        (
            Step(
                BY_PLACE,
                words=("line 1, 'Benutzer,Künstler', is read as a row",),
            ),
        ),
    ),
    Case(
        "20",
        "a header with a byte order mark among the rows",
        file("log.csv", joined(*(table(part, TITLES[:2]) for part in (PAIRS[:99], PAIRS[99:])))),
        inspected(
            "recsys inspect log.csv --columns user=user,item=item",
            rows=N + 1,
            plays=N,
            **{"rows used": str(N), "rows rejected": "header among the rows 1"},
        ),
    ),
    Case(
        "20",
        "a header among the rows in another spelling",
        file("log.csv", table(PAIRS, TITLES[:2]) + '"User", Item\n'),
        (
            Step(
                "recsys inspect log.csv --columns user=user,item=item",
                words=("user 'user' and item 'item' read like line 1",),
            ),
        ),
    ),
    Case(
        "20",
        "positions that line 1 names the other way round",
        file("log.csv", table(((i, u) for u, i in PAIRS), ("item", "user"))),
        refused(BY_PLACE, "takes 'item' for the user and 'user' for the item"),
    ),
    Case(
        "23",
        "thousands with thin blanks",
        file("log.csv", table((u, i, f"{100 * p:,}".replace(",", "\u2009")) for u, i, p in HEARD)),
        inspected(READ, plays=100 * PLAYS),
    ),
    Case(
        "23",
        "thousands with a blank and a decimal comma",
        file("log.csv", table((u, i, f"{p} 000,00") for u, i, p in HEARD)),
        refused(READ, "have a decimal comma; pass --decimal ,"),
    ),
    Case(
        "25",
        "ids as a spreadsheet shows them",
        file("log.csv", table((f"{1.2e11 + int(u[1:]) * 1e6:.5E}", i, p) for u, i, p in HEARD)),
        refused(READ, "have lost their last digits"),
    ),
    Case(
        "25",
        "ids as floats of 32 bits",
        parquet(
            "log.parquet",
            pa.array([123_456_789.0 + int(u[1:]) for u, _, _ in HEARD], pa.float32()),
            [item for _, item, _ in HEARD],
            [plays for _, _, plays in HEARD],
        ),
        refused("recsys inspect log.parquet $C", "column 'user' holds ids as floats beyond 2^24"),
    ),
    Case(
        "28",
        "ids alike but for an invisible character",
        file("log.csv", table([*HEARD, ("u003\u200b", "a003", 1)])),
        (Step(READ, words=("1 user ids are there with and without invisible characters",)),),
    ),
    Case(
        "30",
        "ids in the quotes of another program",
        file("log.csv", table((f"'{u}'", i, p) for u, i, p in HEARD)),
        inspected(READ, """user ids keep the quotes around them, as in "'u000'\""""),
    ),
    Case(
        "39",
        "a quoted column under a header without quotes",
        file(
            "log.csv",
            "user\titem\tplays\n" + "".join(f'{u}\t"{i}"\t{p}\n' for u, i, p in HEARD),
        ),
        inspected(READ, note=None),
    ),
    Case(
        "39",
        "row numbers without quotes or a title",
        file(
            "log.csv",
            "user item plays\n"
            + "".join(f"{n} {u} {i} {p}\n" for n, (u, i, p) in enumerate(HEARD, 1)),
        ),
        inspected(READ, "the first holds row names"),
    ),
    Case(
        "39",
        "a delimiter at the end of each row",
        file(
            "log.csv", '"user","item","plays"\n' + "".join(f"{u},{i},{p},\n" for u, i, p in HEARD)
        ),
        inspected(READ),
    ),
    Case(
        "39",
        "a table as psql shows it",
        file(
            "log.csv",
            " user | item | plays \n------+------+-------\n"
            + "".join(f" {u} | {i} | {p:5} \n" for u, i, p in HEARD)
            + f"({N} rows)\n",
        ),
        inspected(
            READ,
            rows=N + 2,
            **{"rows used": str(N), "rows rejected": "wrong number of fields 2"},
        ),
    ),
    Case(
        "41",
        "half of a surrogate pair in a JSON text",
        file(
            "log.csv",
            "".join(json.dumps(dict(zip(TITLES, row, strict=True))) + "\n" for row in HEARD)
            + '{"user": "\\ud800", "item": "a000", "plays": 1}\n',
        ),
        inspected(
            READ,
            rows=N + 1,
            **{"rows used": str(N), "rows rejected": "not a JSON object of texts and numbers 1"},
        ),
    ),
    Case(
        "44",
        "blanks around the names of JSON keys",
        file(
            "log.csv",
            "".join(json.dumps({" user ": u, "item ": i, " plays": p}) + "\n" for u, i, p in HEARD),
        ),
        inspected(READ),
    ),
    Case(
        "48",
        "fields apart by the separator of Hive",
        file("log.csv", table(HEARD, delimiter="\x01")),
        inspected(READ),
    ),
    Case(
        "53",
        "times as browsers write them",
        file("log.csv", timed(clock)),
        inspected(TIMED, times=LAST),
    ),
    Case(
        "57",
        "profiles whose ids are floats",
        files(
            file("log.csv", table((int(u[1:]), i, p) for u, i, p in HEARD)),
            file("p.csv", "user,age\n" + "".join(f"{n}.0,{20 + n}.0\n" for n in range(USERS))),
        ),
        inspected(
            READ + " --profiles p.csv",
            **{"users without": "gender 30, age 0, country 30, signup 30"},
        ),
    ),
]
