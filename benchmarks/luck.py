"""How much of what a search of ALS finds is luck: many seeds, few trials, several data sets.

    python benchmarks/luck.py $RECSYS_DATA [--sets hetrec,films,amazon,yelp,music] [--seeds 10]
        [--trials 12,25,50] [--spaces default,one-cut,two-points,irspack]
        [--split 7] [--tests 5] [--processes 2] [--keep FILE]

One split of each set, not one of those that benchmarks/portfolio.py learns on; the seed moves the
search and the trainings alone. The winner of the first 12, 25 and 50 trials of a search, chosen on
validation, is trained on train and validation and judged on test. The best known of a set is the
highest mean over seeds of any row, or what the trial reaches that is best on validation of all
searches, if that is more: a single trial that is the best of thousands on validation is often not
the best on test. With --keep a search that is in the file is not repeated.

One test side favours some winners by chance. With --tests 5 each winner is judged on five splits,
and a second table has the means. They vary by the search and its validation cuts alone.

    default     the built-in search; trials that cannot be told from the best are judged on three
                validation cuts, where there are 16 trials or more
    one-cut     the same search with study.cuts = 1
    two-points  one-cut with the first points of an earlier version, and with 3 iterations or more
    gp, cma-es  one-cut with another sampler
    irspack     the space of irspack's IALSOptimizer (factors, alpha0 and reg of Rendle et al. 2021,
                nu 1, every cell weighs the same) and Optuna's TPE as it is
"""

import argparse
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import optuna
from sets import split_of

from flows.cli.inputs import CONFIGS
from recsys.config import ExperimentConfig, load_config
from recsys.dtypes import Float64Array
from recsys.evaluation.fitting import fit_and_judge
from recsys.evaluation.ties import tied_with_best
from recsys.models import default_point, make_config
from recsys.search.config import FOUND
from recsys.search.curves import Curve
from recsys.search.monitor import HopelessTraining, StopRules, TrainingMonitor
from recsys.search.pruning import CurveValues, FinishedCurve
from recsys.search.space import Point
from recsys.seeds import seed_for
from recsys.splitting.split import Fold, redrawn
from tasks.study.choosing import AUTO_CUTS, affordable
from tasks.tuning.sampling import ObservedTrial, Points, key_of

METRIC, K = "ndcg@10", 10
DEFAULT, ONE_CUT = "default", "one-cut"
TWO_POINTS: Mapping[str, Any] = {
    "study.first": [
        {"weighting": "log", "epsilon": 1.0, "factors": 32, "regularization": 50.0, "alpha": 1.0},
        {"weighting": "share", "power": 0.9, "factors": 512, "regularization": 40.0, "alpha": 10.0},
    ],
    "search.iterations": {"low": 3, "high": 15},
}
SPACES: Mapping[str, Mapping[str, Any]] = {
    ONE_CUT: {},
    "two-points": TWO_POINTS,
    "gp": {"study.sampler": "gp"},
    "cma-es": {"study.sampler": "cma-es"},
    "irspack": {},
}


