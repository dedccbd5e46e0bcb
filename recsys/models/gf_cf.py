"""A graph filter without training: common users and a low-pass filter (Shen et al. 2021)."""

from typing import Literal

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix

from recsys.data.profiles import Profiles
from recsys.models.config import Factors
from recsys.models.low_rank import LowRank, LowRankConfig
from recsys.models.normalizing import normalized, sums
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
