"""What it costs TPE, and what it gains, to be shown 60 of the finished trials instead of all.

python benchmarks/tpe_shown.py [--trials 400] [--seeds 12]

Searches a made-up surface with the trends of an ALS on real data (regularization and alpha work
together, a weighting with a separate parameter is best) and the noise of a validation sample.
"Left" is how far below the top of the surface the best point found lies; "ask" the time of a
point, as a ratio to that of the tenth trials.
"""

import argparse
import time
from collections.abc import Sequence
from statistics import mean, median, stdev

import numpy as np
import optuna

from recsys.search.config import StudyConfig
from recsys.search.space import Choice, FloatRange, IntRange, Point, Space
from tasks.tuning import sampling
from tasks.tuning.sampling import ObservedTrial, Points, key_of

SPACE: Space = {
    "factors": IntRange(16, 512, log=True),
    "regularization": FloatRange(1e-2, 1e3, log=True),
    "alpha": FloatRange(0.1, 100, log=True),
    "power": FloatRange(0.1, 2, log=False),
    "weighting": Choice(("log", "share", "binary")),
}
TOP = 0.29
NOISE = 0.0015
AT = (70, 150, 400)
SHOWN = {"60 of them": (25, 35), "all": (25, 10**6)}


def surface(point: Point) -> float:
    """The true value of a point."""
    factors, power = float(point["factors"]), float(point["power"])
    regularization, alpha = float(point["regularization"]), float(point["alpha"])
    size = np.log(factors / 300) / 2
    ridge = np.log(regularization / (30 * alpha**0.7)) / 3
    slope = np.log(alpha / 4) / 4
    below = {"share": 0.0, "log": 0.02, "binary": 0.03}[str(point["weighting"])]
    bent = 0.03 * (power - 0.9) ** 2 * (below == 0)
    off = 0.03 * size**2 + 0.05 * ridge**2 + 0.01 * slope**2 + 0.02 * abs(size * ridge)
    return float(TOP - below - bent - off)


def search(seed: int, n_trials: int) -> tuple[list[float], list[float]]:
    """How far the best point so far lies below the top, and the seconds of each ask."""
    rng = np.random.default_rng(seed)
    points = Points(SPACE, StudyConfig(), seed)
    finished: list[ObservedTrial] = []
    left: list[float] = []
    seconds: list[float] = []
    best, true = -np.inf, 0.0
    for slot in range(n_trials):
        taken = {key_of(tried.params) for tried in finished}
        begin = time.perf_counter()
        point = points.point(slot, finished, taken)
        seconds.append(time.perf_counter() - begin)
        value = surface(point) + rng.normal(0, NOISE)
        if value > best:
            best, true = value, surface(point)
        finished.append(ObservedTrial(point, (value,), []))
        left.append(TOP - true)
    return left, seconds


def row(name: str, at: Sequence[int], n_seeds: int) -> None:
    """Search with all seeds and print a line."""
    found = [search(seed, at[-1]) for seed in range(n_seeds)]
    cells = []
    for n in at:
        left = [each[0][n - 1] for each in found]
        first = median(s for _, seconds in found for s in seconds[8:13])
        last = median(s for _, seconds in found for s in seconds[n - 10 : n])
        cells.append(f"{mean(left):.4f} +- {stdev(left):.4f}, ask {last / first:4.1f} x")
    print(f"{name:>12}  " + "  ".join(f"{cell:>26}" for cell in cells), flush=True)


def main() -> None:
    """Print what is left after so many trials, by what TPE is shown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=AT[-1])
    parser.add_argument("--seeds", type=int, default=12)
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    at = [n for n in AT if n < args.trials] + [args.trials]
    print(f"{'TPE sees':>12}  " + "  ".join(f"{f'left after {n}':>26}" for n in at))
    for name, (sampling.GOOD, sampling.REST) in SHOWN.items():
        row(name, at, args.seeds)


if __name__ == "__main__":
    main()
