"""A linear autoencoder without a diagonal, in closed form (Steck 2019)."""

import math
import os
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import PositiveFloat, PositiveInt
from scipy.linalg import lapack
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Float64Array, Int32Array
from recsys.errors import InputError
from recsys.models.arrays import StoredArrays
from recsys.models.linear import Linear, gram, mean_square
from recsys.models.weighting import WeightedConfig, Weighting

ROWS = 512  # of a matrix that are changed at once
BYTES = 8 + 4  # per cell: the inverse in float64, the links in float32
GIB = 1 << 30


class EaseConfig(WeightedConfig):
    """A linear autoencoder without a diagonal, in closed form."""

    kind: Literal["ease"] = "ease"
    weighting: Weighting = "bm25"
    power: PositiveFloat = 0.35
    regularization: PositiveFloat = 300.0
    """In units of the mean square of the weights."""
    top_items: PositiveInt | None = None
    """Only so many items, those with most users, are learned and recommended."""


class Ease(Linear):
    """Equation 8 of "Embarrassingly Shallow Autoencoders for Sparse Data".

        minimise |W - W B|^2 + regularization * s * |B|^2   where   diag(B) = 0
        P = (W'W + regularization * s * I)^-1,   b_ij = -p_ij / p_jj

    W are the weights of the plays and s their mean square, so that the regularization means the
    same under every weighting; under binary weights s = 1, as in the paper.

    B is dense: with `top_items`, only so many items, those with most distinct users (of
    equals the lower item number), are learned and recommended; the catalogue is cut.
    """

    _config: EaseConfig

    def __init__(self, config: EaseConfig, available: int | None = None) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
            available: Bytes of memory that may be used; the free memory by default.
        """
        super().__init__(config)
        self._available = available

    def _chosen(self, train: csr_matrix) -> Int32Array:
        """All items, or the `top_items` with most users."""
        n_users = np.bincount(train.indices, minlength=train.shape[1])
        most = self._config.top_items  # or None, which cuts nothing off
        return np.sort(np.argsort(-n_users, kind="stable")[:most]).astype(np.int32)

    def _linked(self, weighted: csr_matrix) -> Float32Array:
        """B in closed form.

        Raises:
            InputError: it does not fit into the memory.
        """
        free = available_memory() if self._available is None else self._available
        require_memory(weighted.shape[1], free)
        regularization = self._config.regularization * mean_square(weighted)
        with threadpool_limits(1, "blas"):
            return _without_diagonal(_inverse(_regular(weighted, regularization)))

    def _stored(self, stored: StoredArrays, n_shown: int) -> Float32Array:
        """B as it was saved: dense."""
        return stored.dense("links", np.float32, n_shown, n_shown)


CONFIG = EaseConfig


def create(config: EaseConfig, seed: int, profiles: Profiles | None = None) -> Ease:
    """The untrained model."""
    return Ease(config)


def require_memory(n_items: int, available: int) -> None:
    """Check that the links between so many items fit into the memory.

    Args:
        n_items: Items between which there are links.
        available: Bytes.

    Raises:
        InputError: they need more; the message says how much, and what helps.
    """
    needed = BYTES * n_items**2
    if needed > available:
        raise InputError(
            f"ease needs {needed / GIB:.1f} GiB for the links between {n_items} items and "
            f"{available / GIB:.1f} GiB are available; set top_items to "
            f"{math.isqrt(available // BYTES)} or fewer, or filter more items"
        )


def _regular(weighted: csr_matrix, regularization: float) -> Float64Array:
    """W'W + regularization * I, float64, shape (n_items, n_items)."""
    products = gram(weighted.astype(np.float64))
    products[np.diag_indices(len(products))] += regularization
    return products


def _inverse(products: Float64Array) -> Float64Array:
    """The lower triangle of the inverse of a positive definite matrix, in its place.

    LAPACK wants columns; those of a symmetric matrix are its rows.
    """
    factor, failed = lapack.dpotrf(products.T, lower=0, clean=0, overwrite_a=1)
    if failed:
        raise InputError("ease cannot invert the matrix; raise regularization")
    inverse, _ = lapack.dpotri(factor, lower=0, overwrite_c=1)
    return np.asarray(inverse.T)


def _without_diagonal(inverse: Float64Array) -> Float32Array:
    """-p_ij / p_jj from the lower triangle of P, 0 where i = j; float32, same shape."""
    n = len(inverse)
    links = np.empty((n, n), dtype=np.float32)
    scale = -1.0 / np.diag(inverse)
    for start in range(0, n, ROWS):
        stop = min(start + ROWS, n)
        lower = inverse[start:stop, :stop]
        links[start:stop, :stop] = lower * scale[:stop]
        links[:stop, start:stop] = lower.T * scale[start:stop]
        square = np.tril(lower[:, start:])
        links[start:stop, start:stop] = (square + np.tril(square, -1).T) * scale[start:stop]
    links[np.diag_indices(n)] = 0
    return links


def available_memory() -> int:
    """Bytes that are free without swapping, at most the limit of the container."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    known = [total]
    meminfo, limit = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
    if meminfo.exists():
        lines = (line.split() for line in meminfo.read_text().splitlines())
        known += [int(line[1]) * 1024 for line in lines if line[0] == "MemAvailable:"]
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        known.append(int(text))
    return min(known)
