"""The items most similar to those of the history, by cosine (Deshpande and Karypis 2004)."""

from typing import Literal

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix

from recsys.data.profiles import Profiles
from recsys.models.config import Count
from recsys.models.linear import Linear, Links, Worth, mean_square, norms, strongest
from recsys.models.weighting import WeightedConfig, Weighting


class ItemKnnConfig(WeightedConfig):
    """Parameters of the item neighbours."""

    kind: Literal["item-knn"] = "item-knn"
    weighting: Weighting = "bm25"
    power: PositiveFloat = 0.35
    neighbours: Count = 300
    """Items kept for each item."""
    shrinkage: NonNegativeFloat = 20.0
    """Added to the denominator of the cosine: few common users count less.

    In units of the mean square of the weights.
    """


class ItemKnn(Linear):
    """Cosine between the weighted columns of two items, for the nearest of each.

        b_ij = w_i . w_j / (|w_i| |w_j| + shrinkage * s)

    for j among the `neighbours` of i, else 0; s is the mean square of the weights.
    """

    _config: ItemKnnConfig

    def __init__(self, config: ItemKnnConfig) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
        """
        super().__init__(config)

    def _linked(self, weighted: csr_matrix) -> Links:
        shrinkage = self._config.shrinkage * mean_square(weighted)
        return cosines(weighted, self._config.neighbours, shrinkage)


CONFIG = ItemKnnConfig


def create(config: ItemKnnConfig, seed: int, profiles: Profiles | None = None) -> ItemKnn:
    """The untrained model."""
    return ItemKnn(config)


def cosines(weighted: csr_matrix, neighbours: int, shrinkage: float = 0.0) -> csr_matrix:
    """The most similar items of each, float32 CSR, shape (n_items, n_items).

    Args:
        weighted: CSR, shape (n_users, n_items).
        neighbours: Of each row.
        shrinkage: Added to the product of the lengths.
    """
    length = norms(weighted)
    worth = Worth(np.ones_like(length), length, shrinkage)
    return strongest(csr_matrix(weighted.T), weighted, neighbours, worth)
