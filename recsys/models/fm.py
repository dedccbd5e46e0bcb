"""Factorization machine over user, profile, history and item (Rendle 2010), with a softmax loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix, hstack
from threadpoolctl import threadpool_limits

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array, Int32Array
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import Count, Factors, Iterations
from recsys.models.features import BANDS, age_bands, known, numbered, one_hot
from recsys.models.iterative import (
    OnIteration,
    State,
    copied,
    iterate,
    random_from,
    random_state,
)
from recsys.models.recommender import Recommendations
from recsys.models.top_k import top_k
from recsys.models.weighting import WeightedConfig, Weights

RowNumbers = npt.NDArray[np.integer]

BATCH = 256  # users of a step
SPREAD = 0.05  # standard deviation of the first factors
FIRST = 1e-6  # what the sums of squares of Adagrad begin with


class FmConfig(WeightedConfig):
    """Factorization machine over user, profile, history and item, trained for ranking.

    Its plays are weighed as features; all targets count alike.
    """

    iterative: ClassVar[bool] = True
    knows_profiles: ClassVar[bool] = True

    kind: Literal["fm"] = "fm"
    power: PositiveFloat = 0.35
    factors: Factors = 64
    iterations: Iterations = 100
    learning_rate: PositiveFloat = 0.05
    regularization: NonNegativeFloat = 0.05
    """Of items and features."""
    user_regularization: NonNegativeFloat = 300.0
    """Of user ids: the higher, the more is explained by profile and history."""
    negatives: Count = 4000
    """Items drawn at each step, which the targets have to beat; at most all."""
    history: bool = True
    """Whether the items of the history are features of the user, as in SVD++."""
    dropout: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Share of the history that is hidden in a step: its targets."""

    @property
    def uses_profiles(self) -> bool:
        """Always: they are among its features."""
        return True


