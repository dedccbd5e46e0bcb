"""The strongest singular vectors of the weighted plays (Cremonesi, Koren and Turrin 2010)."""

from typing import Literal

import numpy as np
from pydantic import PositiveFloat
from scipy.sparse import csr_matrix

from recsys.data.profiles import Profiles
from recsys.models.config import Factors
from recsys.models.low_rank import LowRank, LowRankConfig
from recsys.models.products import Products
from recsys.models.weighting import Weighting


class PureSvdConfig(LowRankConfig):
    """Parameters of the decomposition."""

    kind: Literal["puresvd"] = "puresvd"
    weighting: Weighting = "bm25"
    power: PositiveFloat = 0.35
    factors: Factors = 32
    """Singular vectors that are kept."""


class PureSvd(LowRank):
    """PureSVD of "Performance of Recommender Algorithms on Top-N Recommendation Tasks".

        scores = W V V'

    W are the weights of the plays, 0 for what is not played, and V the right singular vectors of
    W with the `factors` largest singular values. A user is folded in as the users of the training.
    """

    _config: PureSvdConfig

    def _decomposed(self, weighted: csr_matrix) -> csr_matrix:
        return weighted

    def _products(self, weighted: csr_matrix) -> Products:
        return Products(((self._vectors, np.ascontiguousarray(self._vectors.T)),))


CONFIG = PureSvdConfig


def create(config: PureSvdConfig, seed: int, profiles: Profiles | None = None) -> PureSvd:
    """The untrained model."""
    return PureSvd(config)
