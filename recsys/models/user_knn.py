"""The items of the users nearest in plays and profile (Sarwar et al. 2000, Pazzani 1999)."""

import os
from collections.abc import Iterator
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeFloat
from scipy.sparse import csr_matrix, diags_array, hstack

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float64Array, Int32Array
from recsys.kernels.pool import in_threads
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import Count
from recsys.models.features import known, numbered, one_hot
from recsys.models.nearest import KnownRows, rounded
from recsys.models.recommender import NO_ITEM, Recommendations
from recsys.models.top_k import Block, best
from recsys.models.weighting import WeightedConfig, Weighting, Weights

CELLS = 1 << 22  # scores of a block of users, which a thread ranks: 32 MiB of float64
ROWS = 512  # users whose neighbours a thread finds together: they share what is in the cache
OLDEST = 100.0  # years
ALIKE = 1e-6  # relative difference up to which distances, which are float32, are equal


class UserKnnConfig(WeightedConfig):
    """Parameters of the user neighbours."""

    knows_profiles: ClassVar[bool] = True

    kind: Literal["user-knn"] = "user-knn"
    weighting: Weighting = "bm25"
    neighbours: Count = 160
    metric: Literal["euclidean", "cosine"] = "cosine"
    """The distance of two users."""
    plays_weight: NonNegativeFloat = 1.0
    age_weight: NonNegativeFloat = 0.0
    gender_weight: NonNegativeFloat = 0.0
    country_weight: NonNegativeFloat = 0.0

    @property
    def uses_profiles(self) -> bool:
        """Always: they are among its features."""
        return True


