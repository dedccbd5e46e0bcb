"""Ids and names as texts: what other programs store as floats, decimals, UUIDs or bytes."""

import re
from decimal import Decimal
from unicodedata import normalize
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import IdMap, Strings
from recsys.errors import InputError
from recsys.sources.numbers import Column, bools, floats

_EXACT = 2**53  # from here on float64 no longer has every whole number
_MISSING = r"^(|nan|NaN|NA|N/A|NULL|null|None|\\N)$"  # in a column of numbers
_FLOAT = r"^[0-9]+(\.[0-9]*)?([eE]\+[0-9]+)?$"


def texts_of(column: Column, name: str) -> Strings:
    """The ids or names of a typed column as texts, shape (n,); missing is "".

    Raises:
        InputError: they are floats beyond 2^53, whose last digits are lost.
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _of_bytes(column.storage, uuid=str(kind).endswith("uuid>"))
    if pa.types.is_floating(kind):
        return _of_floats(column, name)
    if is_binary(kind):
        return _of_bytes(column, uuid=False)
    texts = pc.fill_null(column.cast(pa.string()), "")
    if pa.types.is_decimal(kind):
        texts = pc.replace_substring_regex(texts, r"\.0*$", "")
    return texts


def text_of(value: object) -> str | None:
    """The text of one id or name that a database gives."""
    if isinstance(value, memoryview | bytearray):
        value = bytes(value)
    if isinstance(value, bytes):
        return _of_one(value, uuid=False)
    if isinstance(value, float | Decimal) and value == value // 1:
        return str(int(value))
    return None if value is None else str(value)


def is_binary(kind: object) -> bool:
    """Whether a type holds bytes."""
    is_ = pa.types
    return bool(is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_fixed_size_binary(kind))


def are_floats(column: Strings) -> bool:
    """Whether texts are whole numbers some of which were written as floats: 12.0, 1e+05."""
    known = column.filter(pc.invert(pc.match_substring_regex(column, _MISSING)))
    if not len(known) or not pc.all(pc.match_substring_regex(known, _FLOAT)).as_py():
        return False
    odd = known.filter(pc.match_substring_regex(known, r"[.+]"))
    return len(odd) > 0 and all(_is_whole(text) for text in odd.unique().to_pylist())


def without_fractions(column: Strings) -> Strings:
    """The digits of texts such as 12.0 and 1e+05; other texts unchanged."""
    short = pc.replace_substring_regex(column, _MISSING, "")
    short = pc.replace_substring_regex(short, r"^([0-9]+)\.0*$", r"\1")
    powers = bools(pc.match_substring_regex(short, r"^[0-9.]+[eE]\+[0-9]{1,2}$"))
    if not powers.any():
        return short
    texts = short.to_pylist()
    for at in np.flatnonzero(powers):
        if _is_whole(texts[at]):
            texts[at] = str(int(Decimal(texts[at])))
    return pa.array(texts, pa.string())


def odd_ids(ids: IdMap, what: str) -> list[str]:
    """Notes on ids that may stand for a missing value, or differ in their Unicode form alone."""
    notes = []
    marks = ids.ids.filter(pc.match_substring_regex(ids.ids, _MISSING)).to_pylist()
    if marks:
        shown = " and ".join(map(repr, marks[:3]))
        notes.append(f"{what} {shown} may stand for a missing value and is used as it is")
    if not pc.all(pc.string_is_ascii(ids.ids)).as_py():
        counts = pc.value_counts(pc.utf8_normalize(ids.ids, form="NFD"))
        alike = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
        if len(alike):
            notes.append(
                f"{len(alike):,} {what} ids are there in two Unicode forms and count as two, such "
                f"as {normalize('NFC', alike[0].as_py())!r}; write them in one"
            )
    return notes


def _is_whole(text: str) -> bool:
    return bool(Decimal(text) == Decimal(text).to_integral_value())


def _of_floats(column: Column, name: str) -> Strings:
    values = floats(column)
    whole = np.isfinite(values) & (values == np.floor(values))
    if (np.abs(values[whole]) > _EXACT).any():
        raise InputError(
            f"column {name!r} holds ids as floats beyond 2^53, whose last digits are lost; "
            "write them as integers or as text"
        )
    digits = pa.array(np.where(whole, values, 0).astype(np.int64)).cast(pa.string())
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return pc.fill_null(pc.if_else(pa.array(whole), digits, column.cast(pa.string())), "")


def _of_bytes(column: Column, *, uuid: bool) -> Strings:
    if not uuid and not pa.types.is_fixed_size_binary(column.type):
        try:
            return pc.fill_null(column.cast(pa.string()), "")
        except pa.ArrowInvalid:
            pass
    values = [None if each is None else _of_one(each, uuid=uuid) for each in column.to_pylist()]
    return pc.fill_null(pa.array(values, pa.string()), "")


def _of_one(value: bytes, *, uuid: bool) -> str:
    """Text where the bytes are one, a UUID of 16 bytes, else hexadecimal digits."""
    if not uuid:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = "\0"
        if not re.search(r"[\0-\x1f]", text):
            return text
    return str(UUID(bytes=value)) if len(value) == 16 else value.hex()
