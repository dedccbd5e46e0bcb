"""The split that holds whole users out and folds them in."""

from dataclasses import replace

import numpy as np

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.dtypes import BoolArray, Int8Array
from recsys.splitting.drawing import TEST, TRAIN, VALIDATION, UserDraw
from recsys.splitting.split import Fold, Split, drawn


def user_split(
    data: Interactions,
    sizes: tuple[float, float],
    history: float,
    seeds: tuple[int, int],
    min_items: int = 2,
    known_items: bool = False,
    refit: bool = True,
    draw: UserDraw | None = None,
) -> Split:
    """Whole users are held out; each is judged by fold-in from a part of their items.

        train users       all items                    fit
        validation users  80 % known, 20 % held out    tuning
        test users        80 % known, 20 % held out    once; fit on train + validation users

    Args:
        data: All cells.
        sizes: How many users go to validation and to test; below 1 a share, at least one user.
        history: Share of a judged user's items that is known.
        seeds: Of the draw of users and of the draw of items.
        min_items: Users with fewer are not judged.
        known_items: Whether items that no training user has go, before items are drawn.
        refit: Whether the model of the test learns from the validation users, too.
        draw: Of users and of items; by the seeds where there is none.
    """
    draw = draw or _seeded(*seeds)
    side = draw.users(data.users, *_numbers_of_users(len(data.users), sizes))
    if known_items:
        data = _without_items(data, data.where(side[data.rows] == TRAIN).per_item() > 0)
    hidden = draw.items(data, side, 1 - history, min_items)
    of = side[data.rows]
    learned = [data.where(of == TRAIN)]
    learned.append(data.where(of != TEST) if refit else learned[0])
    folds = [
        Fold(train, data.where((of == n) & ~hidden), data.where((of == n) & hidden))
        for n, train in zip((VALIDATION, TEST), learned, strict=True)
    ]
    method = f"whole users, folded in from {history:.0%} of their items"
    return Split(folds[0], folds[1], method)


def _numbers_of_users(n_users: int, sizes: tuple[float, float]) -> tuple[int, int]:
    """How many users go to validation and to test."""
    n_validation, n_test = (
        int(size) if size >= 1 else max(1, round(size * n_users)) for size in sizes
    )
    if n_validation + n_test >= n_users:
        raise ValueError(
            f"{n_validation:,} + {n_test:,} of {n_users:,} users are to be held out, so nothing "
            f"is left to train on"
        )
    return n_validation, n_test


def _seeded(of_users: int, of_items: int) -> UserDraw:
    """By two seeds."""

    def users(ids: IdMap, n_validation: int, n_test: int) -> Int8Array:
        order = np.random.default_rng(of_users).permutation(len(ids))
        side = np.full(len(ids), TRAIN, dtype=np.int8)
        side[order[:n_test]] = TEST
        side[order[n_test : n_test + n_validation]] = VALIDATION
        return side

    return UserDraw(users, lambda data, _, share, least: drawn(data, share, least, of_items))


def _without_items(data: Interactions, keep: BoolArray) -> Interactions:
    """The cells of some items, over an id map of these; `keep` is of shape (n_items,)."""
    kept = data.where(keep[data.cols])
    cols = (np.cumsum(keep, dtype=np.int32) - 1)[kept.cols]
    return replace(kept, items=data.items.where(keep), cols=cols)
