"""What a model that trains step by step shares with its observers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from recsys.models.als import Als

Factors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Iteration:
    """Where the training stands after one sweep over users and items.

    Attributes:
        number: 1 for the first.
        seconds: Of this sweep.
        loss: Weighted squared error with regularization over all pairs, divided by the sum of
            the confidences, as implicit computes it; with lambda of each row where nu is not 0.
        model: The model with the factors as they are now; do not keep it.
    """

    number: int
    seconds: float
    loss: float
    model: "Als"


OnIteration = Callable[[Iteration], None]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where a training stood, so that another can go on from there.

    Attributes:
        iteration: How many iterations it had.
        user_factors: float32, shape (n_users, factors).
        item_factors: float32, shape (n_items, factors).
    """

    iteration: int
    user_factors: Factors
    item_factors: Factors


class StopTraining(Exception):
    """Raised by whoever is told of an iteration: the model is used as it is now."""
