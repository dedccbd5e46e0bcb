"""Linear models with one dense matrix of links; `top_items` cuts the catalogue to make it fit."""

from typing import ClassVar

import numpy as np
from pydantic import PositiveInt
from scipy.sparse import csr_matrix

from recsys.dtypes import Int32Array
from recsys.models.arrays import StoredArrays
from recsys.models.linear import Linear, Links
from recsys.models.needs import available_memory, require_memory
from recsys.models.weighting import WeightedConfig

REMEDY = (
    "set top_items to {most} or fewer (--set search.top_items={most}), keep fewer items "
    "(filter.min_users), or take another model, such as item-knn"
)


class DenseConfig(WeightedConfig):
    """The parameters of a model with dense links."""

    top_items: PositiveInt | None = None
    """Only so many items, those with most users, are learned and recommended."""

    size_parameters: ClassVar[tuple[str, ...]] = ("top_items",)


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
