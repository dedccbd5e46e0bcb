from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from recsys.errors import InputError
from recsys.sources import ProfilesReading, read_profiles

ROWS = [
    "u3\tf\t22\tGermany\tFeb 1, 2007",
    "u1\t\t\t\t",
    'u2\tm\t-1\tCôte d"Ivoire\tFebruary 30, 2007',
    "u4\tm\t101\tPeru\t2007-02-01",
    "u5\tm\told\tPeru\tsoon",
    "u6\tm\t0\tPeru\tJan 1, 1970",
    "u7\tm\t100\tPeru\tDec 31, 1969",
    "u3\tm\t30\tSpain\tFeb 2, 2007",
    "\tm\t30\tSpain\tFeb 2, 2007",
    "u8\tm\t30",
]


@pytest.fixture
def reading(tmp_path: Path) -> ProfilesReading:
    (tmp_path / "profiles").write_text("\n".join(ROWS), encoding="utf-8")
    return read_profiles(tmp_path / "profiles")


def test_each_user_has_one_profile_with_the_known_fields(reading: ProfilesReading) -> None:
    profiles = reading.profiles
    day = int(datetime(2007, 2, 1, tzinfo=UTC).timestamp())

    assert profiles.users.ids.to_pylist() == ["u1", "u2", "u3", "u4", "u5", "u6", "u7"]
    assert profiles.gender.to_pylist() == [None, "m", "f", "m", "m", "m", "m"]
    assert profiles.country.to_pylist() == [None, 'Côte d"Ivoire', "Germany", *["Peru"] * 4]
    np.testing.assert_array_equal(profiles.age, [np.nan, np.nan, 22, np.nan, np.nan, 0, 100])
    assert profiles.signup.tolist() == [-1, -1, day, day, -1, 0, -1]


def test_missing_values_are_counted_by_field_and_reason(reading: ProfilesReading) -> None:
    assert reading.missing == {
        "gender": {"empty": 1},
        "age": {"empty": 1, "not a number": 1, "out of range": 2},
        "country": {"empty": 1},
        "signup": {"empty": 1, "not a date": 3},
    }
    assert {
        field: sum(reasons.values()) for field, reasons in reading.missing.items()
    } == reading.profiles.missing()


def test_repeated_users_and_rows_without_one_are_rejected(reading: ProfilesReading) -> None:
    assert reading.n_rows == len(ROWS)
    assert reading.rejects.lines.tolist() == [8, 9, 10]
    assert reading.rejects.reasons.to_pylist() == [
        "repeated user",
        "no user",
        "wrong number of fields",
    ]


def test_the_header_of_the_1k_data_set_is_no_row(tmp_path: Path) -> None:
    header = "#id\tgender\tage\tcountry\tregistered\n"
    (tmp_path / "profiles").write_text(header + "user_000001\tm\t\tJapan\tAug 13, 2006\n")
    reading = read_profiles(tmp_path / "profiles")

    assert reading.n_rows == 1
    assert reading.profiles.users.ids.to_pylist() == ["user_000001"]
    assert len(reading.rejects) == 0


@pytest.mark.parametrize(("row", "line"), [(ROWS[-1], 2), (ROWS[-2], 2), (ROWS[0], 2)])
def test_strict_stops_at_the_first_profile_that_cannot_be_used(
    tmp_path: Path, row: str, line: int
) -> None:
    (tmp_path / "profiles").write_text(f"{ROWS[0]}\n{row}\n")

    with pytest.raises(InputError, match=f"profiles:{line}: "):
        read_profiles(tmp_path / "profiles", strict=True)


def test_columns_of_a_table_without_a_header_are_named_by_position(tmp_path: Path) -> None:
    """That of MovieLens 100K: id, age, gender, occupation, postal code."""
    lines = [f"{n}|{20 + n}|{'MF'[n % 2]}|other|9{n:04d}\n" for n in range(1, 41)]
    (tmp_path / "u.user").write_text("".join(lines))
    reading = read_profiles(tmp_path / "u.user", columns={"user": 0, "age": 1, "gender": 2})

    assert reading.n_rows == len(reading.profiles.users) == 40
    ids, ages = reading.profiles.users.ids.to_pylist(), reading.profiles.age.tolist()
    assert dict(zip(ids, ages, strict=True)) == {str(n): 20.0 + n for n in range(1, 41)}
    assert set(reading.profiles.gender.to_pylist()) == {"M", "F"}
    assert reading.profiles.country.null_count == 40


def test_plays_given_as_profiles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "plays").write_text("u\tm\tname\t5\n")

    with pytest.raises(InputError, match=":1: none of the 1 rows read can be used as profiles"):
        read_profiles(tmp_path / "plays")


def test_an_empty_file_of_profiles_is_refused(tmp_path: Path) -> None:
    (tmp_path / "profiles").write_text("")

    with pytest.raises(InputError, match="profiles is empty"):
        read_profiles(tmp_path / "profiles")
