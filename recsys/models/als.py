"""Weighted matrix factorization (Hu, Koren and Volinsky 2008) through the implicit package."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import PositiveFloat
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array
from recsys.models.als_scaled import Regularization, Sweeps
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import Factors, Iterations, Share
from recsys.models.explaining import cosines, nearest, shares_of_score
from recsys.models.iterative import (
    DenseArrays,
    Iteration,
    OnIteration,
    State,
    StopTraining,
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

    implicit takes the values of its matrix as the confidence itself, so it is given
    1 + alpha * f(r) and its own alpha stays at 1.

    Where nu is not 0, each row has a lambda by its frequency, which implicit does not know: it
    draws the first factors, `recsys.models.als_scaled` moves them.

    The loss of an iteration is the weighted squared error with regularization over all pairs,
    divided by the sum of the confidences.

    Conjugate gradient with 3 steps (Takacs, Pilaszy and Tikk 2011) in float32. Results do not
    depend on the number of threads; BLAS is held to one, because implicit has its own.
    """

    _model: Any  # implicit ships no types
    _iteration: int
    _train: csr_matrix
    _weights: Weights
    _scaled: Regularization

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
        return np.asarray(self._model.user_factors)

    @property
    def item_factors(self) -> Float32Array:
        """float32, shape (n_items, factors)."""
        return np.asarray(self._model.item_factors)

    def fit(
        self,
        train: Interactions,
        start: State | None = None,
        on_iteration: OnIteration | None = None,
    ) -> Self:
        """Factorise; see `recsys.models.iterative`.

        A fresh solver each time, for implicit's own fit() starts at the factors it has.
        """
        self._train = train.matrix()
        self._weights = Weights(self._config, train)
        self._scaled = Regularization.of(self._config, self._train)
        self._iteration = 0
        solver = _solver()
        left = self._config.iterations - (0 if start is None else start.iteration)
        with threadpool_limits(1, "blas"):
            self._model = solver(
                factors=self._config.factors,
                regularization=self._config.regularization,
                alpha=1.0,
                iterations=left,
                calculate_training_loss=on_iteration is not None,
                random_state=self._seed,
                num_threads=self._threads,
            )
            if start is not None:
                self.rewind(start)
            if left > 0:
                factorise = self._sweep if self._config.nu else self._factorise
                factorise(train, on_iteration)
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
        before = self._iteration

        def callback(n: int, seconds: float, loss: float) -> None:
            self._iteration = before + n + 1
            self._forget_products()
            if on_iteration is not None:
                on_iteration(Iteration(self._iteration, seconds, float(loss), self))

        confidence = self._confidence(train)
        try:
            self._model.fit(confidence, show_progress=False, callback=callback)
        except StopTraining:
            self._model._check_fit_errors()  # which fit does at its end

    def _sweep(self, train: Interactions, on_iteration: OnIteration | None) -> None:
        confidence = self._confidence(train)
        sweeps = Sweeps(confidence, self._scaled, self._threads)
        self._model.iterations = 0
        self._model.calculate_training_loss = False  # there is none after no iteration
        self._model.fit(confidence, show_progress=False)
        users, items = self.user_factors, self.item_factors

        def step(number: int) -> float:
            sweeps(users, items)
            self._iteration = number
            self._forget_products()
            return 0.0 if on_iteration is None else sweeps.loss(users, items)

        iterate(self, self._iteration + 1, self._config.iterations, step, on_iteration)
        self._forget_products()
        self._model._check_fit_errors()

    def _forget_products(self) -> None:
        """Let implicit compute anew what it keeps for fold-in.

        It keeps products of the factors until the next fit, though a model may recommend along
        the training, as curves need.
        """
        self._model._YtY = self._model._XtX = None

    def state(self, into: State | None = None) -> State:
        """A copy of the factors, which are all that ALS goes by."""
        return State(self._iteration, copied(self._factors(), into))

    def rewind(self, state: State) -> None:
        """Take copies of the factors of a state."""
        self._iteration = state.iteration
        self._model.user_factors = np.array(state.arrays[_USERS])
        self._model.item_factors = np.array(state.arrays[_ITEMS])
        self._forget_products()

    def _confidence(
        self, cells: Interactions, users: npt.NDArray[np.int32] | None = None
    ) -> csr_matrix:
        weights = self._weights(cells, users)
        weights.data = 1.0 + np.float32(self._config.alpha) * weights.data
        return weights

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """The k best items each user has not met; nothing for a user without training items."""
        seen = self._train[users]
        return self._ranked(self._model.user_factors[users], seen, users, k)

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
        with threadpool_limits(1, "blas"):
            confidence = self._confidence(history, users)
            lambdas = self._scaled.of_users(np.diff(confidence.indptr))
            return self._by_lambda(self._model.recalculate_user, users, confidence, lambdas)

    def _by_lambda(
        self,
        recalculate: Callable[[npt.NDArray[np.int32], csr_matrix], Float32Array],
        rows: npt.NDArray[np.int32],
        confidence: csr_matrix,
        lambdas: npt.NDArray[np.float64],
    ) -> Float32Array:
        """What implicit solves with one lambda at a time, float32, shape (n, factors)."""
        if not self._config.nu:
            return np.asarray(recalculate(rows, confidence))
        solved = np.zeros((len(rows), self._config.factors), dtype=np.float32)
        usual = self._model.regularization
        try:
            for each in np.unique(lambdas):
                alike = np.flatnonzero(lambdas == each)
                self._model.regularization = float(each)
                solved[alike] = recalculate(rows[alike], confidence[alike])
        finally:
            self._model.regularization = usual
        return solved

    def score(
        self, history: Interactions, user: int, profiles: Profiles | None = None
    ) -> Float32Array:
        """The score of every item for a user solved from their history, float32, (n_items,)."""
        factors = self._solved(history, np.array([user], dtype=np.int32))
        with threadpool_limits(1, "blas"):
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


def _solver() -> Any:
    """The solver of implicit, loaded when it is first used: before BLAS is held to one thread.

    What it loads would else not be held, and it warns where BLAS has several threads.
    """
    with threadpool_limits(1, "blas"):
        from implicit.cpu.als import AlternatingLeastSquares

    return AlternatingLeastSquares


CONFIG = AlsConfig


def create(config: AlsConfig, seed: int, profiles: Profiles | None = None) -> Als:
    """The untrained model."""
    return Als(config, seed)
