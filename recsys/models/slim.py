"""A sparse linear model of the items with l1 and l2 penalties (Ning and Karypis 2011)."""

from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Int32Array
from recsys.models.config import Count, Iterations
from recsys.models.item_knn import cosines
from recsys.models.iterative import OnIteration, State, copied, iterate
from recsys.models.linear import Linear, Links, gram, mean_square, norms
from recsys.models.needs import Need, available_memory, require_memory
from recsys.models.weighting import WeightedConfig, Weighting

CELLS = 1 << 25  # of the Gram matrices of a block of items: 128 MiB of float32
DENSE = 16_384  # items up to which the whole Gram matrix is kept, 1 GiB of float32; beyond, the
# products of each item's candidates are made for it: no memory, but ITEM_SECONDS for each item
ITEM_SECONDS = 0.025
CANDIDATE = 40  # bytes: the number, its product, residual and coefficient, and the similarities
ROW = 12 * 512  # bytes per item, of the products while they are made
SMALL = 1e-5  # once no coefficient of an item changes by more, it is learned


class SlimConfig(WeightedConfig):
    """A sparse linear model of the items with l1 and l2 penalties."""

    iterative: ClassVar[bool] = True

    kind: Literal["slim"] = "slim"
    weighting: Weighting = "bm25"
    power: PositiveFloat = 0.35
    l1: NonNegativeFloat = 0.02
    l2: PositiveFloat = 200.0
    """Both penalties are in units of the mean square of the weights."""
    neighbours: Count = 200
    """Candidates of each item, the most similar ones by cosine."""
    iterations: Iterations = 30
    """Sweeps over the coefficients of an item, at most; fewer once they stand still."""

    def need(self, users: int, items: int, cells: int) -> Need:
        """The products of all items, up to DENSE of them; beyond, the time to make some anew."""
        dense = items <= DENSE
        return Need(
            f"the products of {items:,} items",
            items=items,
            pair=4 * dense,
            item=CANDIDATE * self.neighbours + ROW,
            fixed=8 * CELLS + 24 * cells,
            flops=0,
            seconds=0 if dense else ITEM_SECONDS * items,
            remedy="keep fewer items (filter.min_users), or take another model, such as item-knn",
        )


class Slim(Linear):
    """The elastic net of the paper with its feature selection (fsSLIM).

    For each item j,

        minimise |w_j - W b_j|^2 / 2 + l2 * s * |b_j|^2 / 2 + l1 * s * sum(b_j)
        where    b_j >= 0,   b_jj = 0,   b_ij = 0 unless i is one of the `neighbours` of j

    W are the weights of the plays and s their mean square, so that the penalties mean the same
    under every weighting; under binary weights s = 1. The neighbours are the most similar
    items by cosine.

    The loss of an iteration is this objective, summed over all j and divided by its value without
    any link. In each iteration every coefficient is visited once, except those of items that
    have converged. Beyond DENSE items the observer hears of the last iteration only, because
    their products would have to be made anew for each.
    """

    _config: SlimConfig
    _descent: "_Descent"
    _iteration: int

    def __init__(self, config: SlimConfig) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
        """
        super().__init__(config)

    def fit(
        self,
        train: Interactions,
        start: State | None = None,
        on_iteration: OnIteration | None = None,
    ) -> Self:
        """Weigh the plays and learn the links; see `recsys.models.iterative`."""
        self._weigh(train)
        self._links = self._linked(self._weighted, start, on_iteration)
        return self

    def _linked(
        self,
        weighted: csr_matrix,
        start: State | None = None,
        on_iteration: OnIteration | None = None,
    ) -> Links:
        need = self._config.need(*weighted.shape, weighted.nnz)
        require_memory(self._config.kind, need, available_memory())
        self._descent = _Descent(weighted, self._config)
        self._iteration = 0
        if start is not None:
            self.rewind(start)
        last = self._config.iterations
        stepwise = on_iteration is not None and self._descent.products.dense
        first = self._iteration + 1 if stepwise else max(self._iteration + 1, last)

        def step(number: int) -> float:
            self._descent.sweep(number - self._iteration)
            self._iteration = number
            if on_iteration is None:
                return 0.0
            self._links = self._descent.links()
            return self._descent.loss()

        iterate(self, first, last, step, on_iteration)
        return self._descent.links()

    def state(self, into: State | None = None) -> State:
        """A copy of the coefficients, their residuals, and which items have not converged."""
        return State(self._iteration, copied(self._descent.arrays(), into))

    def rewind(self, state: State) -> None:
        """Take copies of what a state holds."""
        self._iteration = state.iteration
        self._descent.load(state)
        self._links = self._descent.links()


class _Descent:
    """Coordinate descent (Friedman, Hastie and Tibshirani 2010) for all items at once.

    Attributes:
        products: Of the columns of the weights, which are scaled to a mean square of 1.
    """

    def __init__(self, weighted: csr_matrix, config: SlimConfig) -> None:
        """Begin without links.

        Args:
            weighted: float32 CSR, shape (n_users, n_items).
            config: The penalties, in units of the mean square of the weights.
        """
        scaled = weighted.copy()
        scaled.data = scaled.data / np.float32(np.sqrt(mean_square(weighted)))
        near = cosines(scaled, config.neighbours)
        self._penalties = np.float32(config.l1), np.float32(config.l2)
        self._sizes = np.diff(near.indptr)
        self._squares = np.square(norms(scaled)).sum()
        self._candidates, real = _padded(near)
        self.products = _Products(scaled)
        n_items, width = self._candidates.shape
        size = max(1, CELLS // (width + 1) ** 2)
        order = np.argsort(self._sizes, kind="stable").astype(np.int32)
        self._blocks = [order[at : at + size] for at in range(0, n_items, size)]
        self._towards = np.zeros((n_items, width), np.float32)
        for block in self._blocks:
            self._towards[block] = self.products.towards(self._candidates[block], block)
        # -inf keeps a coefficient that is only padding at 0.
        self._residuals = np.where(real, self._towards, np.float32(-np.inf))
        self._coefficients = np.zeros_like(self._towards)
        self._live = np.ones(n_items, dtype=np.bool_)

    def sweep(self, times: int) -> None:
        """Visit every coefficient so many times, those of converged items not at all."""
        for block in self._blocks:
            targets = block[self._live[block]]
            width = int(self._sizes[targets].max(initial=0))
            if not width:
                continue
            at = np.ix_(targets, np.arange(width))
            products = self.products.among(self._candidates[at])
            found, left = self._coefficients[at], self._residuals[at]
            live = _descend(products, found, left, self._penalties, times)
            self._coefficients[at], self._residuals[at] = found, left
            self._live[targets] = False
            self._live[targets[live]] = True

    def loss(self) -> float:
        """The objective, divided by its value for coefficients of 0."""
        l1, l2 = map(float, self._penalties)
        cells = np.nonzero(self._coefficients)
        found = self._coefficients[cells].astype(np.float64)
        explained = found @ (self._towards[cells].astype(np.float64) + self._residuals[cells])
        total = (self._squares - explained + l2 * (found @ found)) / 2 + l1 * found.sum()
        return float(2 * total / self._squares) if self._squares else 0.0

    def links(self) -> csr_matrix:
        """The coefficients above 0, float32 CSR, shape (n_items, n_items)."""
        targets, places = np.nonzero(self._coefficients)
        values, rows = self._coefficients[targets, places], self._candidates[targets, places]
        n_items = len(self._coefficients)
        return csr_matrix((values, (rows, targets)), shape=(n_items, n_items))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that changes."""
        return {
            "coefficients": self._coefficients,
            "residuals": self._residuals,
            "live": self._live,
        }

    def load(self, state: State) -> None:
        """Take copies of what `arrays` gave."""
        self._coefficients = np.array(state.arrays["coefficients"])
        self._residuals = np.array(state.arrays["residuals"])
        self._live = np.array(state.arrays["live"])


