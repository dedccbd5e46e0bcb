"""When an ensemble should win over the best model alone: rules that look at validation, on test.

    python benchmarks/ensembles.py $RECSYS_DATA [--sets films,music,hetrec,yelp,amazon]
        [--first-split 200] [--splits 6] [--processes N] [--keep FILE]

On each split of each set five models are searched with few trials, which are mostly the points that
their searches begin with: 9 of als, 5 of ease, 4 of rp3beta and item-knn, 3 of gf-cf. `--model
auto` shares its trials out otherwise. The best two and the best three are merged in the way that
does best on validation, as `--model auto` merges them. Then the best model and both ensembles are
judged on test. A rule chooses one of the three by validation:

    0      the best value
    1      an ensemble where it is ahead of the best model by more than one standard error
    1.96   an ensemble where it is ahead beyond its 95 % interval

The table has the mean on test beside that of the best model alone, and how often an ensemble won.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import mean
from typing import Any

from luck import METRIC, K, by_points, configured
from portfolio import by_search
from sets import split_of

from flows.model_config import model_config
from recsys.dtypes import Float64Array
from recsys.evaluation.fitting import fit_and_judge
from recsys.models import make_config
from recsys.models.config import ModelConfig
from recsys.search.merges import best_merge
from recsys.splitting.split import Fold

TRIALS = {"als": 9, "ease": 5, "rp3beta": 4, "item-knn": 4, "gf-cf": 3}
SIZES = (2, 3)
RULES = (0.0, 1.0, 1.96)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder with the data sets")
    parser.add_argument("--sets", default="films,music,hetrec,yelp,amazon")
    parser.add_argument("--first-split", type=int, default=200, help="seed of the first split")
    parser.add_argument("--splits", type=int, default=6)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="a file of JSON lines, one for each split")
    args = parser.parse_args()
    sets = args.sets.split(",")
    seeds = range(args.first_split, args.first_split + args.splits)
    known: dict[tuple[str, int], Any] = {}
    if args.keep and args.keep.exists():
        lines = args.keep.read_text(encoding="utf-8").splitlines()
        known = {tuple(each["key"]): each for each in map(json.loads, lines)}
    left = [(name, seed) for seed in seeds for name in sets if (name, seed) not in known]
    with ProcessPoolExecutor(args.processes) as pool:
        begun = [pool.submit(measured, args.data, *key) for key in left]
        for n, each in enumerate(as_completed(begun), 1):
            found = each.result()
            known[tuple(found["key"])] = found
            if args.keep:
                with args.keep.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(found) + "\n")
            print(f"{n} of {len(left)}", flush=True)
    show({name: [known[name, seed] for seed in seeds] for name in sets})


def measured(data: Path, name: str, seed: int) -> dict[str, Any]:
    """What the best model reaches on a split, and its ensembles with the next ones.

    Returns:
        "single": value of the best model on test; "ensembles": for each of `SIZES` by how much it
        is ahead on validation, the standard error of that, and its value on test.
    """
    split = split_of(data, name, seed)
    fold = split.validation
    won = sorted(
        (searched(fold, model, n, seed) for model, n in TRIALS.items()), key=lambda each: -each[0]
    )
    best = won[0][1]
    alone, on_test = values(best, seed, fold), values(best, seed, split.test)
    ensembles = []
    for size in SIZES:
        members = make_config("ensemble", {"members": tuple(model for _, model in won[:size])})
        way, judged = best_merge(members, seed, fold, (K,), METRIC)
        gains = judged.report.per_user[METRIC].to_numpy() - alone
        error = gains.std(ddof=1) / len(gains) ** 0.5
        test = values(way, seed, split.test)
        ensembles.append((float(gains.mean()), float(error), float(test.mean())))
    return {"key": (name, seed), "single": float(on_test.mean()), "ensembles": ensembles}


def values(model: ModelConfig, seed: int, fold: Fold) -> Float64Array:
    """The metric of each judged user, shape (m,)."""
    return fit_and_judge(model, seed, fold, (K,)).report.per_user[METRIC].to_numpy()


def searched(fold: Fold, model: str, trials: int, seed: int) -> tuple[float, ModelConfig]:
    """Value on validation and configuration of the best of so many trials."""
    config = model_config(configured("default", seed, trials), model, seed, has_profiles=False)
    search = by_search if config.found is None else by_points
    value, point = max(search(fold, config, trials), key=lambda trial: trial[0])
    return value, make_config(model, point)


def show(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print the table."""
    print(f"\n{METRIC} on test; an ensemble wins where it is ahead by so many standard errors\n")
    print(f"{'set':<8}{'splits':>7}{'best model':>12}" + "".join(f"{z:>16g}" for z in RULES))
    for name, splits in found.items():
        single = mean(each["single"] for each in splits)
        row = f"{name:<8}{len(splits):>7}{single:>12.4f}"
        for z in RULES:
            picked = [chosen(each, z) for each in splits]
            won = sum(value is not None for value in picked)
            reached = mean(
                each["single"] if value is None else value
                for each, value in zip(splits, picked, strict=True)
            )
            row += f"{reached / single - 1:>+9.1%} ({won:>2})  "
        print(row.rstrip())


def chosen(split: Mapping[str, Any], z: float) -> float | None:
    """What the ensemble that wins has on test; None where the best model wins."""
    ahead = [each for each in split["ensembles"] if each[0] > z * each[1]]
    return max(ahead, key=lambda each: each[0])[2] if ahead else None


if __name__ == "__main__":
    main()
