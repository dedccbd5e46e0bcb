"""Numbers in texts and typed columns, as programs write them: 28, 28.0, 1e3, 1,204 or 1.204,5."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.dtypes import Float64Array
from recsys.sources.layout import Decimal

Column = Any  # pyarrow array; pyarrow ships no types

MOST_PLAYS = 2**53  # beyond it float64 cannot count

_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_SPACES = " _'\u2019\u00a0\u2007\u2009\u202f"
_GROUPED = {  # 1,204 and 1 204 and 1'204, in India 1,20,400; with a decimal comma 1.204
    mark: rf"^[+-]?[1-9][0-9]{{0,2}}((\{group}[0-9]{{2,3}})*\{group}[0-9]{{3}}"
    rf"|([{_SPACES}][0-9]{{3}})+)(\{mark}[0-9]*)?$"
    for mark, group in ((".", ","), (",", "."))
}


def is_text(column: Column) -> bool:
    """Whether the column holds strings."""
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def bools(column: Column) -> npt.NDArray[np.bool_]:
    """A pyarrow column of booleans as bool, shape (n,)."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=bool)


def floats(column: Column) -> Float64Array:
    """A typed column as float64, shape (n,); NaN where it is null."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    filled = pc.fill_null(column.cast(pa.float64(), safe=False), np.nan)
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.float64)


def number_texts(column: Column, decimal: Decimal = ".") -> Float64Array:
    """The numbers of texts, NaN for other texts ("nan", "inf" and hexadecimal among them).

    Blanks around a number and separators of thousands do not count.
    """
    if decimal == ",":
        return plain_numbers(_plain(column, decimal))
    values = plain_numbers(column)
    if (rest := np.isnan(values)).any():
        values[rest] = plain_numbers(_plain(column.filter(pa.array(rest)), decimal))
    return values


def plain_numbers(column: Column) -> Float64Array:
    """The numbers of texts that hold nothing but a number with a decimal point, else NaN."""
    good = pc.match_substring_regex(column, _NUMBER)
    clean = pc.utf8_ltrim(pc.if_else(good, column, "0"), "+")
    values = clean.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(bools(good), values, np.nan)


def numbers(column: Column, decimal: Decimal = ".") -> Float64Array:
    """Numbers of a text or typed column, NaN where there is none."""
    return number_texts(column, decimal) if is_text(column) else floats(column)


def whole_texts(column: Column, decimal: Decimal) -> tuple[Float64Array, npt.NDArray[np.bool_]]:
    """The numbers of texts, and where they are whole and at most MOST_PLAYS."""
    digits = pc.ascii_is_decimal(column)
    short = pc.less_equal(pc.binary_length(pc.ascii_ltrim(column, "0")), 16)
    countable = pc.and_(digits, short)
    counts = pc.if_else(countable, column, "0").cast(pa.int64()).to_numpy(zero_copy_only=False)
    whole = bools(countable) & (counts <= MOST_PLAYS)
    values = counts.astype(np.float64)
    if not whole.all():
        rest = ~whole
        others = number_texts(column.filter(pa.array(rest)), decimal)
        values[rest] = others
        whole[rest] = (others == np.floor(others)) & (others < MOST_PLAYS)
    return values, whole


def _plain(column: Column, decimal: Decimal) -> Column:
    """Without blanks around, separators of thousands, and with a decimal point."""
    column = pc.utf8_trim_whitespace(column)
    grouped = pc.match_substring_regex(column, _GROUPED[decimal])
    if pc.any(grouped).as_py():
        group = "," if decimal == "." else r"\."
        without = pc.replace_substring_regex(column, f"[{group}{_SPACES}]", "")
        column = pc.if_else(grouped, without, column)
    if decimal == ",":
        points = pc.match_substring(column, ".")  # "1.5" is no number where a comma is decimal
        column = pc.if_else(points, "", pc.replace_substring(column, ",", "."))
    return column