class Fm:
    """A score for the features x of a user together with an item i.

    The machine of second order (Rendle 2010, equation 1) over user id, gender, country,
    age band, the items of the history and the item i is

        w_0 + sum_a w_a x_a + sum over pairs a < b of <v_a, v_b> x_a x_b

    What does not depend on i ranks nothing and is left out, so that there remains

        score(x, i) = w_i + <q_i, sum_a v_a x_a>

    with a running over the features of the user alone: the inner product of one vector of
    the user with one of the item. The history has the weighted plays
    (`recsys.models.weighting`) p as x, divided by |p|: with equal plays n^(-1/2) for each of n
    items, as in SVD++ (Koren 2008). Its v are others than the q of the same items.

    Learned by minibatches of users with Adagrad (Duchi et al. 2011). At each step a share
    `dropout` of the history, drawn anew, is hidden: the targets, because an item must not
    explain itself (as in FISM, Kabbur et al. 2013). The loss is a softmax as of Liang et al.
    2018: for each target i of a user with score s,

        -ln(exp s_i / (sum over targets j of exp s_j + n / m sum over j of exp s_j))

    where the last sum is over those of m items, drawn of all n for the step, that are
    not in the history. To it is added half the squared length of the factors of items
    and features times `regularization`, and of users times `user_regularization`.

    The loss of an iteration is the mean of that softmax over all targets, without the
    regularization.

    A user who is folded in has no known id, but profile and history; a user with neither
    gets the items with the highest w.
    """

    _iteration: int
    _rng: np.random.Generator
    _train: Interactions
    _seen: csr_matrix
    _weights: Weights
    _genders: IdMap
    _countries: IdMap
    _profile: csr_matrix
    _history: csr_matrix
    _features: csr_matrix
    _users: "FeatureTable"
    _of_features: "FeatureTable"
    _items: "FeatureTable"

    def __init__(self, config: FmConfig, seed: int, profiles: Profiles | None = None) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
            seed: Of the first factors, the order of users, the hidden and the drawn items.
            profiles: Of the users of the training data, aligned with them.
        """
        self._config = config
        self._seed = seed
        self._profiles = profiles

    @property
    def item_vectors(self) -> Float32Array:
        """q_i and, as the last column, w_i, float32, shape (n_items, factors + 1)."""
        return self._items.values

    @property
    def of_features(self) -> Float32Array:
        """The v of gender, country, age band and history, float32, (n_features, factors)."""
        return self._of_features.values

    @property
    def user_vectors(self) -> Float32Array:
        """The v of the user ids, float32, shape (n_users, factors)."""
        return self._users.values

    def fit(
        self,
        train: Interactions,
        start: State | None = None,
        on_iteration: OnIteration | None = None,
    ) -> Self:
        """Learn from seeded factors; see `recsys.models.iterative`."""
        self._describe(train)
        self._iteration = 0
        self._rng = np.random.default_rng(self._seed)
        factors = self._config.factors
        items = self._rng.normal(0, SPREAD, (len(train.items), factors + 1))
        items[:, -1] = 0
        self._items = FeatureTable(items)
        features = self._rng.normal(0, SPREAD, (self._features.shape[1], factors))
        features[self._uses() == 0] = 0  # of nobody in the training: it says nothing
        self._of_features = FeatureTable(features)
        self._users = FeatureTable(np.zeros((len(train.users), factors)))
        if start is not None:
            self.rewind(start)
        with threadpool_limits(1, "blas"):
            self._learn(on_iteration)
        return self

    def state(self, into: State | None = None) -> State:
        """A copy of all parameters, of the sums of Adagrad, and of the random numbers."""
        parts: dict[str, npt.NDArray[Any]] = {}
        for name, table in self._tables().items():
            parts[name] = table.values
            parts[f"{name}_squares"] = table.squares
        parts["random"] = random_state(self._rng)
        return State(self._iteration, copied(parts, into))

    def rewind(self, state: State) -> None:
        """Take copies of what a state holds."""
        self._iteration = state.iteration
        self._rng = random_from(state.arrays["random"])
        for name, table in self._tables().items():
            table.values = np.array(state.arrays[name])
            table.squares = np.array(state.arrays[f"{name}_squares"])

    def _tables(self) -> dict[str, "FeatureTable"]:
        return {
            "users": self._users,
            "of_features": self._of_features,
            "items": self._items,
        }

    def arrays(self) -> ModelArrays:
        """All parameters; the files are called as the earlier versions did."""
        return {
            "artists": self.item_vectors,
            "of_features": self.of_features,
            "listeners": self.user_vectors,
        }

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        """Describe the users and take the parameters."""
        self._describe(train)
        n_factors, n_features = self._config.factors, self._features.shape[1]
        self._items = FeatureTable(
            stored.dense("artists", np.float32, len(train.items), n_factors + 1)
        )
        self._of_features = FeatureTable(
            stored.dense("of_features", np.float32, n_features, n_factors)
        )
        self._users = FeatureTable(
            stored.dense("listeners", np.float32, len(train.users), n_factors)
        )
        return self

    def _describe(self, train: Interactions) -> None:
        """The x of every user."""
        self._train, self._seen = train, train.matrix()
        self._weights = Weights(self._config, train)
        self._genders = known(None if self._profiles is None else self._profiles.gender)
        self._countries = known(None if self._profiles is None else self._profiles.country)
        self._profile = self._described(self._profiles, np.arange(len(train.users)))
        self._history = self._weights(train)
        self._features = self._joined(self._profile, self._history)

    def _uses(self) -> npt.NDArray[np.int64]:
        """How many users of the training have each feature, int64, shape (n_features,)."""
        features = self._features[self._train.users_with_cells()]
        return np.bincount(features.indices, minlength=features.shape[1])

    def _learn(self, on_iteration: OnIteration | None) -> None:
        active = self._train.users_with_cells()
        n_steps = -(-len(active) // BATCH)
        penalties = self._penalties(n_steps)
        watched = on_iteration is not None

        def step(number: int) -> float:
            losses: list[tuple[float, int]] = []
            for users in np.array_split(self._rng.permutation(active), n_steps):
                self._step(self.batch(users, self._rng), penalties, losses if watched else None)
            self._iteration = number
            return sum(loss for loss, _ in losses) / max(sum(n for _, n in losses), 1)

        iterate(self, self._iteration + 1, self._config.iterations, step, on_iteration)

    def batch(self, users: Int32Array, rng: np.random.Generator) -> "Batch":
        """Hide a part of each history, and draw the items that the targets have to beat."""
        hidden = rng.random(self._seen[users].nnz) < self._target_share
        rows = np.repeat(np.arange(len(users)), np.diff(self._seen[users].indptr))
        has_target = np.bincount(rows, hidden, len(users)) > 0
        users, hidden = users[has_target], hidden[has_target[rows]]
        history = self._history[users]
        items = history.indices
        history.data = history.data * ~hidden
        drawn = rng.choice(self._seen.shape[1], self._n_drawn, replace=False)
        candidates = np.union1d(items[hidden], drawn)
        at = np.searchsorted(candidates, items)
        there = candidates[np.minimum(at, len(candidates) - 1)] == items
        rows = np.repeat(np.arange(len(users)), np.diff(history.indptr))
        counts = np.where(np.isin(candidates, drawn), self._seen.shape[1] / self._n_drawn, 0)
        weights = np.tile(counts.astype(np.float32), (len(users), 1))
        weights[rows[there], at[there]] = hidden[there]
        targets = np.zeros_like(weights)
        targets[rows[hidden], at[hidden]] = 1
        return Batch(
            users, self._joined(self._profile[users], history), candidates, weights, targets
        )

    def gradients(
        self, batch: "Batch", losses: list[tuple[float, int]] | None = None
    ) -> "Gradients":
        """Of the loss of a batch, without the regularization.

        Args:
            batch: The users, features and items of the step.
            losses: Takes the loss of the batch, a sum, and over how many items it runs.
        """
        x, items = batch.features, self.item_vectors[batch.candidates]
        vectors = self.user_vectors[batch.users] + x @ self.of_features
        scores = vectors @ items[:, :-1].T + items[:, -1]
        if losses is not None:
            losses.append(
                (softmax_loss(scores, batch.weights, batch.targets), int(batch.targets.sum()))
            )
        pull = slopes(scores, batch.weights, batch.targets)
        back = pull @ items[:, :-1]
        used = np.unique(x.indices)
        return (
            (batch.users, back),
            (used, x[:, used].T @ back),
            (batch.candidates, np.hstack([pull.T @ vectors, pull.sum(axis=0)[:, None]])),
        )

    def _step(
        self,
        batch: "Batch",
        penalties: Sequence[Float32Array],
        losses: list[tuple[float, int]] | None,
    ) -> None:
        for table, penalty, (rows, slope) in zip(
            self._tables().values(), penalties, self.gradients(batch, losses), strict=True
        ):
            table.descend(rows, slope, penalty[rows], self._config.learning_rate)

    @property
    def _target_share(self) -> float:
        """Share of a history that is hidden; all of it where it is no feature."""
        return self._config.dropout if self._config.history else 1.0

    @property
    def _n_drawn(self) -> int:
        return min(self._config.negatives, self._seen.shape[1])

    def _penalties(self, n_steps: int) -> Sequence[Float32Array]:
        """The regularization of a row in a step it is in: that of an epoch over their number.

        How many steps of an epoch a feature or an item is in is an expectation.

        Returns:
            Of users, features and items, float32, shape (n, 1) each.
        """
        users_per_item = np.bincount(self._seen.indices, minlength=self._seen.shape[1])
        profiles = self._profile[self._train.users_with_cells()]
        uses = profiles.sum(axis=0), users_per_item * (1 - self._target_share)
        use = np.concatenate([np.ravel(each) for each in uses[: 1 + self._config.history]])
        in_step = 1 - np.exp(-use / n_steps)
        missed = 1 - self._n_drawn / self._seen.shape[1]
        drawn = 1 - missed * np.exp(-users_per_item * self._target_share / n_steps)
        config = self._config
        return (
            np.full((len(self._train.users), 1), config.user_regularization, np.float32),
            _spread(config.regularization, in_step * n_steps),
            _spread(config.regularization, drawn * n_steps),
        )

    def recommend(self, users: Int32Array, k: int) -> Recommendations:
        """The k items with the highest scores for each user, without known ones."""
        vectors = self.user_vectors[users] + self._features[users] @ self.of_features
        return self._ranked(vectors, self._seen[users], users, k)

    def fold_in(
        self,
        history: Interactions,
        users: Int32Array,
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """As `recommend`, from profile and history alone, whether the user is known or not.

        Without `config.history` and without profile: the items with the highest w.
        """
        vectors = self.features(history, users, profiles) @ self.of_features
        return self._ranked(vectors, history.matrix()[users], users, k)

    def features(
        self, history: Interactions, users: Int32Array, profiles: Profiles | None = None
    ) -> csr_matrix:
        """The x of some users: gender, country, age band, history.

        Returns:
            float32 CSR, shape (len(users), n_features); without `config.history` the part of
            the history has no columns.
        """
        if profiles is None and history.users is self._train.users:
            profiles = self._profiles
        return self._joined(self._described(profiles, users), self._weights(history, users))

    def _joined(self, profile: csr_matrix, history: csr_matrix) -> csr_matrix:
        parts = [profile, scaled(history)] if self._config.history else [profile]
        features = csr_matrix(hstack(parts, format="csr", dtype=np.float32))
        features.eliminate_zeros()
        return features

    def _described(self, profiles: Profiles | None, users: RowNumbers) -> csr_matrix:
        """Gender, country and age band one-hot, float32 CSR."""
        columns = [np.full(len(users), -1, np.int32)] * 3
        if profiles is not None:
            gender = numbered(profiles.gender, self._genders)
            country = numbered(profiles.country, self._countries)
            columns = [each[users] for each in (gender, country, age_bands(profiles.age))]
        sizes = (len(self._genders), len(self._countries), len(BANDS) + 1)
        parts = [one_hot(column, size) for column, size in zip(columns, sizes, strict=True)]
        return csr_matrix(hstack(parts, format="csr", dtype=np.float32))

    def _ranked(
        self, vectors: Float32Array, seen: csr_matrix, users: Int32Array, k: int
    ) -> Recommendations:
        ones = np.ones((len(vectors), 1), np.float32)
        items, scores = top_k(np.hstack([vectors, ones]), self.item_vectors, seen, k)
        return Recommendations(users.astype(np.int32), items, scores)


CONFIG = FmConfig


def create(config: FmConfig, seed: int, profiles: Profiles | None = None) -> Fm:
    """The untrained model."""
    return Fm(config, seed, profiles)


class FeatureTable:
    """Rows of parameters that go down their slopes, each coordinate by Adagrad."""

    def __init__(self, values: npt.NDArray[np.floating]) -> None:
        """Begin at `values`, shape (n, f)."""
        self.values: Float32Array = values.astype(np.float32)
        self.squares = np.full_like(self.values, FIRST)

    def descend(
        self, rows: RowNumbers, slope: Float32Array, penalty: Float32Array, rate: float
    ) -> None:
        """One step of distinct rows; the others are left alone.

        Args:
            rows: Which, shape (m,).
            slope: Of the loss, shape (m, f).
            penalty: Of half the squared length of each row, shape (m, 1).
            rate: Length of the step.
        """
        slope = slope + penalty * self.values[rows]
        squares = self.squares[rows] + slope * slope
        self.squares[rows] = squares
        self.values[rows] -= np.float32(rate) * slope / np.sqrt(squares)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The data of one step.

    Attributes:
        users: Users with targets, int32, shape (m,).
        features: Their x, without the targets, float32 CSR, shape (m, n_features).
        candidates: Items that are scored, rising, shape (c,).
        weights: How often each counts in the denominator of the softmax: 1 for a target,
            n / m where it was drawn and is not in the history, else 0; float32,
            shape (m, c).
        targets: 1 for a target, else 0; float32, shape (m, c).
    """

    users: Int32Array
    features: csr_matrix
    candidates: RowNumbers
    weights: Float32Array
    targets: Float32Array


