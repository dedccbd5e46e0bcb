"""The nearest of many sparse rows: what `recsys.kernels.neighbours` needs, laid out once."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.dtypes import BoolArray, Float32Array, Float64Array, Int32Array, Int64Array

TILE = 1 << 15  # rows whose sums stay in the cache: 256 KiB of float64; at most 65,536
MANY = 0.2  # of the rows: a feature that more of them have is multiplied with all rows

Tiles = tuple[Int32Array, Int64Array, npt.NDArray[np.uint16], Float32Array]


class KnownRows:
    """Rows of which the nearest to others are found.

    Values are rounded to float32 once; their products and sums are in float64.

    Attributes:
        rows: The known rows as `rounded` gives them, shape (n, n_features).
    """

    def __init__(self, features: csr_matrix, silent: BoolArray, cosine: bool) -> None:
        """Measure the rows and sort their cells.

        Args:
            features: CSR, shape (n, n_features).
            silent: Which of them are nobody's neighbours, shape (n,).
            cosine: d = 1 - ab / (|a| |b|), where 0 / 0 is 0; else d = |a - b|.
        """
        self._cosine = cosine
        self.rows = rounded(features)
        squares = _squares(self.rows)
        self._known = squares, np.sqrt(squares) if cosine else squares / 2, silent
        self._tiles = *_tiled(self.rows), *_frequent(self.rows)

    def find(
        self, rows: csr_matrix, selves: Int32Array, k: int
    ) -> tuple[Int32Array, Float32Array, Int64Array]:
        """The k nearest known rows of each row, their distances, and how many of them there are.

        Args:
            rows: As `rounded` gives them, shape (m, n_features).
            selves: The number of each among the known rows, which is not its neighbour, or -1.
            k: At most as many are found as there are known rows.

        Returns:
            int32 and float32, both of shape (m, k), by rising number; int64, shape (m,).
        """
        from recsys.kernels.neighbours import nearest_rows

        m, k = len(selves), min(k, self.rows.shape[0])
        neighbours, nearness = np.empty((m, k), np.int32), np.zeros((m, k), np.float32)
        sizes = np.empty(m, np.int64)
        asked = rows.indptr, rows.indices, rows.data, _squares(rows)
        nearest_rows(
            *(selves, asked, self._tiles, self._known, TILE, self._cosine),
            *(neighbours, nearness, sizes),
        )
        return neighbours, -nearness, sizes


def rounded(features: csr_matrix) -> csr_matrix:
    """A copy with float32 values, without zeros."""
    rows = features.astype(np.float32)
    rows.eliminate_zeros()
    return rows


def _squares(rows: csr_matrix) -> Float64Array:
    """Squared length of each row, float64, shape (m,)."""
    from recsys.kernels.neighbours import square_rows

    squares = np.empty(rows.shape[0])
    square_rows(rows.indptr, rows.data, squares)
    return squares


def _frequent(rows: csr_matrix) -> tuple[Int32Array, Float32Array]:
    """The features that many rows have, as a table: it is read faster than their cells.

    Returns:
        The place of each feature in the table, int32, -1 where it is not there; and the table,
        float32, shape (n_frequent, n).
    """
    n, n_features = rows.shape
    frequent = np.flatnonzero(np.bincount(rows.indices, minlength=n_features) > MANY * n)
    places = np.full(n_features, -1, np.int32)
    places[frequent] = np.arange(len(frequent))
    return places, np.ascontiguousarray(rows[:, frequent].toarray().T)


def _tiled(rows: csr_matrix) -> Tiles:
    """The rows by tile, and in each by column, as `recsys.kernels.neighbours` reads them.

    Args:
        rows: float32 CSR, shape (n, n_features).

    Returns:
        Starts within the tile, int32, shape (n_tiles, n_features + 1); starts of the tiles, int64,
        shape (n_tiles,); numbers within the tile, uint16, and values, float32, both (n_cells,).
    """
    n, n_features = rows.shape
    firsts = range(0, n, TILE)
    starts = np.empty((len(firsts), n_features + 1), np.int32)
    begins = np.asarray(rows.indptr[:-1:TILE], np.int64)
    numbers, values = np.empty(rows.nnz, np.uint16), np.empty(rows.nnz, np.float32)
    for tile, first in enumerate(firsts):
        part = rows[first : first + TILE].tocsc()
        at, end = begins[tile], begins[tile] + part.nnz
        starts[tile], numbers[at:end], values[at:end] = part.indptr, part.indices, part.data
    return starts, begins, numbers, values
