"""Products of sparse matrices of which only the best cells of each row stay.

Row by row (Gustavson 1978): the products of a row are added up in a dense array of all columns,
and cut before the next row, so that the product is never held as a whole.
"""

from typing import Any

import numpy as np

from recsys.kernels.compiler import njit


@njit(nogil=True, cache=True, error_model="numpy")
def add_row(row: int, left: Any, right: Any, sums: Any, known: Any, touched: Any) -> int:
    """Add up one row of left @ right; how many columns it has.

    Args:
        row: Of `left`.
        left: Row starts, columns (both integers) and float64 values of a CSR matrix.
        right: The other, likewise.
        sums: float64, shape (n_columns,): what a column of `touched` sums up to.
        known: bool, shape (n_columns,): False at first; True for the columns of `touched`.
        touched: Columns of the row as they come, int32, shape (n_columns,).
    """
    left_starts, left_columns, left_values = left
    right_starts, right_columns, right_values = right
    n = 0
    for at in range(left_starts[row], left_starts[row + 1]):
        value, middle = left_values[at], left_columns[at]
        for other in range(right_starts[middle], right_starts[middle + 1]):
            column = right_columns[other]
            if not known[column]:
                known[column] = True
                sums[column] = 0.0
                touched[n] = column
                n += 1
            sums[column] += value * right_values[other]
    return n


@njit(nogil=True, cache=True, error_model="numpy")
def strongest_rows(
    rows: Any, left: Any, right: Any, worth: Any, columns: Any, values: Any, sizes: Any
) -> None:
    """The highest cells of some rows of left @ right by their value.

    The value of a cell is, in float64 and then rounded to float32,

        product * factor[column] / (length[row] * length[column] + added)

    or the numerator alone where the denominator is 0. Only values above 0 stay; of equals the
    lower column.

    Args:
        rows: Numbers of the rows, int64, shape (m,).
        left: As in `add_row`.
        right: As in `add_row`.
        worth: factor and length, float64, shape (n_columns,); added, a float; and diagonal,
            whether cells of it may stay, a bool.
        columns: Filled: columns in rising order, int32, shape (m, k).
        values: Filled: their values, float32, shape (m, k).
        sizes: Filled: how many columns each row has, int64, shape (m,).
    """
    factor, length, added, diagonal = worth
    n_columns = len(factor)
    sums, known = np.empty(n_columns, np.float64), np.zeros(n_columns, np.bool_)
    touched, worths = np.empty(n_columns, np.int32), np.empty(n_columns, np.float32)
    for i in range(len(rows)):
        row, n = rows[i], 0
        for j in range(add_row(row, left, right, sums, known, touched)):
            column = touched[j]
            known[column] = False
            below = length[row] * length[column] + added
            product = sums[column] * factor[column]
            value = np.float32(product / below if below > 0 else product)
            if value > 0 and (diagonal or column != row):
                touched[n], worths[n] = column, value
                n += 1
        sizes[i] = cut(touched[:n], worths[:n], columns[i], values[i])


@njit(nogil=True, cache=True, error_model="numpy")
def cut(found: Any, worths: Any, columns: Any, values: Any) -> int:
    """The highest of some cells into columns and values, by rising column; how many there are.

    Args:
        found: Columns, int32, shape (n,).
        worths: Their values, float32, shape (n,).
        columns: Filled, int32, shape (k,): of equal values the lower columns.
        values: Filled, float32, shape (k,).
    """
    n, k = len(found), len(columns)
    least, limit = np.float32(-np.inf), np.int32(-1)  # of equals columns up to the limit stay
    if n > k:
        least = lowest(worths.copy(), n - k)
        free = k - np.sum(worths > least)
        equal = found[worths == least]
        limit = lowest(equal, free - 1)
    kept, m = np.empty(k, np.int64), 0
    for j in range(n):
        if worths[j] > least or (worths[j] == least and found[j] <= limit):
            kept[m] = np.int64(found[j]) << 32 | j
            m += 1
    kept[:m].sort()
    for i in range(m):
        columns[i], values[i] = kept[i] >> 32, worths[kept[i] & 0xFFFFFFFF]
    return m


@njit(nogil=True, cache=True, error_model="numpy")
def lowest(values: Any, n: int) -> Any:
    """The value that n others precede in rising order; values, shape (m,), changes its order.

    Hoare's FIND (1961). np.partition compiles 17 functions more, for a sixth of the time of all.
    """
    low, high = 0, len(values) - 1
    while low < high:
        pivot, i, j = values[(low + high) >> 1], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if n <= j:
            high = j
        elif n >= i:
            low = i
        else:
            break
    return values[n]
