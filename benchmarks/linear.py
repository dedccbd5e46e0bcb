"""Item neighbours, RP3beta, EASE and SLIM beside what people use instead, in turn, as ratios.

python benchmarks/linear.py [--scale 1.0] [--top-items 8000] [--nets 200] [--repeat 3] [--json FILE]

The data is made up: at scale 1 as many users (20,000), artists (66,801) and cells (1.4 million) as
the reference data has, artists drawn by a power law. Item neighbours are measured against
implicit's CosineRecommender, RP3beta against the product of scipy cut row by row, EASE of the top
items against LAPACK in float64 on one thread, SLIM against scikit-learn's ElasticNet with the same
candidates; as a net takes long there, --nets of them are measured and the rest is extrapolated.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.models.ease import Ease, EaseConfig
from recsys.models.item_knn import ItemKnn, ItemKnnConfig, cosines
from recsys.models.linear import mean_square
from recsys.models.rp3beta import Rp3beta, Rp3betaConfig, steps
from recsys.models.slim import Slim, SlimConfig
from recsys.models.weighting import WeightedConfig, Weights

USERS, ARTISTS, CELLS = 20_000, 66_801, 1_350_000
SKEW = 3.2
ROWS = 512


def main() -> None:
    """Measure each pair and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--top-items", type=int, default=8000)
    parser.add_argument("--nets", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    train = made_up(args.scale)
    print(f"{len(train.users):,} users, {len(train.items):,} artists, {len(train):,} cells")
    print(f"{'work':<12} {'against':<26} {'theirs':>10} {'ours':>10} {'times as fast':>14}")
    rows = []
    for work, against, theirs, ours in pairs(train, args.top_items, args.nets):
        seconds = [(theirs(), clock(ours)) for _ in range(args.repeat + 1)][1:]  # the first warms
        ratio = median(a / b for a, b in seconds)
        slow, fast = (median(each) for each in zip(*seconds, strict=True))
        rows.append(
            {"work": work, "against": against, "ratio": ratio, "theirs": slow, "ours": fast}
        )
        print(f"{work:<12} {against:<26} {slow:>8.2f} s {fast:>8.2f} s {ratio:>14.2f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"rows": rows}) + "\n")


def made_up(scale: float) -> Interactions:
    """Random cells: artists are drawn by a power law, and a pair drawn twice is one cell."""
    rng = np.random.default_rng(0)
    n_users, n_artists = int(USERS * scale), int(ARTISTS * scale)
    rows = rng.integers(0, n_users, int(CELLS * scale * 1.12))
    cols = np.minimum((n_artists * rng.random(len(rows)) ** SKEW).astype(np.int64), n_artists - 1)
    keys = np.unique(rows * n_artists + cols)
    plays = np.ceil(rng.pareto(1.2, len(keys)) * 20 + 1)
    users, items = (IdMap.of(f"{n:07}" for n in range(size)) for size in (n_users, n_artists))
    at = (keys // n_artists).astype(np.int32), (keys % n_artists).astype(np.int32)
    return Interactions(users, items, *at, plays)


Clocked = Callable[[], float]
Pair = tuple[str, str, Clocked, Callable[[], object]]


def pairs(train: Interactions, top_items: int, nets: int) -> list[Pair]:
    """Name of the work, of the other, what times the other, and ours."""
    rp3, slim = Rp3betaConfig(), SlimConfig()
    ease = EaseConfig(top_items=top_items)
    cut = ItemKnnConfig(shrinkage=0.0, weighting="binary")
    return [
        (
            "item-knn",
            "implicit CosineRecommender",
            lambda: clock(lambda: implicit(train, cut.neighbours)),
            lambda: ItemKnn(cut).fit(train),
        ),
        (
            "rp3beta",
            "scipy, cut by rows",
            lambda: clock(lambda: by_scipy(weighted(train, rp3), rp3)),
            lambda: Rp3beta(rp3).fit(train),
        ),
        (
            f"ease {top_items}",
            "LAPACK float64, one thread",
            lambda: clock(lambda: by_lapack(weighted(train, ease), ease)),
            lambda: Ease(ease).fit(train),
        ),
        (
            "slim",
            "scikit-learn, extrapolated",
            lambda: by_nets(weighted(train, slim), slim, nets),
            lambda: Slim(slim).fit(train),
        ),
    ]


def clock(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def weighted(train: Interactions, config: WeightedConfig) -> csr_matrix:
    """The weights of the cells."""
    return Weights(config, train)(train)


def implicit(train: Interactions, neighbours: int) -> Any:
    """Its cosines of all artists, in as many threads as there are cores."""
    from implicit.nearest_neighbours import CosineRecommender

    model = CosineRecommender(K=neighbours + 1)  # which counts the artist itself
    model.fit(train.matrix(), show_progress=False)
    return model


def by_scipy(weights: csr_matrix, config: Rp3betaConfig) -> list[csr_matrix]:
    """The product in blocks of rows, and of each row the highest by numpy."""
    held_back = np.maximum(np.bincount(weights.indices, minlength=weights.shape[1]), 1)
    to_items, to_users = steps(weights, config.alpha), steps(csr_matrix(weights.T), config.alpha)
    found = []
    for start in range(0, weights.shape[1], ROWS):
        block = to_users[start : start + ROWS] @ to_items
        block.data *= held_back[block.indices] ** -config.beta
        for row in np.flatnonzero(np.diff(block.indptr) > config.neighbours):
            values = block.data[block.indptr[row] : block.indptr[row + 1]]
            values[values < np.partition(values, -config.neighbours)[-config.neighbours]] = 0
        block.eliminate_zeros()
        found.append(block)
    return found


def by_lapack(weights: csr_matrix, config: EaseConfig) -> np.ndarray:
    """By dpotrf and dpotri, which work on the whole matrix."""
    n_users = np.bincount(weights.indices, minlength=weights.shape[1])
    weights = weights[:, np.sort(np.argsort(-n_users, kind="stable")[: config.top_items])]
    products = (weights.T @ weights).toarray().astype(np.float64)
    products[np.diag_indices(len(products))] += config.regularization * mean_square(weights)
    with threadpool_limits(1, "blas"):
        factor, _ = lapack.dpotrf(products.T, overwrite_a=1)
        inverse, _ = lapack.dpotri(factor, overwrite_c=1)
    inverse = np.triu(inverse) + np.triu(inverse, 1).T
    links = -inverse / np.diag(inverse)
    np.fill_diagonal(links, 0)
    return np.asarray(links)


def by_nets(weights: csr_matrix, config: SlimConfig, nets: int) -> float:
    """Seconds of all nets at the rate of some, in one thread."""
    from sklearn.linear_model import ElasticNet

    n_users, n_items = weights.shape
    near = cosines(weights, config.neighbours)
    columns = (weights / np.sqrt(mean_square(weights))).tocsc()
    some = np.random.default_rng(1).choice(n_items, min(nets, n_items), replace=False)
    total = config.l1 + config.l2
    start = time.perf_counter()
    for item in some:
        candidates = near[item].indices
        if len(candidates):
            net = ElasticNet(
                alpha=total / n_users,
                l1_ratio=config.l1 / total,
                positive=True,
                fit_intercept=False,
            )
            net.fit(columns[:, candidates], columns[:, [item]].toarray().ravel())
    return (time.perf_counter() - start) * n_items / len(some)


if __name__ == "__main__":
    main()
