"""Ids and names as texts: what other programs store as floats, decimals, UUIDs or bytes."""

import re
from decimal import Decimal
from math import isfinite
from unicodedata import normalize
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import IdMap, Strings
from recsys.errors import InputError
from recsys.sources.numbers import Column, bools, floats

_EXACT = {2: 2**11, 4: 2**24, 8: 2**53}  # beyond it floats of so many bytes lack whole numbers
_BEYOND = "floats beyond 2^{}, whose last digits are lost; write them as integers or as text"
MISSING = r"^(|nan|NaN|NA|N/A|NULL|null|None|\\N)$"  # in a column of numbers
_MARKS = r"(?i)^(nan|na|n/a|#n/a|null|\(null\)|nil|none|\\N|<na>|nat|undefined|-+|\?+)$"
_FLOAT = r"^[0-9]+(\.[0-9]*)?([eE]\+[0-9]+)?$"
_SHORT = re.compile(r"[0-9](?:\.([0-9]{1,5}))?E\+([0-9]+)|[0-9]\.([0-9]{5})e\+([0-9]+)")
_QUOTED = r"^('.*'|`.*`|\".*\"|“.*”|‘.*’|«.*»)$"
_UNSEEN = "[\u00ad\u200b-\u200f\u2060\ufeff]"
_CASELESS = r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$|@"


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
    """The text of one id or name that a database gives.

    Raises:
        InputError: it is a float beyond 2^53, whose last digits are lost.
    """
    if isinstance(value, memoryview | bytearray):
        value = bytes(value)
    if isinstance(value, bytes):
        return _of_one(value, uuid=False)
    if isinstance(value, float) and isfinite(value) and abs(value) > _EXACT[8]:
        raise InputError(f"ids such as {value!r} are {_BEYOND.format(53)}")
    if isinstance(value, float | Decimal) and value == value // 1:
        return str(int(value))
    return None if value is None else str(value)


def is_binary(kind: object) -> bool:
    """Whether a type holds bytes."""
    is_ = pa.types
    return bool(is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_fixed_size_binary(kind))


def are_floats(column: Strings) -> bool:
    """Whether texts are whole numbers some of which were written as floats: 12.0, 1e+05."""
    known = column.filter(pc.invert(pc.match_substring_regex(column, MISSING)))
    if not len(known) or not pc.all(pc.match_substring_regex(known, _FLOAT)).as_py():
        return False
    odd = known.filter(pc.match_substring_regex(known, r"[.+]"))
    return len(odd) > 0 and all(_is_whole(text) for text in odd.unique().to_pylist())


def without_fractions(column: Strings) -> Strings:
    """The digits of texts such as 12.0 and 1e+05; other texts unchanged."""
    short = pc.replace_substring_regex(column, MISSING, "")
    short = pc.replace_substring_regex(short, r"^([0-9]+)\.0*$", r"\1")
    powers = bools(pc.match_substring_regex(short, r"^[0-9.]+[eE]\+[0-9]{1,2}$"))
    if not powers.any():
        return short
    texts = short.to_pylist()
    for at in np.flatnonzero(powers):
        if _is_whole(texts[at]):
            texts[at] = str(int(Decimal(texts[at])))
    return pa.array(texts, pa.string())


def refuse_short(column: Strings, what: str) -> None:
    """Refuse ids as a spreadsheet shows them, 1.23457E+11.

    Raises:
        InputError: most have lost their last digits.
    """
    parts = [each for text in column.to_pylist() if (each := _SHORT.fullmatch(text))]
    lost = [e for e in parts if len(e[1] or e[3] or "") < int(e[2] or e[4])]
    if 2 * len(lost) > len(column):
        raise InputError(
            f"{what} ids such as {lost[0][0]!r} have lost their last digits, as in a spreadsheet; "
            "write them as text or as whole numbers"
        )


def odd_ids(ids: IdMap, what: str) -> list[str]:
    """Notes on ids that may stand for a missing value, in quotes, or alike to the eye."""
    notes = []
    marks = ids.ids.filter(pc.match_substring_regex(ids.ids, _MARKS)).to_pylist()
    if marks:
        shown = " and ".join(map(repr, marks[:3]))
        notes.append(f"{what} {shown} may stand for a missing value and is used as it is")
    quoted = ids.ids.filter(pc.match_substring_regex(ids.ids, _QUOTED))
    if 2 * len(quoted) > len(ids):
        shown = repr(quoted[0].as_py())
        notes.append(f"{what} ids keep the quotes around them, as in {shown}")
    of_case = ids.ids.filter(pc.match_substring_regex(ids.ids, _CASELESS))
    notes += alike_in_case(of_case, f"{what} ids")
    if not pc.all(pc.string_is_ascii(ids.ids)).as_py():
        normal = pc.utf8_normalize(ids.ids, form="NFD")
        notes += _alike(normal, f"{what} ids", "in two Unicode forms")
        seen = pc.replace_substring_regex(ids.ids, _UNSEEN, "")
        notes += _alike(seen, f"{what} ids", "with and without invisible characters")
    return notes


def alike_in_case(texts: Strings, what: str) -> list[str]:
    """A note where several of these distinct texts differ in their case alone."""
    return _alike(pc.utf8_lower(texts), what, "in capitals and in small letters")


def _alike(forms: Strings, what: str, how: str) -> list[str]:
    """A note where several texts have one form."""
    counts = pc.value_counts(forms)
    alike = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if not len(alike):
        return []
    first = normalize("NFC", alike[0].as_py())
    return [
        f"{len(alike):,} {what} are there {how} and count as two, such as {first!r}; "
        "write them in one"
    ]


def _is_whole(text: str) -> bool:
    return bool(Decimal(text) == Decimal(text).to_integral_value())


def _of_floats(column: Column, name: str) -> Strings:
    values = floats(column)
    whole = np.isfinite(values) & (values == np.floor(values))
    most = _EXACT[column.type.bit_width // 8]
    if (np.abs(values[whole]) > most).any():
        power = most.bit_length() - 1
        raise InputError(f"column {name!r} holds ids as {_BEYOND.format(power)}")
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
