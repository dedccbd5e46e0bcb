"""A linear autoencoder without a diagonal, in closed form (Steck 2019)."""

from typing import Literal

import numpy as np
from pydantic import PositiveFloat
from scipy.sparse import csc_matrix, csr_matrix

from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array
from recsys.errors import InputError
from recsys.models.arrays import StoredArrays
from recsys.models.config import Count
from recsys.models.dense_links import Costs, DenseConfig, DenseLinear
from recsys.models.inverse import invert, mirror
from recsys.models.linear import Links, gram, mean_square
from recsys.models.needs import Need
from recsys.models.top_k import best
from recsys.models.weighting import Weighting

ROWS = 512  # of a matrix that are changed at once


class EaseConfig(DenseConfig):
    """A linear autoencoder without a diagonal, in closed form."""

    kind: Literal["ease"] = "ease"
    weighting: Weighting = "bm25"
    power: PositiveFloat = 0.35
    regularization: PositiveFloat = 300.0
    """In units of the mean square of the weights."""
    keep: Count | None = None
    """Links kept to each item, those farthest from 0; None: all."""

    def need(self, users: int, items: int, cells: int) -> Need:
        """The links between the items that are learned, and n^3 operations in float32."""
        n = min(items, self.top_items or items)
        # Products, their inverse and the links are in one place.
        costs = Costs(pair=4, flops=float(n) ** 3 / 2, pair_seconds=2e-8)
        return costs.need(f"the links between {n:,} items", n, users, cells)


class Ease(DenseLinear):
    """Equation 8 of "Embarrassingly Shallow Autoencoders for Sparse Data".

        minimise |W - W B|^2 + regularization * s * |B|^2   where   diag(B) = 0
        P = (W'W + regularization * s * I)^-1,   b_ij = -p_ij / p_jj

    W are the weights of the plays and s their mean square, so that the regularization means the
    same under every weighting; under binary weights s = 1, as in the paper. B is dense while it is
    learned. With `keep`, the links farthest from 0 of each column stay, as a sparse matrix.
    """

    _config: EaseConfig

    def _linked(self, weighted: csr_matrix) -> Links:
        """B in closed form.

        Raises:
            InputError: it does not fit into the memory.
        """
        self._check_memory(weighted)
        regularization = self._config.regularization * mean_square(weighted)
        links = gram(weighted.astype(np.float64), np.float32)
        links[np.diag_indices(len(links))] += regularization
        if not invert(links):
            raise InputError("ease cannot invert the matrix; raise regularization")
        _scale(links)
        return links if self._config.keep is None else farthest(links, self._config.keep)

    def _stored(self, stored: StoredArrays, n_shown: int) -> Links:
        """B as it was saved: CSR where it was cut."""
        if self._config.keep is None:
            return super()._stored(stored, n_shown)
        return stored.sparse("links", np.float32, n_shown, n_shown)


CONFIG = EaseConfig


def create(config: EaseConfig, seed: int, profiles: Profiles | None = None) -> Ease:
    """The untrained model."""
    return Ease(config)


def _scale(inverse: Float32Array) -> None:
    """-p_ij / p_jj, and 0 where i = j, in place of P, of which the lower triangle is read."""
    n = len(inverse)
    scale = -1 / np.diag(inverse)
    mirror(inverse)
    for start in range(0, n, ROWS):
        inverse[start : start + ROWS] *= scale
    inverse[np.diag_indices(n)] = 0


def farthest(links: Float32Array, keep: int) -> csr_matrix:
    """The cells of each column that are farthest from 0, float32 CSR; of equals the upper ones."""
    n = len(links)
    rows, values, sizes = [], [], []
    for start in range(0, n, ROWS):
        columns = np.ascontiguousarray(links[:, start : start + ROWS].T)
        found = np.sort(best(np.abs(columns), min(keep, n))[0], axis=1)
        cells = np.take_along_axis(columns, found, axis=1)
        there = cells != 0  # such as those of the diagonal
        rows.append(found[there])
        values.append(cells[there])
        sizes.append(there.sum(axis=1))
    starts = np.append(0, np.cumsum(np.concatenate(sizes)))
    cut = csc_matrix((np.concatenate(values), np.concatenate(rows), starts), shape=(n, n))
    return cut.tocsr()
