"""f(r): from play counts to weights.

Confidence is c = 1 + alpha * f(r) with preference 1; unobserved pairs have c = 1
(Hu, Koren and Volinsky 2008, section 2.2 and their log variant in section 6).
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import PositiveFloat
from scipy.sparse import csr_matrix

from recsys.data.interactions import Interactions
from recsys.dtypes import Float64Array
from recsys.errors import InputError
from recsys.models.config import ModelConfig, Share

Weighting = Literal["linear", "log", "share", "bm25", "tfidf", "binary"]

DAY = 86_400  # seconds
LEAST = 1e-6  # of a play, however old


class WeightedConfig(ModelConfig):
    """The parameters of a model that weighs plays."""

    weighting: Weighting = "share"
    epsilon: PositiveFloat = 1.0
    """log: f(r) = log(1 + r / epsilon)."""
    power: PositiveFloat = 0.9
    """share: f(r) = (r / the user's mean plays) ^ power."""
    k1: PositiveFloat = 100.0
    """bm25: how late the plays saturate."""
    b: Share = 0.8
    """bm25: how much the length of a user's history counts."""
    half_life: PositiveFloat | None = None
    """Days after which a play counts half; None: all count the same. Needs times."""


def _times(cells: Interactions) -> npt.NDArray[np.int64]:
    if cells.last is None:
        raise InputError("half_life needs plays with times; this data has none: leave it out")
    return cells.last


def latest(cells: Interactions) -> int:
    """The last time of all cells.

    Raises:
        InputError: they have no times.
    """
    return int(_times(cells).max(initial=0))


def decay(cells: Interactions, half_life: float, now: int) -> Float64Array:
    """2^-(age / half_life) of each cell, from LEAST to 1, float64, shape (n,).

    Args:
        cells: With times.
        half_life: Days.
        now: When the age of a cell is 0; later cells have none either.
    """
    age = np.maximum(now - _times(cells), 0) / DAY
    # An old play may decay to 0, but its cell must stay a cell.
    return np.asarray(np.maximum(np.exp2(-age / half_life), LEAST))


class Weights:
    """f fitted on a training matrix, which weighs a history that is folded in later alike.

    The number of users of an item and the mean length of histories are learned from the training
    matrix; the length of a history is its own. Users without a cell in the training matrix, such
    as those that are held out whole, do not count as users.
    """

    def __init__(self, config: WeightedConfig, cells: Interactions) -> None:
        """Learn the item statistics of the training data.

        Raises:
            InputError: there is a half-life and the data has no times.
        """
        self._config = config
        self._now = latest(cells) if config.half_life is not None else 0
        train = self._decayed(cells)
        n_users = max(int(np.count_nonzero(np.diff(train.indptr))), 1)
        users_per_item = np.bincount(train.indices, minlength=train.shape[1])
        self._idf = np.log(n_users / np.maximum(users_per_item, 1))
        self._mean_length = float(train.sum()) / n_users

    def __call__(
        self, cells: Interactions, users: npt.NDArray[np.int32] | None = None
    ) -> csr_matrix:
        """f(r) for every cell, float32 CSR, shape (n_users, n_items), or (len(users), n_items).

        Where there is a half-life, r is the plays times 2^-(age / half-life) first; the age of a
        cell is counted from its last play to the last play of the training data.

        linear   r
        binary   1
        log      log(1 + r / epsilon)
        share    (r / mean plays of the user over the items they play) ^ power
        tfidf    sqrt(r) * idf, idf = log(users / users of the item), as Salton & Buckley 1988;
                 users are those with a cell in training
        bm25     r (k1 + 1) / (r + k1 (1 - b + b * length / mean length)) * idf, Robertson &
                 Walker 1994; a user is the document, length is the sum of their plays,
                 mean length that of the users with a cell in training
        """
        plays = self._decayed(cells)
        if users is not None:
            plays = plays[users]
        r = plays.data.astype(np.float64)
        sizes = np.diff(plays.indptr)
        return csr_matrix(
            (self._weigh(r, plays, sizes).astype(np.float32), plays.indices, plays.indptr),
            shape=plays.shape,
        )

    def _decayed(self, cells: Interactions) -> csr_matrix:
        half_life = self._config.half_life
        plays = cells.matrix()
        if half_life is not None:
            kept = decay(cells, half_life, self._now)
            plays.data = (cells.plays * kept).astype(np.float32)
        return plays

    def _weigh(
        self, r: Float64Array, plays: csr_matrix, sizes: npt.NDArray[np.int32]
    ) -> Float64Array:
        config = self._config
        match config.weighting:
            case "linear":
                return r
            case "binary":
                return np.ones_like(r)
            case "log":
                return np.asarray(np.log1p(r / config.epsilon))
            case "share":
                means = self._lengths(plays) / np.maximum(sizes, 1)
                return np.asarray((r / np.repeat(means, sizes)) ** config.power)
            case "tfidf":
                return np.asarray(np.sqrt(r) * self._idf[plays.indices])
            case "bm25":
                relative = np.repeat(self._lengths(plays) / self._mean_length, sizes)
                saturation = config.k1 * (1 - config.b + config.b * relative)
                gain = r * (config.k1 + 1) / (r + saturation)
                return np.asarray(gain * self._idf[plays.indices])

    @staticmethod
    def _lengths(plays: csr_matrix) -> Float64Array:
        """Sum of the plays of each user, float64, shape (n_users,)."""
        return np.asarray(plays.sum(axis=1, dtype=np.float64)).ravel()
