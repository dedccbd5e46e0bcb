"""Times in the forms that programs write, as whole seconds since 1970-01-01 UTC.

Numbers count seconds, milliseconds, microseconds or nanoseconds since 1970, by their size, or are
the digits of a date (20120829, 201208291234, 20120829123456): `unit_of` decides that for a whole
column. Texts are ISO 8601 and its relatives ("2019-02-01 12:34:56 UTC"), "01 Feb 2019, 12:34" as
Last.fm exports write it, "Feb 1, 2019", RFC 2822, Twitter's, and days between slashes, dots or
hyphens where the column shows their order. Months are English on every machine.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.dtypes import Float64Array
from recsys.sources.numbers import Column, floats, is_text, plain_numbers

Seconds = npt.NDArray[np.int64]
Unit = Literal[
    "s", "ms", "us", "ns", "YYYYMMDD", "YYYYMMDDhhmm", "YYYYMMDDhhmmss", "d/m/y", "m/d/y"
]

FORMS = (
    "seconds or milliseconds since 1970, 2019-02-01 12:34:56, 2019-02-01T12:34:56Z, "
    "01 Feb 2019, 12:34 or 20190201"
)
WORDS: dict[Unit, str] = {
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
    "YYYYMMDD": "dates of eight digits (YYYYMMDD)",
    "YYYYMMDDhhmm": "times of twelve digits (YYYYMMDDhhmm)",
    "YYYYMMDDhhmmss": "times of fourteen digits (YYYYMMDDhhmmss)",
    "d/m/y": "day, month, year",
    "m/d/y": "month, day, year",
}
LATEST = 253_402_300_800  # the year 10,000
SINCE = 788_918_400  # 1995-01-01; few logs are older

_UNTIL = 4_102_444_800  # 2100-01-01
_SOME = 10_000  # numbers that decide

_SIZES = (1e11, 1e14, 1e17)  # from 1e11 on milliseconds (1973; as seconds the year 5138), and so on
_DIGITS: tuple[Unit, ...] = ("YYYYMMDD", "YYYYMMDDhhmm", "YYYYMMDDhhmmss")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = (
    r"(?:,?[T ]\s*(?P<h>\d{1,2}):(?P<min>\d\d)(?::(?P<s>\d\d)(?:[.,](?P<f>\d+))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)?"
)
_MONTH = r"(?P<mon>[A-Za-z]{3})[a-z]*\.?"
_FORMS = [
    re.compile(form)
    for form in (
        rf"(?P<y>\d{{4}})[-/.](?P<m>\d{{1,2}})[-/.](?P<d>\d{{1,2}}){_CLOCK}",
        rf"(?:[A-Za-z]{{3,9}},? )?(?P<d>\d{{1,2}})[ -]{_MONTH}[ -](?P<y>\d{{4}}){_CLOCK}",
        rf"(?:[A-Za-z]{{3,9}},? )?{_MONTH} +(?P<d>\d{{1,2}}), *(?P<y>\d{{4}}){_CLOCK}",
        rf"[A-Za-z]{{3}} {_MONTH} +(?P<d>\d{{1,2}})"
        r" (?P<h>\d\d):(?P<min>\d\d):(?P<s>\d\d)"
        r"(?: (?P<zone>UTC|GMT|[+-]\d\d:?\d\d))? (?P<y>\d{4})",
    )
]
_SLASHES = re.compile(rf"(?P<a>\d{{1,2}})[/.-](?P<b>\d{{1,2}})[/.-](?P<y>\d{{4}}){_CLOCK}")
_SLASHED = r"^\s*(?P<a>\d{1,2})[/.-](?P<b>\d{1,2})[/.-]\d{4}"


def unit_of(column: Column) -> Unit:
    """What most values of a column count; seconds where they do not say."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return "s"
    values = plain_numbers(column) if is_text(column) else floats(column)
    values = values[np.isfinite(values) & (values != 0)]
    if len(values):
        for unit in _DIGITS:
            if 2 * np.isfinite(_by_digits(values, unit)).sum() > len(values):
                return unit
        size = np.searchsorted(_SIZES, np.abs(values), side="right")
        counts = np.bincount(size, minlength=4)
        units: tuple[Unit, ...] = ("s", "ms", "us", "ns")
        return units[int(counts.argmax())] if 2 * counts.max() > len(values) else "s"
    return _order(column) if is_text(column) else "s"


