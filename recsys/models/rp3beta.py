"""Random walks of three steps, with popular items held back (Paudel et al. 2017)."""

from typing import Literal

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix, diags_array

from recsys.data.profiles import Profiles
from recsys.models.config import Count
from recsys.models.linear import Linear, Links, Worth, strongest
from recsys.models.normalizing import sums
from recsys.models.weighting import WeightedConfig, Weighting


class Rp3betaConfig(WeightedConfig):
    """Parameters of the random walks."""

    kind: Literal["rp3beta"] = "rp3beta"
    weighting: Weighting = "share"
    power: PositiveFloat = 0.35
    alpha: PositiveFloat = 0.65
    """Exponent of the transition probabilities, or of the weights they are made of."""
    alpha_of: Literal["probabilities", "weights"] = "probabilities"
    """What alpha is the exponent of."""
    beta: NonNegativeFloat = 0.4
    """Exponent of the popularity that scores are divided by."""
    neighbours: Count = 500
    """Links kept to each item."""
    scaling: Literal["none", "l1"] = "none"
    """l1: the links from an item are divided by their sum."""


class Rp3beta(Linear):
    """RP3beta of "Updatable, Accurate, Diverse, and Scalable Recommendations" (TiiS 7:1).

    From a user to an item, to a user of it, to an item they play. A step is taken with probability
    proportional to the weight of the cell, raised to alpha as in P3alpha:

        b_ij = sum over u of p(i -> u)^alpha p(u -> j)^alpha / (weights of j)^beta

    With alpha_of = "weights" the weights are raised to alpha, and probabilities are made of them.
    The package irspack does it this way; with this choice both have the same links.

    Departures: steps are weighted, and so is popularity, which is the number of users under binary
    weights; the first step is the weight of the history itself, which is p(u -> i) up to a factor
    of the user for alpha = 1; of the links to an item the `neighbours` highest stay.
    """

    _config: Rp3betaConfig

    def __init__(self, config: Rp3betaConfig) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
        """
        super().__init__(config)

    def _linked(self, weighted: csr_matrix) -> Links:
        config = self._config
        popularity = sums(weighted, 0)
        held_back = np.power(popularity, -config.beta, out=popularity, where=popularity > 0)
        by_weights = config.alpha_of == "weights"
        to_items = steps(weighted, config.alpha, by_weights)
        to_users = steps(csr_matrix(weighted.T), config.alpha, by_weights)
        same = np.ones_like(held_back)
        links = strongest(
            csr_matrix(diags_array(held_back) @ to_items.T),
            csr_matrix(to_users.T),
            config.neighbours,
            Worth(same, np.zeros_like(same), 1.0, diagonal=True),
        )
        links = csr_matrix(links.T)
        return steps(links, 1.0).astype(np.float32) if config.scaling == "l1" else links


CONFIG = Rp3betaConfig


def create(config: Rp3betaConfig, seed: int, profiles: Profiles | None = None) -> Rp3beta:
    """The untrained model."""
    return Rp3beta(config)


def steps(weighted: csr_matrix, alpha: float, by_weights: bool = False) -> csr_matrix:
    """(weight / sum of the row)^alpha of each cell, float64 CSR of the same shape.

    Args:
        weighted: CSR.
        alpha: The exponent.
        by_weights: Whether it is that of the weights, before they are divided by their sum.
    """
    cells = weighted.astype(np.float64)
    if by_weights:
        cells.data **= alpha
    of_row = np.repeat(sums(cells, 1), np.diff(cells.indptr))
    cells.data = np.divide(cells.data, of_row, out=np.zeros_like(cells.data), where=of_row > 0)
    if not by_weights:
        cells.data **= alpha
    return cells
