"""Whether regularization scaled by frequency helps ALS, and what its sweeps cost.

python benchmarks/ials.py search FILE [--splits 3] [--trials 60]
python benchmarks/ials.py speed [--factors 64 256]

`search` tunes share weights twice on the validation side of each split, with nu = 0 and with nu
from 0 to 1, and judges both winners once on the test side. The two arms have the same first
points, ranges and seeds; a trial below the median of its arm at iteration 2 or 4 is cut short.
`speed` times a sweep over both sides of a made-up matrix (20,000 x 64,000, 1.3 million draws) on
one thread, with its CPU time, which work beside it disturbs less. Of implicit it also times what
could be done without a solver of our own: rows in groups of nearly equal lambda, and lambda as
disliked pseudo-items, one for each factor. irspack is timed where it can be imported.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import optuna
import pandas as pd
from scipy.sparse import csr_matrix, hstack
from threadpoolctl import threadpool_limits

from recsys import sources
from recsys.data.config import FilterConfig
from recsys.data.filtering import apply_filters
from recsys.evaluation.protocol import judge
from recsys.models.als import Als, AlsConfig
from recsys.models.als_scaled import Regularization
from recsys.models.als_sweeps import Sweeps, padded
from recsys.models.iterative import Iteration
from recsys.seeds import seed_for
from recsys.splitting.split import Fold, Split, random_split

METRIC = "ndcg@10"
LOOKS = (2, 4)  # iterations after which a trial may be cut short
FIRST: tuple[dict[str, Any], ...] = (
    {"factors": 512, "regularization": 40.0, "alpha": 10.0, "power": 0.9},
    {"factors": 128, "regularization": 50.0, "alpha": 10.0, "power": 0.9},
)
N_USERS, N_ITEMS, N_CELLS = 20_000, 64_000, 1_300_000
LAMBDA = 50.0
Sweep = Callable[[], object]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_subparsers(dest="what", required=True)
    searching = what.add_parser("search")
    searching.add_argument("file", type=Path)
    searching.add_argument("--splits", type=int, default=3)
    searching.add_argument("--trials", type=int, default=60)
    timing = what.add_parser("speed")
    timing.add_argument("--factors", type=int, nargs="+", default=[64, 256])
    args = parser.parse_args()
    if args.what == "search":
        search(args.file, args.splits, args.trials)
    else:
        speed(args.factors)


def search(file: Path, splits: int, trials: int) -> None:
    """Both arms on every split."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    events, _ = apply_filters(sources.read(file).events, None, FilterConfig(), 0)
    cells = events.cells()
    print(f"{len(cells.users):,} listeners, {len(cells.items):,} artists, {len(cells):,} cells")
    gains = []
    for seed in range(splits):
        seeds = seed_for(seed, "split", "test"), seed_for(seed, "split", "validation")
        split = random_split(cells, 0.2, 5, seeds)
        plain, scaled = (tuned(split, seed, trials, name) for name in ("plain", "scaled"))
        gain = (scaled - plain).to_numpy()
        gains.append(gain.mean())
        error = gain.std() / np.sqrt(len(gain))
        print(f"split {seed}: nu gains {gain.mean():+.4f} (standard error {error:.4f})", flush=True)
    print(f"over {splits} splits: nu gains {mean(gains):+.4f}, {np.round(gains, 4)}")


def tuned(split: Split, seed: int, trials: int, arm: str) -> "pd.Series[float]":
    """The metric of the best point on the test side, by user."""
    start = time.perf_counter()
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=10),
    )
    for point in FIRST:
        study.enqueue_trial({**point, "nu": 0.0} if arm == "scaled" else point)
    if arm == "scaled":
        study.enqueue_trial({**FIRST[0], "nu": 0.5})
    looked: dict[int, list[float]] = {n: [] for n in LOOKS}
    study.optimize(lambda trial: tried(trial, split.validation, seed, arm, looked), trials)
    config = AlsConfig.model_validate({**study.best_params, "iterations": 10})
    seen = judge(fitted(config, split.test, seed), split.test, [10], ["ndcg"]).per_user[METRIC]
    best = {name: round(float(value), 3) for name, value in study.best_params.items()}
    whole = sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials)
    print(
        f"split {seed} {arm:<7} validation {study.best_value:.4f} test {METRIC} {seen.mean():.4f} "
        f"{best}  {whole} of {trials} trials to the end, {time.perf_counter() - start:.0f} s",
        flush=True,
    )
    return seen


def tried(
    trial: optuna.Trial, fold: Fold, seed: int, arm: str, looked: dict[int, list[float]]
) -> float:
    """The metric on validation; pruned where it is below the median on the way."""
    config = AlsConfig(
        factors=trial.suggest_int("factors", 32, 512, log=True),
        regularization=trial.suggest_float("regularization", 0.01, 1000, log=True),
        alpha=trial.suggest_float("alpha", 0.1, 1000, log=True),
        power=trial.suggest_float("power", 0.2, 1.5),
        nu=trial.suggest_float("nu", 0, 1) if arm == "scaled" else 0.0,
        iterations=10,
    )

    def look(step: Iteration) -> None:
        if step.number in LOOKS:
            value, others = worth(step.model, fold), looked[step.number]
            below = len(others) >= len(FIRST) + 3 and value < median(others)
            others.append(value)
            if below:
                raise optuna.TrialPruned

    return worth(fitted(config, fold, seed, look), fold)


def fitted(
    config: AlsConfig, fold: Fold, seed: int, look: Callable[[Iteration], None] | None = None
) -> Als:
    """On one thread."""
    return Als(config, seed_for(seed, "train", "als"), threads=1).fit(fold.train, None, look)


