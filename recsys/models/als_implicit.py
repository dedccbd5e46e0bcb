"""Sweeps of ALS by the implicit package, which has one lambda for all rows, on CPU or GPU."""

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.dtypes import Float32Array
from recsys.errors import InputError
from recsys.models.als_sweeps import STEPS, Sweep

WARP = 32  # threads of a GPU that step together; a factor is one thread
WIDEST = 1024  # threads of a block


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


def gpu_sweeps(confidence: csr_matrix, regularization: float) -> Sweep:
    """As `sweeps`, on the GPU; the factors are copied there and back in each sweep.

    Raises:
        InputError: there is no GPU that implicit can use.
    """
    gpu = require_gpu()
    solver = gpu.LeastSquaresSolver()
    cells, transposed = gpu.CSRMatrix(confidence), gpu.CSRMatrix(csr_matrix(confidence.T))

    def sweep(users: Float32Array, items: Float32Array, wanted: bool) -> float:
        x, y = (gpu.Matrix(_whole_warps(side)) for side in (users, items))
        shared = gpu.Matrix.zeros(x.shape[1], x.shape[1])
        for matrix, mine, others in ((cells, x, y), (transposed, y, x)):
            solver.calculate_yty(others, shared, regularization)
            solver.least_squares(matrix, mine, shared, others, STEPS)
        for side, moved in ((users, x), (items, y)):
            side[:] = moved.to_numpy()[:, : side.shape[1]]
        return float(solver.calculate_loss(cells, x, y, regularization)) if wanted else 0.0

    return sweep


def require_gpu() -> Any:  # implicit ships no types
    """The module of implicit that trains on a GPU.

    Raises:
        InputError: implicit sees no GPU, or was built or installed without what that needs.
    """
    with threadpool_limits(1, "blas"):
        import implicit.gpu as gpu
    if not gpu.HAS_CUDA:
        raise InputError(
            "device gpu: implicit finds no GPU here (it needs an NVIDIA GPU, its CUDA build and "
            "rmm); use --device cpu"
        )
    return gpu


def _whole_warps(factors: Float32Array) -> Float32Array:
    """A copy with columns of zeros up to a multiple of WARP; steps leave them zeros.

    Raises:
        InputError: there are more than a GPU takes.
    """
    n_factors = factors.shape[1]
    if n_factors > WIDEST:
        raise InputError(f"factors = {n_factors} on device gpu: use at most {WIDEST}")
    return np.pad(factors, ((0, 0), (0, -n_factors % WARP)))


def _solver() -> Any:  # implicit ships no types
    """The solver of implicit, loaded when it is first used: before BLAS is held to one thread.

    What it loads would else not be held, and it warns where BLAS has several threads.
    """
    with threadpool_limits(1, "blas"):
        from implicit.cpu.als import _als

    return _als
