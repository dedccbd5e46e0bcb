"""Rows of ALS solved one by one, where the part that all rows share is diagonal.

A row is the system (G + lambda I + Y' (C - I) Y) x = Y' C 1 over its cells, and G = Y' Y is the
same for all. The caller turns both sides into the axes of G, so G is a vector here: a step of
conjugate gradient costs a pass over the cells and nothing else. Turning changes no product of
factors and no norm, so the steps are those of the usual axes up to rounding.

Factors are float32, padded with columns of zeros (`recsys.models.als_sweeps`). Cells are taken
eight at a time; those that fill up the last eight have the weight 0.
"""

from typing import Any

import numpy as np

from recsys.kernels.compiler import njit

EIGHT = 8
TINY = np.float32(1e-20)  # a squared residual below which nothing is left to do, as in implicit
_NONE, _ONE = np.float32(0), np.float32(1)

# Sums in any order, the same in every run; NaN and infinity stay what they are.
_kernel = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@_kernel
def descend(cells: Any, mine: Any, others: Any, shared: Any, lambdas: Any, ask: Any) -> None:
    """Steps of conjugate gradient from where each row stands, in place; zeros without a cell.

    Args:
        cells: indptr of the rows, indices (int32) and c (float32) of all cells.
        mine: The rows, float32, shape (n, f).
        others: Y, float32, shape (m, f).
        shared: Diagonal of G, float32, shape (f,).
        lambdas: Of the rows, float32, shape (n,).
        ask: Number of steps, and an array that takes of each row the sum of c (1 - s)^2 over its
            cells, of s^2 over all others, and of lambda times its squared norm: float64, shape
            (n,), empty where it is not wanted.
    """
    indptr, indices, c = cells
    steps, losses = ask
    longest = 0
    for row in range(len(mine)):
        longest = max(longest, indptr[row + 1] - indptr[row])
    at, at_cells = np.zeros(longest + EIGHT, np.int64), np.zeros((4, longest + EIGHT), np.float32)
    at_columns = np.zeros((4, mine.shape[1]), np.float32)
    excess, counted = at_cells[0], at_cells[1]
    for row in range(len(mine)):
        begin, n = indptr[row], indptr[row + 1] - indptr[row]
        full = (n + EIGHT - 1) // EIGHT * EIGHT
        for k in range(full):
            cell = begin + min(k, n - 1)
            at[k], excess[k] = indices[cell], c[cell] - _ONE
            counted[k] = c[cell]
        for k in range(n, full):
            excess[k], counted[k] = _NONE, _NONE
        for j in range(mine.shape[1]):
            at_columns[0, j] = shared[j] + lambdas[row]
            if n == 0:
                mine[row, j] = _NONE
        if n > 0:
            _descend(mine[row], others, at, full, at_cells, at_columns, steps, len(losses) > 0)
        if len(losses):
            losses[row] = _loss(mine[row], at_cells, at_columns[0], n)


@_kernel
def _descend(
    x: Any, others: Any, at: Any, n: int, at_cells: Any, at_columns: Any, steps: int, keep: bool
) -> None:
    """The steps of one row; `keep` says whether the scores are kept up."""
    excess, counted, scores, changes = at_cells[0], at_cells[1], at_cells[2], at_cells[3]
    diagonal, left, towards, moved = at_columns[0], at_columns[1], at_columns[2], at_columns[3]
    for j in range(len(x)):
        moved[j] = _NONE
    for k in range(0, n, EIGHT):
        _score(others, at, k, x, scores)
        _add(others, at, k, excess, scores, counted, _ONE, moved)
    squared = _NONE
    for j in range(len(x)):
        towards[j] = -moved[j] - diagonal[j] * x[j]
        left[j] = towards[j]
        squared += left[j] * left[j]
    for step in range(steps):
        if squared < TINY:
            break
        curve, more = _NONE, step + 1 < steps
        for j in range(len(x)):
            moved[j] = diagonal[j] * towards[j]
            curve += moved[j] * towards[j]
        for k in range(0, n, EIGHT):
            _score(others, at, k, towards, changes)
            if more:
                _add(others, at, k, excess, changes, counted, _NONE, moved)
        for k in range(n):
            curve += excess[k] * changes[k] * changes[k]
        length = squared / curve
        if keep:
            for k in range(n):
                scores[k] += length * changes[k]
        before, squared = squared, _NONE
        for j in range(len(x)):
            x[j] += length * towards[j]
            left[j] -= length * moved[j]
            squared += left[j] * left[j]
        for j in range(len(x)):
            towards[j] = left[j] + squared / before * towards[j]


@_kernel
def _score(others: Any, at: Any, k: int, x: Any, out: Any) -> None:
    """Products of x with eight of the others."""
    a, b, c, d = at[k], at[k + 1], at[k + 2], at[k + 3]
    e, f, g, h = at[k + 4], at[k + 5], at[k + 6], at[k + 7]
    p = q = r = s = t = u = v = w = _NONE
    for j in range(len(x)):
        p += others[a, j] * x[j]
        q += others[b, j] * x[j]
        r += others[c, j] * x[j]
        s += others[d, j] * x[j]
        t += others[e, j] * x[j]
        u += others[f, j] * x[j]
        v += others[g, j] * x[j]
        w += others[h, j] * x[j]
    out[k], out[k + 1], out[k + 2], out[k + 3] = p, q, r, s
    out[k + 4], out[k + 5], out[k + 6], out[k + 7] = t, u, v, w


@_kernel
def _add(
    others: Any, at: Any, k: int, excess: Any, scores: Any, counted: Any, less: Any, out: Any
) -> None:
    """Add the rows of eight others, each times (c - 1) score - less c."""
    a, b, c, d = at[k], at[k + 1], at[k + 2], at[k + 3]
    e, f, g, h = at[k + 4], at[k + 5], at[k + 6], at[k + 7]
    p = excess[k] * scores[k] - less * counted[k]
    q = excess[k + 1] * scores[k + 1] - less * counted[k + 1]
    r = excess[k + 2] * scores[k + 2] - less * counted[k + 2]
    s = excess[k + 3] * scores[k + 3] - less * counted[k + 3]
    t = excess[k + 4] * scores[k + 4] - less * counted[k + 4]
    u = excess[k + 5] * scores[k + 5] - less * counted[k + 5]
    v = excess[k + 6] * scores[k + 6] - less * counted[k + 6]
    w = excess[k + 7] * scores[k + 7] - less * counted[k + 7]
    for j in range(len(out)):
        low = (p * others[a, j] + q * others[b, j]) + (r * others[c, j] + s * others[d, j])
        high = (t * others[e, j] + u * others[f, j]) + (v * others[g, j] + w * others[h, j])
        out[j] += low + high


@_kernel
def _loss(x: Any, at_cells: Any, diagonal: Any, n: int) -> float:
    """What a row adds to the loss, in float64."""
    total = 0.0
    for j in range(len(x)):
        total += np.float64(diagonal[j]) * x[j] * x[j]
    for k in range(n):
        c, s = np.float64(at_cells[1, k]), np.float64(at_cells[2, k])
        total += c * (1 - s) * (1 - s) - s * s
    return total
