"""Counts, ratings and times from texts and typed columns, with a reason code for each.

Every function takes a pyarrow array of shape (n,) and returns values of shape (n,) and reason
codes, int8, shape (n,); the value is undefined where the code is not FINE.
"""

import numpy as np
import pyarrow.compute as pc

from recsys.dtypes import Float64Array, Int8Array
from recsys.sources import times
from recsys.sources.layout import Decimal
from recsys.sources.numbers import (
    MOST_PLAYS,
    Column,
    bools,
    floats,
    is_text,
    numbers,
    whole_texts,
)
from recsys.sources.rejects import Reason
from recsys.sources.times import Seconds, Unit


def empty(column: Column, reason: Reason) -> Int8Array:
    """`reason` where the text is empty."""
    return np.where(bools(pc.equal(pc.binary_length(column), 0)), reason, 0).astype(np.int8)


def nul_bytes(column: Column) -> Int8Array:
    """Where the text has a NUL byte: something else than a table was written over it."""
    return np.where(bools(pc.match_substring(column, "\0")), Reason.NUL_BYTE, 0).astype(np.int8)


def plays(column: Column, decimal: Decimal = ".") -> tuple[Float64Array, Int8Array]:
    """Whole numbers from 1 to 2^53: 28, 28.0, 1e3 and 1,204 alike."""
    if is_text(column):
        values, whole = whole_texts(column, decimal)
    else:
        values = floats(column)
        whole = (values == np.floor(values)) & (values <= MOST_PLAYS)
    codes = np.where(whole, Reason.FINE, Reason.PLAYS_NOT_WHOLE)
    codes = np.where(whole & (values <= 0), Reason.PLAYS_NOT_POSITIVE, codes)
    return values, codes.astype(np.int8)


def ratings(column: Column, decimal: Decimal = ".") -> tuple[Float64Array, Int8Array]:
    """Any finite numbers above 0."""
    values = numbers(column, decimal)
    codes = np.where(np.isfinite(values), Reason.FINE, Reason.RATING_NOT_NUMBER)
    codes = np.where(values <= 0, Reason.RATING_NOT_POSITIVE, codes)
    return values, np.where(np.isinf(values), Reason.RATING_NOT_NUMBER, codes).astype(np.int8)


def seconds(column: Column, unit: Unit = "s") -> tuple[Seconds, Int8Array]:
    """Whole seconds since 1970-01-01 UTC, as `recsys.sources.times` reads them."""
    values = times.seconds(column, unit)
    fine = np.isfinite(values)
    codes = np.where(fine, Reason.FINE, Reason.BAD_TIME).astype(np.int8)
    return np.where(fine, values, 0).astype(np.int64), codes
