"""Weighted matrix factorization (Hu, Koren and Volinsky 2008) through the implicit package."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.config import AlsConfig
from recsys.interactions import Interactions
from recsys.ranking import top_k
from recsys.recommend import NO_ITEM, Recommendations
from recsys.weighting import Weights

with threadpool_limits(1, "blas"):  # implicit warns at import where BLAS has several threads
    from implicit.cpu.als import AlternatingLeastSquares

Factors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Iteration:
    """Where the training stands after one sweep over users and items.

    Attributes:
        number: 1 for the first.
        seconds: Of this sweep.
        loss: Weighted squared error with regularization over all pairs, divided by the sum of
            the confidences, as implicit computes it.
        model: The model with the factors as they are now; do not keep it.
    """

    number: int
    seconds: float
    loss: float
    model: "Als"


OnIteration = Callable[[Iteration], None]


class Als:
    """Alternating least squares with confidence c = 1 + alpha * f(r).

    implicit takes the values of its matrix as the confidence itself, so it is given
    1 + alpha * f(r) and its own alpha stays at 1.

    Conjugate gradient with 3 steps (Takacs, Pilaszy and Tikk 2011) in float32. Results do not
    depend on the number of threads; BLAS is held to one, because implicit has its own.
    """

    _model: Any  # implicit ships no types
    _train: csr_matrix
    _weights: Weights

    def __init__(
        self,
        config: AlsConfig,
        seed: int,
        on_iteration: OnIteration | None = None,
        threads: int = 0,
    ) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
            seed: Of the first factors.
            on_iteration: Called after each iteration; what it raises stops the training.
            threads: 0 for all cores.
        """
        self._config = config
        self._seed = seed
        self._on_iteration = on_iteration
        self._threads = threads

    @property
    def user_factors(self) -> Factors:
        """float32, shape (n_users, factors)."""
        return np.asarray(self._model.user_factors)

    @property
    def item_factors(self) -> Factors:
        """float32, shape (n_items, factors)."""
        return np.asarray(self._model.item_factors)

    def fit(self, train: Interactions) -> Self:
        """Factorise, starting from the seeded factors.

        A fresh solver each time: implicit's own fit() goes on from the last factors.
        """
        self._train = train.matrix()
        self._weights = Weights(self._config, self._train)
        tell = self._on_iteration
        with threadpool_limits(1, "blas"):
            self._model = AlternatingLeastSquares(
                factors=self._config.factors,
                regularization=self._config.regularization,
                alpha=1.0,
                iterations=self._config.iterations,
                calculate_training_loss=tell is not None,
                random_state=self._seed,
                num_threads=self._threads,
            )
            self._model.fit(
                self._confidence(self._train),
                show_progress=False,
                callback=None if tell is None else self._told(tell),
            )
        return self

    def _told(self, tell: OnIteration) -> Callable[[int, float, float], None]:
        return lambda n, seconds, loss: tell(Iteration(n + 1, seconds, float(loss), self))

    def _confidence(self, plays: csr_matrix) -> csr_matrix:
        weights = self._weights(plays)
        weights.data = 1.0 + np.float32(self._config.alpha) * weights.data
        return weights

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """The k best items each user has not met; nothing for a user without training items."""
        seen = self._train[users]
        return self._ranked(self._model.user_factors[users], seen, users, k)

    def fold_in(
        self, history: Interactions, users: npt.NDArray[np.int32], k: int
    ) -> Recommendations:
        """The k best items for users solved from their history against the item factors."""
        seen = history.matrix()[users]
        with threadpool_limits(1, "blas"):
            factors = self._model.recalculate_user(users, self._confidence(seen))
        return self._ranked(factors, seen, users, k)

    def _ranked(
        self, factors: Factors, seen: csr_matrix, users: npt.NDArray[np.int32], k: int
    ) -> Recommendations:
        """Rank by inner product; a user with no known item has a factor of zeros and no list."""
        items, scores = top_k(factors, self.item_factors, seen, k, self._threads)
        unknown = (np.diff(seen.indptr) == 0)[:, None]
        return Recommendations(
            users.astype(np.int32),
            np.where(unknown, np.int32(NO_ITEM), items),
            np.where(unknown, np.float32(np.nan), scores),
        )