class UserKnn:
    """Users near to a user, each with a vote for the items they play.

    A user is a row of features: their weighted plays p (`recsys.models.weighting`) divided by
    their sum, times `plays_weight`; age / 100 less the mean of those that are known, times
    `age_weight`; gender and country one-hot, times their weights. A missing field is zeros.

        euclidean   d = |a - b|, where |a - b|^2 = |a|^2 + |b|^2 - 2 ab
        cosine      d = 1 - ab / (|a| |b|)

    The `neighbours` users of the training with the smallest d, of equal ones the lower
    number, vote with 1 - d / d_max, d_max being the distance of the farthest of them; with 1
    where all are equally far. The score of an item is the sum of votes times normalised p
    (Sarwar et al. 2000, with the profile of Pazzani 1999 among the features).

    The distances are exact, and computed for a block of users at a time: neither users by users
    nor users by items is ever held as a whole.
    """

    _rows: csr_matrix
    _known: KnownRows
    _weights: Weights
    _train: Interactions
    _seen: csr_matrix
    _genders: IdMap
    _countries: IdMap
    _mean_age: float

    def __init__(self, config: UserKnnConfig, profiles: Profiles | None = None) -> None:
        """An untrained model.

        Args:
            config: Hyper-parameters.
            profiles: Of the users of the training data, aligned with them.
        """
        self._config = config
        self._profiles = profiles

    def fit(self, train: Interactions) -> Self:
        """Keep the features of every user."""
        self._train, self._seen = train, train.matrix()
        self._weights = Weights(self._config, train)
        self._learn_profiles()
        self._rows = _shares(self._weights(train))
        # A user without plays has no vote: it would be near to all.
        silent = np.diff(self._seen.indptr) == 0
        features = self._described(self._rows, self._profiles, None)
        self._known = KnownRows(features, silent, self._config.metric == "cosine")
        return self

    def arrays(self) -> ModelArrays:
        """No arrays: neighbours are computed for each recommendation."""
        return {}

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        """Keep the features of every user."""
        return self.fit(train)

    def recommend(self, users: Int32Array, k: int) -> Recommendations:
        """The k items of the neighbours of each user with the highest scores, without known ones.

        A user with neither plays nor a profile that counts gets no list.
        """
        return self._ranked(self._known.rows[users], self._seen[users], users, users, k)

    def fold_in(
        self,
        history: Interactions,
        users: Int32Array,
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """As `recommend`, for users who are no neighbours of others."""
        if profiles is None and history.users is self._train.users:
            profiles = self._profiles
        rows = _shares(self._weights(history, users))
        features = rounded(self._described(rows, profiles, users))
        selves = np.full(len(users), -1, np.int32)
        return self._ranked(features, history.matrix()[users], users, selves, k)

    def nearest(self, user: int, k: int) -> tuple[Int32Array, Float64Array]:
        """The k users nearest to one, the nearest first, of equal ones the lower number.

        Returns:
            Users int32 and their distance, float64, both of shape (m,), m at most k.
        """
        one = np.array([user], np.int32)
        near, distances, sizes = self._known.find(self._known.rows[one], one, k)
        order = np.lexsort((near[0, : sizes[0]], distances[0, : sizes[0]]))
        return near[0, order], distances[0, order].astype(np.float64)

    def _ranked(
        self, features: csr_matrix, seen: csr_matrix, users: Int32Array, selves: Int32Array, k: int
    ) -> Recommendations:
        items = np.full((len(users), k), NO_ITEM, np.int32)
        scores = np.full((len(users), k), np.nan, np.float32)
        # A history may weigh nothing: with tf-idf, of items that all users play.
        described = np.flatnonzero(np.diff(features.indptr) + np.diff(seen.indptr))

        def rank(part: npt.NDArray[np.intp]) -> None:
            votes, theirs = self._votes(features[part], selves[part]), seen[part]
            for at in _blocks(np.arange(len(part)), self._seen.shape[1]):
                items[part[at]], scores[part[at]] = self._best(votes[at], theirs[at], k)

        in_threads(rank, self._parts(described))
        return Recommendations(users.astype(np.int32), items, scores)

    def _parts(self, users: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
        """Users of a thread at a time: no more than `ROWS`, and all threads have some."""
        most = max(1, min(ROWS, CELLS // (4 * self._config.neighbours)))
        cores = os.cpu_count() or 1
        n = max(-(-len(users) // most), min(cores, len(users)))
        return np.array_split(users, n) if n else []

    def _best(self, votes: csr_matrix, seen: csr_matrix, k: int) -> Block:
        """The items with the highest sums of votes, without those that are seen."""
        from recsys.kernels.neighbours import best_rows

        m, n_items = seen.shape
        columns, sums = np.zeros((m, k), np.int32), np.full((m, k), -np.inf)
        sizes = np.empty(m, np.int64)
        cells = votes.astype(np.float64)
        left, right = ((each.indptr, each.indices, each.data) for each in (cells, self._rows))
        best_rows(left, right, (seen.indptr, seen.indices), n_items, columns, sums, sizes)
        order = np.argsort(-sums, axis=1, kind="stable")
        items, scores = (np.take_along_axis(each, order, 1) for each in (columns, sums))
        scores = scores.astype(np.float32)
        if len(short := np.flatnonzero(sizes < k)):  # items without a vote are shown last
            table, met = (votes[short] @ self._rows).toarray(), seen[short]
            table[np.repeat(np.arange(len(short)), np.diff(met.indptr)), met.indices] = -np.inf
            items[short], scores[short] = best(table, k)
        return items, scores

    def _votes(self, features: csr_matrix, selves: Int32Array) -> csr_matrix:
        """The vote of each neighbour, float32 CSR, shape (m, n_users).

        A user is no neighbour of itself, which is its number in `selves`, -1 for an unknown one.
        """
        neighbours, distances, sizes = self._known.find(features, selves, self._config.neighbours)
        chosen = np.arange(neighbours.shape[1]) < sizes[:, None]
        distances = np.where(chosen, distances, 0)
        farthest = distances.max(axis=1, initial=0, keepdims=True)
        nearest = np.where(chosen, distances, np.inf).min(axis=1, initial=np.inf, keepdims=True)
        equal = farthest - nearest <= ALIKE * farthest
        votes = np.where(equal, 1, 1 - distances / np.where(farthest > 0, farthest, 1))
        indptr = np.append(0, np.cumsum(chosen.sum(axis=1)))
        shape = (len(selves), self._rows.shape[0])
        return csr_matrix(
            (votes[chosen].astype(np.float32), neighbours[chosen], indptr), shape=shape
        )

    def _learn_profiles(self) -> None:
        their = self._profiles
        self._genders = known(None if their is None else their.gender)
        self._countries = known(None if their is None else their.country)
        ages = np.zeros(0) if their is None else their.age[~np.isnan(their.age)]
        self._mean_age = float(ages.mean()) if len(ages) else 0.0

    def _described(
        self, rows: csr_matrix, profiles: Profiles | None, users: Int32Array | None
    ) -> csr_matrix:
        """All features of users, float64 CSR."""
        config = self._config
        parts = [config.plays_weight * rows]
        if profiles is not None:
            at = np.arange(len(profiles)) if users is None else users
            age = (np.nan_to_num(profiles.age[at], nan=self._mean_age) - self._mean_age) / OLDEST
            parts.append(config.age_weight * csr_matrix(age[:, None]))
            gender = numbered(profiles.gender, self._genders)[at]
            country = numbered(profiles.country, self._countries)[at]
            parts.append(config.gender_weight * one_hot(gender, len(self._genders)))
            parts.append(config.country_weight * one_hot(country, len(self._countries)))
        else:
            extra = 1 + len(self._genders) + len(self._countries)
            parts.append(csr_matrix((rows.shape[0], extra)))
        return csr_matrix(hstack(parts, format="csr", dtype=np.float64))


CONFIG = UserKnnConfig


def create(config: UserKnnConfig, seed: int, profiles: Profiles | None = None) -> UserKnn:
    """The untrained model."""
    return UserKnn(config, profiles)


def _shares(rows: csr_matrix) -> csr_matrix:
    """Rows scaled to a sum of 1, float64 CSR; rows of zeros are left empty."""
    rows = csr_matrix(rows, dtype=np.float64, copy=True)
    rows.eliminate_zeros()
    sums = np.asarray(rows.sum(axis=1)).ravel()
    return csr_matrix(diags_array(1 / np.where(sums > 0, sums, 1)) @ rows)


def _blocks(at: npt.NDArray[np.intp], width: int) -> Iterator[npt.NDArray[np.intp]]:
    size = max(1, CELLS // max(width, 1))
    return (at[start : start + size] for start in range(0, len(at), size))
