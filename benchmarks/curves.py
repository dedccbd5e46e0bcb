"""What is lost where the iterations of ALS are found on the curve of a sample of users.

    python benchmarks/curves.py $RECSYS_DATA [--sets hetrec,films,amazon,yelp] [--seeds 5]
        [--users 500,2000] [--patience 3]

For each set the best of the portfolio's points on its validation side is trained for 15 iterations,
with curves on samples of users and on all. A sample keeps the best iteration of its curve until
patience ends it ("best"), or that or the last one, whichever is better on all users, as a study
does ("best or last"). The table has the value of that iteration on all users beside the best
iteration on all users, in percent: the mean over the seeds and the worst of them. The last column
has the share of the seconds that the curve takes, of fitting and the curve together.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import mean

from luck import METRIC, configured
from sets import split_of

from recsys.evaluation.fitting import fit, fit_and_judge
from recsys.models import make_config
from recsys.models.iterative import Iteration
from recsys.search.curves import Curve, LossProbe
from recsys.search.pruning import plateau
from recsys.search.space import Point
from recsys.seeds import seed_for
from recsys.splitting.split import Fold

ITERATIONS, K = 15, 10
EVERYBODY = 10**9


class Curves(LossProbe):
    """Measures the curves on each of several samples of users."""

    def __init__(self, fold: Fold, sizes: list[int], seed: int) -> None:
        super().__init__()
        self.of = {n: Curve(fold, [METRIC], n, seed_for(seed, "judge", "curve")) for n in sizes}

    def __call__(self, step: Iteration) -> None:
        """Add a point to each."""
        super().__call__(step)
        for curve in self.of.values():
            curve(step)


def main() -> None:
    """Train, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder with the data sets")
    parser.add_argument("--sets", default="hetrec,films,amazon,yelp")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--users", default="500,2000")
    parser.add_argument("--patience", type=int, default=3)
    parser.add_argument("--split", type=int, default=7, help="seed of the split")
    args = parser.parse_args()
    sizes = [int(n) for n in args.users.split(",")]
    print(f"{'':<17}{'best':^16}  {'best or last':^16}")
    print(f"{'set':<10}{'users':>7}" + f"{'mean %':>8}{'worst %':>8}  " * 2 + f"{'time %':>7}")
    for name in args.sets.split(","):
        fold = split_of(args.data, name, args.split).validation
        point = best_point(fold)
        lost: dict[int, list[float]] = defaultdict(list)
        either: dict[int, list[float]] = defaultdict(list)
        seconds: dict[int, list[float]] = defaultdict(list)
        for seed in range(args.seeds):
            curves = Curves(fold, [*sizes, EVERYBODY], seed)
            model = make_config("als", {**point, "iterations": ITERATIONS})
            made = fit(model, seed, fold.train, fold.profiles, watch=curves)
            every = [value for _, value in curves.of[EVERYBODY].values(METRIC)]
            for n in sizes:
                curve = curves.of[n]
                at, end = kept(curve.values(METRIC), args.patience)
                lost[n].append(100 * (every[at - 1] / max(every) - 1))
                better = max(every[at - 1], every[end - 1])
                either[n].append(100 * (better / max(every) - 1))
                seconds[n].append(100 * curve.seconds / (curve.seconds + made.seconds))
        for n in sizes:
            shown = "".join(
                f"{mean(each[n]):>+8.1f}{min(each[n]):>+8.1f}  " for each in (lost, either)
            )
            print(f"{name:<10}{n:>7}{shown}{mean(seconds[n]):>7.0f}", flush=True)


def best_point(fold: Fold) -> Point:
    """The point of the portfolio that is best on a fold at ten iterations."""
    points = configured("default", 0, 1).study.first

    def value(point: Point) -> float:
        judged = fit_and_judge(make_config("als", {**point, "iterations": 10}), 0, fold, (K,))
        return judged.report.summary()[METRIC]

    return max((dict(point) for point in points), key=value)


def kept(curve: list[tuple[int, float]], patience: int) -> tuple[int, int]:
    """The best iteration of a curve, and the one at which patience ends."""
    ended = next((n for n in range(1, len(curve)) if plateau(curve[:n], patience)), len(curve))
    return max(curve[:ended], key=lambda point: point[1])[0], curve[ended - 1][0]


if __name__ == "__main__":
    main()
