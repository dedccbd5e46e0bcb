"""Why a factor model recommends something, and which of its artists are alike."""

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

ROWS = 1 << 14  # factors that are widened to float64 at a time


def shares_of_score(
    factors: Floats,
    items: npt.NDArray[np.int32],
    confidence: Floats,
    regularization: float,
    wanted: int,
) -> Doubles:
    """What each artist of a history adds to the score of one, in float64.

    Hu, Koren and Volinsky 2008, section 5: the factors of a listener are x = W Y' C p with
    W = (Y' C Y + lambda I)^-1, so that the score is a sum over the history,

        y_i' x  =  sum over j of (y_i' W y_j) c_j

    with C = 1 + (c - 1) on the history. A share may be negative.

    Args:
        factors: Y, float32, shape (n_items, f).
        items: The history, shape (n,).
        confidence: c of each of them, shape (n,).
        regularization: lambda.
        wanted: i, the artist to explain.

    Returns:
        float64, shape (n,).
    """
    c = confidence.astype(np.float64)
    mine = factors[items].astype(np.float64)
    with threadpool_limits(1, "blas"):
        left = _gram(factors) + mine.T @ ((c - 1)[:, None] * mine)
        left += regularization * np.eye(factors.shape[1])
        towards = np.linalg.solve(left, factors[wanted].astype(np.float64))
        return np.asarray((mine @ towards) * c)


def _gram(factors: Floats) -> Doubles:
    """Y' Y in float64, without a wide copy of all of Y."""
    total = np.zeros((factors.shape[1],) * 2)
    for start in range(0, len(factors), ROWS):
        block = factors[start : start + ROWS].astype(np.float64)
        total += block.T @ block
    return total


def cosines(factors: Floats, item: int) -> Floats:
    """Cosine of every row to row `item`, float32, shape (n,); -inf where one of both is zeros."""
    with threadpool_limits(1, "blas"):
        products = factors @ factors[item]
    lengths = np.sqrt(np.einsum("ij,ij->i", factors, factors)) * np.linalg.norm(factors[item])
    there = lengths > 0
    return np.where(there, products / np.where(there, lengths, 1), -np.inf).astype(np.float32)
