"""Counts, ratings and times from texts and typed columns, with a reason code for each.

Every function takes a pyarrow array of shape (n,) and returns values of shape (n,) and reason
codes, int8, shape (n,); the value is undefined where the code is not FINE.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.dtypes import Float64Array, Int8Array
from recsys.sources.rejects import Reason

Seconds = npt.NDArray[np.int64]
Column = Any  # pyarrow array; pyarrow ships no types

MOST_PLAYS = 2**53  # beyond it float64 cannot count
LATEST = 253_402_300_800  # the year 10,000; milliseconds since 1970 lie beyond it

_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_text(column: Column) -> bool:
    """Whether the column holds strings."""
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def empty(column: Column, reason: Reason) -> Int8Array:
    """`reason` where the text is empty."""
    return np.where(_bools(pc.equal(pc.binary_length(column), 0)), reason, 0).astype(np.int8)


def plays(column: Column) -> tuple[Float64Array, Int8Array]:
    """Whole numbers from 1 to 2^53, written in ASCII digits alone ("12.0" is not whole).

    In a typed column a float counts as whole if it has no fraction.
    """
    if is_text(column):
        values, whole = _whole_texts(column)
    else:
        values = _floats(column)
        whole = (values == np.floor(values)) & (values <= MOST_PLAYS)
    codes = np.where(whole, Reason.FINE, Reason.PLAYS_NOT_WHOLE)
    codes = np.where(whole & (values <= 0), Reason.PLAYS_NOT_POSITIVE, codes)
    return values, codes.astype(np.int8)


def ratings(column: Column) -> tuple[Float64Array, Int8Array]:
    """Any finite numbers above 0."""
    values = _number_texts(column) if is_text(column) else _floats(column)
    codes = np.where(np.isfinite(values), Reason.FINE, Reason.RATING_NOT_NUMBER)
    codes = np.where(values <= 0, Reason.RATING_NOT_POSITIVE, codes)
    return values, np.where(np.isinf(values), Reason.RATING_NOT_NUMBER, codes).astype(np.int8)


def seconds(column: Column) -> tuple[Seconds, Int8Array]:
    """Whole seconds since 1970-01-01 UTC, fractions cut off downwards.

    From numbers of seconds or ISO 8601 texts; a time without an offset is UTC. Anything outside
    the years 1 to 9999 is wrong, milliseconds for instance.
    """
    if is_text(column):
        values = _times_of_texts(column)
    elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        values = _floats(_to_seconds(column))
    else:
        values = np.floor(_floats(column))
    fine = np.abs(values) < LATEST
    codes = np.where(fine, Reason.FINE, Reason.BAD_TIME).astype(np.int8)
    return np.where(fine, values, 0).astype(np.int64), codes


def numbers(column: Column) -> Float64Array:
    """Numbers of a text or typed column, NaN where there is none."""
    return _number_texts(column) if is_text(column) else _floats(column)


def _bools(column: Column) -> npt.NDArray[np.bool_]:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=bool)


def _to_seconds(column: Column) -> Column:
    """A date or timestamp column as naive UTC timestamps of whole seconds, floored."""
    if pa.types.is_date(column.type):
        return column.cast(pa.timestamp("s"))
    naive = column.cast(pa.timestamp(column.type.unit))
    return pc.floor_temporal(naive, unit="second").cast(pa.timestamp("s"))


def _floats(column: Column) -> Float64Array:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    filled = pc.fill_null(column.cast(pa.float64(), safe=False), np.nan)
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.float64)


def _whole_texts(column: Column) -> tuple[Float64Array, npt.NDArray[np.bool_]]:
    digits = pc.ascii_is_decimal(column)
    short = pc.less_equal(pc.binary_length(pc.ascii_ltrim(column, "0")), 16)
    countable = pc.and_(digits, short)
    values = pc.if_else(countable, column, "0").cast(pa.int64()).to_numpy(zero_copy_only=False)
    whole = _bools(countable) & (values <= MOST_PLAYS)
    if not whole.all():
        negative = _bools(pc.match_substring_regex(column, "^-[0-9]+$"))
        values, whole = np.where(negative, -1, values), whole | negative
    return values.astype(np.float64), whole


def _number_texts(column: Column) -> Float64Array:
    """Decimal numbers, NaN for other texts ("nan", "inf" and hexadecimal among them)."""
    good = pc.match_substring_regex(column, _NUMBER)
    clean = pc.utf8_ltrim(pc.if_else(good, column, "0"), "+")
    values = clean.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(_bools(good), values, np.nan)


def _times_of_texts(column: Column) -> Float64Array:
    values = np.floor(_number_texts(column))
    if not (rest := np.isnan(values)).any():
        return values
    values[rest] = _iso_times(column.filter(pa.array(rest)))
    return values


def _iso_times(column: Column) -> Float64Array:
    """All at once if all have one form, else one by one: a bad text must cost one row only."""
    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("us")):
        try:
            return np.floor(_floats(column.cast(kind)) / 1e6)
        except pa.ArrowInvalid:
            continue
    return np.array([_iso_time(text) for text in column.to_pylist()], dtype=np.float64)


def _iso_time(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return np.nan
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(seconds=1)
