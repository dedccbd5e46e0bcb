"""Items in a random order for each user: what luck alone reaches."""

from hashlib import blake2b
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Float32Array
from recsys.kernels.pool import in_threads
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import ModelConfig
from recsys.models.recommender import Recommendations
from recsys.models.top_k import best

SCORES = 1 << 20  # of a block of users, 4 MiB of float32
BITS = 24  # of a score, which float32 holds exactly


class RandomConfig(ModelConfig):
    """No parameters.

    It is no baseline: every experiment would draw a score for each user and item, to judge what
    every model beats. `recsys compare` measures it once.
    """

    knows_profiles: ClassVar[bool] = True  # it needs to know nothing

    kind: Literal["random"] = "random"


class Random:
    """Rank all items at random, for each user in another order.

    The order follows from the seed and the external ids of user and item alone. So a user has the
    same list in any company, in a history and in the training, and another item moves no others.
    """

    _train: Interactions
    _items: npt.NDArray[np.uint64]

    def __init__(self, seed: int) -> None:
        """An untrained model.

        Args:
            seed: Of the orders.
        """
        self._seed = seed

    def fit(self, train: Interactions) -> Self:
        """Take the items; nothing is learned."""
        self._train = train
        self._items = hashes(train.items, np.arange(len(train.items), dtype=np.int32), self._seed)
        return self

    def arrays(self) -> ModelArrays:
        """No arrays: there is no training."""
        return {}

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        """Take the items."""
        return self.fit(train)

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """K items drawn for each user, without those of the training."""
        return self.fold_in(self._train, users, k)

    def fold_in(
        self,
        history: Interactions,
        users: npt.NDArray[np.int32],
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """K items drawn for each user, without those of the history."""
        keys = hashes(history.users, users, self._seed)
        seen = history.matrix()[users]
        size = max(1, SCORES // max(len(self._items), 1))

        def ranked(start: int) -> Recommendations:
            part = slice(start, start + size)
            scores = without(drawn(keys[part], self._items), seen[part])
            return Recommendations(users[part].astype(np.int32), *best(scores, k))

        parts = in_threads(ranked, range(0, max(len(users), 1), size))
        return Recommendations.stack(parts)

    def score(
        self, history: Interactions, user: int, profiles: Profiles | None = None
    ) -> Float32Array:
        """What the items of a user are ranked by, float32, 0 to 1, shape (n_items,)."""
        key = hashes(history.users, np.array([user], np.int32), self._seed)
        return np.asarray(drawn(key, self._items)[0])


CONFIG = RandomConfig


def create(config: RandomConfig, seed: int, profiles: Profiles | None = None) -> Random:
    """The untrained model."""
    return Random(seed)


def hashes(ids: IdMap, numbers: npt.NDArray[np.int32], seed: int) -> npt.NDArray[np.uint64]:
    """64 bits for each of some ids, uint64, shape (len(numbers),)."""
    key = seed.to_bytes(8, "little")
    texts = ids.ids.take(numbers).to_pylist()
    digests = b"".join(blake2b(text.encode(), digest_size=8, key=key).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8")


def drawn(users: npt.NDArray[np.uint64], items: npt.NDArray[np.uint64]) -> Float32Array:
    """A number from 0 to below 1 for each pair, float32, shape (len(users), len(items)).

    The finalizer of SplitMix64 (Steele, Lea and Flood 2014) on the exclusive or of both.
    """
    mixed = users[:, None] ^ items
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(64 - BITS)).astype(np.float32) / np.float32(1 << BITS)


def without(scores: Float32Array, seen: csr_matrix) -> Float32Array:
    """The scores, in their place, -inf for the items of the histories."""
    scores[np.repeat(np.arange(len(scores)), np.diff(seen.indptr)), seen.indices] = -np.inf
    return scores
