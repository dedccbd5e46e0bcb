"""The inverse of a symmetric positive definite matrix, in its place, by blocks in threads.

Cholesky's factor L, its inverse M, and M'M, each block by block (Golub and Van Loan 2013, section
4.2). The blocks of a column or of a row are products that do not depend on each other, each the
work of one thread, so the number of threads changes no bit.
"""

import numpy as np
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from recsys.dtypes import Float32Array
from recsys.kernels.pool import in_threads

SIDE = 256  # rows and columns of a block

Blocks = list[slice]


def invert(matrix: Float32Array, threads: int = 0) -> bool:
    """Replace the lower triangle of a matrix by that of its inverse; whether there is one.

    Args:
        matrix: Symmetric, of which the lower triangle is read; float32, shape (n, n), C order.
            What is above the diagonal is undefined afterwards.
        threads: 0 for all cores; changes no bit.

    Returns:
        False where the matrix is not positive definite in float32: it is undefined then.
    """
    n = len(matrix)
    blocks = [slice(start, min(start + SIDE, n)) for start in range(0, n, SIDE)]
    with threadpool_limits(1, "blas"):
        for at in range(len(blocks)):
            if not _factor_column(matrix, blocks[at:], threads):
                return False
        for at in reversed(range(len(blocks))):
            _invert_column(matrix, blocks[at:], threads)
        for at in range(len(blocks)):
            _multiply_row(matrix, blocks[: at + 1], threads)
    return True


def mirror(matrix: Float32Array) -> None:
    """Copy the lower triangle of a square matrix to the upper one."""
    n = len(matrix)
    for start in range(0, n, SIDE):
        rows = slice(start, min(start + SIDE, n))
        matrix[:start, rows] = matrix[rows, :start].T
        square = np.tril(matrix[rows, rows])
        matrix[rows, rows] = square + np.tril(square, -1).T


def _factor_column(a: Float32Array, blocks: Blocks, threads: int) -> bool:
    """The first of some columns of L in its place; those before it are factored."""
    column, before = blocks[0], slice(0, blocks[0].start)

    def subtract(row: slice) -> None:
        a[row, column] -= a[row, before] @ a[column, before].T

    def divide(row: slice) -> None:
        a[row, column] = a[row, column] @ inverse

    in_threads(subtract, blocks, threads)
    factor, failed = lapack.spotrf(a[column, column], lower=1, clean=1)
    if failed:
        return False
    a[column, column] = factor
    inverse = lapack.strtri(factor, lower=1)[0].T
    in_threads(divide, blocks[1:], threads)
    return True


def _invert_column(a: Float32Array, blocks: Blocks, threads: int) -> None:
    """The first of some columns of M in the place of L; those after it are inverted.

    M_ij = -(M_i,>j L_>j,j) M_jj
    """
    column = blocks[0]
    inverse = lapack.strtri(a[column, column], lower=1)[0]
    below = a[column.stop :, column].copy()

    def replace(row: slice) -> None:
        product = a[row, column.stop : row.stop] @ below[: row.stop - column.stop]
        a[row, column] = -(product @ inverse)

    a[column, column] = inverse
    in_threads(replace, blocks[1:], threads)


def _multiply_row(a: Float32Array, blocks: Blocks, threads: int) -> None:
    """The last of some rows of M'M in the place of M; those before it are multiplied."""
    row = blocks[-1]
    mine = a[row.start :, row].copy().T

    def replace(column: slice) -> None:
        a[row, column] = mine @ a[row.start :, column]

    in_threads(replace, blocks, threads)
