"""Ways to draw the users that are held out, and the part of their items that is judged."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.dtypes import BoolArray, Int8Array, Int64Array

TRAIN, VALIDATION, TEST = 0, 1, 2
LIANG_SEED = 98_765


@dataclass(frozen=True, slots=True)
class UserDraw:
    """A way to draw whole users, and the part of their items that is held out.

    Attributes:
        users: From all users and the numbers for validation and for test to the side of each
            user, int8, shape (n_users,).
        items: From all cells, the side of each user, the share and the smallest number of items of
            a judged user to the mask of held-out cells, bool, shape (n,); what it says of cells of
            training users does not count.
    """

    users: Callable[[IdMap, int, int], Int8Array]
    items: Callable[[Interactions, Int8Array, float, int], BoolArray]


def in_order(ids: IdMap) -> Int64Array:
    """Positions of ids in rising order: as numbers where all are whole numbers, else as texts."""
    texts = ids.ids.to_pylist()
    if not all(text.isascii() and text.isdigit() for text in texts):
        return np.arange(len(texts))
    return np.asarray(sorted(range(len(texts)), key=lambda n: int(texts[n])), dtype=np.int64)


def _users_of_liang(users: IdMap, n_validation: int, n_test: int) -> Int8Array:
    order = in_order(users)[np.random.RandomState(LIANG_SEED).permutation(len(users))]
    n_train = len(users) - n_validation - n_test
    side = np.full(len(users), TRAIN, dtype=np.int8)
    side[order[n_train : n_train + n_validation]] = VALIDATION
    side[order[n_train + n_validation :]] = TEST
    return side


def _items_of_liang(data: Interactions, side: Int8Array, share: float, min_items: int) -> BoolArray:
    hidden = np.zeros(len(data), dtype=np.bool_)
    place = np.argsort(in_order(data.items))  # of each item
    starts = np.searchsorted(data.rows, np.arange(len(data.users) + 1))
    users = in_order(data.users)
    for judged in (VALIDATION, TEST):  # each begins with the seed anew
        random = np.random.RandomState(LIANG_SEED)
        for user in users[side[users] == judged].tolist():
            cells = np.arange(starts[user], starts[user + 1])
            if len(cells) >= min_items:
                cells = cells[np.argsort(place[data.cols[cells]])]
                hidden[cells[_chosen(random, len(cells), share)]] = True
    return hidden


def _chosen(random: np.random.RandomState, n: int, share: float) -> npt.NDArray[np.int64]:
    return np.asarray(random.choice(n, int(share * n + 1e-9), replace=False), dtype=np.int64)


LIANG_2018 = UserDraw(_users_of_liang, _items_of_liang)
"""As the code of Liang et al. 2018 draws them with its seed, from files ordered by user and item:
numpy's legacy generator, one permutation of the users, one choice for each judged user."""
