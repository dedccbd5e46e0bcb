"""Sweeps of ALS over users and items by our own kernels, exact in lambda row by row.

Before a side is solved, both sides are turned into the axes in which the Gram matrix of the other
side is diagonal (`numpy.linalg.eigh`). That changes no score and no norm, and what all rows share
costs nothing any more, see `recsys.kernels.als`. Factors stay in these axes, so their columns are
not those of a solver that never turns, but their products are.

A block of rows is the work of one thread, and blocks do not depend on the number of threads.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.dtypes import Float32Array, Float64Array
from recsys.kernels.pool import in_threads
from recsys.models.als_scaled import Regularization

STEPS = 3  # of conjugate gradient, as implicit has it
LANES = 16  # columns are padded to a multiple of this, and rows begin at a multiple of 64 bytes
ROWS = 1 << 11  # that are multiplied at once
WORK, LEAST = 1 << 15, 1 << 13  # cells of a block, where a row counts as 16 more
EXACT = 1 << 7  # rows of a block that are solved exactly

Sweep = Callable[[Float32Array, Float32Array, bool], float]
"""Moves users and items in place; the loss afterwards where it is wanted, else 0."""


def padded(factors: Float32Array) -> Float32Array:
    """A copy with columns of zeros up to a multiple of LANES, its rows aligned."""
    n, width = len(factors), -(-factors.shape[1] // LANES) * LANES
    room = np.zeros(n * width * 4 + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + n * width * 4].view(np.float32).reshape(n, width)
    copy[:, : factors.shape[1]] = factors
    return copy


class Sweeps:
    """Alternating sweeps over a matrix of confidences.

    The steps are those of Takacs, Pilaszy and Tikk 2011: conjugate gradient from where a row
    stood.
    """

    def __init__(
        self, confidence: csr_matrix, scaled: Regularization, factors: int, threads: int
    ) -> None:
        """Prepare both orientations.

        Args:
            confidence: c of the cells, float32, shape (n_users, n_items).
            scaled: lambda by frequency.
            factors: Columns of the factors, without what pads them.
            threads: 0 for all cores; changes no bit.
        """
        self._users, self._items = confidence, csr_matrix(confidence.T)
        self._of_users, self._of_items = (
            rule(np.diff(cells.indptr)).astype(np.float32)
            for rule, cells in (
                (scaled.of_users, self._users),
                (scaled.of_items, self._items),
            )
        )
        self._factors, self._threads = factors, threads
        unobserved = confidence.shape[0] * confidence.shape[1] - confidence.nnz
        self._total = float(confidence.data.sum(dtype=np.float64)) + unobserved

    def __call__(self, users: Float32Array, items: Float32Array, wanted: bool) -> float:
        """Move both, in place: first all users, then all items.

        Args:
            users: float32, shape (n_users, f), rows one after another; best from `padded`.
            items: As users.
            wanted: Whether the loss is computed.

        Returns:
            Equation 3 of Hu, Koren and Volinsky 2008 with lambda by row: the sum over all pairs
            of c (p - s)^2 plus lambda_u |x|^2 and lambda_i |y|^2, divided by the sum of c. 0
            where it is not wanted.
        """
        self.move_users(users, items)
        total = self.move_items(users, items, wanted)
        if not wanted:
            return 0.0
        squares = np.einsum("ij,ij->i", users, users, dtype=np.float64)
        return (total + float(self._of_users @ squares)) / self._total

    def move_users(self, users: Float32Array, items: Float32Array) -> None:
        """Move the users, in place: the first half of a sweep.

        Both sides are turned into the axes in which the Gram matrix of the items is diagonal.

        Args:
            users: float32, shape (n_users, f).
            items: float32, shape (n_items, f).
        """
        self._move(self._users, users, items, self._of_users, False)

    def move_items(self, users: Float32Array, items: Float32Array, wanted: bool) -> float:
        """Move the items, in place: the second half of a sweep.

        Args:
            users: float32, shape (n_users, f).
            items: float32, shape (n_items, f).
            wanted: Whether the loss is computed.

        Returns:
            The sum over all pairs of c (p - s)^2 and the penalty of the items; 0 where it is not
            wanted.
        """
        return self._move(self._items, items, users, self._of_items, wanted)

    def _move(
        self,
        cells: csr_matrix,
        mine: Float32Array,
        others: Float32Array,
        lambdas: Float32Array,
        wanted: bool,
    ) -> float:
        """Move one side; its part of the loss."""
        from recsys.kernels.als import descend

        shared, turn = _axes(gram(others, self._threads), self._factors)
        losses = np.zeros(len(mine) if wanted else 0)

        def turned(rows: slice) -> None:
            others[rows] = others[rows] @ turn

        def solve(rows: slice) -> None:
            mine[rows] = mine[rows] @ turn
            ask = STEPS, losses[rows]
            descend(_block(cells, rows), mine[rows], others, shared, lambdas[rows], ask)

        in_threads(turned, _slices(len(others), ROWS), self._threads)
        in_threads(solve, _blocks(cells), self._threads)
        return float(losses.sum())


def gram(factors: Float32Array, threads: int) -> Float64Array:
    """Y' Y, float64, shape (f, f); the product of a block is float32."""
    total = np.zeros((factors.shape[1],) * 2)

    def part(rows: slice) -> Float32Array:
        return np.asarray(factors[rows].T @ factors[rows])

    for each in in_threads(part, _slices(len(factors), ROWS), threads):
        total += each
    return total


