"""What everybody listens to. The baseline every other model must beat."""

from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.config import PopularityConfig
from recsys.interactions import Interactions
from recsys.recommend import NO_ITEM, Recommendations, padded


class Popularity:
    """Rank artists by the plays or the distinct listeners they have in training.

    Ties go to the lower item number. Artists nobody has in training are ranked last, with a
    score of 0: the catalogue is never cut.
    """

    _train: csr_matrix
    _scores: npt.NDArray[np.float32]
    _order: npt.NDArray[np.int32]

    def __init__(self, config: PopularityConfig) -> None:
        self._config = config

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
        self._scores = counts.astype(np.float32)
        return self

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """The k most popular items each user has not met in training."""
        return self._ranked(self._train[users], users, k)

    def fold_in(
        self, history: Interactions, users: npt.NDArray[np.int32], k: int
    ) -> Recommendations:
        """The k most popular items that are not in each user's history."""
        return self._ranked(history.matrix()[users], users, k)

    def _ranked(self, seen: csr_matrix, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """Walk down one common ranking, just far enough for the user who has heard the most."""
        longest = int(np.diff(seen.indptr).max(initial=0))
        top = self._order[: k + longest]
        place = np.full(seen.shape[1], -1, dtype=np.int64)
        place[top] = np.arange(len(top))
        open_ = np.ones((len(users), len(top)), dtype=np.bool_)
        rows = np.repeat(np.arange(len(users)), np.diff(seen.indptr))
        near = place[seen.indices] >= 0
        open_[rows[near], place[seen.indices[near]]] = False
        first = np.argsort(~open_, axis=1, kind="stable")[:, :k]
        shown = np.take_along_axis(open_, first, axis=1)
        items = np.where(shown, top[first], NO_ITEM)
        scores = np.where(shown, self._scores[top[first]], np.float32(np.nan))
        return padded(users, items, scores, k)
