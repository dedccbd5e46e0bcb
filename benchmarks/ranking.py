"""Lists and all metrics of all users: implicit's batched ranking against ours, in turn, as ratios.

python benchmarks/ranking.py [--users 20000] [--items 66801] [--weights default]
    [--factors 64 128] [--repeat 5] [--json ranking.json]

The data are ours of the sample generator, a fifth of each history held out, and the factors are a
real fit, for the length of factors decides how much work bounds save: once with default
weights, once with raw plays, which leave factors of nearly one length, and once drawn at
random, the worst case. Both get the same factors, and both lists are judged by every metric of a
report: implicit offers none of them per user, so its lists are judged by ours, in numpy.
`lists` is the ranking alone, against implicit's and against the product of all with all.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow.compute as pc
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.evaluation.report import KS, evaluate
from recsys.models.als import AlsConfig, create
from recsys.models.recommender import Recommendations
from recsys.models.top_k import _by_product, top_k
from recsys.sources.sample import make_sample
from recsys.splitting.split import Fold, random_split

with threadpool_limits(1, "blas"):
    from implicit.cpu.topk import topk

K = max(KS)
BATCH = 1000  # users at once for implicit, as its evaluation takes
FITS = {
    "default": {},
    "raw plays": {"weighting": "linear", "alpha": 1.0, "regularization": 0.05},
}


@dataclass(frozen=True)
class Row:
    """Seconds, the median over the repetitions, and medians of ratios within a repetition."""

    weights: str
    factors: int
    implicit_lists: float
    product_lists: float
    our_lists: float
    implicit_all: float
    our_all: float
    ratio_lists: float
    ratio_product: float
    ratio_all: float
    same_as_product: float
    same_as_implicit: float


def main() -> None:
    """Print a row for each kind of factors, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=66_801)
    parser.add_argument(
        "--weights", nargs="+", choices=[*FITS, "random"], default=[*FITS, "random"]
    )
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    fold = sample_fold(args.users, args.items)
    print(f"{len(fold.judged):,} users, {len(fold.train.items):,} items, top {K}, {os.cpu_count()}")
    print("                          lists, seconds           with metrics     implicit / ours   ")
    print("  weights  factors  implicit  product   ours    implicit   ours     lists     all  same")
    rows = []
    for name in args.weights:
        for factors in args.factors:
            rows.append(row := measured(fold, name, factors, args.iterations, args.repeat))
            print(
                f"{row.weights:>9} {row.factors:>8} {row.implicit_lists:>9.2f} "
                f"{row.product_lists:>8.2f} {row.our_lists:>6.2f} {row.implicit_all:>11.2f} "
                f"{row.our_all:>6.2f} {row.ratio_lists:>9.1f} {row.ratio_all:>7.1f} "
                f"{row.same_as_product:>6.2%}",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def sample_fold(users: int, items: int) -> Fold:
    """A generated log, a fifth of each history held out."""
    log = make_sample(users, items, 0).plays
    user_ids, rows = IdMap.encode(log["user"])
    item_ids, cols = IdMap.encode(log["name"])
    plays = pc.cast(log["plays"], "float64").to_numpy()
    keys, first = np.unique(rows.astype(np.int64) * len(item_ids) + cols, return_index=True)
    at = keys // len(item_ids), keys % len(item_ids)
    cells = Interactions(user_ids, item_ids, *(a.astype(np.int32) for a in at), plays[first])
    return random_split(cells, 0.2, 5, (0, 1)).test


def factors_of(fold: Fold, name: str, factors: int, iterations: int) -> tuple[np.ndarray, ...]:
    """Factors of users and items, float32."""
    if name == "random":
        rng = np.random.default_rng(0)
        return tuple(rng.normal(size=(n, factors)).astype(np.float32) for n in fold.train.shape)
    config = AlsConfig(factors=factors, iterations=iterations, **FITS[name])
    model = create(config, 0).fit(fold.train)
    return model.user_factors, model.item_factors


def measured(fold: Fold, name: str, n_factors: int, iterations: int, repeat: int) -> Row:
    """Both, in turn; the first turn, which compiles or fills caches, does not count."""
    users, items = factors_of(fold, name, n_factors, iterations)
    judged = fold.judged
    mine, seen = users[judged], csr_matrix(fold.train.matrix()[judged])
    per_item, n_train = fold.train.per_item(), len(fold.train.users_with_cells())

    def implicit() -> tuple[np.ndarray, np.ndarray]:
        parts = []
        with threadpool_limits(1, "blas"):
            for start in range(0, len(mine), BATCH):
                part = slice(start, start + BATCH)
                parts.append(topk(items, mine[part], K, filter_query_items=seen[part]))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    ways: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
        "implicit": implicit,
        "product": lambda: _by_product(mine, items, seen, K, os.cpu_count() or 1, None),
        "ours": lambda: top_k(mine, items, seen, K),
    }
    lists: dict[str, np.ndarray] = {}
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(repeat + 1):
        for way, call in ways.items():
            start = time.perf_counter()
            found, scores = call()
            ranked = time.perf_counter()
            recs = Recommendations(judged, found.astype(np.int32), scores)
            evaluate(recs, fold.held_out, per_item, n_train).summary()
            seconds[way].append((ranked - start, time.perf_counter() - start))
            lists[way] = found
    a, b, c = (np.array(seconds[way][1:]) for way in ("implicit", "product", "ours"))
    return Row(
        name,
        n_factors,
        *(float(median(part[:, 0])) for part in (a, b, c)),
        *(float(median(part[:, 1])) for part in (a, c)),
        float(median(a[:, 0] / c[:, 0])),
        float(median(b[:, 0] / c[:, 0])),
        float(median(a[:, 1] / c[:, 1])),
        *(float((lists[w] == lists["ours"]).all(axis=1).mean()) for w in ("product", "implicit")),
    )


if __name__ == "__main__":
    main()