def _axes(total: Float64Array, factors: int) -> tuple[Float32Array, Float32Array]:
    """Eigenvalues and eigenvectors of a Gram matrix, the largest first; padding stays last."""
    values, vectors = np.linalg.eigh(total[:factors, :factors])
    shared, turn = np.zeros(len(total), np.float32), np.zeros(total.shape, np.float32)
    shared[:factors] = np.maximum(values[::-1], 0)
    turn[:factors, :factors] = vectors[:, ::-1]
    return shared, turn


def exact(
    confidence: csr_matrix,
    lambdas: npt.NDArray[np.float64],
    others: Float32Array,
    shared: Float64Array,
    threads: int,
) -> Float32Array:
    """Rows solved exactly, float32, shape (n, f); zeros for a row without a cell.

    Args:
        confidence: c of the cells, float32, shape (n, m).
        lambdas: Of the rows, shape (n,).
        others: float32, shape (m, f).
        shared: Their `gram`.
        threads: 0 for all cores; changes no bit.
    """
    from recsys.kernels.cholesky import solve

    solved = np.empty((confidence.shape[0], others.shape[1]), np.float32)
    narrow, penalties = shared.astype(np.float32), lambdas.astype(np.float32)

    def one(rows: slice) -> None:
        solve(_block(confidence, rows), others, narrow, penalties[rows], solved[rows])

    in_threads(one, _slices(len(solved), EXACT), threads)
    for row in np.flatnonzero(~np.isfinite(solved).all(axis=1)):
        cells = slice(confidence.indptr[row], confidence.indptr[row + 1])
        theirs, c = others[confidence.indices[cells]], confidence.data[cells]
        solved[row] = _widely(theirs, c, lambdas[row], shared)
    return solved


def _widely(
    theirs: Float32Array, confidence: Float32Array, regularization: float, shared: Float64Array
) -> Float64Array:
    """A row whose matrix float32 cannot factorise, in float64, shape (f,)."""
    y, c = theirs.astype(np.float64), confidence.astype(np.float64)
    left = shared + regularization * np.eye(len(shared)) + (y.T * (c - 1)) @ y
    return np.asarray(np.linalg.solve(left, y.T @ c))


def _block(cells: csr_matrix, rows: slice) -> tuple[npt.NDArray[Any], ...]:
    """The arrays of some rows, read-only, so that numba sees one type, wherever they come from."""
    arrays = cells.indptr[rows.start : rows.stop + 1], cells.indices, cells.data
    views = tuple(array.view() for array in arrays)
    for view in views:
        view.flags.writeable = False
    return views


def _slices(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _blocks(cells: csr_matrix) -> Iterator[slice]:
    """Rows next to each other with about as much work."""
    done = cells.indptr[1:].astype(np.int64) + 16 * np.arange(1, cells.shape[0] + 1)
    size = min(max(int(done[-1]) // 64, LEAST), WORK) if len(done) else 1
    ends = np.searchsorted(done, np.arange(size, done[-1] if len(done) else 0, size), "right")
    cuts = np.unique([0, *ends, cells.shape[0]])
    return (slice(int(a), int(b)) for a, b in pairwise(cuts))
