"""Weighted matrix factorization (Hu, Koren and Volinsky 2008)."""

from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import PositiveFloat
from scipy.sparse import csr_matrix

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Float64Array
from recsys.models import Device, als_implicit
from recsys.models.als_scaled import Regularization
from recsys.models.als_sweeps import Sweep, Sweeps, exact, gram, padded
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.blas import one_blas_thread
from recsys.models.config import Factors, Iterations, Share
from recsys.models.explaining import cosines, nearest, shares_of_score
from recsys.models.iterative import (
    DenseArrays,
    OnIteration,
    State,
    copied,
    iterate,
)
from recsys.models.recommender import NO_ITEM, Recommendations
from recsys.models.top_k import best, top_k
from recsys.models.weighting import WeightedConfig, Weights

_USERS, _ITEMS = "user_factors", "item_factors"  # names of the arrays


class AlsConfig(WeightedConfig):
    """Weighted matrix factorization by alternating least squares."""

    iterative: ClassVar[bool] = True

    kind: Literal["als"] = "als"
    factors: Factors = 128
    regularization: PositiveFloat = 50.0
    iterations: Iterations = 12
    alpha: PositiveFloat = 10.0
    """c = 1 + alpha f(r): 1 over the weight of unobserved pairs, see `recsys.models.als_scaled`."""
    nu: Share = 0.0
    """How much the regularization of a row rises with its frequency; its mean stays as it is."""
    engine: Literal["native", "implicit"] = "native"
    """What takes the steps: our kernels, or the implicit package, which cannot where nu > 0."""
    device: Device = "cpu"
    """Where implicit takes them; our kernels use the CPU."""

    def cost(self, users: int, items: int, cells: int) -> float:
        """About how many multiplications a training takes, exact to a factor.

        Per iteration and side: the products of all factors with each other (rows * factors^2),
        and for each row 4 products with them (3 steps of conjugate gradient and the first
        residual) and 4 passes over its cells (2 * cells * factors each).
        """
        dense = (users + items) * self.factors**2
        return float(self.iterations * (5 * dense + 4 * 2 * 2 * cells * self.factors))