CONFIG = SlimConfig


def create(config: SlimConfig, seed: int, profiles: Profiles | None = None) -> Slim:
    """The untrained model."""
    return Slim(config)


def _padded(near: csr_matrix) -> tuple[Int32Array, npt.NDArray[np.bool_]]:
    """Columns of each row, side by side, int32, shape (n, width), and which of them are real."""
    sizes = np.diff(near.indptr)
    real = np.arange(int(sizes.max(initial=0))) < sizes[:, None]
    columns = np.zeros(real.shape, dtype=np.int32)
    columns[real] = near.indices
    return columns, real


class _Products:
    """Inner products of columns, from one dense matrix where it is not too large.

    Attributes:
        dense: Whether there is such a matrix; else products are made when they are needed.
    """

    def __init__(self, weighted: csr_matrix) -> None:
        self.dense = weighted.shape[1] <= DENSE
        self._whole = gram(weighted) if self.dense else None
        self._columns = csr_matrix(weighted.T)

    def towards(self, items: Int32Array, targets: Int32Array) -> Float32Array:
        """Of each row of items with its target, float32, shape (b, m)."""
        if self._whole is not None:
            return np.asarray(self._whole[targets[:, None], items])
        pairs = zip(items, targets, strict=True)
        rows = [(self._columns[each] @ self._columns[target].T).toarray() for each, target in pairs]
        return np.stack(rows)[:, :, 0]

    def among(self, items: Int32Array) -> Float32Array:
        """Of each row of items with each other, float32, shape (b, m, m)."""
        if self._whole is not None:
            products = np.empty((*items.shape, items.shape[1]), dtype=np.float32)
            for row, into in zip(items.astype(np.intp), products, strict=True):
                # Six times as fast as indexing by row and column; clip lets it write in place.
                places = row[:, None] * len(self._whole) + row
                np.take(self._whole, places, out=into, mode="clip")
            return products
        rows = (self._columns[each] for each in items)
        return np.stack([(row @ row.T).toarray() for row in rows])


def _descend(
    products: Float32Array,
    found: Float32Array,
    left: Float32Array,
    penalties: tuple[np.float32, np.float32],
    times: int,
) -> npt.NDArray[np.intp]:
    """Sweep over the coefficients of some items, in place; which items have not converged.

    Args:
        products: Between the candidates of each item, float32, shape (b, m, m).
        found: The coefficients, float32, shape (b, m).
        left: Their residuals, float32, shape (b, m); -inf where there is no candidate.
        penalties: l1 and l2.
        times: How many sweeps at most.
    """
    l1, l2 = penalties
    squares = np.diagonal(products, axis1=1, axis2=2)
    live = np.arange(len(products))
    for _ in range(times):
        largest = np.zeros(len(live), dtype=np.float32)
        for place in range(products.shape[1]):
            square, before = squares[live, place], found[live, place]
            best = np.maximum((left[live, place] + square * before - l1) / (square + l2), 0)
            change = best - before
            np.maximum(largest, np.abs(change), out=largest)
            moved = np.flatnonzero(change)
            at = live[moved]
            left[at] -= change[moved, None] * products[at, place]
            found[at, place] = best[moved]
        live = live[largest > SMALL]
        if not len(live):
            break
    return live
