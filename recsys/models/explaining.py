"""Explanations and similar items of a factor model."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.dtypes import Float32Array, Float64Array, Int32Array
from recsys.models.recommender import NO_ITEM
from recsys.models.top_k import top_k

ROWS = 1 << 14  # factors that are widened to float64 at a time


def shares_of_score(
    factors: Float32Array,
    items: npt.NDArray[np.int32],
    confidence: Float32Array,
    regularization: float,
    item: int,
) -> Float64Array:
    """The share of each item of a history in the score of one item, float64.

    Hu, Koren and Volinsky 2008, section 5: the factors of a user are x = W Y' C p with
    W = (Y' C Y + lambda I)^-1, so that the score is a sum over the history,

        y_i' x  =  sum over j of (y_i' W y_j) c_j

    with C = 1 + (c - 1) on the history. A share may be negative.

    Args:
        factors: Y, float32, shape (n_items, f).
        items: The history, shape (n,).
        confidence: c of each of them, shape (n,).
        regularization: lambda.
        item: i, whose score is explained.

    Returns:
        float64, shape (n,).
    """
    c = confidence.astype(np.float64)
    mine = factors[items].astype(np.float64)
    with threadpool_limits(1, "blas"):
        left = _gram(factors) + mine.T @ ((c - 1)[:, None] * mine)
        left += regularization * np.eye(factors.shape[1])
        towards = np.linalg.solve(left, factors[item].astype(np.float64))
        return np.asarray((mine @ towards) * c)


def _gram(factors: Float32Array) -> Float64Array:
    """Y' Y in float64, without a wide copy of all of Y."""
    total = np.zeros((factors.shape[1],) * 2)
    for start in range(0, len(factors), ROWS):
        block = factors[start : start + ROWS].astype(np.float64)
        total += block.T @ block
    return total


def cosines(factors: Float32Array, item: int) -> Float32Array:
    """Cosine of every row with row `item`, float32, shape (n,); -inf where one of them is zeros."""
    with threadpool_limits(1, "blas"):
        products = factors @ factors[item]
    lengths = np.sqrt(np.einsum("ij,ij->i", factors, factors)) * np.linalg.norm(factors[item])
    has_length = lengths > 0
    return np.where(has_length, products / np.where(has_length, lengths, 1), -np.inf).astype(
        np.float32
    )


def nearest(factors: Float32Array, items: Int32Array, k: int) -> tuple[Int32Array, Float32Array]:
    """The k rows with the highest cosine to each of some, without itself, best first.

    For many rows at once: row by row, all factors would be read from memory each time.

    Args:
        factors: float32, shape (n, f); a row of zeros has no cosine.
        items: Row numbers, int32, shape (m,).
        k: How many.

    Returns:
        Rows int32 and cosines float32, both of shape (m, k); NO_ITEM and NaN past the end.
    """
    lengths = np.sqrt(np.einsum("if,if->i", factors, factors, dtype=np.float64))
    known = np.flatnonzero(lengths > 0).astype(np.int32)
    unit = (factors[known] / lengths[known, None]).astype(np.float32)
    place = np.full(len(factors), NO_ITEM, dtype=np.int32)
    place[known] = np.arange(len(known))
    near = np.full((len(items), k), NO_ITEM, dtype=np.int32)
    scores = np.full((len(items), k), np.nan, dtype=np.float32)
    mine = np.flatnonzero(place[items] != NO_ITEM)
    own = place[items[mine]]
    itself = csr_matrix(
        (np.ones(len(mine)), own, np.arange(len(mine) + 1)), shape=(len(mine), len(known))
    )
    places, scores[mine] = top_k(unit[own], unit, itself, k)
    near[mine] = np.where(places == NO_ITEM, NO_ITEM, np.append(known, NO_ITEM)[places])
    return near, scores
