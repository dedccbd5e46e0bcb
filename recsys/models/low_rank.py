"""The strongest right singular vectors of a sparse matrix, and the models made of them."""

from abc import abstractmethod
from typing import Any

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from recsys.dtypes import Float32Array, Float64Array
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.blas import one_blas_thread
from recsys.models.config import Factors
from recsys.models.linear import Linear
from recsys.models.products import Products
from recsys.models.weighting import WeightedConfig

SIDE = 1024  # of a matrix: up to it, all singular vectors are found at once
SHARE = 4  # and beyond, where more than one in so many is wanted
LEAST = 1e-5  # of the largest singular value: below, rounding decides the vector


class LowRankConfig(WeightedConfig):
    """The parameters of a model of singular vectors."""

    factors: Factors


class LowRank(Linear):
    """What models of singular vectors share: they are what is learned and saved."""

    _config: LowRankConfig
    _vectors: Float32Array

    def arrays(self) -> ModelArrays:
        """The singular vectors; the other factors follow from the training data."""
        return {"vectors": self._vectors}

    def _linked(self, weighted: csr_matrix) -> Products:
        self._vectors = right_vectors(self._decomposed(weighted), self._config.factors)
        return self._products(weighted)

    def _stored(self, stored: StoredArrays, n_shown: int) -> Products:
        width = min(self._config.factors, *self._weighted.shape)
        self._vectors = stored.dense("vectors", np.float32, n_shown, width)
        return self._products(self._weighted)

    @abstractmethod
    def _decomposed(self, weighted: csr_matrix) -> csr_matrix:
        """The matrix to decompose, CSR of the shape of the weights."""

    @abstractmethod
    def _products(self, weighted: csr_matrix) -> Products:
        """The links from the weights and the singular vectors."""


def right_vectors(matrix: csr_matrix, k: int) -> Float32Array:
    """The right singular vectors with the k largest singular values, the largest first.

    The same bits for the same matrix: ARPACK begins at a fixed vector and computes on one thread.
    The entry of a vector that is farthest from 0 is positive.

    Args:
        matrix: CSR, shape (m, n), not empty.
        k: How many.

    Returns:
        float32, shape (n, min(k, m, n)); columns of zeros past the rank of the matrix.
    """
    cells = matrix.astype(np.float64)
    side = min(cells.shape)
    k = min(k, side)
    with one_blas_thread():
        if side <= SIDE or SHARE * k > side:
            values, vectors = _all_at_once(cells, k)
        else:
            start = np.random.default_rng(0).standard_normal(side)
            _, rising, rows = svds(cells, k, v0=start, solver="arpack")
            values, vectors = np.asarray(rising[::-1], np.float64), rows[::-1].T
    kept = values > LEAST * values[0]
    farthest = vectors[np.abs(vectors).argmax(axis=0), np.arange(k)]
    return np.ascontiguousarray(np.where(kept, vectors * np.sign(farthest), 0), dtype=np.float32)


def _all_at_once(cells: csr_matrix, k: int) -> tuple[Float64Array, Float64Array]:
    """Singular values and right vectors by the products along the shorter side."""
    wide = cells.shape[0] < cells.shape[1]
    products: Any = cells @ cells.T if wide else cells.T @ cells
    side = products.shape[0]
    squares, found = eigh(products.toarray(), subset_by_index=(side - k, side - 1))
    values = np.sqrt(np.maximum(squares[::-1], 0))
    vectors = found[:, ::-1]
    if wide:
        vectors = cells.T @ vectors / np.where(values > 0, values, 1)
    return values, vectors
