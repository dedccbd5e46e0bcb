"""A sweep of ALS over users and items: our kernels beside implicit and irspack, as ratios.

python benchmarks/als_sweep.py [--quick] [--factors 64 128 256] [--cells 1350000 5000000]
                               [--nu 0 0.5] [--threads 2] [--repeat 5] [--json FILE]

The matrix is made up, of the size of the 20,000 most active users of Last.fm 360K (66,801 artists
by a power law, 1.35 million cells), and with as many users and artists and 5 million cells. Every
way starts from the same factors and takes three steps of conjugate gradient for each row; they
take turns, one sweep each. Times are those of the CPU and on the wall, each the least of the
repeats; ratios are of the wall. implicit has one lambda for all rows, whatever nu is. `distance`
is that of the scores of 200 users from those of implicit, relative, after the first sweep. `exact`
is 2,000 users solved exactly from their cells, beside implicit's.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.models import als_implicit
from recsys.models.als import AlsConfig
from recsys.models.als_scaled import Regularization
from recsys.models.als_sweeps import Sweeps, exact, padded

N_USERS, N_ITEMS = 20_000, 66_801
LAMBDA = 50.0
TARGETS = {"implicit": {64: 3.0, 128: 2.3, 256: 1.5}, "irspack": {64: 1.5, 128: 1.6, 256: 1.3}}
FOLDED = 2_000
Call = Callable[[], object]


@dataclass(slots=True)
class Way:
    """One way to do the work, and the seconds that it took."""

    call: Call
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def main() -> None:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="64 factors, 1.35 million cells")
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--cells", type=int, nargs="+", default=[1_350_000, 5_000_000])
    parser.add_argument("--nu", type=float, nargs="+", default=[0.0, 0.5])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.quick:
        args.factors, args.cells, args.repeat = [64], [1_350_000], 3
    rows: list[dict[str, Any]] = []
    with threadpool_limits(1, "blas"):
        for n_cells in args.cells:
            cells = drawn(n_cells)
            for factors in args.factors:
                for nu in args.nu:
                    rows += swept(cells, factors, nu, args.threads, args.repeat)
                rows += solved(cells, factors, args.threads, args.repeat)
    if args.json:
        args.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def drawn(n_cells: int) -> csr_matrix:
    """Confidences, float32; artists by a power law."""
    rng = np.random.default_rng(0)
    odds = np.cumsum(1 / (np.arange(N_ITEMS) + 30.0) ** 0.95)
    n = int(n_cells * (1.04 if n_cells < 2_000_000 else 1.09))  # some pairs are drawn twice
    users = rng.integers(0, N_USERS, n)
    items = np.searchsorted(odds / odds[-1], rng.random(n))
    items = rng.permutation(N_ITEMS)[np.minimum(items, N_ITEMS - 1)]
    cells = csr_matrix((np.ones(n, np.float32), (users, items)), (N_USERS, N_ITEMS))
    cells.sum_duplicates()
    cells.data[:] = 1 + 10 * rng.random(cells.nnz, dtype=np.float32)
    return cells


def swept(
    cells: csr_matrix, factors: int, nu: float, threads: int, repeat: int
) -> list[dict[str, Any]]:
    """Sweeps in turn, and a line for each other way."""
    rng = np.random.default_rng(1)
    first = [rng.random((n, factors), np.float32) * np.float32(0.01) for n in cells.shape]
    mine, theirs = [padded(f) for f in first], [f.copy() for f in first]
    scaled = Regularization.of(AlsConfig(regularization=LAMBDA, nu=nu), cells)
    sweep = Sweeps(cells, scaled, factors, threads)
    other = als_implicit.sweeps(cells, LAMBDA, threads)
    ways = {
        "ours": Way(lambda: sweep(mine[0], mine[1], False)),
        "implicit": Way(lambda: other(theirs[0], theirs[1], False)),
    }
    if call := by_irspack(cells, factors, nu, threads):
        ways["irspack"] = Way(call)
    in_turn(ways, 1)
    away = distance(mine[0][:200] @ mine[1].T, theirs[0][:200] @ theirs[1].T)
    in_turn(ways, repeat)
    work = f"sweep, {factors} factors, nu {nu:g}, {cells.nnz / 1e6:.1f} M"
    print(f"{work}: distance {away:.1e}" if nu == 0 else work, flush=True)
    return lines(work, ways, {name: TARGETS[name].get(factors) for name in TARGETS})


def solved(cells: csr_matrix, factors: int, threads: int, repeat: int) -> list[dict[str, Any]]:
    """Users solved exactly, in turn."""
    from implicit.cpu.als import AlternatingLeastSquares

    rng = np.random.default_rng(2)
    items = rng.normal(0, 0.1, (N_ITEMS, factors)).astype(np.float32)
    wide, some = padded(items), cells[:FOLDED]
    shared = wide.T.astype(np.float64) @ wide
    model = AlternatingLeastSquares(factors, LAMBDA, num_threads=threads)
    model.item_factors = items
    users = np.arange(FOLDED, dtype=np.int32)
    found: dict[str, Any] = {}

    def ours() -> None:
        found["ours"] = exact(some, np.full(FOLDED, LAMBDA), wide, shared, threads)

    def implicit() -> None:
        found["implicit"] = model.recalculate_user(users, some)

    ways = {"ours": Way(ours), "implicit": Way(implicit)}
    in_turn(ways, 1)
    away = distance(found["ours"][:, :factors], found["implicit"])
    in_turn(ways, repeat)
    work = f"exact, {factors} factors, {some.nnz / FOLDED:.0f} cells a user"
    print(f"{work}: distance {away:.1e}", flush=True)
    return lines(work, ways, {})


def in_turn(ways: dict[str, Way], repeat: int) -> None:
    """Call every way so often; the first time, which compiles, is forgotten."""
    for way in ways.values():
        if repeat > 1:
            way.wall, way.cpu = [], []
    for _ in range(repeat):
        for way in ways.values():
            wall, cpu = time.perf_counter(), time.process_time()
            way.call()
            way.wall.append(time.perf_counter() - wall)
            way.cpu.append(time.process_time() - cpu)


def distance(ours: Any, theirs: Any) -> float:
    """Relative, over all entries."""
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def lines(work: str, ways: dict[str, Way], targets: dict[str, Any]) -> list[dict[str, Any]]:
    """Print the seconds of each way; a row for each that is not ours."""
    ours, rows = ways["ours"], []
    for name, way in ways.items():
        text = f"  {name:<9} {min(way.wall):7.3f} s wall {min(way.cpu):7.3f} s CPU"
        if name != "ours":
            ratio, cpu = min(way.wall) / min(ours.wall), min(way.cpu) / min(ours.cpu)
            target = targets.get(name)
            text += f"   ours is {ratio:.2f} times as fast ({cpu:.2f} in CPU), target {target}"
            seconds = {"seconds": min(ours.wall), "theirs": min(way.wall), "cpu_ratio": cpu}
            row = {"work": work, "against": name, "ratio": ratio, "target": target}
            rows.append(row | seconds)
        print(text, flush=True)
    return rows


def by_irspack(cells: csr_matrix, factors: int, nu: float, threads: int) -> Call | None:
    """Conjugate gradient by irspack; None where it cannot be imported."""
    try:
        from irspack.recommenders import _ials_core as core  # type: ignore[import-not-found]
    except ImportError as error:
        print(f"irspack: skipped, {error}", flush=True)
        return None
    model = core.IALSModelConfigBuilder().set_K(factors).set_init_stdev(0.1).set_alpha0(1.0)
    model = model.set_reg(LAMBDA).set_nu(nu).set_random_seed(1)
    more = cells.copy()
    more.data -= 1
    trainer = core.IALSTrainer(model.set_loss_type(core.LossType.ORIGINAL).build(), more)
    solver = core.IALSSolverConfigBuilder().set_n_threads(threads).set_max_cg_steps(3)
    solver = solver.set_ialspp_iteration(1).set_ialspp_subspace_dimension(64)
    ready = solver.set_solver_type(core.SolverType.CG).build()
    return lambda: trainer.step(ready)


if __name__ == "__main__":
    main()
