"""Nearest listeners at the size of the whole Last.fm 360K: time a listener, and memory.

python benchmarks/user_knn.py [--users 359347] [--artists 160112] [--listeners 2048] [--profiles]

The data is made up: as many listeners, artists and cells (17.5 million) as the reference data,
artists drawn by a power law. Prints the seconds to fit, the milliseconds of CPU and of the clock
per listener, the peak of the process and the minutes that all listeners take at that rate;
`--listeners 359347` asks for all of them.
"""

import argparse
import os
import resource
import time

import numpy as np

from recsys.data.ids import IdMap, strings
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.models.user_knn import UserKnn, UserKnnConfig

CELLS_PER_USER = 48.8
COUNTRIES = 60


def made_up(n_users: int, n_artists: int, seed: int) -> Interactions:
    """Cells whose artists follow a power law; doubles fall together, so somewhat more are drawn."""
    rng = np.random.default_rng(seed)
    n = int(n_users * CELLS_PER_USER * 1.12)
    rows = rng.integers(0, n_users, n, dtype=np.int64)
    cols = np.minimum((n_artists * rng.random(n) ** 3.2).astype(np.int64), n_artists - 1)
    keys = np.unique(rows * n_artists + cols)
    plays = np.ceil(rng.pareto(1.2, len(keys)) * 20 + 1)
    users, items = (IdMap.of(f"{n:07}" for n in range(size)) for size in (n_users, n_artists))
    at = (keys // n_artists).astype(np.int32), (keys % n_artists).astype(np.int32)
    return Interactions(users, items, *at, plays)


def profiles_of(users: IdMap, seed: int) -> Profiles:
    """Gender, age and country of all users."""
    rng = np.random.default_rng(seed)
    n = len(users)
    return Profiles(
        users,
        strings(np.array(["m", "f"])[rng.integers(0, 2, n)].tolist()),
        rng.integers(14, 60, n).astype(np.float32),
        strings(f"country {each}" for each in rng.integers(0, COUNTRIES, n).tolist()),
        np.full(n, -1, np.int64),
    )


def main() -> None:
    """Fit, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=359_347)
    parser.add_argument("--artists", type=int, default=160_112)
    parser.add_argument("--listeners", type=int, default=2048)
    parser.add_argument("--profiles", action="store_true", help="distances by profile too")
    args = parser.parse_args()
    train = made_up(args.users, args.artists, 0)
    print(f"{args.users:,} listeners, {args.artists:,} artists, {len(train):,} cells", flush=True)
    before = peak()
    weights = {"age_weight": 0.2, "gender_weight": 0.05, "country_weight": 0.1}
    config = UserKnnConfig(**(weights if args.profiles else {}))
    known = profiles_of(train.users, 1) if args.profiles else None
    start = time.perf_counter()
    model = UserKnn(config, known).fit(train)
    print(f"fit: {time.perf_counter() - start:.1f} s", flush=True)
    asked = np.random.default_rng(2).choice(args.users, args.listeners, replace=False)
    model.recommend(np.zeros(1, np.int32), 10)  # compiles, where no cache has the kernels
    start, cpu = time.perf_counter(), time.process_time()
    model.recommend(np.sort(asked).astype(np.int32), 10)
    clock, spent = time.perf_counter() - start, time.process_time() - cpu
    each, each_cpu = clock / args.listeners, spent / args.listeners
    print(
        f"{args.listeners:,} listeners: {clock:.1f} s, "
        f"{1000 * each:.2f} ms each by the clock, {1000 * each_cpu:.2f} ms of CPU"
    )
    print(
        f"all {args.users:,} at that rate: {each * args.users / 60:.1f} minutes by the clock "
        f"on {os.cpu_count()} threads, {each_cpu * args.users / 60:.1f} of CPU"
    )
    print(f"memory: {before:.1f} GB with the data, {peak():.1f} GB at its peak")


def peak() -> float:
    """Of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
