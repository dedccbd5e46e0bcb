"""The nearest rows of a sparse matrix, without the distances to all the others in memory.

Inner products are added up feature by feature for a tile of the known rows at a time, and many
rows meet the tile before the next, so that its cells stay in the cache.
"""

from typing import Any

import numpy as np

from recsys.kernels.compiler import njit
from recsys.kernels.products import add_row, cut, lowest

SLACK = 1e-9  # relative: room for the rounding of a bound
ROUNDING = 1e-13  # the rest of |a|^2 + |b|^2 - 2 ab of two equal rows
TINY = 1e-300  # below every inner product that is not 0
CHUNK = 32  # known rows that are compared with the bound together


@njit(nogil=True, cache=True, error_model="numpy")
def square_rows(starts: Any, values: Any, squares: Any) -> None:
    """Squared lengths of rows, added up in float64.

    Args:
        starts: Of the rows of a CSR matrix, shape (m + 1,).
        values: Its cells, float32.
        squares: Filled: float64, shape (m,).
    """
    for row in range(len(squares)):
        total = 0.0
        for at in range(starts[row], starts[row + 1]):
            total += np.float64(values[at]) * np.float64(values[at])
        squares[row] = total


@njit(nogil=True, cache=True, error_model="numpy")
def nearest_rows(
    selves: Any,
    rows: Any,
    tiles: Any,
    known: Any,
    tile: int,
    cosine: bool,
    neighbours: Any,
    nearness: Any,
    sizes: Any,
) -> None:
    """The nearest of the known rows for each row, of equally near ones the lower number.

    Those that may be among the nearest of a row wait in its buffer of several times k, which is
    cut to k when it is full.

    Args:
        selves: Number of each row among the known ones, which is not its neighbour, or -1; (m,).
        rows: Starts, columns and float32 values of a CSR matrix, shape (m, n_features), and
            squared lengths of its rows, float64.
        tiles: Cells of the known rows, by tile and then by feature: starts within the tile,
            int32, shape (n_tiles, n_features + 1); starts of the tiles, int64, shape (n_tiles,);
            numbers of the rows within the tile, uint16; and values, float32. Then the place of
            each feature among those that many rows have, int32, -1 for the others; and the
            values of those for all known rows, float32, shape (n_frequent, n).
        known: Of the known rows, shape (n,): squared lengths, and lengths if cosine, else half
            the squared lengths, both float64; and which of them are left out, bool.
        tile: How many known rows a tile has.
        cosine: d = 1 - ab / (|a| |b|), where 0 / 0 is 0; else d = |a - b|.
        neighbours: Filled: numbers of known rows, rising, int32, shape (m, k).
        nearness: Filled: -d, float32, shape (m, k).
        sizes: Filled: how many there are, int64, shape (m,).
    """
    m, k = neighbours.shape
    waiting, values = np.empty((m, 4 * k + 64), np.int32), np.empty((m, 4 * k + 64), np.float32)
    sums = np.empty(tile, np.float64)
    sizes[:] = 0
    bounds = np.full(m, -np.inf, np.float32)
    for number in range(len(tiles[1])):
        first = number * tile
        part = sums[: min(tile, len(known[0]) - first)]
        for i in range(m):
            _multiply(i, number, first, rows, tiles, part)
            row = rows[3][i], selves[i], cosine, k
            sizes[i], bounds[i] = _offer(
                part, first, row, known, waiting[i], values[i], sizes[i], bounds[i]
            )
    for i in range(m):
        size = sizes[i]
        sizes[i] = cut(waiting[i, :size], values[i, :size], neighbours[i], nearness[i])


@njit(nogil=True, cache=True, error_model="numpy")
def _multiply(row: int, number: int, first: int, rows: Any, tiles: Any, sums: Any) -> None:
    """Inner products of a row with the known rows of a tile, from the number `first` on."""
    starts, columns, values, _ = rows
    firsts, begins, numbers, weights, places, table = tiles
    begin, last = begins[number], first + len(sums)
    sums[:] = 0
    for at in range(starts[row], starts[row + 1]):
        column, value = columns[at], np.float64(values[at])
        if places[column] >= 0:
            _add(value, table[places[column], first:last], sums)
            continue
        low, high = begin + firsts[number, column], begin + firsts[number, column + 1]
        for other in range(low, high):
            sums[numbers[other]] += value * weights[other]


@njit(nogil=True, cache=True, error_model="numpy")
def _add(value: float, weights: Any, sums: Any) -> None:
    """Add value * weights to the sums, several at once."""
    for at in range(len(sums)):
        sums[at] += value * weights[at]


@njit(nogil=True, cache=True, error_model="numpy")
def _offer(
    sums: Any, first: int, row: Any, known: Any, waiting: Any, values: Any, size: int, least: Any
) -> tuple[int, Any]:
    """Put the known rows of a tile into the buffer unless k in it are nearer.

    Args:
        sums: Their inner products with the row, float64, shape (n,).
        first: Number of the first of them.
        row: Its squared length, its number, whether cosines are meant, and k.
        known: As in `nearest_rows`.
        waiting: The buffer, int32, numbers rising.
        values: How near they are, float32, of the same shape.
        size: How many are in the buffer.
        least: How near k of those before are at least, float32; -inf: there are not k.

    Returns:
        How many are in the buffer now, and how near k of them are at least.
    """
    squared, own, cosine, k = row
    squares, scales, silent = known
    start, slope = _bound(least, squared, cosine)
    far = scales[first : first + len(sums)]
    for low in range(0, len(sums), CHUNK):
        high, hits = min(low + CHUNK, len(sums)), 0
        for at in range(np.uint64(low), np.uint64(high)):  # unsigned: several at once
            hits += sums[at] > start + slope * far[at]
        if hits == 0:
            continue
        for at in range(low, high):
            other = first + at
            if not sums[at] > start + slope * far[at] or silent[other] or other == own:
                continue
            value = -_distance(sums[at], squared, squares[other], cosine)
            if value <= least:  # of equally near ones those before have lower numbers
                continue
            waiting[size], values[size] = other, value
            size += 1
            if size == len(waiting):
                size, least = _keep(waiting, values, k)
                start, slope = _bound(least, squared, cosine)
    return size, least


@njit(nogil=True, cache=True, error_model="numpy")
def _keep(numbers: Any, values: Any, k: int) -> tuple[int, Any]:
    """Keep the k highest values, of equal ones the first: k, and the least of them."""
    least = lowest(values.copy(), len(values) - k)
    equal, n = k - np.sum(values > least), 0
    for at in range(len(values)):
        value = values[at]
        if value > least or (value == least and equal > 0):
            equal -= value == least
            numbers[n], values[n] = numbers[at], value
            n += 1
    return n, least


@njit(nogil=True, cache=True, error_model="numpy")
def _bound(least: Any, squared: float, cosine: bool) -> tuple[float, float]:
    """Numbers a and b: only rows with an inner product > a + b * scale are nearer than the least.

    Args:
        least: Nearness, float32.
        squared: Squared length of the row.
        cosine: As in `nearest_rows`; its argument `known` has the scales.
    """
    if least == -np.inf:
        return -np.inf, 0.0
    if cosine:
        floor = 1 + np.float64(least)
        start = 0.0 if floor >= 0 else -TINY  # then rows of zeros, at a distance of 1, are nearer
        return start, (floor - SLACK * abs(floor)) * np.sqrt(squared)
    return (squared * (1 - SLACK) - np.float64(least) ** 2) / 2, 1 - SLACK


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
