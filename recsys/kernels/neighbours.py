"""The nearest rows of a sparse matrix, without the distances to all the others in memory."""

from typing import Any

import numpy as np

from recsys.kernels.compiler import njit
from recsys.kernels.products import add_row, cut

SLACK = 1e-5  # of a cosine: room for the rounding of a bound
ROUNDING = 1e-13  # the rest of |a|^2 + |b|^2 - 2 ab of two equal rows


@njit(nogil=True, cache=True, error_model="numpy")
def nearest_rows(
    selves: Any,
    features: Any,
    transposed: Any,
    tile: int,
    others: Any,
    cosine: bool,
    neighbours: Any,
    nearness: Any,
    sizes: Any,
) -> None:
    """The nearest of the known rows for each row, of equally near ones the lower number.

    The known rows come in tiles, so that their sums stay in the cache. Those that may be among
    the nearest wait in a buffer of several times k, which is cut to k when it is full.

    Args:
        selves: Number of each row among the known ones, which is not its neighbour, or -1; (m,).
        features: Starts, columns and float64 values of a CSR matrix, shape (m, n_features).
        transposed: Of the known rows, by column: starts by tile, shape (n_tiles + 1, n_features),
            numbers of the rows, and values.
        tile: How many known rows a tile has.
        others: Of the known rows, shape (n,): squared lengths and 1 over the lengths (0 for 0),
            both float64, and which of them are left out, bool.
        cosine: d = 1 - ab / (|a| |b|), where 0 / 0 is 0; else d = |a - b|.
        neighbours: Filled: numbers of known rows, rising, int32, shape (m, k).
        nearness: Filled: -d, float32, shape (m, k).
        sizes: Filled: how many there are, int64, shape (m,).
    """
    n, k = len(others[0]), neighbours.shape[1]
    sums = np.empty(tile, np.float64)
    waiting, values = np.empty(4 * k + 64, np.int32), np.empty(4 * k + 64, np.float32)
    best = neighbours[0].copy(), nearness[0].copy()
    for i in range(len(selves)):
        squared = 0.0
        for at in range(features[0][i], features[0][i + 1]):
            squared += features[2][at] ** 2
        size, row = 0, (squared, selves[i], cosine)
        for number in range(len(transposed[0]) - 1):
            first = number * tile
            part = sums[: min(tile, n - first)]
            _multiply(i, number, first, features, transposed, part)
            size = _offer(part, first, row, others, waiting, values, best, size)
        sizes[i] = cut(waiting[:size], values[:size], neighbours[i], nearness[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _multiply(row: int, number: int, first: int, features: Any, transposed: Any, sums: Any) -> None:
    """Inner products of a row with the known rows of a tile, from the number `first` on."""
    starts, columns, values = features
    tiles, numbers, weights = transposed
    sums[:] = 0
    for at in range(starts[row], starts[row + 1]):
        column, value = columns[at], values[at]
        for other in range(tiles[number, column], tiles[number + 1, column]):
            sums[numbers[other] - first] += value * weights[other]


@njit(nogil=True, cache=True, error_model="numpy")
def _offer(
    sums: Any, first: int, row: Any, others: Any, waiting: Any, values: Any, best: Any, size: int
) -> int:
    """Put the known rows of a tile into the buffer unless k in it are nearer; how many it has.

    Args:
        sums: Their inner products with the row, float64, shape (n,).
        first: Number of the first of them.
        row: Its squared length, its number, and whether cosines are meant.
        others: As in `nearest_rows`.
        waiting: The buffer, int32.
        values: How near they are, float32, of the same shape.
        best: Space for k of both.
        size: How many are in the buffer.
    """
    squared, own, cosine = row
    squares, inverses, silent = others
    k = len(best[0])
    least, floor = _bounds(values[:size], k, squared)
    for at in range(len(sums)):
        other, common = first + at, sums[at]
        if (cosine and common * inverses[other] < floor) or silent[other] or other == own:
            continue
        value = -_distance(common, squared, squares[other], cosine)
        if value < least:
            continue
        waiting[size], values[size] = other, value
        size += 1
        if size == len(waiting):
            size = cut(waiting, values, best[0], best[1])
            waiting[:size], values[:size] = best[0][:size], best[1][:size]
            least, floor = _bounds(values[:size], k, squared)
    return size


@njit(nogil=True, cache=True, error_model="numpy")
def _bounds(values: Any, k: int, squared: float) -> tuple[Any, float]:
    """What the nearest k reach at least: nearness, and inner product by the other's length.

    Args:
        values: Nearness of some, float32; without k of them there is no bound.
        k: How many.
        squared: Squared length of the row.
    """
    if len(values) < k:
        return np.float32(-np.inf), -np.inf
    least = values[:k].min()
    return least, (1 + np.float64(least) - SLACK) * np.sqrt(squared)


@njit(nogil=True, cache=True, error_model="numpy")
def _distance(common: float, one: float, other: float, cosine: bool) -> Any:
    """From the inner product and the squared lengths, float32."""
    if cosine:
        lengths = np.sqrt(one * other)
        return np.float32(1 - (common / lengths if lengths > 0 else common))
    squared = one + other - 2 * common
    if squared < ROUNDING * (one + other):
        return np.float32(0)
    return np.float32(np.sqrt(squared))


@njit(nogil=True, cache=True, error_model="numpy")
def best_rows(
    left: Any, right: Any, seen: Any, width: int, columns: Any, values: Any, sizes: Any
) -> None:
    """The highest cells above 0 of each row of left @ right that are not seen.

    Args:
        left: Starts, columns and float64 values of a CSR matrix, shape (m, n).
        right: Of one of shape (n, width), likewise.
        seen: Starts and columns of one of shape (m, width).
        width: Number of columns.
        columns: Filled: rising, int32, shape (m, k); of equal cells the lower columns.
        values: Filled: their values, float64, shape (m, k).
        sizes: Filled: how many each row has, int64, shape (m,).
    """
    sums, known = np.empty(width), np.zeros(width, np.bool_)
    touched, worths = np.empty(width, np.int32), np.empty(width)
    for i in range(len(sizes)):
        n, m = 0, add_row(i, left, right, sums, known, touched)
        for at in range(seen[0][i], seen[0][i + 1]):
            known[seen[1][at]] = False
        for j in range(m):
            column = touched[j]
            shown = known[column] and sums[column] > 0
            known[column] = False
            if shown:
                touched[n], worths[n] = column, sums[column]
                n += 1
        sizes[i] = cut(touched[:n], worths[:n], columns[i], values[i])