def worth(model: Als, fold: Fold) -> float:
    """The mean of the metric."""
    return float(judge(model, fold, [10], ["ndcg"]).per_user[METRIC].mean())


def speed(widths: list[int]) -> None:
    """A line for each way and width: the better of two sweeps."""
    cells, seen = drawn(), ("implicit", "ours", "groups", "pseudo-items", "irspack")
    print(f"{N_USERS:,} x {N_ITEMS:,}, {cells.nnz:,} cells; seconds of a sweep: wall (CPU)")
    for width in widths:
        rng = np.random.default_rng(1)
        users, items = (rng.random((n, width), np.float32) * 0.01 for n in cells.shape)
        for name in seen:
            with threadpool_limits(1, "blas"):
                sweep = ways(name, cells, users.copy(), items.copy())
                if sweep is None:
                    continue
                wall, cpu = min(timed(sweep) for _ in range(2))
            print(f"{width:>4} factors {name:<13} {wall:6.2f} ({cpu:.2f})", flush=True)


def drawn() -> csr_matrix:
    """Confidences, float32; artists by a power law."""
    rng = np.random.default_rng(0)
    odds = 1 / np.arange(1, N_ITEMS + 1) ** 0.8
    rows = rng.integers(0, N_USERS, N_CELLS)
    cols = rng.choice(N_ITEMS, N_CELLS, p=odds / odds.sum())
    cells = csr_matrix((np.ones(N_CELLS, np.float32), (rows, cols)), (N_USERS, N_ITEMS))
    cells.data[:] = 1 + 10 * rng.random(cells.nnz, dtype=np.float32)
    return cells


def timed(sweep: Sweep) -> tuple[float, float]:
    """Seconds on the wall and of the CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    sweep()
    return time.perf_counter() - wall, time.process_time() - cpu


def ways(name: str, cells: csr_matrix, users: Any, items: Any) -> Sweep | None:
    """A sweep over users, then items; None where a library is missing."""
    scaled = Regularization.of(AlsConfig(regularization=LAMBDA, nu=0.5), cells)
    both = ((cells, users, items), (csr_matrix(cells.T), items, users))
    match name:
        case "ours":
            sweeps = Sweeps(cells, scaled, users.shape[1], 1)
            ours = padded(users), padded(items)
            return lambda: sweeps(*ours, False)
        case "irspack":
            return by_irspack(cells, users.shape[1])
        case "implicit":
            return lambda: [implicitly(*side, LAMBDA) for side in both]
        case "groups":
            rules = (scaled.of_users, scaled.of_items)
            parts = [
                grouped(side[0], rule(np.diff(side[0].indptr)))
                for side, rule in zip(both, rules, strict=True)
            ]
            return lambda: [
                moved(rows, part, regularization, side)
                for side, groups in zip(both, parts, strict=True)
                for rows, part, regularization in groups
            ]
    eye = np.eye(users.shape[1], dtype=np.float32)
    wider = [(disliked(side[0], users.shape[1]), *side[1:]) for side in both]
    return lambda: [implicitly(c, x, np.vstack([y, eye]), LAMBDA - 1) for c, x, y in wider]


def implicitly(cells: csr_matrix, mine: Any, others: Any, regularization: float) -> Any:
    """Three steps of conjugate gradient by implicit, in place."""
    from implicit.cpu.als import _als

    _als.least_squares_cg(cells, mine, others, regularization, num_threads=1, cg_steps=3)
    return mine


def grouped(cells: csr_matrix, lambdas: Any) -> list[tuple[Any, csr_matrix, float]]:
    """Rows whose lambdas differ by less than 10 %, their cells and their lambda."""
    names = np.round(np.log(lambdas) / np.log(1.1))
    found = (np.flatnonzero(names == name) for name in np.unique(names))
    return [(rows, cells[rows], float(np.median(lambdas[rows]))) for rows in found]


def moved(rows: Any, part: csr_matrix, regularization: float, side: Any) -> float:
    """One group."""
    side[1][rows] = implicitly(part, side[1][rows], side[2], regularization)
    return regularization


def disliked(cells: csr_matrix, width: int) -> csr_matrix:
    """Each row dislikes one pseudo-item per factor: (|c| - 1) I is added to its matrix."""
    n = cells.shape[0]
    each = np.tile(np.arange(width, dtype=np.int32), n)
    starts = np.arange(n + 1, dtype=np.int32) * width
    pseudo = csr_matrix((np.full(n * width, -2, np.float32), each, starts), (n, width))
    return csr_matrix(hstack([cells, pseudo]))


def by_irspack(cells: csr_matrix, width: int) -> Sweep | None:
    """Conjugate gradient by irspack, with nu = 0.5."""
    try:
        from irspack.recommenders import _ials_core as core  # type: ignore[import-not-found]
    except ImportError:
        return None
    model = core.IALSModelConfigBuilder().set_K(width).set_init_stdev(0.1).set_alpha0(1.0)
    model = model.set_reg(LAMBDA).set_nu(0.5).set_random_seed(1)
    more = cells.copy()
    more.data -= 1
    trainer = core.IALSTrainer(model.set_loss_type(core.LossType.ORIGINAL).build(), more)
    solver = core.IALSSolverConfigBuilder().set_n_threads(1).set_max_cg_steps(3)
    solver = solver.set_ialspp_iteration(1).set_ialspp_subspace_dimension(64)
    ready = solver.set_solver_type(core.SolverType.CG).build()
    return lambda: trainer.step(ready)


if __name__ == "__main__":
    main()
