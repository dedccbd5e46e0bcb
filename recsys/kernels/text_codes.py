"""Numbers for texts, given as they come: a hash table whose texts lie end to end.

A table is four arrays: `slots` (int64, a power of two of them, -1 where empty) hold 32 bits of the
hash and the place of a record in `store` (uint8), in words; a record is its length and its
number, then its bytes. `places` (int64) has the record of each number, `counts` (int64) how many
numbers and how many words are used. The functions take addresses, see `recsys.kernels.words`.
"""

from typing import Any

import numpy as np

from recsys.kernels.compiler import njit
from recsys.kernels.words import byte, get, hash_of, prefetch, put, put_byte, same, word

Table = tuple[int, int, int, int, int]
"""Addresses of the slots, their number less 1, and addresses of the other arrays."""

_LOW = 0xFFFFFFFF
HEAD = 8  # bytes of a record before its text


@njit(nogil=True, cache=True, error_model="numpy")
def code_of(hashed: np.uint64, text: int, a: int, b: int, table: Table) -> int:
    """The number of the text from a to b, which is added where it is new."""
    slots, last, store, places, counts = table
    at = np.int64(hashed) & last
    tag = np.int64(hashed >> np.uint64(32)) << 32
    while get(slots, at) != -1:
        slot = get(slots, at)
        if (slot ^ tag) >> 32 == 0:
            place = (slot & _LOW) << 3
            head = np.int64(word(store, place))
            if head & _LOW == b - a and same(text, a, b, store, place + HEAD):
                return head >> 32
        at = (at + 1) & last
    code, place = get(counts, 0), get(counts, 1)
    put(slots, at, tag | place)
    put(places, code, place)
    _write(store, place << 3, code, text, a, b)
    put(counts, 0, code + 1)
    put(counts, 1, place + 1 + (b - a + 7) // 8)
    return code


@njit(nogil=True, cache=True, error_model="numpy")
def _write(store: int, place: int, code: int, text: int, a: int, b: int) -> None:
    put(store + place, 0, code << 32 | (b - a))
    for i in range(b - a):
        put_byte(store, place + HEAD + i, byte(text, a + i))


@njit(nogil=True, cache=True, error_model="numpy")
def codes_of(waiting: Any, n: int, text: int, table: Table, codes: Any, at: int) -> None:
    """Numbers of n texts into `codes` from `at` on, all loaded at once: that is much faster.

    Args:
        waiting: Hashes, starts and ends of the texts, int64, shape (3, at least n).
        n: How many.
        text: Its address.
        table: As above.
        codes: int32.
        at: Where the first goes.
    """
    slots, last, store, _, _ = table
    for i in range(n):
        slot = get(slots, waiting[0, i] & last)
        if slot != -1:
            prefetch(store, (slot & _LOW) << 3)
            prefetch(store, ((slot & _LOW) << 3) + 63)
    for i in range(n):
        hashed = np.uint64(waiting[0, i])
        codes[at + i] = code_of(hashed, text, waiting[1, i], waiting[2, i], table)


@njit(nogil=True, cache=True, error_model="numpy")
def rehash(table: Table, n: int) -> None:
    """Fill empty slots with the n texts of a store."""
    slots, last, store, places, _ = table
    for code in range(n):
        start = (get(places, code) << 3) + HEAD
        size = np.int64(word(store, start - HEAD)) & _LOW
        hashed = hash_of(store, start, start + size)
        at = np.int64(hashed) & last
        while get(slots, at) != -1:
            at = (at + 1) & last
        put(slots, at, np.int64(hashed >> np.uint64(32)) << 32 | get(places, code))


@njit(nogil=True, cache=True, error_model="numpy")
def unpack(table: Table, n: int, ends: Any, out: Any) -> None:
    """The n texts of a store, end to end, and where each ends, int64, shape (n + 1,)."""
    _, _, store, places, _ = table
    to = 0
    ends[0] = 0
    for code in range(n):
        start = (get(places, code) << 3) + HEAD
        size = np.int64(word(store, start - HEAD)) & _LOW
        for i in range(size):
            out[to + i] = byte(store, start + i)
        to += size
        ends[code + 1] = to


@njit(nogil=True, cache=True, error_model="numpy")
def join(text: Any, starts: Any, stops: Any, ends: Any, out: Any) -> None:
    """Parts of a text, end to end, and where each ends, int64, shape (n + 1,)."""
    to = 0
    ends[0] = 0
    for part in range(len(starts)):
        for i in range(starts[part], stops[part]):
            out[to] = text[i]
            to += 1
        ends[part + 1] = to
