"""How fast the best k are found: ours against implicit's, in turn, as ratios.

python benchmarks/ranking.py [--splits 5]
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.models.top_k import top_k

with threadpool_limits(1, "blas"):
    from implicit.cpu.topk import topk

K = 20
SEEN = 40  # items per user that must not be shown
SIZES = ((2000, 2800, 64), (2000, 2800, 512), (2000, 67_000, 64), (4096, 67_000, 128))


def main() -> None:
    """Print seconds of both and their ratio for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=5)
    splits = parser.parse_args().splits
    print("  users  artists factors   implicit       ours  implicit/ours  same lists")
    for m, n, f in SIZES:
        users, items, seen = problem(m, n, f)
        theirs, ours, same = paired(users, items, seen, splits)
        ratio = median(a / b for a, b in zip(theirs, ours, strict=True))
        print(
            f"{m:>7,} {n:>8,} {f:>7} {median(theirs):>8.3f} s {median(ours):>8.3f} s "
            f"{ratio:>14.2f} {same:>11.2%}"
        )


def problem(m: int, n: int, f: int) -> tuple[np.ndarray, np.ndarray, csr_matrix]:
    """Random factors, and random items each user has seen."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(m), SEEN)
    seen = csr_matrix((np.ones(len(rows), "f4"), (rows, rng.integers(0, n, len(rows)))), (m, n))
    users, items = (rng.normal(size=(size, f)).astype(np.float32) for size in (m, n))
    return users, items, seen


def paired(
    users: np.ndarray, items: np.ndarray, seen: csr_matrix, splits: int
) -> tuple[list[float], list[float], float]:
    """Seconds of implicit and of ours, one after the other, and how many lists are the same."""

    def implicit() -> np.ndarray:
        with threadpool_limits(1, "blas"):
            return np.asarray(topk(items, users, K, filter_query_items=seen)[0])

    def ours() -> np.ndarray:
        return top_k(users, items, seen, K)[0]

    first, second = [], []
    for _ in range(splits + 1):
        a, seconds_a = timed(implicit)
        b, seconds_b = timed(ours)
        first.append(seconds_a)
        second.append(seconds_b)
    return first[1:], second[1:], float((a == b).all(axis=1).mean())


def timed(call: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """What a call returns, and how long it takes."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    main()
