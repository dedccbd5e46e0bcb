"""Links between items as products of narrow matrices, which are never multiplied out."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from recsys.dtypes import Float32Array, Int64Array
from recsys.models.blas import one_blas_thread

Factor = csr_matrix | Float32Array

DENSE = 0.1  # share of cells above which a sparse matrix is multiplied faster as a dense one


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """B = L_1 R_1 + L_2 R_2 + ..., held as its factors.

    Attributes:
        pairs: L and R, float32, dense or CSR, of shapes (n, f) and (f, n); f differs by pair.
    """

    pairs: tuple[tuple[Factor, Factor], ...]

    def scores(self, weighted: csr_matrix) -> Float32Array:
        """Scores by weights W of shape (m, n), which are W @ B, float32, shape (m, n)."""
        with one_blas_thread():
            left, right = self.pairs[0]
            total = _times(weighted @ left, right)
            for left, right in self.pairs[1:]:
                total += _times(weighted @ left, right)
        return total

    def row(self, place: Int64Array) -> Float32Array:
        """One row of B, float32, shape (n,)."""
        rows = (dense(left[place] @ right)[0] for left, right in self.pairs)
        return np.asarray(np.sum(list(rows), axis=0, dtype=np.float32))

    def column(self, place: Int64Array) -> Float32Array:
        """One column of B, float32, shape (n,)."""
        columns = (dense(left @ right[:, place])[:, 0] for left, right in self.pairs)
        return np.asarray(np.sum(list(columns), axis=0, dtype=np.float32))


def dense(block: Factor) -> Float32Array:
    """The matrix as a plain array."""
    return block.toarray() if isinstance(block, csr_matrix) else np.asarray(block)


def _times(block: Factor, right: Factor) -> Float32Array:
    """The product of both, float32, in rows."""
    if isinstance(block, csr_matrix) and block.nnz > DENSE * np.prod(block.shape):
        block = block.toarray()
    return np.ascontiguousarray(dense(block @ right))
