"""Lines of a log read by compiled code, where nothing about them is unusual.

What is unusual is left to the careful readers of `recsys.sources`: a line that this code reads is
a line that they read alike.
"""

from typing import Any

import numpy as np

from recsys.kernels.compiler import njit
from recsys.kernels.text_codes import Table, code_of, codes_of
from recsys.kernels.words import (
    HIGHS,
    ONES,
    byte,
    few_digits,
    find,
    get,
    hash_of,
    is_utf8,
    prefetch,
    put,
    same,
    word,
)

# Places in the array `spec` that says what a line has; -1 for a field that it does not have.
WIDTH, DELIMITER, USER, ITEM, NAME, NUMBER, TIME, WHOLE, POINT, NEEDS, TRIM, DIGITS, UNIT = range(
    13
)
N_SPEC = 13
NEEDS_ITEM, NEEDS_NAME, NEEDS_EITHER = range(3)
USER_DIGITS, ITEM_DIGITS = 1, 2

# Codes of lines that are not used, besides those of `recsys.sources.rejects.Reason`.
ODD, ODD_TIME = -1, -2
NO_USER, NO_ITEM, NO_PLAYS, NO_RATING = 3, 4, 6, 8

Titles = tuple[int, int]  # address of a line and its length

BATCH = 256  # texts looked up together
NO_TIME = np.int64(-(2**62))
_LATEST = 253_402_300_800
_MARK, _BYTES_3 = np.uint64(0xBFBBEF), np.uint64(0xFFFFFF)  # a byte order mark, its size
_POWERS = 10.0 ** np.arange(17)


@njit(nogil=True, cache=True, error_model="numpy")
def cut(text: int, row: int, spec: int, ends: int, known: int) -> tuple[int, bool]:
    """Where the fields of a line end, into `ends`; the next line; whether it has as many fields.

    Args:
        text: Its address, as of the other arrays.
        row: Where the line begins.
        spec: As above.
        ends: int64, shape (width + 1,); the first entry is the place before the line.
        known: Where the first field ends if that is known, else -1.
    """
    width = get(spec, WIDTH)
    first, newline = np.uint64(get(spec, DELIMITER)) * ONES, np.uint64(10) * ONES
    put(ends, 0, row - 1)
    at, field = row, 0
    if known >= 0:
        put(ends, 1, known)
        at, field = known + 1, 1
    while True:
        end = find(text, at, first, newline)
        field += 1
        if field <= width:
            put(ends, field, end)
        at = end + 1
        if byte(text, end) == 10:
            break
    if field == width and end > row and byte(text, end - 1) == 13:
        put(ends, width, end - 1)
    return at, field == width


@njit(nogil=True, cache=True, error_model="numpy")
def number(text: int, a: int, b: int, point: int) -> tuple[int, int]:
    """The digits of a number as an integer, at most 15 of them, and how many are a fraction.

    Zeros at the end of a fraction are left out. (-1, 0) for anything else.
    """
    if 0 < b - a <= 8:
        value = few_digits(text, a, b - a)
        if value >= 0:
            return value, 0
    if b == a or b - a > 15:
        return -1, 0
    value, places, fraction = 0, 0, False
    for i in range(a, b):
        digit = byte(text, i) - 48
        if 0 <= digit <= 9:
            value = value * 10 + digit
            places += fraction
        elif digit == -2 and point and not fraction and i > a:
            fraction = True
        else:
            return -1, 0
    while places > 0 and value % 10 == 0:
        value //= 10
        places -= 1
    return value, places


@njit(nogil=True, cache=True, error_model="numpy")
def _two(text: int, at: int) -> int:
    tens, ones = byte(text, at) - 48, byte(text, at + 1) - 48
    return tens * 10 + ones if 0 <= tens <= 9 and 0 <= ones <= 9 else -1


