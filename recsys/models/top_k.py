"""The best k of many scores, exactly, for factor models: blocks of users, several at once."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse import csr_matrix

from recsys.dtypes import BoolArray, Float32Array, Float64Array, Int32Array
from recsys.kernels.pool import in_threads
from recsys.models.blas import one_blas_thread
from recsys.models.recommender import NO_ITEM

Block = tuple[Int32Array, Float32Array]

SCORES = 1 << 20  # scores of a block, 4 MiB of float32: larger ones fall out of the cache,
ROWS = 128  # but fewer users at a time make the multiplication slow, so at least these,
MOST = 1 << 25  # unless that takes more than 128 MiB
CHUNK = 64  # scores that are compared together for the threshold
BLOCK = 512  # users that share the tiles of the kernel,
CORES = 4  # and a quarter of that where there are not so many blocks: a curve has 500 users
PART = 8192  # items whose reach a thread computes at once
LOWEST = np.finfo(np.float32).min
FEW = 64  # users for whom it does not pay to measure all items
TINY = 1e-34  # added to squares, below which float32 loses digits
LARGE = 1e30  # of scores: above, float32 may have no number for them


def top_k(
    users: Float32Array,
    items: Float32Array,
    seen: csr_matrix,
    k: int,
    threads: int = 0,
    excluded: BoolArray | None = None,
) -> Block:
    """The k items with the highest inner product for each user, none of them `seen`.

    Of equal scores the lower item number comes first. Items whose factors are too short to reach
    a list are not multiplied, see `recsys.kernels.ranking`; where there is little to do, all are.
    Which of both is decided by the input alone, and a block is the work of one thread, so the
    number of threads changes no bit.

    Args:
        users: Factors, float32, shape (m, f).
        items: Factors, float32, shape (n_items, f).
        seen: CSR, shape (m, n_items); its cells are never shown.
        k: Length of the lists.
        threads: 0 for all cores.
        excluded: Items that nobody is shown, shape (n_items,).

    Returns:
        Items int32 and scores float32, both of shape (m, k); NO_ITEM and NaN past the end of a
        list that is shorter.

    Raises:
        ValueError: a factor is NaN or infinite.
    """
    for factors, of in ((users, "users"), (items, "items")):
        if not np.isfinite(factors).all():
            raise ValueError(f"the factors of {of} hold NaN or infinity, which cannot be ranked")
    with one_blas_thread():
        if k and len(users) >= FEW and len(users) * len(items) > SCORES:
            bounds = _Bounds.of(users, items, seen, k, threads, excluded)
            if not bounds.overflow():
                return bounds.ranked(threads)
        return _by_product(users, items, seen, k, threads, excluded)


def _by_product(
    users: Float32Array,
    items: Float32Array,
    seen: csr_matrix,
    k: int,
    threads: int,
    excluded: BoolArray | None,
) -> Block:
    """As `top_k`, from all scores."""
    size = _rows_at_once(len(items))
    transposed = np.ascontiguousarray(items.T)

    def ranked(start: int) -> Block:
        part = slice(start, start + size)
        scores = users[part] @ transposed
        known = seen[part]
        scores[np.repeat(np.arange(len(scores)), np.diff(known.indptr)), known.indices] = -np.inf
        if excluded is not None:
            scores[:, excluded] = -np.inf
        return best(scores, k)

    return _stacked(in_threads(ranked, range(0, len(users), size), threads), k)


@dataclass(frozen=True, slots=True, eq=False)
class _Bounds:
    """What the kernel needs: items by falling reach, and the lengths of the users.

    No score of a user is above their length times the reach of the item. Lengths are those of
    factors that a matrix has changed, which leaves the products alone: u . v = (M^-1 u) . (M' v),
    with M M' the products of the factors of the users, which makes the users alike in all
    directions. So the reach of an item is the square root of its mean squared score.

    Attributes:
        users: Factors, float32, shape (m, f).
        lengths: Of the users, float64, shape (m,).
        items: Factors of those that may be shown, by falling reach, float32, in whole tiles.
        order: Their numbers, int32.
        reach: Of the first item of each tile, float64, with room for the rounding of scores.
        seen: CSR with sorted columns, shape (m, n_items).
        k: Length of the lists.
    """

    users: Float32Array
    lengths: Float64Array
    items: Float32Array
    order: Int32Array
    reach: Float64Array
    seen: csr_matrix
    k: int

    @classmethod
    def of(
        cls,
        users: Float32Array,
        items: Float32Array,
        seen: csr_matrix,
        k: int,
        threads: int,
        excluded: BoolArray | None,
    ) -> "_Bounds":
        """Sort the items by how far their scores can reach."""
        from recsys.kernels.ranking import WIDTH

        evened = _evening(users)
        lengths = _lengths(solve_triangular(evened, users.T.astype(np.float64), lower=True).T)
        # Rounding, of the scores and of what follows, stays below this share of |u| |v|.
        slack = 3 * (users.shape[1] + 8) * float(np.finfo(np.float32).eps * np.linalg.norm(evened))
        changing = evened.astype(np.float32)

        def reaching(start: int) -> Float64Array:
            part = items[start : start + PART]
            return np.asarray(_lengths(part @ changing) + slack * _lengths(part))

        parts = in_threads(reaching, range(0, len(items), PART), threads)
        reach: Float64Array = np.concatenate([np.zeros(0), *parts])
        # As float32, which sorts six times as fast; hence the last bits of the reach of a tile.
        order = np.argsort(-reach.astype(np.float32)).astype(np.int32)
        if excluded is not None:
            order = order[~excluded[order]]
        whole = np.zeros((-(-len(order) // WIDTH) * WIDTH, items.shape[1]), np.float32)

        def copied(start: int) -> None:
            part = order[start : start + PART]
            whole[start : start + len(part)] = items[part]

        in_threads(copied, range(0, len(order), PART), threads)
        farthest = reach[order[::WIDTH]] * (1 + float(np.finfo(np.float32).eps))
        if not seen.has_sorted_indices:
            seen = seen.sorted_indices()
        return cls(users, lengths, whole, order, farthest, seen, k)

    def overflow(self) -> bool:
        """Whether a score may be larger than float32 holds."""
        return not self.lengths.max() * self.reach.max(initial=0.0) < LARGE

    def ranked(self, threads: int) -> Block:
        """The lists of all users."""
        size = BLOCK if len(self.users) > CORES * BLOCK else BLOCK // CORES

        def block(start: int) -> Block:
            return self.of_some(slice(start, start + size))[:2]

        return _stacked(in_threads(block, range(0, len(self.users), size), threads), self.k)

    def of_some(self, chosen: slice) -> tuple[Int32Array, Float32Array, int]:
        """The lists of some users, and how many tiles they took together."""
        from recsys.kernels.ranking import rank

        users, known = np.array(self.users[chosen], order="C"), self.seen[chosen]
        items = np.full((len(users), self.k), np.iinfo(np.int32).max, dtype=np.int32)
        scores = np.full(items.shape, LOWEST, dtype=np.float32)
        tiles = rank(
            users,
            self.lengths[chosen],
            self.items,
            self.order,
            self.reach,
            known.indptr.astype(np.int64),
            known.indices.astype(np.int32, copy=False),
            items,
            scores,
        )
        empty = items == np.iinfo(np.int32).max
        items[empty], scores[empty] = NO_ITEM, np.nan
        return items, scores, int(tiles)


def _evening(users: Float32Array) -> Float64Array:
    """The factor M of the products of the factors of users, lower triangle, float64, shape (f, f).

    As many users of no direction as there are factors are added, so that it has an inverse.
    """
    f = users.shape[1]
    wide = users.astype(np.float64)
    products = wide.T @ wide
    mean = float(np.trace(products)) / max(f, 1)
    if not mean > 0:
        return np.eye(f)
    spread = products / mean + np.eye(f) * f / len(users)
    return np.asarray(np.linalg.cholesky(spread))


def _lengths(factors: Float32Array | Float64Array) -> Float64Array:
    """Lengths of rows; not so short that their squares have no digits, infinite if too long."""
    with np.errstate(over="ignore"):
        squares = np.vecdot(factors, factors).astype(np.float64)
    return np.asarray(np.sqrt(squares + TINY))


def _stacked(blocks: list[Block], k: int) -> Block:
    if not blocks:
        return np.zeros((0, k), np.int32), np.zeros((0, k), np.float32)
    return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])


def _rows_at_once(n_items: int) -> int:
    n = max(n_items, 1)
    return max(1, SCORES // n, min(ROWS, MOST // n))


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
    m, n = scores.shape
    whole = n // CHUNK * CHUNK
    if n // CHUNK < k:
        if n <= k:
            return np.full(m, LOWEST, np.float32)
        return np.maximum(np.partition(scores, n - k, axis=1)[:, n - k], LOWEST)
    maxima = scores[:, :whole].reshape(m, CHUNK, -1).max(axis=1)
    return np.maximum(np.partition(maxima, -k, axis=1)[:, -k], LOWEST)
