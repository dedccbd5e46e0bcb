"""A sparse linear model of the items with l1 and l2 penalties (Ning and Karypis 2011)."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.sparse import csr_matrix

from recsys.data.profiles import Profiles
from recsys.models.item_knn import cosines
from recsys.models.linear import Floats, Items, Linear, Links, gram, mean_square
from recsys.models.weighting import WeightedConfig, Weighting

Grams = Callable[[Items], Floats]

CELLS = 1 << 25  # of the Gram matrices of a block of items: 128 MiB of float32
DENSE = 16_384  # items up to which the whole Gram matrix is kept, 1 GiB of float32; beyond, the
# products of each item's candidates are made for it: no memory, but some 25 ms for each item
SMALL = 1e-5  # once no coefficient of an item changes by more, it is learned


class SlimConfig(WeightedConfig):
    """A sparse linear model of the items with l1 and l2 penalties."""

    kind: Literal["slim"] = "slim"
    weighting: Weighting = "bm25"
    power: PositiveFloat = 0.35
    l1: NonNegativeFloat = 0.02
    l2: PositiveFloat = 200.0
    """Both penalties are in units of the mean square of the weights."""
    neighbours: PositiveInt = 200
    """Candidates of each artist, the most similar ones by cosine."""
    iterations: PositiveInt = 30
    """Sweeps over the coefficients of an artist, at most; fewer once they stand still."""


class Slim(Linear):
    """The elastic net of the paper with its feature selection (fsSLIM).

    For each artist j,

        minimise |w_j - W b_j|^2 / 2 + l2 * s * |b_j|^2 / 2 + l1 * s * sum(b_j)
        where    b_j >= 0,   b_jj = 0,   b_ij = 0 unless i is one of the `neighbours` of j

    W are the weights of the plays and s their mean square, so that the penalties mean the same
    under every weighting; under binary weights s = 1. The neighbours are the most similar
    artists by cosine. Solved by coordinate descent (Friedman, Hastie and Tibshirani 2010) over
    the Gram matrix of the candidates, for a block of artists at once.
    """

    _config: SlimConfig

    def __init__(self, config: SlimConfig) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
        """
        super().__init__(config)

    def _linked(self, weighted: csr_matrix) -> Links:
        scaled = weighted.copy()
        scaled.data = scaled.data / np.float32(np.sqrt(mean_square(weighted)))
        near = cosines(scaled, self._config.neighbours)
        n_items, width = near.shape[0], int(np.diff(near.indptr).max(initial=0))
        if not width:
            return near
        grams = _grams(scaled)
        size = max(1, CELLS // (width + 1) ** 2)
        parts = []
        order = np.argsort(np.diff(near.indptr), kind="stable").astype(np.int32)
        for start in range(0, n_items, size):
            parts.append(self._block(near, order[start : start + size], grams))
        cols, rows, values = (np.concatenate(each) for each in zip(*parts, strict=True))
        return csr_matrix((values, (rows, cols)), shape=near.shape)

    def _block(self, near: csr_matrix, targets: Items, grams: Grams) -> tuple[Items, Items, Floats]:
        """Targets, artists that speak for them, and how much; only coefficients above 0."""
        candidates, real = _padded(near, targets)
        products = grams(np.column_stack([candidates, targets]))
        towards = np.where(real, products[:, -1, :-1], np.float32(-np.inf))
        found = _descended(products[:, :-1, :-1], towards, self._config)
        of, place = np.nonzero(found)
        return targets[of], candidates[of, place], found[of, place]


CONFIG = SlimConfig


def create(config: SlimConfig, seed: int, profiles: Profiles | None = None) -> Slim:
    """The untrained model."""
    return Slim(config)


def _padded(near: csr_matrix, targets: Items) -> tuple[Items, npt.NDArray[np.bool_]]:
    """Columns of some rows, side by side, int32, shape (b, width), and which of them are real."""
    sizes = np.diff(near.indptr)[targets]
    places = np.arange(max(int(sizes.max()), 1))
    real = places < sizes[:, None]
    at = np.where(real, near.indptr[targets][:, None] + places, 0)
    return near.indices[at].astype(np.int32), real


def _grams(weighted: csr_matrix) -> Grams:
    """A function from items, shape (b, m), to the inner products of each row of them.

    What it returns is float32 of shape (b, m, m).
    """
    if weighted.shape[1] <= DENSE:
        whole = gram(weighted)
        return lambda items: whole[items[:, :, None], items[:, None, :]]
    transposed = csr_matrix(weighted.T)

    def of(items: Items) -> Floats:
        rows = (transposed[each] for each in items)
        return np.stack([(row @ row.T).toarray() for row in rows])

    return of


def _descended(products: Floats, towards: Floats, config: SlimConfig) -> Floats:
    """Coefficients of the candidates of some artists, float32, shape (b, m).

    Args:
        products: Between the candidates of each, float32, shape (b, m, m).
        towards: Between them and the artist, float32, shape (b, m); -inf where there is none.
        config: Penalties, times s = 1, and how many sweeps at most.
    """
    l1, l2 = np.float32(config.l1), np.float32(config.l2)
    found = np.zeros_like(towards)
    left = towards.copy()
    squares = np.diagonal(products, axis1=1, axis2=2)
    live = np.arange(len(products))
    for _ in range(config.iterations):
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
    return found
