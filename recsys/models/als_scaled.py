"""Regularization scaled by frequency for ALS, and sweeps that can have one lambda per row.

Rendle, Krichene, Zhang and Koren 2021, "Revisiting the performance of iALS on item
recommendation benchmarks", regularize a user by lambda (|I_u| + alpha0 |I|)^nu and an item
alike, where alpha0 is the weight of all pairs and those observed weigh 1 more.

Their alpha0 is no parameter of ours, because it would be one twice. Dividing their loss

    sum over observed of w (1 - s)^2  +  alpha0 * sum over all of s^2  +  lambda * norms

by alpha0, and completing the square of an observed pair, leaves

    sum over observed of c (t - s)^2  +  sum over unobserved of s^2  +  lambda / alpha0 * norms

with c = 1 + w / alpha0 and t = w / (w + alpha0): our loss with alpha = 1 / alpha0, but for t. Where
all w are equal, so are all t, and factors divided by sqrt(t) have t = 1 and lambda divided by t.
So with w = 1 as in the paper alpha0 is exactly

    alpha = 1 / alpha0        regularization = lambda (1 + alpha0) / alpha0

Where an observed pair weighs alpha0 + w for a preference of 1 it is too, for any w: then t = 1
and regularization = lambda / alpha0. Both raise |I_u| + |I| / alpha to nu.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.dtypes import Float32Array

if TYPE_CHECKING:
    from recsys.models.als import AlsConfig

Counts = npt.NDArray[np.integer]

STEPS = 3  # of conjugate gradient, as implicit has it
TINY = 1e-20  # a squared residual below which nothing is left to do, likewise
ROWS, CELLS = 1024, 4096  # of a block at most, unless one row has more


@dataclass(frozen=True, slots=True)
class Regularization:
    """lambda by the number of cells of a row.

        lambda_u = unit * (|I_u| + |I| / alpha)^nu        lambda_i = unit * (|U_i| + |U| / alpha)^nu

    The unit makes their mean over all users and items `regularization`, whatever nu is, as
    the paper does with its lambda* for nu* = 0; else its scale would move by orders of magnitude
    with nu. Users and items without a cell have no factors and count nowhere.

    Attributes:
        unit: lambda of a row whose frequency is 1.
        nu: 0 is one lambda for all.
        users: |U| / alpha, added to the number of users of an item.
        items: |I| / alpha, added to the number of items of a user.
    """

    unit: float
    nu: float
    users: float
    items: float

    @classmethod
    def of(cls, config: "AlsConfig", train: csr_matrix) -> Self:
        """Fitted on the training matrix, shape (n_users, n_items), and valid for other rows too."""
        of_users, of_items = (counts[counts > 0] for counts in _lengths(train))
        raw = cls(1.0, config.nu, len(of_users) / config.alpha, len(of_items) / config.alpha)
        total = raw.of_users(of_users).sum() + raw.of_items(of_items).sum()
        mean = float(total) / (len(of_users) + len(of_items))
        return cls(config.regularization / mean, raw.nu, raw.users, raw.items)

    def of_users(self, counts: Counts) -> npt.NDArray[np.float64]:
        """Lambda of users by how many items they have, same shape."""
        return np.asarray(self.unit * (counts + self.items) ** self.nu)

    def of_items(self, counts: Counts) -> npt.NDArray[np.float64]:
        """Lambda of items by how many users they have, same shape."""
        return np.asarray(self.unit * (counts + self.users) ** self.nu)


def _lengths(cells: csr_matrix) -> tuple[Counts, Counts]:
    return np.diff(cells.indptr), np.bincount(cells.indices, minlength=cells.shape[1])


class Sweeps:
    """Alternating sweeps over a matrix of confidences, exact in lambda row by row.

    The steps are those of implicit (Takacs, Pilaszy and Tikk 2011: conjugate gradient from where
    the row stood), taken by all rows of a block at once: the part that is the same for all rows
    is a product of matrices.
    """

    def __init__(self, confidence: csr_matrix, scaled: Regularization, threads: int) -> None:
        """Prepare both orientations.

        Args:
            confidence: c of the cells, float32, shape (n_users, n_items).
            scaled: lambda by frequency.
            threads: 0 for all cores; changes no bit.
        """
        self._users, self._items = confidence, csr_matrix(confidence.T)
        of_users, of_items = _lengths(confidence)
        self._of_users = scaled.of_users(of_users).astype(np.float32)
        self._of_items = scaled.of_items(of_items).astype(np.float32)
        self._threads = threads or os.cpu_count() or 1

    def __call__(self, users: Float32Array, items: Float32Array) -> None:
        """Move both, in place: first all users, then all items."""
        _sweep(self._users, users, items, self._of_users, self._threads)
        _sweep(self._items, items, users, self._of_items, self._threads)

    def loss(self, users: Float32Array, items: Float32Array) -> float:
        """Equation 3 of Hu, Koren and Volinsky 2008 with lambda by row, over all confidences.

        The sum over all pairs of c (p - s)^2 plus lambda_u |x|^2 and lambda_i |y|^2, divided by
        the sum of c: what implicit reports, where nu is 0.
        """
        total = float(np.vdot(_gram(users), _gram(items)))  # of s^2 over all pairs
        for block in _blocks(self._users):
            part = self._users[block]
            scores = _dots(users[block], items[part.indices], _owners(part)).astype(np.float64)
            total += float((part.data * (1 - scores) ** 2 - scores**2).sum())
        for factors, penalties in ((users, self._of_users), (items, self._of_items)):
            total += float(penalties @ np.einsum("ij,ij->i", factors, factors, dtype=np.float64))
        unobserved = self._users.shape[0] * self._users.shape[1] - self._users.nnz
        return total / (float(self._users.data.sum(dtype=np.float64)) + unobserved)


def _sweep(
    cells: csr_matrix,
    mine: Float32Array,
    others: Float32Array,
    penalties: Float32Array,
    threads: int,
) -> None:
    gram = others.T @ others

    def solve(block: slice) -> None:
        mine[block] = _solved(cells[block], mine[block], others, gram, penalties[block, None])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(solve, _blocks(cells)))


def _solved(
    cells: csr_matrix,
    start: Float32Array,
    others: Float32Array,
    gram: Float32Array,
    penalties: Float32Array,
) -> Float32Array:
    """Three steps towards (Y' C Y + lambda I) x = Y' C p in every row; zeros without a cell."""
    owners, theirs = _owners(cells), others[cells.indices]
    excess = cells.data - 1

    each = np.arange(cells.nnz, dtype=cells.indices.dtype)
    shape = (cells.shape[0], cells.nnz)

    def gathered(weights: Float32Array) -> Float32Array:
        return np.asarray(csr_matrix((weights, each, cells.indptr), shape) @ theirs)

    def product(x: Float32Array) -> Float32Array:
        total = x @ gram
        total += penalties * x
        total += gathered(excess * _dots(x, theirs, owners))
        return np.asarray(total)

    x = np.where(np.diff(cells.indptr)[:, None] > 0, start, np.float32(0))
    left = gathered(cells.data) - product(x)
    towards, squared = left.copy(), _squares(left)
    for _ in range(STEPS):
        moved = product(towards)
        curvature = np.vecdot(towards, moved)
        length = np.where(squared > TINY, squared / np.maximum(curvature, TINY), 0)[:, None]
        x += length * towards
        left -= length * moved
        before, squared = squared, _squares(left)
        towards = left + (squared / np.maximum(before, TINY))[:, None] * towards
    return x


def _squares(rows: Float32Array) -> Float32Array:
    return np.asarray(np.vecdot(rows, rows))


def _dots(mine: Float32Array, theirs: Float32Array, owners: npt.NDArray[np.intp]) -> Float32Array:
    """The score of each cell, shape (n_cells,)."""
    return np.asarray(np.vecdot(mine.take(owners, axis=0), theirs))


def _owners(cells: csr_matrix) -> npt.NDArray[np.intp]:
    """Row of each cell."""
    return np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr))


def _gram(factors: Float32Array) -> npt.NDArray[np.float64]:
    return (factors.T @ factors).astype(np.float64)


def _blocks(cells: csr_matrix) -> Iterator[slice]:
    """Rows next to each other, few enough for their cells to be widened to factors."""
    start = 0
    while start < cells.shape[0]:
        most = int(np.searchsorted(cells.indptr, cells.indptr[start] + CELLS, "right")) - 1
        stop = min(max(most, start + 1), start + ROWS, cells.shape[0])
        yield slice(start, stop)
        start = stop
