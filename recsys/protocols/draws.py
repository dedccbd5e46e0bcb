"""Draws of held-out cells that published comparisons make."""

import numpy as np
import numpy.typing as npt

from recsys.data.interactions import Interactions
from recsys.dtypes import BoolArray, Int64Array
from recsys.errors import InputError
from recsys.splitting.split import ranks_within

LEAST = 2  # items that a drawn user gives up


def of_each_item(
    items: npt.NDArray[np.int32], keys: npt.NDArray[np.float64], ratio: float
) -> BoolArray:
    """Which ratings are held out when each item keeps round(ratio * n) of its n.

    Half is rounded to even: with a ratio of 0.75 an item with one or two ratings keeps them all.

    Args:
        items: Item number of each rating, shape (n,).
        keys: The ratings of an item with the lowest stay; shape (n,).
        ratio: Share that stays.

    Returns:
        bool, shape (n,).
    """
    kept = np.rint(ratio * np.bincount(items))
    return np.asarray(ranks_within(items, keys) >= kept[items])


def n_able(cells: Interactions, share: float) -> int:
    """How many users `of_drawn_users` can draw."""
    return int(np.count_nonzero(_given(cells, share) >= LEAST))


def _given(cells: Interactions, share: float) -> Int64Array:
    """How many items each user would lose, int64, shape (n_users,)."""
    given: Int64Array = np.floor(share * cells.per_user() + 0.5).astype(np.int64)
    return given


def of_drawn_users(cells: Interactions, n_users: int, share: float, seed: int) -> BoolArray:
    """Which cells are held out when users drawn at random lose a share of their items.

    A user with n items gives round(share * n), half rounded up, and can be drawn if that is at
    least 2.

    Args:
        cells: All.
        n_users: Users that are drawn.
        share: What each of them loses.
        seed: Of the draw of users and of their items.

    Returns:
        bool, shape (len(cells),).

    Raises:
        InputError: fewer users have so many.
    """
    given = _given(cells, share)
    able = np.flatnonzero(given >= LEAST)
    if len(able) < n_users:
        raise InputError(
            f"{n_users:,} users are to lose two items or more, and {len(able):,} users have enough "
            "for that; give the whole data"
        )
    rng = np.random.default_rng(seed)
    chosen = rng.choice(able, n_users, replace=False)
    given[np.setdiff1d(np.arange(len(given)), chosen)] = 0
    keys = rng.random(len(cells), dtype=np.float32)
    return np.asarray(ranks_within(cells.rows, keys) < given[cells.rows])
