"""Splits that hold out what is new: users without plays, and items with few users."""

import numpy as np

from recsys.data.interactions import Interactions
from recsys.dtypes import Int8Array
from recsys.splitting.split import Fold, Split, ranks_within

_TEST, _VALIDATION = 2, 1


def cold_user_split(data: Interactions, shares: tuple[float, float], seed: int) -> Split:
    """Whole users are held out, and nothing of their plays is known: only their profiles are.

        train users       all items                                   fit
        validation users  profile known, all items held out           tuning
        test users        profile known, all items held out           once; fit on all others

    Args:
        data: All cells.
        shares: Share of the users for validation and for test; at least one user each.
        seed: Of the draw of users.
    """
    side = _sides(len(data.users), shares, seed)[data.rows]
    nothing = data.where(np.zeros(len(data), np.bool_))
    validation, test = (
        Fold(data.where(side < n), nothing, data.where(side == n)) for n in (_VALIDATION, _TEST)
    )
    return Split(validation, test, "whole users, known by their profiles alone")


def cold_item_split(
    data: Interactions, shares: tuple[float, float], known: int, seeds: tuple[int, int]
) -> Split:
    """Items that few users are known to play: their other users are held out.

        warm items         all users                                   fit
        validation items   `known` users in training, others held out  tuning
        test items         `known` users in training, others held out  once; fit on all others

    Users who have nothing else are not judged. Items with `known` users or fewer keep all of them.

    Args:
        data: All cells.
        shares: Share of the items for validation and for test; at least one item each.
        known: Users of a held-out item that stay in training, drawn at random.
        seeds: Of the draw of items and of the draw of their users.
    """
    side = _sides(len(data.items), shares, seeds[0])[data.cols]
    keys = np.random.default_rng(seeds[1]).random(len(data))
    stays = ranks_within(data.cols, keys) < known
    refit = data.where((side < _TEST) | stays)
    train = data.where((side == 0) | stays)
    validation = Fold(train, train, _of_users(data.where((side == _VALIDATION) & ~stays), train))
    test = Fold(refit, refit, _of_users(data.where((side == _TEST) & ~stays), refit))
    return Split(validation, test, f"items of which {known} users are known")


def _sides(n: int, shares: tuple[float, float], seed: int) -> Int8Array:
    """The side of each of n users or items, int8: 0 for training."""
    n_validation, n_test = (max(1, round(share * n)) for share in shares)
    order = np.random.default_rng(seed).permutation(n)
    side = np.zeros(n, dtype=np.int8)
    side[order[:n_test]] = _TEST
    side[order[n_test : n_test + n_validation]] = _VALIDATION
    return side


def _of_users(held_out: Interactions, train: Interactions) -> Interactions:
    """The cells of users who are in training, too."""
    return held_out.where(train.per_user()[held_out.rows] > 0)
