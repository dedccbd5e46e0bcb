"""Models that score a user by links between items: scores = weights of the history @ B."""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Float64Array, Int32Array, Int64Array
from recsys.kernels.pool import in_threads
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.products import Products, dense
from recsys.models.recommender import NO_ITEM, Recommendations
from recsys.models.top_k import best
from recsys.models.weighting import WeightedConfig, Weights

Links = csr_matrix | Float32Array | Products

SCORES = 1 << 22  # scores of a block of users: 16 MiB of float32
ROWS = 512  # of links that a thread finds at once, at most
GRAM_ROWS, GRAM_THREADS = 32, 16  # rows of a dense matrix that a thread fills at once; threads
PRODUCTS = 1 << 23  # multiplications of rows that a thread takes at once


class Linear(ABC):
    """What these models share: everything but how the links are learned.

    A user with a history gets every item that is not in it. Items without a link have a score
    of 0; ties go to the lower item number. A user
    without a history, or with items that were not learned alone, gets no list.
    """

    _train: csr_matrix
    _weights: Weights
    _weighted: csr_matrix
    _shown: Int32Array
    _links: Links

    def __init__(self, config: WeightedConfig) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
        """
        self._config = config

    @property
    def links(self) -> Links:
        """B, float32, from the row to the column, shape (n_shown, n_shown); dense unless CSR."""
        return self._links

    @property
    def shown(self) -> Int32Array:
        """Numbers of the items of B, int32, rising, shape (n_shown,)."""
        return self._shown

    def fit(self, train: Interactions) -> Self:
        """Weigh the plays and learn the links."""
        self._weigh(train)
        self._links = self._linked(self._weighted)
        return self

    def arrays(self) -> ModelArrays:
        """The links."""
        assert not isinstance(
            self._links, Products
        )  # models of products save their factors instead
        return {"links": self._links}

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        """Weigh the plays and take the links."""
        self._weigh(train)
        self._links = self._stored(stored, len(self._shown))
        return self

    def _weigh(self, train: Interactions) -> None:
        self._train = train.matrix()
        self._weights = Weights(self._config, train)
        self._shown = self._chosen(self._train)
        self._weighted = self._narrowed(self._weights(train))

    def _chosen(self, train: csr_matrix) -> Int32Array:
        """The items that are learned and recommended, rising: all of them."""
        return np.arange(train.shape[1], dtype=np.int32)

    @abstractmethod
    def _linked(self, weighted: csr_matrix) -> Links:
        """B from the weights of the training cells, float32 CSR, shape (n_users, n_shown)."""

    def _stored(self, stored: StoredArrays, n_shown: int) -> Links:
        """The saved B: CSR."""
        return stored.sparse("links", np.float32, n_shown, n_shown)

    def _narrowed(self, cells: csr_matrix) -> csr_matrix:
        """The columns of the items that are learned."""
        return cells if len(self._shown) == cells.shape[1] else cells[:, self._shown]

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """The k best items of each user, without those of the training."""
        seen = self._narrowed(self._train[users])
        return self._ranked(self._weighted[users], seen, users, k)

    def fold_in(
        self,
        history: Interactions,
        users: npt.NDArray[np.int32],
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """The k best items that are not in each user's history."""
        seen = self._narrowed(history.matrix()[users])
        weighted = self._narrowed(self._weights(history, users))
        return self._ranked(weighted, seen, users, k)

    def score(
        self, history: Interactions, user: int, profiles: Profiles | None = None
    ) -> Float32Array:
        """The score of every item for a user, known or not, float32, shape (n_items,).

        -inf for items that were not learned, and for all where `fold_in` gives no list.
        """
        one = np.array([user], dtype=np.int32)
        scores = np.full(history.matrix().shape[1], -np.inf, dtype=np.float32)
        if self._narrowed(history.matrix()[one]).nnz:
            weighted = self._narrowed(self._weights(history, one))
            scores[self._shown] = self._times_links(weighted)[0]
        return scores

    def contributions(self, history: Interactions, user: int, item: int) -> Float64Array:
        """Weight times link to `item` of each cell of a user's history, float64, shape (n,).

        In the order of the history, and their sum is the score; 0 for items that were not learned.
        """
        weighted = self._weights(history, np.array([user], dtype=np.int32))
        towards = np.zeros(weighted.shape[1])
        place = np.flatnonzero(self._shown == item)
        if len(place):
            towards[self._shown] = self._column(place)
        return np.asarray(weighted.data * towards[weighted.indices])

    def similar(self, item: int, k: int) -> tuple[Int32Array, Float32Array]:
        """The items with the strongest links from `item`, best first.

        Returns:
            Items int32 and their links float32, both of shape (m,), m at most k: those with a
            link above 0. Nothing for an item that was not learned.
        """
        place = np.flatnonzero(self._shown == item)
        if not len(place):
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        row = self._row(place)
        row[place] = 0
        items, links = best(np.where(row > 0, row, np.float32(-np.inf))[None], k)
        linked = items[0] != NO_ITEM
        return self._shown[items[0, linked]], links[0, linked]

    def _ranked(
        self, weighted: csr_matrix, seen: csr_matrix, users: npt.NDArray[np.int32], k: int
    ) -> Recommendations:
        """Score blocks of users; no list for users whose history has none of the items."""
        items = np.full((len(users), k), NO_ITEM, dtype=np.int32)
        scores = np.full((len(users), k), np.nan, dtype=np.float32)
        size = max(1, SCORES // max(len(self._shown), 1))
        for start in range(0, len(users), size):
            part = slice(start, start + size)
            places, scores[part] = best(self._scored(weighted[part], seen[part]), k)
            items[part] = np.where(places == NO_ITEM, NO_ITEM, self._shown[places])
        unknown = np.diff(seen.indptr) == 0
        items[unknown], scores[unknown] = NO_ITEM, np.nan
        return Recommendations(users.astype(np.int32), items, scores)

    def _scored(self, weighted: csr_matrix, seen: csr_matrix) -> Float32Array:
        """Scores of a block, float32, shape (m, n_shown); -inf for the items of the history."""
        scores = self._times_links(weighted)
        scores[np.repeat(np.arange(len(scores)), np.diff(seen.indptr)), seen.indices] = -np.inf
        return scores

    def _times_links(self, weighted: csr_matrix) -> Float32Array:
        """Scores by weights of shape (m, n_shown), float32, of the same shape."""
        if isinstance(self._links, Products):
            return self._links.scores(weighted)
        return dense(weighted @ self._links)

    def _row(self, place: Int64Array) -> Float32Array:
        """A copy of the links from one item, float32, shape (n_shown,)."""
        if isinstance(self._links, Products):
            return self._links.row(place)
        return np.array(dense(self._links[place])[0])

    def _column(self, place: Int64Array) -> Float32Array:
        """The links to one item, float32, shape (n_shown,)."""
        if isinstance(self._links, Products):
            return self._links.column(place)
        return dense(self._links[:, place])[:, 0]


def mean_square(weighted: csr_matrix) -> float:
    """Mean square of the weights of the cells; 1 under binary weights, and where all are 0.

    Penalties are multiplied by it, so that they mean the same at every scale of the weights.
    """
    return float(np.mean(np.square(weighted.data, dtype=np.float64))) or 1.0


def norms(weighted: csr_matrix) -> Float64Array:
    """Euclidean length of each column, float64, shape (n_items,)."""
    squares = np.square(weighted.data, dtype=np.float64)
    return np.sqrt(np.bincount(weighted.indices, squares, minlength=weighted.shape[1]))


def gram(weighted: csr_matrix, dtype: type[np.floating]) -> npt.NDArray[Any]:
    """Inner products of all columns, shape (n_items, n_items), added up in the type of the weights.

    Args:
        weighted: CSR, shape (n_users, n_items).
        dtype: Of the products.
    """
    transposed = csr_matrix(weighted.T)
    n_items = transposed.shape[0]
    products = np.empty((n_items, n_items), dtype=dtype)

    def multiply(start: int) -> None:
        rows = slice(start, start + GRAM_ROWS)
        products[rows] = (transposed[rows] @ weighted).toarray()

    in_threads(multiply, range(0, n_items, GRAM_ROWS), min(GRAM_THREADS, os.cpu_count() or 1))
    return products


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """From products of a row i and a column j to the values that they are ranked by.

        value = product * factor[j] / (length[i] * length[j] + added)

    Where the denominator is 0, it is left out.

    Attributes:
        factor: float64, shape (n,).
        length: float64, shape (n,).
        added: To the product of the lengths.
        diagonal: Whether cells of the diagonal have a value.
    """

    factor: Float64Array
    length: Float64Array
    added: float
    diagonal: bool = False


def strongest(left: csr_matrix, right: csr_matrix, k: int, worth: Worth) -> csr_matrix:
    """The k highest cells of each row of left @ right by their value.

    Exact, in float64; the product is never held as a whole, see `recsys.kernels.products`. The
    rows are the work of several threads, of which none changes a bit. Of equals the lower column
    stays. Cells that are not above 0 are left out.

    Args:
        left: CSR, shape (n, m), not negative.
        right: CSR, shape (m, n), not negative.
        k: How many.
        worth: The value of a cell.

    Returns:
        float32 CSR with sorted columns, shape (n, n).
    """
    from recsys.kernels.products import strongest_rows

    n = left.shape[0]
    first, second = (
        (each.indptr, each.indices, each.data.astype(np.float64)) for each in (left, right)
    )
    width = min(k, n)
    values = (worth.factor, worth.length, float(worth.added), worth.diagonal)

    def of_rows(rows: npt.NDArray[np.int64]) -> tuple[Int32Array, Float32Array, Int64Array]:
        columns = np.empty((len(rows), width), np.int32)
        kept, sizes = np.empty((len(rows), width), np.float32), np.empty(len(rows), np.int64)
        strongest_rows(rows, first, second, values, columns, kept, sizes)
        used = np.arange(width) < sizes[:, None]
        return columns[used], kept[used], sizes

    found = in_threads(of_rows, _parts(left, right))
    columns, kept, sizes = (np.concatenate(each) for each in zip(*found, strict=True))
    return csr_matrix((kept, columns, np.append(0, np.cumsum(sizes))), shape=(n, n))


def _parts(left: csr_matrix, right: csr_matrix) -> list[npt.NDArray[np.int64]]:
    """Numbers of rows next to each other that take about PRODUCTS multiplications, at least one."""
    of_cell = np.diff(right.indptr)[left.indices]
    done = np.concatenate([[0], np.cumsum(of_cell, dtype=np.int64)])[left.indptr]
    n = left.shape[0]
    part = np.maximum(done[1:] // PRODUCTS, np.arange(n) // ROWS)
    return np.split(np.arange(n), np.flatnonzero(np.diff(part)) + 1)
