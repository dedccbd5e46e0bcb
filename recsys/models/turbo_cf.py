"""A polynomial graph filter in closed form, without a decomposition (Park et al. 2024)."""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat
from scipy.sparse import csr_matrix

from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array
from recsys.kernels.pool import in_threads
from recsys.models.blas import one_blas_thread
from recsys.models.config import Share
from recsys.models.dense_links import Costs, DenseConfig, DenseLinear
from recsys.models.linear import gram
from recsys.models.needs import Need
from recsys.models.normalizing import normalized
from recsys.models.weighting import Weighting

ROWS = 256  # of a matrix that a thread changes at once


class TurboCfConfig(DenseConfig):
    """Parameters of the polynomial filter."""

    kind: Literal["turbo-cf"] = "turbo-cf"
    weighting: Weighting = "share"
    power: PositiveFloat = 0.35
    alpha: Share = 0.5
    """How much of the normalization falls on users; the rest falls on items."""
    sharpness: PositiveFloat = 0.7
    """Power that each cell of the item-item graph is raised to; the paper calls it s."""
    order: Annotated[int, Field(ge=1, le=3)] = 1
    """Degree of the polynomial."""

    def cost(self, users: int, items: int, cells: int) -> float:
        """The product of the cells, and those of dense matrices."""
        n = min(items, self.top_items or items)
        return float(3 * cells**2 / max(users, 1) + (self.order - 1) * float(n) ** 3)

    def need(self, users: int, items: int, cells: int) -> Need:
        """The links between the items that are learned; products of them from order 2 on."""
        n = min(items, self.top_items or items)
        flops = (self.order - 1) * float(n) ** 3
        costs = Costs(pair=4 * min(self.order, 2), flops=flops, pair_seconds=3e-8)
        return costs.need(f"the links between {n:,} items", n, users, cells)


class TurboCf(DenseLinear):
    """Turbo-CF of "Turbo-CF: Matrix Decomposition-Free Graph Filtering" (SIGIR 2024).

        N = D_u^-alpha W D_i^(alpha-1)
        P = N'N, each cell of it raised to `sharpness`

        order 1   B = P
        order 2   B = 2 P - P^2
        order 3   B = P + 0.01 (-P^3 + 10 P^2 - 29 P)

    W are the weights of the plays, D_u and D_i the sums of its rows and columns. Under binary
    weights this is the model of the paper. B is dense.
    """

    _config: TurboCfConfig

    def _linked(self, weighted: csr_matrix) -> Float32Array:
        """B in closed form.

        Raises:
            InputError: it does not fit into the memory.
        """
        self._check_memory(weighted)
        graph = gram(normalized(weighted, self._config.alpha), np.float32)
        if self._config.sharpness != 1:
            in_blocks(len(graph), lambda rows: _raise(graph[rows], self._config.sharpness))
        with one_blas_thread():
            _filter(graph, self._config.order)
        return graph


CONFIG = TurboCfConfig


def create(config: TurboCfConfig, seed: int, profiles: Profiles | None = None) -> TurboCf:
    """The untrained model."""
    return TurboCf(config)


def in_blocks(n: int, change: Callable[[slice], None]) -> None:
    """Call `change` with the rows of each block of n, in several threads."""
    in_threads(change, [slice(start, start + ROWS) for start in range(0, n, ROWS)])


def _raise(rows: Float32Array, exponent: float) -> None:
    np.power(rows, np.float32(exponent), out=rows)


def _filter(graph: Float32Array, order: int) -> None:
    """The polynomial of a symmetric matrix P, in its place."""
    if order == 1:
        return
    other = np.empty_like(graph)

    def square(rows: slice) -> None:
        np.matmul(graph[rows], graph, out=other[rows])
        if order == 3:  # P (0.71 I + 0.1 P - 0.01 P^2)
            other[rows] = np.float32(0.1) * graph[rows] - np.float32(0.01) * other[rows]

    def subtract(rows: slice) -> None:
        graph[rows] = 2 * graph[rows] - other[rows]

    def multiply(rows: slice) -> None:
        graph[rows] = graph[rows] @ other

    in_blocks(len(graph), square)
    if order == 2:
        in_blocks(len(graph), subtract)
        return
    other[np.diag_indices(len(other))] += np.float32(0.71)
    in_blocks(len(graph), multiply)
