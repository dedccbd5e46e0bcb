"""What a model returns, and what a model is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from recsys.interactions import Interactions
from recsys.profiles import Profiles

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
    """Anything that learns from interactions and ranks items."""

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`; calling again forgets the first fit."""

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """The k best items for each of `users` (int32, shape (m,)), none met in training."""

    def fold_in(
        self,
        history: Interactions,
        users: npt.NDArray[np.int32],
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """The k best items for users the model was not fitted on, none in their `history`.

        Nothing learned changes. A user with neither a history nor a profile that the model can
        use gets no items, or those that are good for anybody.

        Args:
            history: Of `users`, over the item map of the training data. Its users may be others
                than those of the training.
            users: Row numbers of `history`.
            k: Length of the lists.
            profiles: Of the users of `history`, aligned with them. Without, those of the training
                where `history` is over its users, else nothing is known.
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