@njit(nogil=True, cache=True, error_model="numpy")
def _day(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01, as Howard Hinnant counts them: a year begins with March."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@njit(nogil=True, cache=True, error_model="numpy")
def _written_out(text: int, a: int) -> int:
    """Seconds since 1970 of a text like 2019-02-01T12:34:56 from 1900 on; else NO_TIME."""
    marks = (
        byte(text, a + 4) == 45
        and byte(text, a + 7) == 45
        and byte(text, a + 13) == 58
        and byte(text, a + 16) == 58
    )
    century, year = _two(text, a), _two(text, a + 2)
    month, day = _two(text, a + 5), _two(text, a + 8)
    hour, minute, second = _two(text, a + 11), _two(text, a + 14), _two(text, a + 17)
    if not marks or not (byte(text, a + 10) == 84 or byte(text, a + 10) == 32):
        return NO_TIME
    if century < 19 or year < 0 or not 1 <= month <= 12 or not 1 <= day <= 31:
        return NO_TIME
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        return NO_TIME
    year += century * 100
    days = _day(year, month, day)
    if day > 28 and days >= _day(year + month // 12, month % 12 + 1, 1):
        return NO_TIME
    return days * 86_400 + hour * 3600 + minute * 60 + second


@njit(nogil=True, cache=True, error_model="numpy")
def moment(text: int, a: int, b: int, since_1970: int) -> int:
    """Seconds since 1970 of digits or of 2019-02-01T12:34:56Z, with T or a blank, Z or none.

    NO_TIME for anything else, and for digits unless they count since 1970.
    """
    if (b - a == 19 and byte(text, a + 4) == 45) or (b - a == 20 and byte(text, b - 1) == 90):
        return _written_out(text, a)
    if not since_1970 or b == a or b - a > 18:
        return NO_TIME
    value = 0
    for i in range(a, b):
        digit = byte(text, i) - 48
        if not 0 <= digit <= 9:
            return NO_TIME
        value = value * 10 + digit
    seconds = float(value)
    if seconds >= 1e17:
        seconds /= 1e9
    elif seconds >= 1e14:
        seconds /= 1e6
    elif seconds >= 1e11:
        seconds /= 1e3
    return np.int64(np.floor(seconds)) if seconds < _LATEST else NO_TIME


@njit(nogil=True, cache=True, error_model="numpy")
def _maybe_blank(text: int, at: int) -> bool:
    """Whether a blank beyond ASCII may begin here; some other letters begin alike."""
    lead, second = byte(text, at), byte(text, at + 1)
    if lead == 0xC2:
        return second == 0x85 or second == 0xA0
    if lead == 0xE1:
        return second == 0x9A or second == 0xA0
    if lead == 0xE2:
        return second == 0x80 or second == 0x81
    return (lead == 0xE3 and second == 0x80) or (lead == 0xEF and second == 0xBB)


@njit(nogil=True, cache=True, error_model="numpy")
def trimmed(text: int, a: int, b: int) -> bool:
    """Whether the bytes from a to b surely have no blanks around them."""
    if a == b:
        return True
    if byte(text, a) <= 32 or byte(text, b - 1) <= 32 or _maybe_blank(text, a):
        return False
    if byte(text, b - 1) < 0x80 or b - a < 2:
        return True
    return not _maybe_blank(text, b - 2) and (b - a < 3 or not _maybe_blank(text, b - 3))


@njit(nogil=True, cache=True, error_model="numpy")
def _all_digits(text: int, a: int, b: int) -> bool:
    for i in range(a, b):  # noqa: SIM110 - numba knows no generators
        if not 48 <= byte(text, i) <= 57:
            return False
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _unusual(text: int, ends: int, spec: int, titles: Titles) -> bool:
    """Whether a line with all its fields has texts that are not what they seem."""
    start, stop = get(ends, 0) + 1, get(ends, get(spec, WIDTH))
    high, empty = np.uint64(0), np.uint64(0)
    for at in range(start, stop, 8):
        here = word(text, at)
        high |= here
        empty |= (here - ONES) & ~here
    if get(spec, TRIM) and empty & HIGHS != np.uint64(0):
        return True  # perhaps a NUL byte
    marked = word(text, start) & _BYTES_3 == _MARK
    if high & HIGHS != np.uint64(0) and (marked or not is_utf8(text, start, stop)):
        return True
    user, item, name = get(spec, USER), get(spec, ITEM), get(spec, NAME)
    if get(spec, TRIM):
        for field in (user, item, name):
            if field >= 0 and not trimmed(text, get(ends, field) + 1, get(ends, field + 1)):
                return True
    if get(spec, DIGITS) & USER_DIGITS and not _all_digits(
        text, get(ends, user) + 1, get(ends, user + 1)
    ):
        return True
    if get(spec, DIGITS) & ITEM_DIGITS and not _all_digits(
        text, get(ends, item) + 1, get(ends, item + 1)
    ):
        return True
    line, size = titles
    return size > 0 and stop - start == size and same(text, start, stop, line, 0)


@njit(nogil=True, cache=True, error_model="numpy")
def judged(text: int, ends: int, spec: int, titles: Titles) -> tuple[int, float, int]:
    """Why a line with all its fields is not used, 0 where it is; its plays and its time."""
    plays, time, user, item = 1.0, np.int64(0), get(spec, USER), get(spec, ITEM)
    if get(spec, TIME) >= 0:
        field = get(spec, TIME)
        time = moment(text, get(ends, field) + 1, get(ends, field + 1), get(spec, UNIT))
        if time == NO_TIME:
            return ODD_TIME, plays, time
    if get(spec, NUMBER) >= 0:
        field = get(spec, NUMBER)
        value, places = number(text, get(ends, field) + 1, get(ends, field + 1), get(spec, POINT))
        if value < 0 or (places > 0 and get(spec, WHOLE)):
            return ODD, plays, time
        plays = value / _POWERS[places]
    if _unusual(text, ends, spec, titles):
        return ODD, plays, time
    if get(ends, user + 1) == get(ends, user) + 1:
        return NO_USER, plays, time
    no_item = get(ends, item + 1) == get(ends, item) + 1
    if get(spec, NEEDS) != NEEDS_ITEM:
        no_name = get(ends, get(spec, NAME) + 1) == get(ends, get(spec, NAME)) + 1
        no_item = no_name and (no_item or get(spec, NEEDS) == NEEDS_NAME)
    if no_item:
        return NO_ITEM, plays, time
    if plays <= 0:
        return NO_PLAYS if get(spec, WHOLE) else NO_RATING, plays, time
    return 0, plays, time


@njit(nogil=True, cache=True, error_model="numpy")
def read_lines(
    text: int, at: int, stop: int, spec: int, titles: Titles, users: Table, keys: Table, out: Any
) -> tuple[int, int, int]:
    """Read lines until the end or until the arrays are full.

    Args:
        text: Address of uint8, with 64 bytes after `stop`; ends with a newline before it.
        at: Where a line begins.
        stop: Where the last line has ended.
        spec: Address of int64, see above.
        titles: The line of the column names; empty without one.
        users: Table of the users, with room for as many as the arrays are long.
        keys: Table of the items; item and name with what is between them where names are known.
        out: User and item (int32), plays (float64) and time (int64) of each line that is used,
            shape (n,), and of each other line its number from 0, its code, start and end, int64,
            shape (n, 4).

    Returns:
        Where it ended (-1 at a time that is not understood), lines used, and other lines.
    """
    of_user, of_item, plays, times, refused = out
    places, waiting = np.empty(get(spec, WIDTH) + 1, np.int64), np.empty((3, BATCH), np.int64)
    low, high = get(spec, ITEM), max(get(spec, ITEM), get(spec, NAME))
    if get(spec, NAME) >= 0:
        low = min(low, get(spec, NAME))
    ends = np.int64(places.ctypes.data)
    kept, n_refused, n, last = 0, 0, 0, keys[1]
    user, a, b = -1, 0, 0  # the user before, and where its id is
    while at < stop and kept + n_refused < len(of_user):
        known = at + b - a
        begins = (
            user >= 0
            and get(spec, USER) == 0
            and known < stop
            and byte(text, known) == get(spec, DELIMITER)
        )
        if not begins or not same(text, a, b, text, at):
            known = -1
        row = at
        at, fits = cut(text, row, spec, ends, known)
        code, strength, time = ODD, 1.0, np.int64(0)
        if fits:
            code, strength, time = judged(text, ends, spec, titles)
        if code == ODD_TIME:
            return -1, kept, n_refused
        if code != 0:
            refused[n_refused, 0], refused[n_refused, 1] = kept + n_refused, code
            refused[n_refused, 2], refused[n_refused, 3] = row, at
            n_refused += 1
            continue
        start, end = get(ends, get(spec, USER)) + 1, get(ends, get(spec, USER) + 1)
        if user < 0 or end - start != b - a or not same(text, a, b, text, start):
            hashed = hash_of(text, start, end)
            user = code_of(hashed, text, start, end, users)
        a, b = start, end
        start, end = get(ends, low) + 1, get(ends, high + 1)
        waiting[0, n], waiting[1, n] = np.int64(hash_of(text, start, end)), start
        waiting[2, n] = end
        prefetch(keys[0], (waiting[0, n] & last) << 3)
        of_user[kept], plays[kept], times[kept] = user, strength, time
        n += 1
        kept += 1
        if n == BATCH:
            codes_of(waiting, n, text, keys, of_item, kept - n)
            n = 0
    codes_of(waiting, n, text, keys, of_item, kept - n)
    places[0] = at  # numba frees an array after its last use, and `ends` does not count as one
    return at, kept, n_refused
