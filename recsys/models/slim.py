"""A sparse linear model of the items with l1 and l2 penalties (Ning and Karypis 2011)."""

from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Int32Array
from recsys.kernels.pool import in_threads
from recsys.models.config import Count, Iterations
from recsys.models.item_knn import cosines
from recsys.models.iterative import OnIteration, State, copied, iterate
from recsys.models.linear import Linear, Links, mean_square, norms
from recsys.models.needs import Need, available_memory, require_memory
from recsys.models.weighting import WeightedConfig, Weighting

STEPWISE = 16_384  # items up to which an observer hears of every iteration: the products of
# each item's candidates are made anew for it, which takes ITEM_SECONDS for each item
ITEM_SECONDS = 3e-4
PART = 64  # items that a thread takes at once
CANDIDATE = 40  # bytes: the number, its product, residual and coefficient, and the similarities
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
        """The candidates of all items; the time to make their products."""
        neighbours = min(self.neighbours, items)
        return Need(
            f"the candidates of {items:,} items",
            items=items,
            pair=0,
            item=CANDIDATE * neighbours,
            fixed=32 * cells,
            flops=0,
            seconds=ITEM_SECONDS * items,
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
    have converged. Beyond STEPWISE items the observer hears of the last iteration only, because
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
        stepwise = on_iteration is not None and weighted.shape[1] <= STEPWISE
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
    """Coordinate descent (Friedman, Hastie and Tibshirani 2010), item by item in several threads.

    The weights are scaled to a mean square of 1.
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
        self._penalties = np.float32(config.l1), np.float32(config.l2), np.float32(SMALL)
        self._sizes = np.diff(near.indptr)
        self._squares = np.square(norms(scaled)).sum()
        self._candidates, real = _padded(near)
        columns = csr_matrix(scaled.T)
        self._columns = columns.indptr, columns.indices, columns.data
        self._n_users = len(scaled.indptr) - 1
        self._towards = np.zeros(real.shape, np.float32)
        # -inf keeps a coefficient that is only padding at 0.
        self._live = np.ones(len(real), dtype=np.bool_)
        self._measure()
        self._residuals = np.where(real, self._towards, np.float32(-np.inf))
        self._coefficients = np.zeros_like(self._towards)

    def _measure(self) -> None:
        """The products of all items with their candidates."""
        from recsys.kernels.descent import towards_targets

        def work(targets: Int32Array) -> None:
            ways = self._candidates, self._sizes, self._columns, self._n_users
            towards_targets(targets, *ways, self._towards)

        in_threads(work, _parts(np.arange(len(self._sizes), dtype=np.int32)))

    def sweep(self, times: int) -> None:
        """Visit every coefficient so many times, those of converged items not at all."""
        from recsys.kernels.descent import descend_targets

        problems = self._candidates, self._sizes, self._coefficients, self._residuals
        rest = self._columns, self._n_users, self._penalties, times, self._live

        def work(targets: Int32Array) -> None:
            descend_targets(targets, problems, *rest)

        in_threads(work, _parts(np.flatnonzero(self._live).astype(np.int32)))

    def loss(self) -> float:
        """The objective, divided by its value for coefficients of 0."""
        l1, l2 = map(float, self._penalties[:2])
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


def _parts(targets: Int32Array) -> list[Int32Array]:
    return [targets[at : at + PART] for at in range(0, len(targets), PART)]
