"""The best k inner products without most of them, compiled.

Items come by falling length, in tiles. No item of a tile can score more for a user than the length
of the user times that of the first item of the tile (Cauchy-Schwarz): once that is below the k-th
best score so far, the user is done. A score is summed in the order of the factors with fused
multiplications, as the matrix product of OpenBLAS sums it, so both give the same bits.
"""

import numpy as np
from numba import njit

from recsys.dtypes import Float32Array, Float64Array, Int32Array

WIDTH = 256  # items of a tile: with 64 factors it stays in the fastest caches
STEP = 4  # factors, and users, that are multiplied at once; more have no registers


@njit(nogil=True, cache=True, fastmath={"contract"})
def multiply(users: Float32Array, tile: Float32Array, scores: Float32Array) -> None:
    """Scores of 4 users for the items of a tile, in place.

    Args:
        users: float32, shape (4, f), f a multiple of 4.
        tile: Factors by item, float32, shape (f, WIDTH).
        scores: float32, shape (4, WIDTH).
    """
    first, second, third, fourth = scores[0], scores[1], scores[2], scores[3]
    scores[:] = 0
    for at in range(0, tile.shape[0], STEP):
        a0, a1, a2, a3 = users[0, at], users[0, at + 1], users[0, at + 2], users[0, at + 3]
        b0, b1, b2, b3 = users[1, at], users[1, at + 1], users[1, at + 2], users[1, at + 3]
        c0, c1, c2, c3 = users[2, at], users[2, at + 1], users[2, at + 2], users[2, at + 3]
        d0, d1, d2, d3 = users[3, at], users[3, at + 1], users[3, at + 2], users[3, at + 3]
        rows = tile[at : at + STEP]
        for j in range(WIDTH):
            v0, v1, v2, v3 = rows[0, j], rows[1, j], rows[2, j], rows[3, j]
            first[j] = first[j] + a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3
            second[j] = second[j] + b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3
            third[j] = third[j] + c0 * v0 + c1 * v1 + c2 * v2 + c3 * v3
            fourth[j] = fourth[j] + d0 * v0 + d1 * v1 + d2 * v2 + d3 * v3


@njit(nogil=True, cache=True)
def is_in(item: int, items: Int32Array) -> bool:
    """Whether `items`, int32 and rising, holds an item."""
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if items[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low < len(items) and items[low] == item


@njit(nogil=True, cache=True)
def offer(
    scores: Float32Array,
    items: Int32Array,
    seen: Int32Array,
    best: Int32Array,
    values: Float32Array,
) -> None:
    """Put the items of a tile that belong there into the list of a user.

    Args:
        scores: float32, at least as many as items.
        items: Their numbers, int32.
        seen: int32, rising: never shown.
        best: The list so far, best first, int32, shape (k,).
        values: Its scores, float32, shape (k,); the lowest float where there is no item yet.
    """
    last = len(values) - 1
    for start in range(0, len(items), 32):
        stop = min(start + 32, len(items))
        floor, reach = values[last], 0
        for j in range(start, stop):
            reach += scores[j] >= floor
        if reach == 0:
            continue
        for j in range(start, stop):
            score, item = scores[j], items[j]
            floor = values[last]
            if score < floor or (score == floor and item > best[last]) or is_in(item, seen):
                continue
            at = last
            while at > 0 and (
                values[at - 1] < score or (values[at - 1] == score and best[at - 1] > item)
            ):
                values[at], best[at] = values[at - 1], best[at - 1]
                at -= 1
            values[at], best[at] = score, item


@njit(nogil=True, cache=True)
def gathered(items: Float32Array, numbers: Int32Array, tile: Float32Array) -> None:
    """Write the factors of some items into the columns of a tile, in place."""
    for start in range(0, len(numbers), 16):
        stop = min(start + 16, len(numbers))
        for at in range(items.shape[1]):
            for j in range(start, stop):
                tile[at, j] = items[numbers[j], at]


@njit(nogil=True, cache=True)
def rank(
    users: Float32Array,
    lengths: Float64Array,
    items: Float32Array,
    order: Int32Array,
    reach: Float64Array,
    indptr: Int32Array,
    indices: Int32Array,
    best: Int32Array,
    values: Float32Array,
    most: int,
) -> int:
    """The best k of each user of a block, in place; how many tiles were multiplied, over users.

    Args:
        users: float32, shape (m, f), f a multiple of 4.
        lengths: Of the users, float64, shape (m,), rounded up.
        items: float32, shape (n_items, g), g at most f.
        order: Items that may be shown, by falling length, int32, shape (n,).
        reach: Length of the first item of each tile, float64.
        indptr: Where the seen items of each user begin in `indices`, shape (m + 1,).
        indices: Seen items, rising for each user.
        best: int32, shape (m, k), full of items above all others.
        values: float32, shape (m, k), full of the lowest float.
        most: Tiles after which to stop, finished or not.
    """
    tile = np.zeros((users.shape[1], WIDTH), np.float32)
    four, scores = np.zeros((STEP, users.shape[1]), np.float32), np.empty((STEP, WIDTH), np.float32)
    active, left, done = np.arange(len(users)), len(users), 0
    for t in range(min(len(reach), most)):
        n = 0
        for a in active[:left]:
            if lengths[a] * reach[t] >= values[a, -1]:
                active[n] = a
                n += 1
        if n == 0:
            break
        left, done = n, done + n
        numbers = order[t * WIDTH : (t + 1) * WIDTH]
        gathered(items, numbers, tile)
        for start in range(0, n, STEP):
            chosen = active[start : min(start + STEP, n)]
            for i in range(len(chosen)):
                four[i] = users[chosen[i]]
            multiply(four, tile, scores)
            for i in range(len(chosen)):
                a = chosen[i]
                seen = indices[indptr[a] : indptr[a + 1]]
                offer(scores[i], numbers, seen, best[a], values[a])
    return done
