"""Rows of ALS solved exactly: a system of normal equations for each row, by Cholesky.

The matrix of a row is its upper half, whose rows lie in memory one after another. Both what the
cells add and what a factorised row takes from those below is the sum of eight products of a
vector with itself, so both are done by the same inner loop.
"""

from typing import Any

import numpy as np

from recsys.kernels.compiler import njit

EIGHT = 8
EIGHTS = np.uint64(2**64 - EIGHT)  # rounds down; loops that might begin below 0 are not vectorized
_NONE, _ONE = np.float32(0), np.float32(1)

# Sums in any order, the same in every run; NaN and infinity stay what they are.
_kernel = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@_kernel
def solve(cells: Any, others: Any, gram: Any, lambdas: Any, out: Any) -> None:
    """Solve (G + lambda I + Y' (C - I) Y) x = Y' C 1 for each row; zeros without a cell.

    Args:
        cells: indptr of the rows, indices (int32) and c (float32) of all cells.
        others: Y, float32, shape (m, f).
        gram: G = Y' Y, float32, shape (f, f).
        lambdas: Of the rows, float32, shape (n,).
        out: Takes x, float32, shape (n, f); NaN where rounding leaves no positive matrix.
    """
    indptr, indices, c = cells
    f = out.shape[1]
    matrix, eight = np.empty((f, f), np.float32), np.empty((EIGHT, f), np.float32)
    weights = np.empty(EIGHT, np.float32)
    for row in range(len(out)):
        x = out[row]
        for i in range(f):
            x[i] = _NONE
            for j in range(f):
                matrix[i, j] = gram[i, j]
            matrix[i, i] += lambdas[row]
        if indptr[row] == indptr[row + 1]:
            continue
        for begin in range(indptr[row], indptr[row + 1], EIGHT):
            for k in range(EIGHT):
                cell = min(begin + k, indptr[row + 1] - 1)
                one = c[cell] if begin + k < indptr[row + 1] else _NONE
                weights[k] = one - _ONE if begin + k < indptr[row + 1] else _NONE
                for j in range(f):
                    eight[k, j] = others[indices[cell], j]
                    x[j] += one * eight[k, j]
            _add_squares(eight, weights, 0, matrix)
        _factorise(matrix, eight, weights)
        _substitute(matrix, x)


@_kernel
def _add_squares(eight: Any, weights: Any, first: int, matrix: Any) -> None:
    """Add the weighted product of each of eight vectors with itself, in rows from `first` on."""
    f = len(matrix)
    for i in range(first, f):
        p, q, r, s = eight[0, i], eight[1, i], eight[2, i], eight[3, i]
        t, u, v, w = eight[4, i], eight[5, i], eight[6, i], eight[7, i]
        p, q, r, s = p * weights[0], q * weights[1], r * weights[2], s * weights[3]
        t, u, v, w = t * weights[4], u * weights[5], v * weights[6], w * weights[7]
        for j in range(np.uint64(i) & EIGHTS, np.uint64(f)):
            low = (p * eight[0, j] + q * eight[1, j]) + (r * eight[2, j] + s * eight[3, j])
            high = (t * eight[4, j] + u * eight[5, j]) + (v * eight[6, j] + w * eight[7, j])
            matrix[i, j] += low + high


@_kernel
def _factorise(matrix: Any, eight: Any, weights: Any) -> None:
    """U with U' U = A in place of the upper half of A, eight rows at a time."""
    f = len(matrix)
    for k in range(EIGHT):
        weights[k] = -_ONE
    for first in range(0, f, EIGHT):
        stop = min(first + EIGHT, f)
        for k in range(stop - first, EIGHT):
            for j in range(f):
                eight[k, j] = _NONE
        for k in range(first, stop):
            for above in range(first, k):
                for j in range(np.uint64(first), np.uint64(f)):
                    matrix[k, j] -= matrix[above, k] * matrix[above, j]
            scale = _ONE / np.sqrt(matrix[k, k])
            for j in range(np.uint64(first), np.uint64(f)):
                matrix[k, j] *= scale
                eight[k - first, j] = matrix[k, j]
        _add_squares(eight, weights, stop, matrix)


@_kernel
def _substitute(upper: Any, x: Any) -> None:
    """Solve U' U x = b, in place of b."""
    f = len(x)
    for k in range(f):
        x[k] /= upper[k, k]
        for j in range(np.uint64(k + 1), np.uint64(f)):
            x[j] -= x[k] * upper[k, j]
    for k in range(f - 1, -1, -1):
        total = x[k]
        for j in range(np.uint64(k + 1), np.uint64(f)):
            total -= upper[k, j] * x[j]
        x[k] = total / upper[k, k]
