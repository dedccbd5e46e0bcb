"""Profiles of users: `user, gender, age, country, signup`, tab-separated, no quoting."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import IdMap, Strings
from recsys.data.profiles import Profiles
from recsys.progress import Progress, silent
from recsys.sources import values
from recsys.sources.fields import Rows, cut, data_lines
from recsys.sources.layout import Layout
from recsys.sources.rejects import Reason, Rejects, nothing_usable
from recsys.sources.stream import head

OLDEST = 100

_HEADER = "#id\tgender\tage\tcountry\tregistered"
_LAYOUT = Layout(
    "lastfm-360k", {"user": 0, "gender": 1, "age": 2, "country": 3, "signup": 4}, width=5
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = re.compile(r"([A-Z][a-z]{2})[a-z]* +(\d{1,2}), *(\d{4})")

Faults = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True, eq=False)
class ProfilesReading:
    """The contents of a file of profiles.

    Attributes:
        profiles: One profile per user.
        n_rows: Rows read, usable or not, without a header.
        rejects: The rows that cannot be used.
        missing: For each field, how many values of the profiles are missing, by reason
            ("empty", "not a number", "out of range", "not a date"); 0 is left out.
    """

    profiles: Profiles
    n_rows: int
    rejects: Rejects
    missing: Faults


def read_profiles(
    path: Path, *, strict: bool = False, progress: Progress = silent
) -> ProfilesReading:
    """The profiles in a file of Last.fm 360K (no header) or 1K (with one).

    Of several rows of one user the first counts. A value that cannot be used is missing; a row
    without a user is rejected.

    Raises:
        InputError: the file cannot be read, has no rows, or none that can be used; or, if
            strict, one that cannot.
    """
    layout = replace(_LAYOUT, header=head(path)[0] == _HEADER)
    parts: list[Rows] = []
    refused: list[Rejects] = []
    n_rows = 0
    for cut_rows, misfits in _blocks(path, layout):
        parts += cut_rows
        refused.append(misfits)
        n_rows += len(misfits) + sum(map(len, cut_rows))
        progress("reading profiles", n_rows, None)
    rows, unusable = _one_per_user(parts)
    rejects = Rejects.join([*refused, unusable])
    if strict:
        rejects.complain(path)
    if not len(rows):
        raise nothing_usable(path, "profiles", n_rows, rejects)
    profiles, missing = _profiles(rows)
    return ProfilesReading(profiles, n_rows, rejects, missing)


def _blocks(path: Path, layout: Layout) -> Iterator[tuple[list[Rows], Rejects]]:
    return (cut(block, layout) for block in data_lines(path, layout))


def _one_per_user(parts: list[Rows]) -> tuple[Rows, Rejects]:
    """The first row of each user, ordered by user; rows without or with a repeated one."""
    rows = _joined(parts)
    codes = values.empty(rows.columns["user"], Reason.NO_USER)
    _, number = IdMap.encode(rows.columns["user"])
    _, first = np.unique(number, return_index=True)
    repeated = np.full(len(rows), Reason.REPEATED_USER, dtype=np.int8)
    repeated[first] = Reason.FINE
    codes = np.where(codes, codes, repeated)
    return _taken(rows, first[codes[first] == 0]), Rejects.of(rows.lines, codes, rows.texts)


def _joined(parts: list[Rows]) -> Rows:
    nothing = pa.array([], pa.string())
    return Rows(
        np.concatenate([np.empty(0, np.int64), *(part.lines for part in parts)]),
        pa.concat_arrays([nothing, *(part.texts for part in parts)]),
        {
            role: pa.concat_arrays([nothing, *(part.columns[role] for part in parts)])
            for role in _LAYOUT.fields
        },
    )


def _taken(rows: Rows, at: npt.NDArray[np.intp]) -> Rows:
    take = pa.array(at)
    columns = {role: column.take(take) for role, column in rows.columns.items()}
    return Rows(rows.lines[at], rows.texts.take(take), columns)


def _profiles(rows: Rows) -> tuple[Profiles, Faults]:
    users, _ = IdMap.encode(rows.columns["user"])
    gender, country = _text(rows.columns["gender"]), _text(rows.columns["country"])
    age, bad_ages = _ages(rows.columns["age"])
    signup, bad_days = _days(rows.columns["signup"])
    missing = {
        "gender": _counted(empty=gender.null_count),
        "age": bad_ages,
        "country": _counted(empty=country.null_count),
        "signup": bad_days,
    }
    return Profiles(users, gender, age, country, signup), missing


def _text(column: Strings) -> Strings:
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _counted(**reasons: int) -> dict[str, int]:
    return {reason.replace("_", " "): int(n) for reason, n in reasons.items() if n}


def _blank(column: Strings) -> npt.NDArray[np.bool_]:
    return values.empty(column, Reason.NO_USER) > 0


def _ages(column: Strings) -> tuple[npt.NDArray[np.float32], dict[str, int]]:
    blank, years = _blank(column), values.numbers(column)
    outside = (years < 0) | (years > OLDEST)
    faults = _counted(
        empty=int(blank.sum()),
        not_a_number=int((np.isnan(years) & ~blank).sum()),
        out_of_range=int(outside.sum()),
    )
    return np.where(outside, np.nan, years).astype(np.float32), faults


def _days(column: Strings) -> tuple[npt.NDArray[np.int64], dict[str, int]]:
    """Midnights UTC; each distinct text is parsed once, because many users share a day."""
    coded = column.dictionary_encode()
    days = np.array([_day(text) for text in coded.dictionary.to_pylist()], dtype=np.int64)
    signup = days[coded.indices.to_numpy()]
    blank = _blank(column)
    faults = _counted(empty=int(blank.sum()), not_a_date=int(((signup < 0) & ~blank).sum()))
    return signup, faults


def _day(text: str) -> int:
    """Seconds of "Feb 1, 2007" or "2007-02-01"; -1 for anything else or before 1970.

    Not strptime, which reads months in the language of the machine.
    """
    try:
        moment = _written_out(text) or datetime.fromisoformat(text)
    except ValueError:
        return -1
    midnight = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return max(int(midnight.timestamp()), -1)


def _written_out(text: str) -> datetime | None:
    date = _DAY.fullmatch(text)
    if date is None or date[1] not in _MONTHS:
        return None
    return datetime(int(date[3]), _MONTHS.index(date[1]) + 1, int(date[2]), tzinfo=UTC)
