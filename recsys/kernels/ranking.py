"""The best k inner products without most of them, compiled.

Items come in tiles, by how far their scores can reach: no user scores an item of a tile higher than
the length of the user times the reach of the tile. Once that is below the k-th best score so far,
the user is done. The scores of a tile come from BLAS, as those of a product of all with all do.
Both have the same bits where BLAS sums every row in the same order. The kernels of OpenBLAS for
AVX-512 do; those for AVX2 sum the rows at the edge of a block otherwise, so last bits may differ.
"""

import numpy as np
from numba import types
from scipy.linalg import cython_blas  # noqa: F401  (that of np.dot below: its threads can be set)

from recsys.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from recsys.kernels.compiler import njit

WIDTH = 256  # items of a tile: with 512 users, tile and scores stay in the caches of a core
FEWEST = 16  # users multiplied at once; for fewer, BLAS sums many factors in another order
GROUP = 32  # scores that are compared together


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
        scores: float32, shape (WIDTH,).
        items: Their numbers, int32; there may be fewer, the rest counts for nothing.
        seen: int32, rising: never shown.
        best: The list so far, best first, int32, shape (k,).
        values: Its scores, float32, shape (k,); the lowest float where there is no item yet.
    """
    last = len(values) - 1
    for start in range(0, len(items), GROUP):
        floor, reach = values[last], np.int32(0)
        for j in range(start, start + GROUP):
            reach += np.int32(scores[j] >= floor)
        if reach == 0:
            continue
        for j in range(start, min(start + GROUP, len(items))):
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


_READ = {
    (kind, dims): types.Array(kind, dims, "C", readonly=True)
    for kind in (types.float32, types.float64, types.int32, types.int64)
    for dims in (1, 2)
}
_RANK = types.int64(
    types.float32[:, ::1],
    _READ[types.float64, 1],
    _READ[types.float32, 2],
    _READ[types.int32, 1],
    _READ[types.float64, 1],
    _READ[types.int64, 1],
    _READ[types.int32, 1],
    types.int32[:, ::1],
    types.float32[:, ::1],
)


@njit(_RANK, nogil=True, cache=True)  # one signature: arrays that may only be read compile nothing
def rank(
    users: Float32Array,
    lengths: Float64Array,
    items: Float32Array,
    order: Int32Array,
    reach: Float64Array,
    indptr: Int64Array,
    indices: Int32Array,
    best: Int32Array,
    values: Float32Array,
) -> int:
    """The best k of each user of a block, in place; how many tiles were multiplied, over users.

    Args:
        users: float32, shape (m, f); their order is lost.
        lengths: Of the users, float64, shape (m,).
        items: Factors of those that may be shown, by falling reach, float32, shape (n, f), with
            rows of zeros up to a whole number of tiles.
        order: Their numbers, int32, shape (n,).
        reach: Of each tile, float64.
        indptr: Where the seen items of each user begin in `indices`, int64, shape (m + 1,).
        indices: Seen items, int32, rising for each user.
        best: int32, shape (m, k), full of items above all others.
        values: float32, shape (m, k), full of the lowest float.
    """
    scores = np.empty((len(users), WIDTH), np.float32)
    active, n, done = np.arange(len(users)), len(users), 0
    for t in range(len(reach)):
        i = 0
        while i < n:
            a = active[i]
            if lengths[a] * reach[t] >= values[a, -1]:
                i += 1
            else:
                n -= 1
                active[i] = active[n]
                users[i] = users[n]
        if n == 0:
            break
        done += n
        tile, rows = slice(t * WIDTH, (t + 1) * WIDTH), min(max(n, FEWEST), len(users))
        np.dot(users[:rows], items[tile].T, scores[:rows])
        for i in range(n):
            a = active[i]
            seen = indices[indptr[a] : indptr[a + 1]]
            offer(scores[i], order[tile], seen, best[a], values[a])
    return done
