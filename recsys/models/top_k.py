"""The best k of many scores, exactly, for factor models: blocks of users, several at once."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.dtypes import Float32Array, Int32Array
from recsys.models.recommender import NO_ITEM

Block = tuple[Int32Array, Float32Array]

SCORES = 1 << 20  # scores of a block, 4 MiB of float32: larger ones fall out of the cache,
ROWS = 128  # but fewer users at a time make the multiplication slow, so at least these,
MOST = 1 << 25  # unless that takes more than 128 MiB
CHUNK = 64  # scores that are compared together for the threshold


def top_k(
    users: Float32Array, items: Float32Array, seen: csr_matrix, k: int, threads: int = 0
) -> tuple[Int32Array, Float32Array]:
    """The k items with the highest inner product for each user, none of them `seen`.

    Of equal scores the lower item number comes first. A block is multiplied by one thread, so
    the number of threads changes no bit.

    Args:
        users: Factors, float32, shape (m, f).
        items: Factors, float32, shape (n_items, f).
        seen: CSR, shape (m, n_items); its cells are never shown.
        k: Length of the lists.
        threads: 0 for all cores.

    Returns:
        Items int32 and scores float32, both of shape (m, k); NO_ITEM and NaN past the end of a
        list that is shorter.
    """
    size = _rows_at_once(len(items))
    starts = range(0, len(users), size)
    transposed = np.ascontiguousarray(items.T)

    def ranked(start: int) -> Block:
        part = slice(start, start + size)
        scores = users[part] @ transposed
        known = seen[part]
        scores[np.repeat(np.arange(len(scores)), np.diff(known.indptr)), known.indices] = -np.inf
        return best(scores, k)

    with threadpool_limits(1, "blas"):
        blocks = _mapped(ranked, starts, threads or os.cpu_count() or 1)
    if not blocks:
        return np.zeros((0, k), np.int32), np.zeros((0, k), np.float32)
    return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])


def _rows_at_once(n_items: int) -> int:
    n = max(n_items, 1)
    return max(1, SCORES // n, min(ROWS, MOST // n))


def _mapped(work: Callable[[int], Block], starts: range, threads: int) -> list[Block]:
    if threads == 1 or len(starts) == 1:
        return list(map(work, starts))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, starts))


def best(scores: Float32Array, k: int) -> Block:
    """The k highest of each row; -inf is no score.

    The k-th highest of the maxima of chunks of a row is no higher than the k-th highest of the
    row, for k chunks hold something at least as high. So only what reaches it is sorted: a few
    scores of a row instead of all.

    Args:
        scores: float32, shape (m, n).
        k: How many.

    Returns:
        As `top_k`.
    """
    m, n = scores.shape
    floor = _threshold(scores, k)
    rows, cols = np.divmod(np.flatnonzero(scores >= floor[:, None]), max(n, 1))
    values = scores[rows, cols]
    order = np.lexsort((cols, -values, rows))
    rows, cols, values = rows[order], cols[order], values[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    shown = place < k
    items = np.full((m, k), NO_ITEM, dtype=np.int32)
    best_scores = np.full((m, k), np.nan, dtype=np.float32)
    items[rows[shown], place[shown]] = cols[shown]
    best_scores[rows[shown], place[shown]] = values[shown]
    return items, best_scores


def _threshold(scores: Float32Array, k: int) -> Float32Array:
    """A score that at least k of each row reach, or the lowest finite one; shape (m,)."""
    lowest = np.finfo(np.float32).min
    m, n = scores.shape
    whole = n // CHUNK * CHUNK
    if n // CHUNK < k:
        if n <= k:
            return np.full(m, lowest, np.float32)
        return np.maximum(np.partition(scores, n - k, axis=1)[:, n - k], lowest)
    maxima = scores[:, :whole].reshape(m, CHUNK, -1).max(axis=1)
    return np.maximum(np.partition(maxima, -k, axis=1)[:, -k], lowest)
