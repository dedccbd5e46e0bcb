"""Bayesian personalized ranking (Rendle et al. 2009) through the implicit package."""

from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Int32Array
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import Factors, Iterations, ModelConfig
from recsys.models.iterative import Iteration, OnIteration, State, StopTraining, copied
from recsys.models.recommender import Recommendations
from recsys.models.top_k import top_k

RIVALS = 64  # items that a history is compared with when it is folded in
STEPS = 100  # of the solver that does it
PAIRS = 1 << 20  # compared at once, 4 MiB of float32


class BprConfig(ModelConfig):
    """Matrix factorization by Bayesian personalized ranking."""

    iterative: ClassVar[bool] = True

    kind: Literal["bpr"] = "bpr"
    factors: Factors = 32
    learning_rate: PositiveFloat = 0.004
    regularization: NonNegativeFloat = 0.008
    iterations: Iterations = 250


class Bpr:
    """Matrix factorization that ranks the items i of a user above the others j.

    The score of item i is x_u q_i + b_i; stochastic gradient maximises the
    sum over pairs of ln sigmoid(score_i - score_j) less the regularization (Rendle et al.
    2009, section 4). implicit draws j as often as it is played, and checks that it is not
    in the history. It runs on one thread: only so it is repeatable.

    A play counts, however often: BPR has no weights. A user without history has a
    factor of zeros, and gets the items with the highest b. An item without users in
    training is never drawn: it keeps zeros, and is given the lowest b there is.

    The loss of an iteration is the share of its pairs that the model ranked wrongly when they
    were drawn.

    Attributes:
        rivals: Items that histories are compared with, int64, shape (64,), drawn as often as
            they are played.
    """

    _iteration: int
    _played: npt.NDArray[np.bool_]
    _users: Float32Array
    _items: Float32Array
    _seen: csr_matrix
    rivals: npt.NDArray[np.int64]

    def __init__(self, config: BprConfig, seed: int) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
            seed: Of the first factors and of the pairs that are drawn.
        """
        self._config = config
        self._seed = seed

    def fit(
        self,
        train: Interactions,
        start: State | None = None,
        on_iteration: OnIteration | None = None,
    ) -> Self:
        """Factorise; see `recsys.models.iterative`."""
        self._seen = train.matrix()
        self._iteration = 0
        self._played = train.per_item() > 0
        drawn = np.random.default_rng(self._seed).choice(len(train), RIVALS)
        self.rivals = train.cols[drawn].astype(np.int64)
        if start is not None:
            self.rewind(start)
        with threadpool_limits(1, "blas"):
            self._factorise(start, on_iteration)
        return self

    def _factorise(self, start: State | None, on_iteration: OnIteration | None) -> None:
        """The iterations that are left.

        implicit keeps its random numbers to itself. So a resumed training repeats the past
        iterations on unused factors of width 1, to draw the same pairs.
        """
        done = 0 if start is None else start.iteration
        model = self._solver(self._config.iterations if self._config.iterations > done else 0)

        def callback(n: int, seconds: float, correct: int, skipped: int) -> None:
            if n + 1 > done:
                self._iteration = n + 1
                self._take(model)
                if on_iteration is not None:
                    loss = 1 - correct / max(self._seen.nnz - skipped, 1)
                    on_iteration(Iteration(n + 1, seconds, loss, self))
            elif n + 1 == done:
                model.user_factors, model.item_factors = self._users, self._items

        if start is not None:
            drawn = sum(self._seen.shape) * (self._config.factors + 1)
            model.random_state.random(drawn, np.float32)  # the first factors
            model.user_factors, model.item_factors = (
                np.zeros((n, 1), np.float32) for n in self._seen.shape
            )
        try:
            model.fit(self._seen, show_progress=False, callback=callback)
        except StopTraining:
            model._check_fit_errors()  # which fit does at its end

    def _solver(self, iterations: int) -> Any:  # implicit ships no types
        with threadpool_limits(1, "blas"):  # else implicit warns when it is loaded
            from implicit.cpu.bpr import BayesianPersonalizedRanking
        return BayesianPersonalizedRanking(
            factors=self._config.factors,
            learning_rate=self._config.learning_rate,
            regularization=self._config.regularization,
            iterations=iterations,
            verify_negative_samples=True,
            random_state=np.random.default_rng(self._seed),
            num_threads=1,
        )

    def _take(self, model: Any) -> None:
        """Take the factors of implicit; items that are never drawn get the lowest b."""
        self._users = np.asarray(model.user_factors)
        self._items = np.asarray(model.item_factors)
        self._items[~self._played, -1] = self._items[self._played, -1].min(initial=np.inf)

    def state(self, into: State | None = None) -> State:
        """A copy of the factors; random numbers follow from the seed and the iteration."""
        parts = {"user_factors": self._users, "item_factors": self._items}
        return State(self._iteration, copied(parts, into))

    def rewind(self, state: State) -> None:
        """Take copies of the factors of a state."""
        self._iteration = state.iteration
        self._users = np.array(state.arrays["user_factors"])
        self._items = np.array(state.arrays["item_factors"])

    def arrays(self) -> ModelArrays:
        """The factors, and the rivals that were drawn."""
        return {
            "user_factors": self._users,
            "item_factors": self._items,
            "rivals": self.rivals,
        }

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        """Take the factors and the rivals."""
        self._seen = train.matrix()
        width = self._config.factors + 1
        self._users = stored.dense("user_factors", np.float32, len(train.users), width)
        self._items = stored.dense("item_factors", np.float32, len(train.items), width)
        self.rivals = stored.dense("rivals", np.int64, RIVALS)
        return self

    @property
    def user_factors(self) -> Float32Array:
        """x_u and a column of ones, float32, shape (n_users, factors + 1)."""
        return self._users

    @property
    def item_factors(self) -> Float32Array:
        """q_i and, as the last column, b_i, float32, shape (n_items, factors + 1)."""
        return self._items

    def recommend(self, users: Int32Array, k: int) -> Recommendations:
        """The k items with the highest scores for each user, without known ones."""
        return self._ranked(self._users[users], self._seen[users], users, k)

    def fold_in(
        self,
        history: Interactions,
        users: Int32Array,
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """As `recommend`, for factors solved from each history; implicit cannot do that.

        The q and b stay as they are, and x_u becomes what the gradient of training has at
        rest: the mean over i in the history and j of the rivals, those of a fixed draw of 64
        items that are not in the history, of sigmoid(score_j - score_i) (q_i - q_j), equal to
        regularization * x_u. It is found by 100 steps of accelerated gradient from zeros
        (Nesterov 1983), which is deterministic, whatever other users are in the request.
        """
        seen = history.matrix()[users]
        return self._ranked(self.folded(seen), seen, users, k)

    def _ranked(
        self, factors: Float32Array, seen: csr_matrix, users: Int32Array, k: int
    ) -> Recommendations:
        items, scores = top_k(factors, self._items, seen, k)
        return Recommendations(users.astype(np.int32), items, scores)

    def folded(self, seen: csr_matrix) -> Float32Array:
        """The x_u of users with these items and a 1, float32, shape (m, factors + 1)."""
        factors = np.zeros((seen.shape[0], self._items.shape[1]), np.float32)
        factors[:, -1] = 1
        cells = max(1, PAIRS // RIVALS)
        bounds = np.searchsorted(seen.indptr, np.arange(0, seen.nnz + cells, cells))
        for start, end in pairwise(np.unique([*np.minimum(bounds, len(factors)), len(factors)])):
            factors[start:end, :-1] = self._solved(seen[start:end])
        return factors

    def _solved(self, seen: csr_matrix) -> Float32Array:
        """The x_u of each row, float32, shape (m, factors)."""
        m, factors = seen.shape[0], self._items.shape[1] - 1
        rows = np.repeat(np.arange(m), np.diff(seen.indptr))
        items, rivals = self._items[seen.indices], self._items[self.rivals]
        counts = csr_matrix((np.ones(seen.nnz, np.float32), seen.indices, seen.indptr), seen.shape)
        pairs = (counts[:, self.rivals].toarray() == 0).astype(np.float32)[rows]
        each = np.ones(len(rows), np.float32), np.arange(len(rows)), seen.indptr
        of = csr_matrix(each, shape=(m, len(rows)))
        pairs /= np.maximum(of @ pairs.sum(axis=1), 1)[rows, None]
        bound = (self._items[:, :-1] ** 2).sum(axis=1).max(initial=0)
        step = np.float32(1 / (bound + self._config.regularization))
        x = ahead = np.zeros((m, factors), np.float32)
        for n in range(STEPS):
            margin = (items[:, :-1] * ahead[rows]).sum(axis=1) + items[:, -1]
            theirs = ahead @ rivals[:, :-1].T + rivals[:, -1]
            pull = pairs / (1 + np.exp(np.minimum(margin[:, None] - theirs[rows], 80)))
            slope = of @ (pull.sum(axis=1)[:, None] * items[:, :-1]) - (of @ pull) @ rivals[:, :-1]
            before, x = x, ahead + step * (slope - self._config.regularization * ahead)
            ahead = x + np.float32(n / (n + 3)) * (x - before)
        return x


CONFIG = BprConfig


def create(config: BprConfig, seed: int, profiles: Profiles | None = None) -> Bpr:
    """The untrained model."""
    return Bpr(config, seed)