def unit_of_times(values: Float64Array) -> Unit | None:
    """What most of these numbers count if they are times from 1995 to 2100, else None."""
    some = pa.array(values[:: max(1, len(values) // _SOME)])
    unit = unit_of(some)
    moments = seconds(some, unit)
    like = (moments > SINCE) & (moments < _UNTIL)
    return unit if 2 * int(like.sum()) > len(some) else None


def seconds(column: Column, unit: Unit = "s") -> Float64Array:
    """Whole seconds of each value, fractions cut off downwards; NaN where there is no time.

    A time without an offset is UTC. Anything outside the years 1 to 9999 is no time.

    Args:
        column: pyarrow texts, numbers, dates or timestamps, shape (n,).
        unit: As `unit_of` says.
    """
    if is_text(column):
        values = _by_unit(plain_numbers(column), unit)
        if (rest := np.isnan(values)).any():
            values[rest] = _of_texts(column.filter(pa.array(rest)), unit)
    elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        values = floats(_to_seconds(column))
    else:
        values = _by_unit(floats(column), unit)
    return np.where(np.abs(values) < LATEST, values, np.nan)


def _by_unit(values: Float64Array, unit: Unit) -> Float64Array:
    if unit in _DIGITS:
        return _by_digits(values, unit)
    size = np.searchsorted(_SIZES, np.abs(values), side="right")
    return np.asarray(np.floor(values / np.array([1, 1e3, 1e6, 1e9])[size]), np.float64)


def _by_digits(values: Float64Array, unit: Unit) -> Float64Array:
    """Seconds of numbers whose digits are a date from 1900 to 2100, or NaN."""
    whole = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 1e15)
    digits = np.where(whole, values, 0).astype(np.int64)
    clock = np.zeros(len(digits), np.int64)
    fits = whole
    if unit == "YYYYMMDDhhmm":
        digits = digits * 100
    if unit != "YYYYMMDD":
        digits, rest = np.divmod(digits, 1_000_000)
        hours, minutes, second = rest // 10_000, rest // 100 % 100, rest % 100
        fits = fits & (hours < 24) & (minutes < 60) & (second < 60)
        clock = hours * 3600 + minutes * 60 + second
    year, month, day = digits // 10_000, digits // 100 % 100, digits % 100
    fits &= (year >= 1900) & (year <= 2100) & (month >= 1) & (month <= 12) & (day >= 1)
    months = np.where(fits, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + np.where(fits, day - 1, 0)
    fits &= days.astype("datetime64[M]") == months
    return np.where(fits, days.astype(np.int64) * 86_400 + clock, np.nan)


def _to_seconds(column: Column) -> Column:
    """A date or timestamp column as naive UTC timestamps of whole seconds, floored."""
    if pa.types.is_date(column.type):
        return column.cast(pa.timestamp("s"))
    naive = column.cast(pa.timestamp(column.type.unit))
    return pc.floor_temporal(naive, unit="second").cast(pa.timestamp("s"))


def _of_texts(column: Column, unit: Unit) -> Float64Array:
    """All at once if all have one ISO form, else each distinct text by itself."""
    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("us")):
        try:
            return np.floor(floats(column.cast(kind)) / 1e6)
        except pa.ArrowInvalid:
            continue
    coded = column.dictionary_encode()
    values = [_of_text(text.strip(), unit) for text in coded.dictionary.to_pylist()]
    at = np.asarray(coded.indices.to_numpy(zero_copy_only=False), np.int64)
    return np.asarray(values, np.float64)[at]


def _of_text(text: str, unit: Unit) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        found = _written_out(text, unit)
        if found is None:
            return np.nan
        moment = found
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(seconds=1)


def _written_out(text: str, unit: Unit) -> datetime | None:
    """The time in one of the forms; not strptime, which reads months in the machine's language."""
    match = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    parts = {} if match is None else match.groupdict()
    if match is None:
        if unit not in {"d/m/y", "m/d/y"} or not (match := _SLASHES.fullmatch(text)):
            return None
        parts = match.groupdict()
        parts["d"], parts["m"] = (parts["a"], parts["b"])[:: 1 if unit == "d/m/y" else -1]
    if (month := parts.get("mon")) is not None:
        if month.lower() not in _MONTHS:
            return None
        parts["m"] = str(_MONTHS.index(month.lower()) + 1)
    hour = int(parts["h"] or 0)
    if half := (parts.get("half") or "").lower():
        hour = hour % 12 + 12 * half.startswith("p")
    zone = (parts["zone"] or "+0000").replace(":", "")
    zone = "+0000" if zone in {"Z", "UTC", "GMT"} else zone
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:])) * (-1 if zone[0] == "-" else 1)
    year, number, day = (int(parts[name]) for name in ("y", "m", "d"))
    minute, second = int(parts["min"] or 0), int(parts["s"] or 0)
    try:
        return datetime(year, number, day, hour, minute, second, tzinfo=UTC) - offset
    except (ValueError, OverflowError):
        return None


def _order(column: Column) -> Unit:
    """The order of day and month between slashes or dots, where one number is beyond 12."""
    pairs = pc.extract_regex(column, _SLASHED)
    first, second = (
        floats(pc.struct_field(pairs, [name]).cast(pa.float64())) for name in ("a", "b")
    )
    if not np.isfinite(first).any():
        return "s"
    dots = pc.sum(pc.match_substring_regex(column, r"^\s*\d{1,2}\.\d")).as_py()
    if np.nanmax(second) <= 12 and (np.nanmax(first) > 12 or 2 * dots > len(column)):
        return "d/m/y"
    return "m/d/y" if np.nanmax(second) > 12 >= np.nanmax(first) else "s"
