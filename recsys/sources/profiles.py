"""Profiles of users: of Last.fm (`user, gender, age, country, signup`), or of any named columns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import IdMap, Strings
from recsys.data.profiles import Profiles
from recsys.errors import InputError
from recsys.progress import Progress, silent
from recsys.sources import ids, jsonl, named, parquet, times, values
from recsys.sources.fields import Rows, cut, data_lines
from recsys.sources.forms import odd_times
from recsys.sources.layout import Layout, Role
from recsys.sources.named import PROFILES, Columns
from recsys.sources.numbers import is_text, numbers
from recsys.sources.quoting import split_line
from recsys.sources.rejects import Reason, Rejects, nothing_usable
from recsys.sources.stream import check_file, encoding_of, head, is_parquet
from recsys.sources.times import Unit

OLDEST = 100
OPTION = "--profile-columns"

_HEADER = "#id\tgender\tage\tcountry\tregistered"
_LAYOUT = Layout(
    "lastfm-360k", {"user": 0, "gender": 1, "age": 2, "country": 3, "signup": 4}, width=5
)
_DAY = 86_400
_FORM = (
    "profiles are tab-separated: user, gender, age, country, signup; for other tables write "
    f"{OPTION} user=uid,gender=sex,age=age"
)

Faults = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True, eq=False)
class ProfilesReading:
    """The contents of a file of profiles.

    Attributes:
        profiles: One profile per user.
        n_rows: Rows read, usable or not, without a header.
        rejects: The rows that cannot be used.
        missing: For each field, how many values of the profiles are missing, by reason
            ("empty", "not a number", "out of range", "not a date", "no column"); 0 is left out.
        columns: Which column was taken for what: "1 user, 2 gender".
        notes: What was assumed about the file, in sentences.
    """

    profiles: Profiles
    n_rows: int
    rejects: Rejects
    missing: Faults
    columns: str = ""
    notes: tuple[str, ...] = ()


def read_profiles(
    path: Path,
    *,
    columns: Columns | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> ProfilesReading:
    """The profiles in a file of Last.fm 360K (no header) or 1K (with one), or in another table.

    Of several rows of one user the first counts. A value that cannot be used is missing; a row
    without a user is rejected.

    Args:
        path: Text, plain or packed, or Parquet.
        columns: Which column plays which role ("user", "gender", "age", "country", "signup"), by
            name or position; without it, those of Last.fm or those that line 1 names so.
        strict: Whether the first row that cannot be used is fatal.
        progress: Reports the number of rows read, once per block.

    Raises:
        InputError: the file cannot be read, has no rows, or none that can be used; or, if
            strict, one that cannot.
    """
    check_file(path)
    table = is_parquet(path)
    layout = _parquet_layout(path, columns) if table else _text_layout(path, columns)
    parts: list[Rows] = []
    refused: list[Rejects] = []
    n_rows = 0
    for cut_rows, misfits in _blocks(path, layout, table):
        parts += cut_rows
        refused.append(misfits)
        n_rows += len(misfits) + sum(map(len, cut_rows))
        progress("reading profiles", n_rows, None)
    rows, unusable = _one_per_user(parts, layout)
    rejects = Rejects.join([*refused, unusable])
    if strict:
        rejects.complain(path)
    if not len(rows):
        raise nothing_usable(path, "profiles", n_rows, rejects, _FORM)
    unit = times.unit_of(rows.columns["signup"]) if "signup" in layout.fields else "s"
    profiles, missing = _profiles(rows, unit)
    if layout is _LAYOUT:
        _refuse_other_order(path, profiles)
    known = profiles.signup[profiles.signup >= 0]
    odd = [f"sign-up: {note}" for note in odd_times(known, unit)]
    for what, texts in (("gender", profiles.gender), ("country", profiles.country)):
        odd += ids.alike_in_case(texts.drop_null().unique(), what)
    words = layout.columns_in_words()
    return ProfilesReading(profiles, n_rows, rejects, missing, words, (*layout.notes, *odd))


def _refuse_other_order(path: Path, profiles: Profiles) -> None:
    """Refuse a table without names whose columns are in another order.

    Raises:
        InputError: most genders are numbers, or most countries genders.
    """
    known = profiles.gender.drop_null()
    digits = pc.sum(pc.match_substring_regex(known, r"^[0-9.]+$")).as_py() or 0
    if 2 * digits > len(known):
        raise InputError(
            f"{path}: column 2 holds numbers, such as {known[0].as_py()!r}, and no genders; {_FORM}"
        )
    known = profiles.country.drop_null()
    genders = pc.sum(pc.match_substring_regex(known, r"(?i)^(m|f|male|female)$")).as_py() or 0
    if 2 * genders > len(known):
        raise InputError(
            f"{path}: column 4 holds genders, such as {known[0].as_py()!r}, and no countries; "
            f"{_FORM}"
        )


def _parquet_layout(path: Path, columns: Columns | None) -> Layout:
    names = parquet.names_and_types(path).names
    columns = columns or _by_title(names)
    if columns is None:
        raise InputError(
            f"{path} is a Parquet file with the columns {', '.join(names)}; assign them, as in "
            f"{OPTION} user=uid,gender=sex"
        )
    return parquet.layout(path, columns, PROFILES, OPTION)


def _text_layout(path: Path, columns: Columns | None) -> Layout:
    first = head(path)
    if jsonl.is_json(path, first):
        return jsonl.layout(
            path, first, columns or _by_title(jsonl.keys_of(first)), PROFILES, OPTION
        )
    if columns is None:
        if first[0] == _HEADER:
            return replace(_LAYOUT, header=True)
        try:
            delimiter = named.delimiter_of(path, first)
        except InputError:
            return _LAYOUT
        columns = _by_title([each.strip() for each in split_line(first[0], delimiter, True)])
        if columns is None:
            return _LAYOUT
    return named.layout(path, first, columns, PROFILES, OPTION).read_as(encoding_of(path))


def _by_title(names: list[str]) -> Columns | None:
    """The columns where line 1 names a user and another role."""
    found = named.guessed(names, PROFILES)
    columns = named.parse_columns(found, PROFILES, OPTION) if found else {}
    return columns if len(columns) > 1 else None


def _blocks(path: Path, layout: Layout, table: bool) -> Iterator[tuple[list[Rows], Rejects]]:
    if table:
        return (([rows], Rejects.join([])) for rows in parquet.rows(path, layout))
    return (cut(block, layout) for block in data_lines(path, layout))


def _one_per_user(parts: list[Rows], layout: Layout) -> tuple[Rows, Rejects]:
    """The first row of each user, ordered by user; rows without or with a repeated one."""
    rows = _joined(parts, layout)
    codes = values.empty(rows.columns["user"], Reason.NO_USER)
    _, number = IdMap.encode(rows.columns["user"])
    _, first = np.unique(number, return_index=True)
    repeated = np.full(len(rows), Reason.REPEATED_USER, dtype=np.int8)
    repeated[first] = Reason.FINE
    codes = np.where(codes, codes, repeated)
    return _taken(rows, first[codes[first] == 0]), Rejects.of(rows.lines, codes, rows.texts)


def _joined(parts: list[Rows], layout: Layout) -> Rows:
    nothing = pa.array([], pa.string())
    columns: dict[Role, Strings] = {}
    for role in layout.fields:
        cells = [part.columns[role] for part in parts]
        columns[role] = pa.concat_arrays(cells) if cells else nothing
    if layout.format == "columns" and ids.are_floats(columns["user"]):
        ids.refuse_short(columns["user"], "user")
        columns["user"] = ids.without_fractions(columns["user"])
    return Rows(
        np.concatenate([np.empty(0, np.int64), *(part.lines for part in parts)]),
        pa.concat_arrays([nothing, *(part.texts for part in parts)]),
        columns,
    )


def _taken(rows: Rows, at: npt.NDArray[np.intp]) -> Rows:
    take = pa.array(at)
    columns = {role: column.take(take) for role, column in rows.columns.items()}
    return Rows(rows.lines[at], rows.texts.take(take), columns)


def _profiles(rows: Rows, unit: Unit) -> tuple[Profiles, Faults]:
    users, _ = IdMap.encode(rows.columns["user"])
    unknown, columns = Profiles.unknown(users), rows.columns
    gender, country, age, signup = unknown.gender, unknown.country, unknown.age, unknown.signup
    missing = {name: _counted(no_column=len(users)) for name in unknown.missing()}
    if "gender" in columns:
        gender = _text(columns["gender"])
        missing["gender"] = _counted(empty=gender.null_count)
    if "age" in columns:
        age, missing["age"] = _ages(columns["age"])
    if "country" in columns:
        country = _text(columns["country"])
        missing["country"] = _counted(empty=country.null_count)
    if "signup" in columns:
        signup, missing["signup"] = _days(columns["signup"], unit)
    return Profiles(users, gender, age, country, signup), missing


def _text(column: Strings) -> Strings:
    """The texts, null where they are empty or stand for a missing value.

    NA is one, but not among codes of two letters: Namibia has it.
    """
    empty = pc.match_substring_regex(column, ids.MISSING)
    codes = pc.match_substring_regex(column.filter(pc.invert(empty)), "^[A-Z]{2}$")
    if len(codes) and 2 * pc.sum(codes).as_py() > len(codes):
        empty = pc.and_(empty, pc.not_equal(column, "NA"))
    return pc.if_else(empty, pa.scalar(None, pa.string()), column)


def _counted(**reasons: int) -> dict[str, int]:
    return {reason.replace("_", " "): int(n) for reason, n in reasons.items() if n}


def _blank(column: Strings) -> npt.NDArray[np.bool_]:
    if not is_text(column):
        return np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    return values.empty(column, Reason.NO_USER) > 0


def _ages(column: Strings) -> tuple[npt.NDArray[np.float32], dict[str, int]]:
    blank, years = _blank(column), numbers(column)
    outside = (years < 0) | (years > OLDEST)
    faults = _counted(
        empty=int(blank.sum()),
        not_a_number=int((np.isnan(years) & ~blank).sum()),
        out_of_range=int(outside.sum()),
    )
    return np.where(outside, np.nan, years).astype(np.float32), faults


def _days(column: Strings, unit: Unit) -> tuple[npt.NDArray[np.int64], dict[str, int]]:
    """Midnights UTC; -1 where there is no day since 1970."""
    blank, moments = _blank(column), times.seconds(column, unit)
    known = np.isfinite(moments) & (moments >= 0)
    signup = np.where(known, np.floor(np.where(known, moments, 0) / _DAY) * _DAY, -1)
    faults = _counted(empty=int(blank.sum()), not_a_date=int((~known & ~blank).sum()))
    return signup.astype(np.int64), faults
