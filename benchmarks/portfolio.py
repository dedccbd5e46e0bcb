"""The points that searches of a model begin with: learned over data sets, judged on those left out.

    python benchmarks/portfolio.py $RECSYS_DATA --pool FILE [--points 5] [--sets ...]
        [--splits 42,1,2] [--keep FILE]
    python benchmarks/portfolio.py $RECSYS_DATA --model ease [--trials 60] [--splits 42,1] ...

The pool has the best trials of searches, rounded, and the points that were written down by hand
before. For ALS these are the searches of FILE, which `benchmarks/luck.py --keep` wrote. For another
model the space of its TOML file is searched on one split of each set first, and the best trials of
its two best weightings are taken.

Every point of the pool is measured on the validation sides of several splits of every set, so that
no point is taken because it suits one side by chance; no test side is read. The portfolio takes one
point after the other, each the one that brings the mean over the sets of (best point of the
portfolio / best point of the pool) highest. It begins with the default point of the model, which a
search tries first; "best alone" is the point with the highest mean by itself. For each set the
second table has what a portfolio reaches there that was learned on the other sets alone, from
points that were found on those. Its last column is the whole portfolio, learned on all sets.
"""

import argparse
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from luck import METRIC, TWO_POINTS, K, configured, measured, unpruned
from sets import SETS, split_of

from flows.model_config import model_config
from recsys.config import ExperimentConfig, changed
from recsys.dtypes import Float64Array
from recsys.evaluation.fitting import fit_and_judge
from recsys.models import default_point, make_config
from recsys.search.config import FOUND
from recsys.search.space import Point, inside
from recsys.splitting.split import Fold
from tasks.tuning.sampling import ObservedTrial, Points, key_of

SEED = 0
SEARCHED = 7  # seed of the split that searches run on
WEIGHTINGS = 2  # a search gives the pool the best trial of each of so many weightings
DIGITS = 2
SHARE: Mapping[str, Any] = {"weighting": "share", "power": 0.35}
BM25: Mapping[str, Any] = {"weighting": "bm25", "k1": 100.0, "b": 0.8}
EARLIER: Mapping[str, Mapping[str, Any]] = {
    "ease": {**SHARE, "regularization": 300.0},
    "sparse-ease": {**BM25, "regularization": 300.0, "neighbours": 200},
    "pair-ease": {**BM25, "regularization": 300.0, "pair_regularization": 3e3, "pairs": 1000},
    "gf-cf": {"weighting": "binary", "factors": 256, "alpha": 0.3},
    "item-knn": SHARE,
    "puresvd": {**SHARE, "factors": 32},
    "rp3beta": {**BM25, "alpha": 0.65, "beta": 0.2, "neighbours": 500},
    "slim": SHARE,
    "turbo-cf": {**SHARE, "alpha": 0.5, "sharpness": 1.0, "order": 2},
    "user-knn": SHARE,
}
"""Model to the second point of its searches before there was a portfolio, written by hand."""


def main() -> None:
    """Measure the pool, choose, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder with the data sets")
    parser.add_argument("--model", default="als")
    parser.add_argument("--pool", type=Path, help="searches of als, by benchmarks/luck.py")
    parser.add_argument("--trials", type=int, default=40, help="of a search of another model")
    parser.add_argument("--points", type=int, default=5, help="besides the default point")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--splits", default="42,1,2", help="seeds of the splits")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="a file of JSON lines, one for each value")
    args = parser.parse_args()
    if (args.model == "als") != (args.pool is not None):
        parser.error("als takes its pool from --pool FILE, and no other model does")
    sets = args.sets.split(",")
    splits = [int(seed) for seed in args.splits.split(",")]
    with ProcessPoolExecutor(args.processes) as workers:
        if args.pool:
            pool = pooled(args.pool)
        else:
            pool = searched_pool(workers, args.data, args.model, sets, args.trials)
        keys = [(name, seed, text) for text in pool for name in sets for seed in splits]
        known = all_measured(workers, args.data, args.model, keys, args.keep)
    texts = list(pool)
    values = np.array(
        [[np.mean([known[name, seed, text] for seed in splits]) for name in sets] for text in texts]
    )
    show(texts, pool, values / values.max(axis=0), sets, args.points)


def searched_pool(
    workers: ProcessPoolExecutor, data: Path, model: str, sets: Sequence[str], trials: int
) -> dict[str, set[str]]:
    """Point, as JSON, to the sets where it was found; the default point first, found nowhere."""
    config = own(model)
    searches = {name: workers.submit(searched, data, name, model, trials) for name in sets}
    default = dict(default_point(model))
    pool: dict[str, set[str]] = {json.dumps(inside(config.space, default)): set()}
    for point in config.study.first:
        pool[json.dumps(inside(config.space, {**default, **point}))] = set(SETS)  # of no set alone
    for name, search in searches.items():
        for text in search.result():
            pool.setdefault(text, set()).add(name)
        print(f"searched on {name}", flush=True)
    return pool


def all_measured(
    workers: ProcessPoolExecutor,
    data: Path,
    model: str,
    keys: Sequence[tuple[str, int, str]],
    keep: Path | None,
) -> dict[tuple[str, int, str], float]:
    """The value of each set, split and point; those of the file are not measured again."""
    known = dict(read(keep))
    begun = {workers.submit(value_of, data, model, *key): key for key in keys if key not in known}
    for n, each in enumerate(as_completed(begun), 1):
        known[begun[each]] = each.result()
        if keep:
            line = json.dumps([*begun[each], each.result()])
            with keep.open("a", encoding="utf-8") as out:
                out.write(line + "\n")
        if n % 20 == 0:
            print(f"{n} of {len(begun)}", flush=True)
    return known


def read(keep: Path | None) -> Iterable[tuple[tuple[str, int, str], float]]:
    """Known values by set, seed of the split and point."""
    if keep is not None and keep.exists():
        for line in keep.read_text(encoding="utf-8").splitlines():
            name, seed, text, value = json.loads(line)
            yield (name, seed, text), value


def pooled(path: Path) -> dict[str, set[str]]:
    """Point, as JSON, to the sets where it was found; the default point first, found nowhere."""
    config = configured("default", SEED, 1)
    default = inside(config.space, dict(default_point("als")))
    pool: dict[str, set[str]] = {json.dumps(default): set()}
    for point in TWO_POINTS["study.first"]:
        pool[json.dumps({**point, "nu": 0.0})] = set(SETS)  # of no set alone
    for line in path.read_text(encoding="utf-8").splitlines():
        search = json.loads(line)
        name, space, _ = search["key"]
        if space == "irspack":
            continue
        _, point = max(search["trials"], key=lambda trial: trial[0])
        text = json.dumps({key: rounded(value) for key, value in point.items() if key != FOUND})
        pool.setdefault(text, set()).add(name)
    return pool


def rounded(value: object) -> object:
    """A number with two digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    return int(float(f"{value:.{DIGITS}g}")) if isinstance(value, int) else value


