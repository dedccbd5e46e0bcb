"""The lists of a model for all users and all items, in blocks, to be published.

A block is a table of pyarrow with a row per entry, best first, the entries of one subject
together:

    subject, subject_name    whose list it is: a user or an item; string
    key                      to look it up: id of the user, name of the item casefolded; string
    cells                    items of the user, users of the item; int64
    rank                     from 1; int32
    item_id, name            of the entry; string
    score                    by the model; float64, values of float32

An empty list is one row of rank 0 and nulls, so every subject is there. Blocks rise in `key`; of
items of one name the one with most users comes first.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.dtypes import Float32Array, Int32Array
from recsys.models.recommender import NO_ITEM, Recommendations, Relating, RelatingMany, Scoring
from recsys.progress import Progress, silent
from recsys.serving.answers import Served

ListKind = Literal["user", "item"]
ArrowTable = Any  # pyarrow ships no types

SUBJECTS = 1024  # lists in a block


def relates(served: Served) -> bool:
    """Whether the model says which items are similar."""
    return isinstance(served.model, Relating)


def lists(
    served: Served, k: int, progress: Progress = silent, size: int = SUBJECTS
) -> Iterator[tuple[ListKind, ArrowTable]]:
    """Blocks of all users, then of all items where the model relates them.

    Args:
        served: The model.
        k: Longest list, at least 1; no list is longer than the catalogue.
        progress: Called after each block.
        size: Lists of a block.

    Raises:
        ValueError: the model recommends an item that the user has already.
    """
    n_users, n_items = served.cells.shape
    k = min(k, n_items)  # a block has room for k
    for start in range(0, n_users, size):
        yield "user", _of_users(served, start, min(start + size, n_users), k)
        progress("publishing lists of users", min(start + size, n_users), n_users)
    if not relates(served):
        return
    folded = [name.casefold() for name in served.cells.items.names.to_pylist()]
    order = sorted(
        range(n_items), key=lambda item: (folded[item], -served.users_per_item[item], item)
    )
    for start in range(0, n_items, size):
        items = np.array(order[start : start + size], dtype=np.int32)
        yield "item", _of_items(served, items, [folded[item] for item in items], k)
        progress("publishing similar items", min(start + size, n_items), n_items)


def _of_users(served: Served, start: int, stop: int, k: int) -> ArrowTable:
    users = np.arange(start, stop, dtype=np.int32)
    cells, ids = served.cells, served.cells.users
    if isinstance(served.model, Scoring):  # from their history, as `recsys.serving.answers` does
        recs = served.model.fold_in(cells, users, k, served.profiles)
    else:
        recs = served.model.recommend(users, k)
    _check_new(served, recs)
    block = ids.ids[start:stop]
    subjects = {"subject": block, "subject_name": ids.names[start:stop], "key": block}
    bounds = np.searchsorted(cells.rows, np.arange(start, stop + 1))
    return _table(served, {**subjects, "cells": pa.array(np.diff(bounds))}, recs.items, recs.scores)


def _check_new(served: Served, recs: Recommendations) -> None:
    n_items = len(served.cells.items)
    shown = recs.items != NO_ITEM
    pairs = (recs.users.astype(np.int64)[:, None] * n_items + recs.items)[shown]
    known = np.isin(pairs, served.cells.keys[slice(*_span(served.cells.keys, pairs))])
    if known.any():
        user, item = divmod(int(pairs[known][0]), n_items)
        raise ValueError(
            f"the model recommends item {served.cells.items.id(item)!r} to user "
            f"{served.cells.users.id(user)!r}, who has it already; nothing is published"
        )


def _span(keys: npt.NDArray[np.int64], pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Range of the cells of a block: no others can be among its pairs."""
    if not len(pairs):
        return np.zeros(2, dtype=np.int64)
    return np.searchsorted(keys, [pairs.min(), pairs.max() + 1])


def _of_items(served: Served, items: Int32Array, keys: list[str], k: int) -> ArrowTable:
    ids = served.cells.items
    near, scores = _related(served, items, k)
    at = pa.array(items)
    subjects = {"subject": ids.ids.take(at), "subject_name": ids.names.take(at)}
    more = {"key": pa.array(keys, pa.string()), "cells": pa.array(served.users_per_item[items])}
    return _table(served, subjects | more, near, scores)


def _related(served: Served, items: Int32Array, k: int) -> tuple[Int32Array, Float32Array]:
    """Similar items and scores of each, shape (m, k); NO_ITEM and NaN past the end of a list."""
    if isinstance(served.model, RelatingMany):
        return served.model.similar_many(items, k)
    assert isinstance(served.model, Relating)
    near = np.full((len(items), k), NO_ITEM, dtype=np.int32)
    scores = np.full((len(items), k), np.nan, dtype=np.float32)
    for row, item in enumerate(items.tolist()):
        similar, cosines = served.model.similar(item, k)
        near[row, : len(similar)], scores[row, : len(similar)] = similar, cosines
    return near, scores


def _table(
    served: Served, subjects: dict[str, Any], items: Int32Array, scores: Float32Array
) -> ArrowTable:
    ids = served.cells.items
    kept = items != NO_ITEM
    kept[~kept.any(axis=1), 0] = True
    rows, places = np.nonzero(kept)
    entries = items[rows, places]
    nothing = entries == NO_ITEM
    whose, which = pa.array(rows), pa.array(entries, mask=nothing)
    return pa.table(
        {
            **{name: column.take(whose) for name, column in subjects.items()},
            "rank": pa.array(np.where(nothing, 0, places + 1).astype(np.int32)),
            "item_id": ids.ids.take(which),
            "name": ids.names.take(which),
            "score": pa.array(scores[rows, places].astype(np.float64), mask=nothing),
        }
    )
