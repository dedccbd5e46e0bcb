"""Coordinate descent for many small problems of non-negative elastic nets.

Friedman, Hastie and Tibshirani 2010, with products between columns (their "covariance updates").
The products that a problem needs are made for it, from the cells of its few columns, and forgotten.
"""

from typing import Any

import numpy as np

from recsys.kernels.compiler import njit


@njit(nogil=True, cache=True, error_model="numpy")
def towards_targets(
    targets: Any, candidates: Any, sizes: Any, columns: Any, n_users: int, products: Any
) -> None:
    """Inner products of candidates with their target.

    Args:
        targets: Numbers of items, int32, shape (m,).
        candidates: Items of each item, int32, shape (n_items, width).
        sizes: How many of them are real, shape (n_items,).
        columns: Starts, users (both integers) and float32 weights of the items' cells.
        n_users: Number of users.
        products: Filled in the rows of the targets, float32, shape (n_items, width).
    """
    starts, users, weights = columns
    dense = np.zeros(n_users, np.float32)
    for target in targets:
        for at in range(starts[target], starts[target + 1]):
            dense[users[at]] = weights[at]
        for place in range(sizes[target]):
            item, total = candidates[target, place], np.float32(0)
            for at in range(starts[item], starts[item + 1]):
                total += weights[at] * dense[users[at]]
            products[target, place] = total
        for at in range(starts[target], starts[target + 1]):
            dense[users[at]] = 0


@njit(nogil=True, cache=True, error_model="numpy")
def products_among(items: Any, columns: Any, heads: Any, products: Any) -> None:
    """Inner products of the columns of some items.

    The cells of the columns are chained user by user; each user adds the products of their cells.

    Args:
        items: Numbers, int32, shape (m,).
        columns: As in `towards_targets`.
        heads: -1 for each user, int32, shape (n_users,); -1 again at the end.
        products: Filled, float32, shape (m, m).
    """
    starts, users, weights = columns
    n, m = 0, len(items)
    for item in items:
        n += starts[item + 1] - starts[item]
    following, places = np.empty(n, np.int32), np.empty(n, np.int32)
    values = np.empty(n, np.float32)
    products[:m, :m] = 0
    cell = 0
    for place in range(m):
        for at in range(starts[items[place]], starts[items[place] + 1]):
            user, value = users[at], weights[at]
            following[cell], places[cell], values[cell] = heads[user], place, value
            heads[user] = cell
            other = cell
            while other >= 0:
                products[place, places[other]] += value * values[other]
                other = following[other]
            cell += 1
    for item in items:
        for at in range(starts[item], starts[item + 1]):
            heads[users[at]] = -1
    for place in range(m):
        for other in range(place):
            products[other, place] = products[place, other]


@njit(nogil=True, cache=True, error_model="numpy")
def descend(products: Any, found: Any, left: Any, l1: Any, l2: Any, times: int, small: Any) -> bool:
    """Sweep over the coefficients of one problem, in place; whether they still move.

        b_i = max((r_i + g_ii b_i - l1) / (g_ii + l2), 0),    r = g_target - G b

    Args:
        products: G, float32, shape (m, m).
        found: The coefficients b, float32, shape (m,).
        left: Their residuals r, float32, shape (m,).
        l1: Penalty of the sum, float32.
        l2: Penalty of the squares, float32.
        times: How many sweeps at most.
        small: The sweeps end once no coefficient changes by more, float32.
    """
    m, largest = len(found), np.float32(np.inf)
    for _ in range(times):
        largest = np.float32(0)
        for i in range(m):
            square, before = products[i, i], found[i]
            best = max((left[i] + square * before - l1) / (square + l2), np.float32(0))
            change = best - before
            if change != 0:
                largest = max(largest, abs(change))
                found[i] = best
                for j in range(m):
                    left[j] -= change * products[i, j]
        if largest <= small:
            return False
    return m > 0


@njit(nogil=True, cache=True, error_model="numpy")
def descend_targets(
    targets: Any,
    problems: Any,
    columns: Any,
    n_users: int,
    penalties: Any,
    times: int,
    live: Any,
) -> None:
    """Sweep over the coefficients of some items.

    Args:
        targets: Numbers of items, int32, shape (m,).
        problems: Candidates, their number, coefficients and residuals, as in `towards_targets`
            and `descend`, of all items; the last two change in place.
        columns: As in `towards_targets`.
        n_users: Number of users.
        penalties: l1, l2, and the change that is small, float32.
        times: How many sweeps at most.
        live: Set for the targets: whether their coefficients still move, bool, shape (n_items,).
    """
    candidates, sizes, found, left = problems
    l1, l2, small = penalties
    heads = np.full(n_users, -1, np.int32)
    width = candidates.shape[1]
    space = np.empty((width, width), np.float32)
    for target in targets:
        m = sizes[target]
        products_among(candidates[target, :m], columns, heads, space)
        live[target] = descend(
            space[:m, :m], found[target, :m], left[target, :m], l1, l2, times, small
        )