@cache
def own(model: str) -> ExperimentConfig:
    """The search of the TOML file of a model as it was without a portfolio, and without pruning."""
    base = unpruned(configured("default", SEED, 1))
    config = model_config(base, model, SEED, has_profiles=False)
    first = (dict(EARLIER[model]),) if model in EARLIER else ()
    return changed(config, {"study.first": first})


def searched(data: Path, name: str, model: str, trials: int) -> list[str]:
    """The best trials of the best weightings of a search on validation, rounded, as JSON."""
    found = by_search(split_of(data, name, SEARCHED).validation, own(model), trials)
    best: dict[object, Point] = {}
    for _, point in sorted(found, key=lambda trial: -trial[0]):
        best.setdefault(point.get("weighting"), point)
    return [
        json.dumps({key: rounded(value) for key, value in point.items()})
        for point in list(best.values())[:WEIGHTINGS]
    ]


def by_search(fold: Fold, config: ExperimentConfig, trials: int) -> list[tuple[float, Point]]:
    """Value and point of each trial of a search without a pruner."""
    points = Points(config.space, config.study, config.seed, default=default_point(config.model))
    shown: list[ObservedTrial] = []
    for slot in range(trials):
        point = points.point(slot, shown, {key_of(each.params) for each in shown})
        shown.append(ObservedTrial(point, (measured_at(fold, config, point),), ()))
    return [(trial.values[0], trial.params) for trial in shown]


def value_of(data: Path, model: str, name: str, seed: int, text: str) -> float:
    """The metric of a point on validation, of an iterative model at its best iteration."""
    fold = split_of(data, name, seed).validation
    return measured_at(fold, own(model), point_of(model, text))


def measured_at(fold: Fold, config: ExperimentConfig, point: Point) -> float:
    """The metric of a point on a fold, at its best iteration where these are searched."""
    if config.found is None:
        judged = fit_and_judge(make_config(config.model, point), SEED, fold, (K,))
        return judged.report.summary()[METRIC]
    value, _, _ = measured(fold, config, 0, point, {})
    assert value is not None
    return value


@cache
def point_of(model: str, text: str) -> Point:
    """A point from JSON, moved into the space."""
    return inside(own(model).space, json.loads(text))


def chosen(shares: Float64Array, allowed: Collection[int], n: int) -> list[int]:
    """The default point (0), then n others, each the best beside those before it.

    Args:
        shares: Value / best value, shape (points, sets).
        allowed: Points to choose among.
        n: How many.
    """
    taken = [0]
    for _ in range(n):
        reached = shares[taken].max(axis=0)
        gains = {each: np.maximum(shares[each], reached).mean() for each in allowed}
        taken.append(max(gains, key=lambda each: gains[each]))
    return taken


def show(
    texts: Sequence[str],
    pool: Mapping[str, Collection[str]],
    shares: Float64Array,
    sets: Sequence[str],
    n: int,
) -> None:
    """Print the portfolio of all sets, and what those of all others reach on each."""
    every = chosen(shares, range(1, len(texts)), n)
    print(
        f"{len(texts)} points on {len(sets)} sets; the portfolio, and its share of the best so far"
    )
    for place, each in enumerate(every):
        reached = shares[every[: place + 1]].max(axis=0)
        print(f"{reached.mean():.3f} worst {reached.min():.3f}  {texts[each]}")
    alone = int(shares.mean(axis=1).argmax())
    reached = shares[alone]
    print(f"best alone:\n{reached.mean():.3f} worst {reached.min():.3f}  {texts[alone]}")
    print("\nshare of the best point of the pool, by how many points besides the default")
    print(f"{'left out':<16}" + "".join(f"{k:>8}" for k in range(n + 1)) + f"{'learned':>10}")
    outs = []
    for column, name in enumerate(sets):
        others = np.delete(shares, column, axis=1)
        allowed = [at for at in range(1, len(texts)) if set(pool[texts[at]]) - {name}]
        order = chosen(others, allowed, n)
        outs.append([shares[order[: k + 1], column].max() for k in range(n + 1)])
        with_it = shares[every, column].max()
        print(f"{name:<16}" + "".join(f"{v:>8.3f}" for v in outs[-1]) + f"{with_it:>10.3f}")
    print(f"{'mean':<16}" + "".join(f"{v:>8.3f}" for v in np.mean(outs, axis=0)))


if __name__ == "__main__":
    main()
