"""A graph filter without training: common users and a low-pass filter (Shen et al. 2021)."""

from typing import Literal

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix, diags_array

from recsys.data.profiles import Profiles
from recsys.dtypes import Float64Array
from recsys.models.config import Factors
from recsys.models.low_rank import LowRank, LowRankConfig
from recsys.models.products import Products
from recsys.models.weighting import Weighting


class GfCfConfig(LowRankConfig):
    """Parameters of the graph filter."""

    kind: Literal["gf-cf"] = "gf-cf"
    weighting: Weighting = "share"
    power: PositiveFloat = 0.35
    factors: Factors = 64
    """Singular vectors that the ideal low-pass filter lets through."""
    alpha: NonNegativeFloat = 0.3
    """Weight of the ideal low-pass filter beside the linear one."""


class GfCf(LowRank):
    """GF-CF of "How Powerful is Graph Convolution for Recommendation?" (CIKM 2021).

        N = D_u^-1/2 W D_i^-1/2
        B = N'N + alpha * D_i^-1/2 V V' D_i^1/2

    W are the weights of the plays, D_u and D_i the sums of its rows and columns, and V the right
    singular vectors of N with the `factors` largest singular values. Under binary weights this
    is the model of the paper. B has as many cells as there are pairs of items and is never built:
    a list is made from N and V.
    """

    _config: GfCfConfig

    def _decomposed(self, weighted: csr_matrix) -> csr_matrix:
        return normalized(weighted, 0.5)

    def _products(self, weighted: csr_matrix) -> Products:
        common = normalized(weighted, 0.5).astype(np.float32)
        root = np.sqrt(sums(weighted, 0))
        below = np.divide(1, root, out=np.zeros_like(root), where=root > 0)
        left, right = (
            np.ascontiguousarray(self._vectors * each[:, None], np.float32)
            for each in (self._config.alpha * below, root)
        )
        return Products(((csr_matrix(common.T), common), (left, np.ascontiguousarray(right.T))))


CONFIG = GfCfConfig


def create(config: GfCfConfig, seed: int, profiles: Profiles | None = None) -> GfCf:
    """The untrained model."""
    return GfCf(config)


def sums(weighted: csr_matrix, axis: int) -> Float64Array:
    """Sums of the weights over users (axis 0) or over items (axis 1), float64."""
    return np.asarray(weighted.sum(axis=axis, dtype=np.float64)).ravel()


def normalized(weighted: csr_matrix, user_exponent: float) -> csr_matrix:
    """D_u^-a W D_i^(a-1), float64 CSR; a row or a column of weights of 0 stays 0.

    Args:
        weighted: W, CSR, shape (n_users, n_items), not negative.
        user_exponent: a.
    """
    of_users, of_items = sums(weighted, 1), sums(weighted, 0)
    exponents = ((of_users, -user_exponent), (of_items, user_exponent - 1))
    users, items = (
        np.power(each, power, out=np.zeros_like(each), where=each > 0) for each, power in exponents
    )
    return csr_matrix(diags_array(users) @ weighted.astype(np.float64) @ diags_array(items))
