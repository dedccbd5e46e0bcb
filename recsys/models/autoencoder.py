"""What autoencoders of the items of a user share: a batch, the lists, fold-in."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeFloat
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Int32Array
from recsys.models.config import Factors
from recsys.models.network import Network, NetworkConfig, Shapes, Training
from recsys.models.neural import Tensor, Torch, ranked
from recsys.models.recommender import Recommendations
from recsys.models.weighting import WeightedConfig, Weights


class AutoencoderConfig(NetworkConfig, WeightedConfig):
    """The parameters of an autoencoder."""

    factors: Factors
    regularization: NonNegativeFloat
    """Decay of the weights."""


class Autoencoder(Network):
    """What these models share: the items of a user go in, and odds of all items come out.

    x are the weights of the plays, divided by their Euclidean length, of which a share is dropped
    while training; the target is 1 for each item of the history. The loss of an iteration is the
    mean of -log p(y | z) of a user. Known and new users are folded in by the same pass, without
    dropout and without drawing; a user without history gets no list.
    """

    _config: AutoencoderConfig
    _train: csr_matrix
    _weights: Weights
    _weighted: csr_matrix

    @abstractmethod
    def _scores(self, weighted: csr_matrix) -> Float32Array:
        """Log odds of all items at the mean of z, float32, shape (m, n_items)."""

    def _read(self, train: Interactions) -> None:
        self._train = train.matrix()
        self._weights = Weights(self._config, train)
        self._weighted = _normalised(self._weights(train))

    def recommend(self, users: Int32Array, k: int) -> Recommendations:
        """The k best items each user has not met in training."""
        return self._ranked(self._weighted[users], self._train[users], users, k)

    def fold_in(
        self,
        history: Interactions,
        users: Int32Array,
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """The k best items that are not in each user's history."""
        weighted = _normalised(self._weights(history, users))
        return self._ranked(weighted, history.matrix()[users], users, k)

    def score(
        self, history: Interactions, user: int, profiles: Profiles | None = None
    ) -> Float32Array:
        """The score of every item for a user, known or not, float32, shape (n_items,).

        -inf for all where there is no history.
        """
        weighted = _normalised(self._weights(history, np.array([user], dtype=np.int32)))
        if not weighted.nnz:
            return np.full(weighted.shape[1], -np.inf, dtype=np.float32)
        with threadpool_limits(1, "blas"):
            return np.asarray(self._scores(weighted)[0])

    def _ranked(
        self, weighted: csr_matrix, seen: csr_matrix, users: Int32Array, k: int
    ) -> Recommendations:
        def scored(part: slice) -> Float32Array:
            scores = self._scores(weighted[part])
            scores[np.diff(seen[part].indptr) == 0] = -np.inf
            return scores

        return ranked(scored, seen, users, k)


def _normalised(weighted: csr_matrix) -> csr_matrix:
    """Rows divided by their Euclidean length; those of zeros stay."""
    lengths = np.sqrt(weighted.multiply(weighted).sum(axis=1)).A1
    lengths[lengths == 0] = 1
    data = weighted.data / np.repeat(lengths, np.diff(weighted.indptr))
    return csr_matrix(
        (data.astype(np.float32), weighted.indices, weighted.indptr), shape=weighted.shape
    )


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The cells of a few users as tensors.

    Attributes:
        users: How many.
        rows: User of each cell, from 0, int64.
        cols: Item of each cell, int64.
        values: Of each cell, float32.
        starts: Where the cells of each user begin, int64, shape (users,).
    """

    users: int
    rows: Tensor
    cols: Tensor
    values: Tensor
    starts: Tensor

    @classmethod
    def of(cls, torch: Torch, cells: csr_matrix) -> Self:
        """The cells of a CSR matrix with sorted columns."""
        users = cells.shape[0]
        numbers = np.repeat(np.arange(users), np.diff(cells.indptr)), cells.indices
        rows, cols = (torch.from_numpy(each.astype(np.int64)) for each in numbers)
        starts = torch.from_numpy(cells.indptr[:-1].astype(np.int64))
        return cls(users, rows, cols, torch.from_numpy(cells.data), starts)


class AutoencoderTraining(Training):
    """A training with the users as its examples."""

    _config: AutoencoderConfig

    def __init__(self, torch: Torch, weighted: csr_matrix, seed: int, shapes: Shapes) -> None:
        super().__init__(torch, seed, shapes)
        self._weighted = weighted
        self._users = np.flatnonzero(np.diff(weighted.indptr))

    def _turns(self) -> list[npt.NDArray[np.int64]]:
        """All users in a new order, a few at once."""
        return self._batches(self._users, self._config.batch)

    def _cells(self, users: npt.NDArray[np.int64]) -> Batch:
        return Batch.of(self._torch, self._weighted[users])

    def _summed(self, batch: Batch, encoder: Tensor, dropped: float) -> Tensor:
        """Rows of the first layer, weighed and summed over the items of each user."""
        values = self._dropped(batch.values, dropped)
        return self._torch.nn.functional.embedding_bag(
            batch.cols, encoder, batch.starts, mode="sum", per_sample_weights=values
        )

    def _drawn(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """z, by the noise of a normal distribution."""
        noise = self._torch.randn(mean.shape, generator=self._chance)
        return mean + self._torch.exp(log_variance / 2) * noise

    def _unlikeliness(self, odds: Tensor, batch: Batch) -> Tensor:
        """-log p(y | z), the mean over the users."""
        odds = self._torch.log_softmax(odds, dim=1)
        return -odds[batch.rows, batch.cols].sum() / batch.users