class Als:
    """Alternating least squares with confidence c = 1 + alpha * f(r).

    The first factors are those that implicit draws from the seed. Its steps, conjugate gradient
    with 3 of them (Takacs, Pilaszy and Tikk 2011) in float32, are taken by our kernels or by
    implicit itself, see `engine`: scores are the same up to rounding, and factors are turned to
    other axes by ours. Implicit has one lambda for all rows, so with nu the kernels are used.

    The loss of an iteration is the weighted squared error with regularization over all pairs,
    divided by the sum of the confidences.

    Results do not depend on the number of threads; BLAS is held to one.
    """

    _iteration: int
    _train: csr_matrix
    _weights: Weights
    _scaled: Regularization
    _users: Float32Array  # padded where our kernels move them
    _items: Float32Array
    _gram: Float64Array | None  # of the items, while they stay where they are

    def __init__(self, config: AlsConfig, seed: int, threads: int = 0) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
            seed: Of the first factors.
            threads: 0 for all cores.
        """
        self._config = config
        self._seed = seed
        self._threads = threads

    @property
    def user_factors(self) -> Float32Array:
        """float32, shape (n_users, factors)."""
        return self._users[:, : self._config.factors]

    @property
    def item_factors(self) -> Float32Array:
        """float32, shape (n_items, factors)."""
        return self._items[:, : self._config.factors]

    def fit(
        self,
        train: Interactions,
        start: State | None = None,
        on_iteration: OnIteration | None = None,
    ) -> Self:
        """Factorise; see `recsys.models.iterative`.

        Raises:
            FloatingPointError: the factors do not stay finite.
        """
        self._train = train.matrix()
        self._weights = Weights(self._config, train)
        self._scaled = Regularization.of(self._config, self._train)
        with one_blas_thread():
            if start is None:
                self._iteration = 0
                self._take(*_drawn(self._train.shape, self._config.factors, self._seed))
            else:
                self.rewind(start)
            if self._iteration < self._config.iterations:
                self._factorise(train, on_iteration)
        return self

    def arrays(self) -> ModelArrays:
        """The factors."""
        return dict(self._factors())

    def _factors(self) -> DenseArrays:
        return {_USERS: self.user_factors, _ITEMS: self.item_factors}

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        """Take the factors: a training of which all iterations are done."""
        n_factors = self._config.factors
        users = stored.dense(_USERS, np.float32, len(train.users), n_factors)
        items = stored.dense(_ITEMS, np.float32, len(train.items), n_factors)
        return self.fit(train, State(self._config.iterations, {_USERS: users, _ITEMS: items}))

    def _factorise(self, train: Interactions, on_iteration: OnIteration | None) -> None:
        """The iterations that are left."""
        sweep = self._sweep(self._confidence(train))

        def step(number: int) -> float:
            loss = sweep(self._users, self._items, on_iteration is not None)
            self._iteration, self._gram = number, None
            return loss

        iterate(self, self._iteration + 1, self._config.iterations, step, on_iteration)
        if not (np.isfinite(self._users).all() and np.isfinite(self._items).all()):
            raise FloatingPointError(
                f"the factors of ALS hold NaN or infinity with alpha = {self._config.alpha:g} and "
                f"regularization = {self._config.regularization:g}; lower the first or raise the "
                "second"
            )

    def _sweep(self, confidence: csr_matrix) -> Sweep:
        if self._native:
            return Sweeps(confidence, self._scaled, self._config.factors, self._threads)
        if self._config.device == "gpu":
            return als_implicit.gpu_sweeps(confidence, self._config.regularization)
        return als_implicit.sweeps(confidence, self._config.regularization, self._threads)

    @property
    def _native(self) -> bool:
        return self._config.engine == "native" or self._config.nu > 0

    def _take(self, users: Float32Array, items: Float32Array) -> None:
        """Copies of factors, as the engine wants them."""
        own = padded if self._native else np.array
        self._users, self._items, self._gram = own(users), own(items), None

    def state(self, into: State | None = None) -> State:
        """A copy of the factors, which are all that ALS goes by."""
        return State(self._iteration, copied(self._factors(), into))

    def rewind(self, state: State) -> None:
        """Take copies of the factors of a state."""
        self._iteration = state.iteration
        self._take(state.arrays[_USERS], state.arrays[_ITEMS])

    def _confidence(
        self, cells: Interactions, users: npt.NDArray[np.int32] | None = None
    ) -> csr_matrix:
        weights = self._weights(cells, users)
        weights.data = 1.0 + np.float32(self._config.alpha) * weights.data
        return weights

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """The k best items each user has not met; nothing for a user without training items."""
        seen = self._train[users]
        return self._ranked(self.user_factors[users], seen, users, k)

    def fold_in(
        self,
        history: Interactions,
        users: npt.NDArray[np.int32],
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """The k best items for users solved from their history against the item factors."""
        seen = history.matrix()[users]
        return self._ranked(self._solved(history, users), seen, users, k)

    def _solved(self, history: Interactions, users: npt.NDArray[np.int32]) -> Float32Array:
        """User factors, exactly, by Cholesky; zeros for a user without a cell."""
        with one_blas_thread():
            confidence = self._confidence(history, users)
            lambdas = self._scaled.of_users(np.diff(confidence.indptr))
            if self._gram is None:
                self._gram = gram(self._items, self._threads)
            solved = exact(confidence, lambdas, self._items, self._gram, self._threads)
        return solved[:, : self._config.factors]

    def score(
        self, history: Interactions, user: int, profiles: Profiles | None = None
    ) -> Float32Array:
        """The score of every item for a user solved from their history, float32, (n_items,)."""
        factors = self._solved(history, np.array([user], dtype=np.int32))
        with one_blas_thread():
            return np.asarray(self.item_factors @ factors[0])

    def similar(self, item: int, k: int) -> tuple[npt.NDArray[np.int32], Float32Array]:
        """The k items with the highest cosine to the factors of `item`, without itself.

        Returns:
            Items int32 and cosines float32, both of shape (m,), m at most k. Nothing for an item
            without users, whose factors are zeros, and none such among the similar ones.
        """
        near = cosines(self.item_factors, item)
        near[item] = -np.inf
        items, scores = best(near[None, :], k)
        known = items[0] != NO_ITEM
        return items[0, known], scores[0, known]

    def similar_many(
        self, items: npt.NDArray[np.int32], k: int
    ) -> tuple[npt.NDArray[np.int32], Float32Array]:
        """As `similar` of each of `items`, shape (m, k); NO_ITEM and NaN past the end."""
        return nearest(self.item_factors, items, k)

    def contributions(self, history: Interactions, user: int, item: int) -> npt.NDArray[np.float64]:
        """What each item of a history adds to the score of `item`, float64, shape (n,).

        They add up to the score of the user solved exactly, as `score` has it up to rounding; see
        `recsys.models.explaining`. The score in `recommend` comes from the factors of the training,
        which conjugate gradient left close to it.
        """
        confidence = self._confidence(history, np.array([user], dtype=np.int32))
        return shares_of_score(
            self.item_factors,
            confidence.indices,
            confidence.data,
            float(self._scaled.of_users(np.array(len(confidence.data)))),
            item,
        )

    def _ranked(
        self, factors: Float32Array, seen: csr_matrix, users: npt.NDArray[np.int32], k: int
    ) -> Recommendations:
        """Rank by inner product; a user with no known item has a factor of zeros and no list."""
        items, scores = top_k(factors, self.item_factors, seen, k, self._threads)
        unknown = (np.diff(seen.indptr) == 0)[:, None]
        return Recommendations(
            users.astype(np.int32),
            np.where(unknown, np.int32(NO_ITEM), items),
            np.where(unknown, np.float32(np.nan), scores),
        )


def _drawn(shape: tuple[int, int], factors: int, seed: int) -> tuple[Float32Array, Float32Array]:
    """The first factors of users and of items, as implicit draws them."""
    rng = np.random.default_rng(seed)
    users, items = (rng.random((n, factors), np.float32) * np.float32(0.01) for n in shape)
    return users, items


CONFIG = AlsConfig


def create(config: AlsConfig, seed: int, profiles: Profiles | None = None) -> Als:
    """The untrained model."""
    return Als(config, seed)