Gradients = tuple[
    tuple[RowNumbers, Float32Array],
    tuple[RowNumbers, Float32Array],
    tuple[RowNumbers, Float32Array],
]
"""Rows and their slopes, of users, features and items."""


def softmax_loss(scores: Float32Array, weights: Float32Array, targets: Float32Array) -> float:
    """The loss that `Fm` describes, summed over all targets.

    Args:
        scores: float32, shape (m, c).
        weights: See `Batch`; each row has one above 0.
        targets: See `Batch`.
    """
    highest = np.where(weights > 0, scores, -np.inf).max(axis=1, keepdims=True)
    odds = np.exp(np.minimum(scores - highest, 0)) * weights
    norms = highest[:, 0] + np.log(odds.sum(axis=1))
    return float(targets.sum(axis=1) @ norms - np.vdot(targets, scores))


def slopes(scores: Float32Array, weights: Float32Array, targets: Float32Array) -> Float32Array:
    """Derivative by the scores of the loss that `Fm` describes.

    Args:
        scores: float32, shape (m, c).
        weights: See `Batch`; each row has one above 0.
        targets: See `Batch`.

    Returns:
        float32, shape (m, c).
    """
    counted = np.where(weights > 0, scores, -np.inf)
    odds = weights * np.exp(counted - counted.max(axis=1, keepdims=True))
    odds *= targets.sum(axis=1, keepdims=True) / odds.sum(axis=1, keepdims=True)
    return np.asarray(odds - targets)


def scaled(history: csr_matrix) -> csr_matrix:
    """Rows p as p / |p|, float32 CSR; rows of zeros stay."""
    lengths = np.sqrt(np.asarray(history.multiply(history).sum(axis=1), np.float64)).ravel()
    scale = np.repeat(np.where(lengths > 0, lengths, 1), np.diff(history.indptr))
    data = (history.data / scale).astype(np.float32)
    return csr_matrix((data, history.indices, history.indptr), shape=history.shape)


def _spread(regularization: float, steps: npt.NDArray[np.float64]) -> Float32Array:
    shares = np.divide(regularization, steps, out=np.zeros_like(steps), where=steps > 0)
    return shares.astype(np.float32)[:, None]
