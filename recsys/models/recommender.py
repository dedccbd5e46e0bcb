"""The recommendations of a model, and the protocols of models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.models.arrays import ModelArrays, StoredArrays

NO_ITEM = -1


@dataclass(frozen=True, slots=True, eq=False)
class Recommendations:
    """Ranked items, best first, for some users.

    Attributes:
        users: User numbers, int32, shape (m,).
        items: Item numbers, int32, shape (m, k); rows shorter than k end in NO_ITEM.
        scores: Model scores, float32, shape (m, k); NaN where items is NO_ITEM.
    """

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.items.shape != self.scores.shape or len(self.items) != len(self.users):
            raise ValueError(
                f"users {self.users.shape}, items {self.items.shape} and "
                f"scores {self.scores.shape} do not fit"
            )

    @classmethod
    def stack(cls, parts: Sequence[Self]) -> Self:
        """The users of all parts, in order; all parts must have the same k."""
        return cls(
            np.concatenate([part.users for part in parts]),
            np.concatenate([part.items for part in parts]),
            np.concatenate([part.scores for part in parts]),
        )


class Recommender(Protocol):
    """A model that learns from interactions and ranks items."""

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`; calling again forgets the first fit."""

    def arrays(self) -> ModelArrays:
        """The arrays that `restore` needs; none where fitting again is no training."""

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        """The model as `fit(train)` left it, bit for bit, without training.

        Args:
            train: The interactions that it was fitted on.
            stored: Its `arrays`, saved.

        Raises:
            InputError: an array is missing or damaged; the message names its file.
        """

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """The k best items for each of `users` (int32, shape (m,)), without known ones."""

    def fold_in(
        self,
        history: Interactions,
        users: npt.NDArray[np.int32],
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """The k best items for users the model was not fitted on, without those of their `history`.

        The model does not change. A user with neither a history nor a profile that the model uses
        gets no items, or those that are popular.

        Args:
            history: Of `users`, over the item map of the training data. Its users may be others
                than those of the training.
            users: Row numbers of `history`.
            k: Length of the lists.
            profiles: Of the users of `history`, aligned with them. Without, those of the training
                where `history` is over its users, else nothing is known.
        """


@runtime_checkable
class Scoring(Protocol):
    """A model that scores every item, also those of the history."""

    def score(
        self, history: Interactions, user: int, profiles: Profiles | None = None
    ) -> npt.NDArray[np.float32]:
        """Scores by which `fold_in` ranks, float32, shape (n_items,); -inf for no score.

        Args:
            history: Over the item map of the training data.
            user: Row number of `history`.
            profiles: As in `fold_in`.
        """


@runtime_checkable
class Relating(Protocol):
    """A model that knows which items are similar."""

    def similar(self, item: int, k: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """The items most similar to `item`, best first, without itself.

        Returns:
            Items int32 and their similarity, float32, both of shape (m,), m at most k.
        """


@runtime_checkable
class RelatingMany(Protocol):
    """A model that relates many items faster together than one by one."""

    def similar_many(
        self, items: npt.NDArray[np.int32], k: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """As `Relating.similar` of each of `items`.

        Returns:
            Items int32 and their similarity, float32, both of shape (m, k); NO_ITEM and NaN
            past the end of a list.
        """


@runtime_checkable
class RelatingUsers(Protocol):
    """A model that knows which users of the training are near to each other."""

    def nearest(self, user: int, k: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """The users nearest to `user`, the nearest first, without itself.

        Returns:
            Users int32 and their distance, float64, both of shape (m,), m at most k.
        """


@runtime_checkable
class Explaining(Protocol):
    """A model whose scores are sums over the history."""

    def contributions(self, history: Interactions, user: int, item: int) -> npt.NDArray[np.float64]:
        """The share of each cell of the history in the score of `item`, float64, shape (n,).

        Args:
            history: Over the item map of the training data.
            user: Row number of `history`, with n cells; the result is in their order.
            item: Number of the item.
        """


def padded(
    users: npt.NDArray[np.int32],
    items: npt.NDArray[np.integer[Any]],
    scores: npt.NDArray[np.floating[Any]],
    k: int,
) -> Recommendations:
    """Widen ranked blocks of shape (m, <= k) to exactly k columns of NO_ITEM and NaN."""
    width = ((0, 0), (0, k - items.shape[1]))
    return Recommendations(
        users.astype(np.int32),
        np.pad(items.astype(np.int32), width, constant_values=NO_ITEM),
        np.pad(scores.astype(np.float32), width, constant_values=np.nan),
    )
