"""Eight bytes of a text at once, for compiled loops over bytes.

Texts and arrays are addresses: numba counts the references to an array at every call, which takes
longer than these loops. A text has some bytes after its end, because a word may begin at its last
byte.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from recsys.kernels.compiler import njit

ONES = np.uint64(0x0101010101010101)
HIGHS = np.uint64(0x8080808080808080)
ZEROS = np.uint64(0x3030303030303030)  # eight digits 0
_MIX = np.uint64(0x9E3779B97F4A7C15)
_MIX_2 = np.uint64(0xD6E8FEB86659FD93)
_PAIRS = np.uint64(0x000000FF000000FF)

Signature = Any  # of numba, which ships no types


@intrinsic
def word(typing: Any, text: Any, at: Any) -> tuple[Signature, Any]:
    """The eight bytes from `at` on, uint64, the first of them lowest."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        loaded = builder.load(_pointer(builder, args, 64))
        loaded.align = 1
        return loaded

    return types.uint64(types.int64, types.int64), code


@intrinsic
def byte(typing: Any, text: Any, at: Any) -> tuple[Signature, Any]:
    """The byte at `at`, int64."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.load(_pointer(builder, args, 8)), ir.IntType(64))

    return types.int64(types.int64, types.int64), code


@intrinsic
def get(typing: Any, numbers: Any, at: Any) -> tuple[Signature, Any]:
    """The number at `at` of an array of int64."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, (args[0], _bytes(builder, args[1])), 64))

    return types.int64(types.int64, types.int64), code


@intrinsic
def put(typing: Any, numbers: Any, at: Any, value: Any) -> tuple[Signature, Any]:
    """Set the number at `at` of an array of int64."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(builder, (args[0], _bytes(builder, args[1])), 64))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), code


@intrinsic
def put_byte(typing: Any, text: Any, at: Any, value: Any) -> tuple[Signature, Any]:
    """Set the byte at `at` to the lowest eight bits of a number."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(builder.trunc(args[2], ir.IntType(8)), _pointer(builder, args, 8))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), code


@intrinsic
def prefetch(typing: Any, text: Any, at: Any) -> tuple[Signature, Any]:
    """Begin to load the byte at `at`, which is soon needed."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        small, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, small, small, small])
        call = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        builder.call(call, [_pointer(builder, args, 8), small(0), small(3), small(1)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


def _pointer(builder: Any, args: Any, bits: int) -> Any:
    return builder.inttoptr(builder.add(args[0], args[1]), ir.IntType(bits).as_pointer())


def _bytes(builder: Any, at: Any) -> Any:
    return builder.mul(at, ir.Constant(ir.IntType(64), 8))


@intrinsic
def lowest(typing: Any, bits: Any) -> tuple[Signature, Any]:
    """The number of the lowest bit that is set, uint64."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), code


@njit(nogil=True, cache=True, error_model="numpy")
def low_bytes(n: int) -> np.uint64:
    """A mask of the first n bytes of a word, n below 8."""
    return (np.uint64(1) << np.uint64(8 * n)) - np.uint64(1)


@njit(nogil=True, cache=True, error_model="numpy")
def find(text: int, at: int, first: np.uint64, second: np.uint64) -> int:
    """The next place from `at` on with one of two bytes, each given eight times; one is there."""
    while True:
        here = word(text, at)
        x, y = here ^ first, here ^ second
        found = (((x - ONES) & ~x) | ((y - ONES) & ~y)) & HIGHS
        if found != np.uint64(0):
            return at + np.int64(lowest(found) >> np.uint64(3))
        at += 8


@njit(nogil=True, cache=True, error_model="numpy")
def same(one: int, a: int, b: int, other: int, c: int) -> bool:
    """Whether the bytes from a to b of `one` are those of `other` from c on."""
    differ = np.uint64(0)
    while b - a >= 8:
        differ |= word(one, a) ^ word(other, c)
        a += 8
        c += 8
    differ |= (word(one, a) ^ word(other, c)) & low_bytes(b - a)
    return differ == np.uint64(0)


@njit(nogil=True, cache=True, error_model="numpy")
def hash_of(text: int, a: int, b: int) -> np.uint64:
    """A hash of the bytes from a to b."""
    one, two = np.uint64(1), np.uint64(2)
    while b - a >= 16:
        one = (one ^ word(text, a)) * _MIX
        two = (two ^ word(text, a + 8)) * _MIX_2
        one ^= one >> np.uint64(29)
        two ^= two >> np.uint64(31)
        a += 16
    if b - a >= 8:
        one = (one ^ word(text, a)) * _MIX
        one ^= one >> np.uint64(29)
        a += 8
    two = (two ^ (word(text, a) & low_bytes(b - a))) * _MIX_2
    one = (one ^ (two + np.uint64(b - a))) * _MIX
    return one ^ (one >> np.uint64(32))


@njit(nogil=True, cache=True, error_model="numpy")
def few_digits(text: int, a: int, n: int) -> int:
    """The value of n digits, n from 1 to 8; -1 where another byte is among them."""
    here = word(text, a) << np.uint64(8 * (8 - n))
    if n < 8:
        here |= ZEROS >> np.uint64(8 * n)
    x = here ^ ZEROS
    if ((x + np.uint64(0x7676767676767676)) | x) & HIGHS != np.uint64(0):
        return -1
    x = x * np.uint64(10) + (x >> np.uint64(8))
    high = (x & _PAIRS) * np.uint64(0x000F424000000064)
    low = ((x >> np.uint64(16)) & _PAIRS) * np.uint64(0x0000271000000001)
    return np.int64((high + low) >> np.uint64(32))


@njit(nogil=True, cache=True, error_model="numpy")
def is_utf8(text: int, a: int, b: int) -> bool:
    """Whether the bytes from a to b are UTF-8, as strictly as Python sees it."""
    while a < b:
        if word(text, a) & HIGHS == np.uint64(0):
            a += 8
            continue
        lead = byte(text, a)
        if lead < 0x80:
            a += 1
            continue
        more = 1 + (lead >= 0xE0) + (lead >= 0xF0)
        if lead < 0xC2 or lead > 0xF4 or a + more >= b:
            return False
        second, least, most = byte(text, a + 1), 0x80, 0xBF
        if lead == 0xE0 or lead == 0xF0:
            least = 0xA0 if lead == 0xE0 else 0x90
        elif lead == 0xED or lead == 0xF4:
            most = 0x9F if lead == 0xED else 0x8F
        if second < least or second > most:
            return False
        for i in range(2, more + 1):
            if byte(text, a + i) & 0xC0 != 0x80:
                return False
        a += more + 1
    return True
