"""Random walks of three steps, with popular items held back (Paudel et al. 2017)."""

from typing import Literal

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix

from recsys.data.profiles import Profiles
from recsys.models.config import Count
from recsys.models.linear import Linear, Links, Worth, strongest
from recsys.models.weighting import WeightedConfig, Weighting


class Rp3betaConfig(WeightedConfig):
    """Parameters of the random walks."""

    kind: Literal["rp3beta"] = "rp3beta"
    weighting: Weighting = "bm25"
    power: PositiveFloat = 0.35
    alpha: PositiveFloat = 0.65
    """Exponent of the transition probabilities."""
    beta: NonNegativeFloat = 0.2
    """Exponent of the popularity that scores are divided by."""
    neighbours: Count = 500
    """Items kept for each item."""


class Rp3beta(Linear):
    """RP3beta of "Updatable, Accurate, Diverse, and Scalable Recommendations" (TiiS 7:1).

    From a user to an item, to a user of it, to an item they play. A step is taken
    with probability proportional to the weight of the cell, raised to alpha as in P3alpha:

        b_ij = sum over u of p(i -> u)^alpha p(u -> j)^alpha / (users of j)^beta

    Departures: steps are weighted; the first one is the weight of the history itself, which is
    p(u -> i) up to a factor of the user for alpha = 1; no walk returns to its first item
    (b_ii = 0); of each row the `neighbours` highest stay.
    """

    _config: Rp3betaConfig

    def __init__(self, config: Rp3betaConfig) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
        """
        super().__init__(config)

    def _linked(self, weighted: csr_matrix) -> Links:
        n_users = np.bincount(weighted.indices, minlength=weighted.shape[1])
        held_back = np.maximum(n_users, 1) ** -self._config.beta
        worth = Worth(held_back, np.zeros_like(held_back), 1.0)
        to_items = steps(weighted, self._config.alpha)
        to_users = steps(csr_matrix(weighted.T), self._config.alpha)
        return strongest(to_users, to_items, self._config.neighbours, worth)


CONFIG = Rp3betaConfig


def create(config: Rp3betaConfig, seed: int, profiles: Profiles | None = None) -> Rp3beta:
    """The untrained model."""
    return Rp3beta(config)


def steps(weighted: csr_matrix, alpha: float) -> csr_matrix:
    """(weight / sum of the row)^alpha of each cell, float64 CSR of the same shape."""
    cells = weighted.astype(np.float64)
    sums = np.repeat(np.asarray(cells.sum(axis=1)).ravel(), np.diff(cells.indptr))
    cells.data = np.divide(cells.data, sums, out=np.zeros_like(cells.data), where=sums > 0)
    cells.data **= alpha
    return cells