def main() -> None:
    """Search, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="the folder with the data sets")
    parser.add_argument("--sets", default="hetrec,films,amazon,yelp,music")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", default="12,25,50")
    parser.add_argument("--spaces", default="default,one-cut,two-points,irspack")
    parser.add_argument("--split", type=int, default=7, help="seed of the split")
    parser.add_argument("--tests", type=int, default=1, help="splits on which winners are judged")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="a file of JSON lines, one for each search")
    args = parser.parse_args()
    ns = [int(n) for n in args.trials.split(",")]
    wanted = [
        (name, space, seed)
        for seed in range(args.seeds)
        for name in args.sets.split(",")
        for space in args.spaces.split(",")
    ]
    if unknown := set(args.spaces.split(",")) - {DEFAULT, *SPACES}:
        parser.error(f"--spaces {', '.join(unknown)}: there are {DEFAULT}, {', '.join(SPACES)}")
    known = {tuple(each["key"]): each for each in read(args.keep)}
    splits = range(args.split, args.split + args.tests)
    searches = [
        (name, ONE_CUT if space == DEFAULT else space, seed) for name, space, seed in wanted
    ]
    with ProcessPoolExecutor(args.processes) as pool:
        left = [key for key in dict.fromkeys(searches) if key not in known]
        begun = [pool.submit(searched, args.data, *key, splits, ns) for key in left]
        kept(begun, known, args.keep)
        left = [key for key in wanted if key not in known]  # of the space "default" alone
        again = [known[name, ONE_CUT, seed] for name, _, seed in left]
        begun = [pool.submit(cut_again, args.data, each, splits, ns) for each in again]
        kept(begun, known, args.keep)
    best = {
        name: best_known(args.data, name, splits, [known[key] for key in wanted if key[0] == name])
        for name in args.sets.split(",")
    }
    for tests in sorted({1, args.tests}):
        print_table([known[key] for key in wanted], best, ns, tests)


def kept(
    begun: Sequence[Future[dict[str, Any]]],
    known: dict[tuple[str, str, int], dict[str, Any]],
    keep: Path | None,
) -> None:
    """Wait for searches, and add each to those known and to the file."""
    for n, each in enumerate(as_completed(begun), 1):
        found = each.result()
        known[tuple(found["key"])] = found
        if keep:
            with keep.open("a", encoding="utf-8") as out:
                out.write(json.dumps(found) + "\n")
        print(f"{n} of {len(begun)}: {found['key']}", flush=True)


def read(keep: Path | None) -> Iterator[dict[str, Any]]:
    """The searches of a file."""
    if keep is not None and keep.exists():
        for line in keep.read_text(encoding="utf-8").splitlines():
            found = json.loads(line)
            if found["key"][1] == DEFAULT and "cuts" not in found:
                raise SystemExit(
                    f"{keep}: its searches of the space {DEFAULT} are of an earlier version, which "
                    f"judged on one cut; name that space {ONE_CUT} there, or use another file"
                )
            yield found


def searched(
    data: Path, name: str, space: str, seed: int, splits: Sequence[int], ns: Sequence[int]
) -> dict[str, Any]:
    """A search on the first split, and what the winners of its first n reach on test."""
    split = split_of(data, name, splits[0])
    if space == "irspack":
        trials = list(by_irspack(split.validation, seed, max(ns)))
    else:
        config = configured(space, seed, max(ns))
        trials = list(by_points(split.validation, config, max(ns)))
    winners: dict[str, Any] = {}
    for n in ns:
        value, point = max(trials[:n], key=lambda trial: trial[0])
        tests = next((w["tests"] for w in winners.values() if w["point"] == point), None)
        winners[str(n)] = {
            "validation": value,
            "point": point,
            "tests": on_tests(data, name, splits, point, seed) if tests is None else tests,
        }
    return {"key": [name, space, seed], "trials": trials, "winners": winners}


def cut_again(
    data: Path, search: Mapping[str, Any], splits: Sequence[int], ns: Sequence[int]
) -> dict[str, Any]:
    """The winners of a search where finalists are judged on several cuts (study.cuts = "auto")."""
    name, _, seed = search["key"]
    folds = [split_of(data, name, splits[0]).validation]
    for cut in range(2, AUTO_CUTS + 1):
        folds.append(redrawn(folds[0], seed_for(seed, "split", "validation", cut)))
    known: dict[tuple[str, int], Float64Array] = {}

    def values_of(point: Point, cut: int) -> Float64Array:
        key = json.dumps(point), cut
        if key not in known:
            judged = fit_and_judge(make_config("als", point), seed, folds[cut], (K,))
            known[key] = judged.report.per_user[METRIC].to_numpy()
        return known[key]

    winners: dict[str, Any] = {}
    for n in ns:
        ended = (trial for trial in search["trials"][:n] if trial[0] >= 0)  # and was not pruned
        best = sorted(ended, key=lambda trial: -trial[0])
        first = np.column_stack([values_of(point, 0) for _, point in best])
        tied = tied_with_best(first, seed_for(seed, "judge", "bootstrap"))
        most = min(configured(DEFAULT, seed, n).study.finalists, affordable(n, AUTO_CUTS))
        close = np.flatnonzero(tied)[:most] if most > 1 else [0]
        means = {
            k: np.mean([values_of(best[k][1], cut) for cut in range(AUTO_CUTS)]) for k in close
        }
        value, point = best[max(close, key=lambda k: means[k])]
        same = next(
            (w for w in [*search["winners"].values(), *winners.values()] if w["point"] == point),
            None,
        )
        tests = same["tests"] if same else on_tests(data, name, splits, point, seed)
        winners[str(n)] = {"validation": value, "point": point, "tests": tests}
    found = {"trials": search["trials"], "winners": winners, "cuts": AUTO_CUTS}
    return {"key": [name, DEFAULT, seed], **found}


def on_tests(data: Path, name: str, splits: Sequence[int], point: Point, seed: int) -> list[float]:
    """The metric of a point on the test side of each split, trained on train and validation."""
    model = make_config("als", point)
    reports = (
        fit_and_judge(model, seed, split_of(data, name, seed_of).test, (K,)) for seed_of in splits
    )
    return [each.report.summary()[METRIC] for each in reports]


@cache
def configured(space: str, seed: int, trials: int) -> ExperimentConfig:
    """The built-in search with the changes of a space."""
    changed = {**SPACES.get(space, {}), "seed": seed, "study.trials": trials}
    return load_config(CONFIGS / "default.toml", changed)


def by_points(fold: Fold, config: ExperimentConfig, n: int) -> Iterator[tuple[float, Point]]:
    """Value (-1 where it was pruned) and point of each trial, as a study of one worker has them."""
    points = Points(config.space, config.study, config.seed, default=default_point(config.model))
    shown: list[ObservedTrial] = []
    curves: dict[int, FinishedCurve] = {}
    taken = set()
    for slot in range(n):
        point = points.point(slot, shown, taken)
        taken.add(key_of(point))
        value, iterations, curve = measured(fold, config, slot, point, curves)
        shown.append(ObservedTrial(point, () if value is None else (value,), curve))
        curves[slot] = FinishedCurve(curve, value is None)
        yield -1.0 if value is None else value, {**point, FOUND: iterations}


def measured(
    fold: Fold,
    config: ExperimentConfig,
    slot: int,
    point: Point,
    curves: Mapping[int, FinishedCurve],
) -> tuple[float | None, int, CurveValues]:
    """Value (None: pruned), iterations and curve of a trial, as a study measures it."""
    assert config.found is not None
    judge, found = config.judge, config.found
    rules = StopRules(
        METRIC,
        found.high,
        found.low,
        config.study.patience,
        config.pruner,
        config.study.prunes_from,
        slot,
        curves,
        config.seed,
    )
    curve = Curve(fold, [METRIC], judge.curve_users, seed_for(config.seed, "judge", "curve"))
    whole = Curve(fold, [METRIC], len(fold.judged), config.seed)
    monitor = TrainingMonitor(curve, rules, judge.curve_every, lambda *_: None, whole=whole)
    model = make_config(config.model, {**point, FOUND: found.high})
    try:
        judged = fit_and_judge(model, config.seed, fold, (K,), watch=monitor)
    except HopelessTraining:
        return None, monitor.reached, curve.values(METRIC)
    return judged.report.summary()[METRIC], monitor.kept, curve.values(METRIC)


def by_irspack(fold: Fold, seed: int, n: int) -> Iterator[tuple[float, Point]]:
    """Value and point of each trial of irspack's space; nothing is pruned."""
    config = configured("default", seed, n)
    cells = fold.train.matrix()
    users, items = np.diff(cells.indptr), np.bincount(cells.indices, minlength=cells.shape[1])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in range(n):
        trial = study.ask()
        factors = trial.suggest_int("n_components", 4, 300)
        alpha0 = trial.suggest_float("alpha0", 3e-3, 1, log=True)
        reg = trial.suggest_float("reg", 1e-4, 1e-1, log=True)
        often = [users + alpha0 * len(items), items + alpha0 * len(users)]
        # The mean over the rows that have cells: recsys.models.als_scaled has lambda of ours.
        scale = float(np.concatenate([often[0][users > 0], often[1][items > 0]]).mean())
        point: Point = {
            "factors": factors,
            "alpha": 1 / alpha0,
            "regularization": reg * (1 + alpha0) / alpha0 * scale,
            "nu": 1.0,
            "weighting": "binary",
        }
        value, iterations, _ = measured(fold, unpruned(config), 0, point, {})
        assert value is not None
        study.tell(trial, value)
        yield value, {**point, FOUND: iterations}


