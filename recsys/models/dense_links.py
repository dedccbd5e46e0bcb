"""Linear models with one dense matrix of links; `top_items` cuts the catalogue to make it fit."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import PositiveInt
from scipy.sparse import csr_matrix

from recsys.dtypes import Int32Array
from recsys.models.arrays import StoredArrays
from recsys.models.linear import GRAM_ROWS, GRAM_THREADS, Linear, Links
from recsys.models.needs import Need, available_memory, require_memory
from recsys.models.weighting import WeightedConfig

BLOCK = 20 * GRAM_ROWS * GRAM_THREADS  # bytes per item: rows of products, sparse, then dense
CELL = 24  # bytes per cell: the weights in float64, by users and by items
PRODUCT_SECONDS = 1.2e-8  # per multiplication of the sparse product
UNEVEN = 3  # times the products of users with equal histories: some have many more cells
REMEDY = (
    "set top_items to {most} or fewer (--set search.top_items={most}), keep fewer items "
    "(filter.min_users), or take another model, such as item-knn"
)


class DenseConfig(WeightedConfig):
    """The parameters of a model with dense links."""

    top_items: PositiveInt | None = None
    """Only so many items, those with most users, are learned and recommended."""

    size_parameters: ClassVar[tuple[str, ...]] = ("top_items",)


@dataclass(frozen=True, slots=True)
class Costs:
    """What one training of a model with dense links takes.

    Attributes:
        pair: Bytes of a pair of items.
        flops: In float64; float32 is twice as fast.
        pair_seconds: Of a pair of items, for steps that are bound by memory.
        sides: How many times the weights of the plays are there: with those of pairs, twice.
    """

    pair: float
    flops: float
    pair_seconds: float
    sides: int = 1

    def need(self, what: str, items: int, users: int, cells: int) -> Need:
        """Memory and time of a training.

        Args:
            what: Is learned, such as "the links between 3,000 items".
            items: That are linked.
            users: Of the data.
            cells: Of the data.
        """
        products = UNEVEN * cells**2 / max(users, 1)
        return Need(
            what,
            items=items,
            pair=self.pair,
            item=BLOCK,
            fixed=CELL * self.sides * cells,
            flops=self.flops,
            seconds=self.pair_seconds * items**2 + PRODUCT_SECONDS * self.sides * products,
            remedy=REMEDY,
        )


class DenseLinear(Linear):
    """What these models share.

    With `top_items`, only so many items, those with most distinct users (of equals the lower item
    number), are learned and recommended; the catalogue is cut.
    """

    _config: DenseConfig

    def __init__(self, config: DenseConfig, available: int | None = None) -> None:
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

    def _check_memory(self, weighted: csr_matrix) -> None:
        """Check that the links fit.

        Raises:
            InputError: they do not.
        """
        free = available_memory() if self._available is None else self._available
        need = self._config.need(*weighted.shape, weighted.nnz)
        assert need is not None
        require_memory(self._config.kind, need, free)

    def _stored(self, stored: StoredArrays, n_shown: int) -> Links:
        """B as it was saved: dense."""
        return stored.dense("links", np.float32, n_shown, n_shown)
