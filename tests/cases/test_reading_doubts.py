"""Files that could be misread in silence: read rightly, or said, or refused in one sentence."""

import json
from pathlib import Path

import pytest

from recsys import plots
from tests.cases.test_reading import (
    ALL,
    COLUMNS,
    PLAIN,
    PROFILE_ROWS,
    START,
    TIMED,
    USERS,
    Case,
    inspected,
    moment,
    parquet,
    refused,
    rows,
    table,
    text,
    timed,
    with_time,
)

BY_PLACE = ("--columns", "user=0,item=1")
OBJECTS = [dict(zip(("user", "item", "plays"), row, strict=True)) for row in rows()]
UPPER = [{key.upper(): value for key, value in each.items()} for each in OBJECTS]


def lines(objects: list[dict[str, object]], before: str = "", after: str = "\n") -> str:
    return "".join(before + json.dumps(each) + after for each in objects)


CASES = {
    "22-names of columns in another case": Case(text(PLAIN.replace("user,item", "USER,Item"))),
    "41-keys in another case": Case(text(lines(UPPER), "log.jsonl")),
    "25-Parquet columns in another case": Case(
        parquet(**{name.upper(): [each[name] for each in OBJECTS] for name in OBJECTS[0]})
    ),
    "22-a name of two columns in other cases": refused(
        text(PLAIN.replace("user,item", "USER,User")), "no column 'user'"
    ),
    "20-unknown titles over texts and one column of numbers": Case(
        text(table(rows(), header=("Kunde", "Ware", "Anzahl"))),
        BY_PLACE,
        counts={**ALL, "total_plays": 60},
        words=("line 1 is a header: 'Kunde,Ware,Anzahl'",),
    ),
    "20-a missing number in line 1 is no title": Case(
        text(table([("u0", "a0", "NA"), *rows()], header=None)),
        BY_PLACE,
        counts={"rows": 61, "users": USERS + 1},
    ),
    "20-empty lines above the table": refused(text("\n" + PLAIN), "line 1 is empty; remove"),
    "41-blank lines between objects": Case(text(lines(OBJECTS, "  ", "\n\n"), "log.jsonl")),
    "41-JSON sequence": Case(text(lines(OBJECTS, "\x1e"), "log.json")),
    "18-twelve digits": with_time(
        text(timed(lambda s: moment(s, "%Y%m%d%H%M"))), "times of twelve digits (YYYYMMDDhhmm)"
    ),
    "53-days between hyphens show their order": with_time(
        text(timed(lambda s: moment(s + 20 * 86_400, "%d-%m-%Y %H:%M"))),
        "day, month, year",
        first=START + 20 * 86_400,
    ),
    "53-day or month first between hyphens": refused(
        text(timed(lambda s: moment(s, "%d-%m-%Y"))),
        "may begin with the day or with the month",
        options=("--columns", TIMED),
    ),
    "49-ids that stand for a missing value": Case(
        text(PLAIN.replace("u003", "NULL").replace("a004", "None")),
        words=(
            "user 'NULL' may stand for a missing value",
            "item 'None' may stand for a missing value",
        ),
    ),
    "28-ids in two Unicode forms": Case(
        text(PLAIN.replace("a000", "Björk").replace("a001", "Bjo\u0308rk")),
        words=("1 item ids are there in two Unicode forms and count as two, such as 'Björk'",),
    ),
    "39-a NUL byte in a field": Case(
        text(PLAIN.replace("u003", "u\x00003")),
        counts={"rows_read": 60, "rows": 55, "users": USERS - 1, "rejected": {"a NUL byte": 5}},
    ),
    "25-NUL bytes in Parquet": refused(
        parquet(user=["a\0", "b\0"], item=["x", "y"], plays=[1, 2]), "a NUL byte: 2"
    ),
    "42-MatrixMarket": refused(
        text("%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 5\n2 2 5\n", "log.mtx"),
        "is a MatrixMarket file",
        options=("--columns", "user=0,item=1,plays=2"),
    ),
    "42-ARFF": refused(text("@relation x\n@data\nu,a,1\n", "log.arff"), "is an ARFF file"),
}


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "save", lambda *_: None)


@pytest.mark.parametrize("name", CASES)
def test_what_could_be_misread_is_read_or_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    case = CASES[name]

    code, found, errors = inspected(tmp_path, capsys, case.make(tmp_path), *case.options)

    assert code == case.code, errors
    if not code:
        assert {key: found[key] for key in case.counts} == dict(case.counts)
    said = " ".join([errors, *found.get("notes", ())])
    assert [word for word in case.words if word not in said] == [], said


def test_profiles_without_names_in_another_order_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Case 57: the ages were the genders."""
    turned = [(user, age, gender, country, "") for user, gender, age, country in PROFILE_ROWS]
    known = text(table(turned, sep="\t", header=None), "p.tsv")(tmp_path)

    code, _, errors = inspected(
        tmp_path, capsys, text(PLAIN)(tmp_path), "--columns", COLUMNS, "--profiles", str(known)
    )

    assert code == 2
    assert "column 2 holds numbers, such as '20', and no genders" in errors


def test_odd_days_of_signing_up_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cases 18 and 57: a year is no time in seconds."""
    known = text(table(((row[0], 2007) for row in PROFILE_ROWS), header=("user", "signup")), "p")
    path = known(tmp_path)

    code, found, errors = inspected(
        tmp_path, capsys, text(PLAIN)(tmp_path), "--columns", COLUMNS, "--profiles", str(path)
    )

    assert code == 0, errors
    (note,) = found["notes"]
    assert note.startswith("sign-up: most times lie before 1995 (12 of 12)")
