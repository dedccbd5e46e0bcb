"""Sweeps of ALS by the implicit package, which has one lambda for all rows."""

from typing import Any

from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.dtypes import Float32Array
from recsys.models.als_sweeps import STEPS, Sweep


def sweeps(confidence: csr_matrix, regularization: float, threads: int) -> Sweep:
    """What moves users and items as implicit's `fit` does, with its loss.

    Args:
        confidence: c of the cells, float32, shape (n_users, n_items).
        regularization: lambda of all rows.
        threads: 0 for all cores; changes no bit.
    """
    solver = _solver()
    transposed = csr_matrix(confidence.T)

    def sweep(users: Float32Array, items: Float32Array, wanted: bool) -> float:
        moved = {"num_threads": threads, "cg_steps": STEPS}
        solver.least_squares_cg(confidence, users, items, regularization, **moved)
        solver.least_squares_cg(transposed, items, users, regularization, **moved)
        if not wanted:
            return 0.0
        loss = solver.calculate_loss(confidence, users, items, regularization, num_threads=threads)
        return float(loss)

    return sweep


def _solver() -> Any:  # implicit ships no types
    """The solver of implicit, loaded when it is first used: before BLAS is held to one thread.

    What it loads would else not be held, and it warns where BLAS has several threads.
    """
    with threadpool_limits(1, "blas"):
        from implicit.cpu.als import _als

    return _als