def unpruned(config: ExperimentConfig) -> ExperimentConfig:
    """The same without a pruner."""
    return config.model_copy(update={"study": config.study.model_copy(update={"pruner": "none"})})


def best_known(
    data: Path, name: str, splits: Sequence[int], searches: Sequence[Mapping[str, Any]]
) -> tuple[float, list[float]]:
    """Value on validation and on each test of the best trial on validation of all searches."""
    best = max(
        ((*trial, each["key"][2]) for each in searches for trial in each["trials"]),
        key=lambda trial: trial[0],
    )
    return best[0], on_tests(data, name, splits, best[1], best[2])


def print_table(
    searches: Sequence[Mapping[str, Any]],
    best: Mapping[str, tuple[float, Sequence[float]]],
    ns: Sequence[int],
    tests: int,
) -> None:
    """Mean, worst seed and spread on so many test sides, beside the best known."""
    of = "one test side" if tests == 1 else f"the mean of {tests} test sides"
    print(f"\n{METRIC} of the winner on {of}; % of the best known of the set\n")
    print(f"{'':<12}{'':<12}{'':>6}  {'test':^34}  {'validation':^16}")
    print(
        f"{'set':<12}{'space':<12}{'trials':>6}  {'mean':>7}{'mean %':>9}{'worst %':>9}{'sd %':>8}"
        f"  {'mean %':>8}{'worst %':>8}"
    )
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for each in searches:
        rows[each["key"][0], each["key"][1]].append(each["winners"])
    known = {name: mean(values[1][:tests]) for name, values in best.items()}

    def reached(winner: Mapping[str, Any]) -> float:
        return mean(winner["tests"][:tests])

    for (name, _), winners in rows.items():
        means = [mean(reached(each[str(n)]) for each in winners) for n in ns]
        known[name] = max(known[name], *means)
    for (name, space), winners in rows.items():
        for n in ns:
            test = [reached(each[str(n)]) for each in winners]
            validation = [each[str(n)]["validation"] for each in winners]
            top = best[name][0], known[name]
            spread = stdev(test) if len(test) > 1 else math.nan
            print(
                f"{name:<12}{space:<12}{n:>6}  {mean(test):>7.4f}{mean(test) / top[1] - 1:>+9.1%}"
                f"{min(test) / top[1] - 1:>+9.1%}{spread / top[1]:>8.1%}"
                f"  {mean(validation) / top[0] - 1:>+8.1%}{min(validation) / top[0] - 1:>+8.1%}"
            )


if __name__ == "__main__":
    main()
