"""What everybody listens to. The baseline every other model must beat."""

from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.interactions import Interactions
from recsys.params import PopularityConfig
from recsys.profiles import Profiles
from recsys.recommend import NO_ITEM, Recommendations, padded


class Popularity:
    """Rank artists by the plays or the distinct listeners they have in training.

    Ties go to the lower item number. Artists nobody has in training are ranked last, with a
    score of 0: the catalogue is never cut.
    """

    _train: csr_matrix
    _scores: npt.NDArray[np.float32]
    _order: npt.NDArray[np.int32]
    _place: npt.NDArray[np.int64]

    def __init__(self, config: PopularityConfig, profiles: Profiles | None = None) -> None:
        """An untrained model.

        Args:
            config: What counts.
            profiles: Of the users of the training data, aligned with them.
        """
        self._config = config
        self._profiles = profiles

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Score of each item, float32, shape (n_items,)."""
        return self._scores

    def fit(self, train: Interactions) -> Self:
        """Count."""
        self._train = train.matrix()
        by_plays = self._config.kind == "popularity-plays"
        weights = train.plays if by_plays else None
        counts = np.bincount(train.cols, weights, minlength=len(train.items))
        self._order = np.argsort(-counts, kind="stable").astype(np.int32)
        self._place = np.argsort(self._order)
        self._scores = counts.astype(np.float32)
        return self

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """The k most popular items each user has not met in training."""
        return self._ranked(self._train[users], users, k)

    def fold_in(
        self,
        history: Interactions,
        users: npt.NDArray[np.int32],
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """The k most popular items that are not in each user's history."""
        return self._ranked(history.matrix()[users], users, k)

    def _ranked(self, seen: csr_matrix, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """Walk down one common ranking, past what each user has met.

        Of the places p0 < p1 < ... a user has met, p_i has p_i - i open places before it. So
        the j-th open place, from 0, is j plus the number of met places with p_i - i <= j.
        """
        sizes = np.diff(seen.indptr)
        rows = np.repeat(np.arange(len(users)), sizes)
        n_items = seen.shape[1]
        met = np.sort(rows * n_items + self._place[seen.indices]) - rows * n_items
        before = met - (np.arange(len(met)) - np.repeat(seen.indptr[:-1], sizes))
        near = before < k
        passed = np.bincount(rows[near] * k + before[near], minlength=len(users) * k)
        place = np.arange(k) + np.cumsum(passed.reshape(len(users), k), axis=1)
        shown = place < n_items
        item = self._order[np.minimum(place, n_items - 1)]
        items = np.where(shown, item, NO_ITEM)
        scores = np.where(shown, self._scores[item], np.float32(np.nan))
        return padded(users, items, scores, k)
