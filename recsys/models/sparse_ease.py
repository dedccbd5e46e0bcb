"""EASE with few links to each item, for large catalogues (Steck 2019, Spišák et al. 2023)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import PositiveFloat
from scipy.sparse import csr_matrix

from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Int32Array
from recsys.errors import InputError
from recsys.kernels.pool import in_threads
from recsys.models.config import Count
from recsys.models.item_knn import cosines
from recsys.models.linear import Linear, Links, mean_square
from recsys.models.needs import Need, available_memory, require_memory
from recsys.models.weighting import WeightedConfig, Weighting

PART = 64  # items that a thread takes at once
LINK = 32  # bytes: its number, cosine and value, and those of the transposed links
CELL = 32  # bytes per cell: the weights, by users and by items
LINK_SECONDS = 2e-6  # per link, for the products among the neighbours of an item
ONE = np.array([0, 1], np.int32), np.array([0], np.int32), np.array([1], np.float32)


class SparseEaseConfig(WeightedConfig):
    """A linear autoencoder without a diagonal and with few links."""

    kind: Literal["sparse-ease"] = "sparse-ease"
    weighting: Weighting = "share"
    power: PositiveFloat = 0.35
    regularization: PositiveFloat = 300.0
    """In units of the mean square of the weights."""
    neighbours: Count = 200
    """Links to each item, from the most similar ones by cosine."""

    size_parameters: ClassVar[tuple[str, ...]] = ("neighbours",)

    def cost(self, users: int, items: int, cells: int) -> float:
        """The products among the candidates of each item, and the equations of each."""
        return float(self.neighbours * cells + items * self.neighbours**2)

    def need(self, users: int, items: int, cells: int) -> Need:
        """The links; the equations of each item."""
        neighbours = min(self.neighbours, items)
        return Need(
            f"the links to {items:,} items",
            items=items,
            pair=0,
            item=LINK * neighbours,
            fixed=CELL * cells,
            flops=float(items * neighbours**3),  # a third, at a third of the speed of a product
            seconds=LINK_SECONDS * items * neighbours,
            remedy="set neighbours lower, or keep fewer items (filter.min_users)",
        )


class SparseEase(Linear):
    """The problem of EASE, with the links that may differ from 0 chosen before.

        minimise |W - W B|^2 + regularization * s * |B|^2
        where    b_ij = 0 unless i is one of the `neighbours` of j

    W are the weights of the plays and s their mean square. For each item j this is a small system
    of equations over its neighbours N, solved exactly:

        (W_N' W_N + regularization * s * I) b_Nj = W_N' w_j

    With all items as neighbours it is EASE. SANSA (Spišák et al. 2023) makes such a sparse B by a
    sparse factorization of W'W; here the pattern of each column is fixed, so that a column needs no
    other one and B is the best with its pattern. No matrix of all pairs of items is held.
    """

    _config: SparseEaseConfig

    def __init__(self, config: SparseEaseConfig) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
        """
        super().__init__(config)

    def _linked(self, weighted: csr_matrix) -> Links:
        """B, column by column.

        Raises:
            InputError: it does not fit into the memory, or rounding leaves no solution.
        """
        config = self._config
        need = config.need(*weighted.shape, weighted.nnz)
        require_memory(config.kind, need, available_memory())
        near = cosines(weighted, config.neighbours)
        columns = csr_matrix(weighted.T)
        penalty = np.float32(config.regularization * mean_square(weighted))

        def solved(start: int) -> Float32Array:
            return _solved(near[start : start + PART], start, columns, penalty)

        parts = in_threads(solved, range(0, near.shape[0], PART))
        values = np.concatenate(parts)
        if not np.isfinite(values).all():
            raise InputError("sparse-ease cannot solve its equations; raise regularization")
        return csr_matrix(csr_matrix((values, near.indices, near.indptr), shape=near.shape).T)


CONFIG = SparseEaseConfig


def create(config: SparseEaseConfig, seed: int, profiles: Profiles | None = None) -> SparseEase:
    """The untrained model."""
    return SparseEase(config)


def _solved(near: csr_matrix, first: int, columns: csr_matrix, penalty: np.float32) -> Float32Array:
    """The links to some items, in the order of the cells of `near`, float32, shape (nnz,).

    Args:
        near: The neighbours of these items, CSR, shape (m, n_items).
        first: Number of the first of the items.
        columns: Weights, float32 CSR, shape (n_items, n_users).
        penalty: What the diagonal of the products is raised by.
    """
    from recsys.kernels.cholesky import solve
    from recsys.kernels.descent import products_among

    heads = np.full(columns.shape[1], -1, np.int32)
    cells = columns.indptr, columns.indices, columns.data
    found = np.empty(near.nnz, np.float32)
    for row in range(near.shape[0]):
        part = slice(near.indptr[row], near.indptr[row + 1])
        items: Int32Array = np.append(near.indices[part], first + row).astype(np.int32)
        n = len(items) - 1
        if not n:
            continue
        products = np.empty((n + 1, n + 1), np.float32)
        products_among(items, cells, heads, products)
        towards, among = products[n:, :n], np.ascontiguousarray(products[:n, :n])
        # One cell of confidence 1 adds nothing to the matrix, and itself to the right side.
        out = np.empty((1, n), np.float32)
        solve(ONE, np.ascontiguousarray(towards), among, np.array([penalty]), out)
        found[part] = out[0]
    return found
