"""Higher-order EASE, which also learns from pairs of items (Steck and Liang 2021)."""

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import PositiveFloat
from scipy.sparse import csr_matrix, hstack

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Float64Array, Int32Array
from recsys.errors import InputError
from recsys.kernels.pool import in_threads
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import Count
from recsys.models.dense_links import Costs, DenseConfig, DenseLinear
from recsys.models.inverse import invert, mirror
from recsys.models.linear import Links, gram, mean_square
from recsys.models.needs import Need
from recsys.models.recommender import NO_ITEM
from recsys.models.weighting import Weighting

ROWS = 512  # of a matrix that are looked through, or changed, at once


class PairEaseConfig(DenseConfig):
    """A linear autoencoder of items and pairs of items, in closed form."""

    kind: Literal["pair-ease"] = "pair-ease"
    weighting: Weighting = "share"
    power: PositiveFloat = 0.35
    regularization: PositiveFloat = 300.0
    """Of the links from items, in units of the mean square of the weights."""
    pair_regularization: PositiveFloat = 3000.0
    """Of the links from pairs, likewise."""
    pairs: Count = 1000
    """Pairs of items that are learned from, those with the largest inner products."""

    size_parameters: ClassVar[tuple[str, ...]] = ("top_items", "pairs")

    def need(self, users: int, items: int, cells: int) -> Need:
        """The links from items and pairs, and n^3 operations in float32."""
        n = min(items, self.top_items or items) + self.pairs
        # The products or links, and the inverse.
        costs = Costs(pair=8, flops=float(n) ** 3 / 2, pair_seconds=4e-8, sides=2)
        return costs.need(f"the links from {n:,} items and pairs", n, users, cells)


class PairEase(DenseLinear):
    """The model of "Negative Interactions for Improved Collaborative Filtering" (RecSys 2021).

        minimise |W - W B - Z C|^2 + s * (regularization * |B|^2 + pair_regularization * |C|^2)
        where    b_jj = 0 and c_pj = 0 for every pair p that item j is one of

    W are the weights of the plays, s their mean square, and a user's weight z of a pair is the
    geometric mean of those of its items; under binary weights that is the problem of the paper.
    Pairs are those with the largest inner products, under binary weights with most users.

    Departure: solved in closed form, as EASE, instead of by iterations. With P the inverse of the
    regularized products of [W Z], and S the cells of column j that must be 0, the column is that
    of item j of the identity, less P_S (P_SS)^-1 of its cells in S.
    """

    _config: PairEaseConfig
    _pairs: Int32Array

    def arrays(self) -> ModelArrays:
        """The links and the pairs, NO_ITEM past the last one."""
        missing = self._config.pairs - len(self._pairs)
        pairs = np.pad(self._pairs, ((0, missing), (0, 0)), constant_values=NO_ITEM)
        return {**super().arrays(), "pairs": pairs}

    def _linked(self, weighted: csr_matrix) -> Links:
        """B above C, float32, shape (n_items + n_pairs, n_items).

        Raises:
            InputError: they do not fit into the memory.
        """
        self._check_memory(weighted)
        config, s = self._config, mean_square(weighted)
        self._pairs = strongest_pairs(gram(weighted, np.float32), config.pairs)
        n = weighted.shape[1]
        products = gram(self._widened(weighted).astype(np.float64), np.float32)
        at = np.arange(len(products))
        products[at, at] += s * np.where(at < n, config.regularization, config.pair_regularization)
        if not invert(products):
            raise InputError("pair-ease cannot invert the matrix; raise regularization")
        mirror(products)
        return _columns(products, self._pairs, n)

    def _stored(self, stored: StoredArrays, n_shown: int) -> Links:
        """B above C, as they were saved."""
        pairs = stored.dense("pairs", np.int32, self._config.pairs, 2)
        self._pairs = pairs[pairs[:, 0] != NO_ITEM]
        return stored.dense("links", np.float32, n_shown + len(self._pairs), n_shown)

    def _widened(self, weighted: csr_matrix) -> csr_matrix:
        """[W Z] from W."""
        of_pairs = weighted[:, self._pairs[:, 0]].multiply(weighted[:, self._pairs[:, 1]])
        return csr_matrix(hstack([weighted, csr_matrix(of_pairs).sqrt()], format="csr"))

    def _times_links(self, weighted: csr_matrix) -> Float32Array:
        return super()._times_links(self._widened(weighted))

    def _column(self, place: npt.NDArray[np.int64]) -> Float32Array:
        return super()._column(place)[: len(self._shown)]

    def contributions(self, history: Interactions, user: int, item: int) -> Float64Array:
        """As of `Linear`; what a pair adds belongs half to each of its items."""
        total = super().contributions(history, user, item)
        place = np.flatnonzero(self._shown == item)
        weighted = self._narrowed(self._weights(history, np.array([user], np.int32)))
        if not len(place) or not weighted.nnz:
            return total
        n = len(self._shown)
        pairs = self._widened(weighted)[:, n:]
        halves = pairs.data * super()._column(place)[n:][pairs.indices] / 2
        of_items = np.zeros(history.matrix().shape[1])
        np.add.at(of_items, self._shown[self._pairs[pairs.indices]], halves[:, None])
        return total + of_items[history.matrix()[[user]].indices]


CONFIG = PairEaseConfig


def create(config: PairEaseConfig, seed: int, profiles: Profiles | None = None) -> PairEase:
    """The untrained model."""
    return PairEase(config)


def strongest_pairs(products: Float32Array, most: int) -> Int32Array:
    """The pairs with the largest cells of a symmetric matrix, above 0, int32, shape (m, 2).

    The first of a pair is the lower number; pairs rise by first and second. Of equals the lower
    ones stay.
    """
    n = len(products)
    found = []
    for start in range(0, n, ROWS):
        part = np.triu(products[start : start + ROWS], start + 1).ravel()
        least = np.partition(part, -most)[-most] if len(part) > most else 0
        cells = np.flatnonzero((part >= least) & (part > 0))
        found.append((part[cells], cells + start * n))
    values, cells = (np.concatenate(each) for each in zip(*found, strict=True))
    chosen = np.sort(cells[np.argsort(-values, kind="stable")[:most]])
    return np.stack(np.divmod(chosen, n), axis=1).astype(np.int32)


def _columns(inverse: Float32Array, pairs: Int32Array, n: int) -> Float32Array:
    """The links from the inverse P, float32, shape (len(P), n)."""
    links = np.empty((len(inverse), n), np.float32)
    order = np.argsort(pairs.ravel(), kind="stable")
    starts = np.searchsorted(pairs.ravel()[order], np.arange(n + 1))

    def fill(block: range) -> None:
        for item in block:
            cells = np.append(item, n + order[starts[item] : starts[item + 1]] // 2)
            first = np.eye(1, len(cells))[0]
            found = np.linalg.solve(inverse[np.ix_(cells, cells)].astype(np.float64), first)
            column = -(found.astype(np.float32) @ inverse[cells])
            column[cells] = 0
            links[:, item] = column

    in_threads(fill, [range(at, min(at + ROWS, n)) for at in range(0, n, ROWS)])
    return links
