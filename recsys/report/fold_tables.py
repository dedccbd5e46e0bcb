"""The tables of a report that are counted from a fold, from lists and from factors."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.config import ExperimentConfig
from recsys.data.interactions import Interactions
from recsys.dtypes import BoolArray, Float64Array, Int64Array
from recsys.evaluation.groups import (
    UNKNOWN,
    GroupRow,
    ItemGroupRow,
    by_age,
    by_country,
    by_text,
    group_tables,
    hits_by_item_group,
    item_groups,
    ordered,
    recall_by_item_group,
    user_groups,
)
from recsys.evaluation.report import Report
from recsys.models.recommender import NO_ITEM, Recommendations, Recommender, Relating
from recsys.plots.distributions import bins
from recsys.report.tables import Histogram, ListedUser, MappedItem, People, Ranks
from recsys.seeds import seed_for
from recsys.sources.layout import Nouns
from recsys.splitting.split import Fold

SHOWN = 10  # length of the lists of a user, and of similar items
SAMPLE = 12  # users with a card of their own
MOST = 6000  # users whom a page holds: about 2.5 MB
BEST_KNOWN = 10  # items whose similar items are shown
COUNTRIES = 6  # with most users; the others share a group
MAPPED = 400  # items of the map
DIRECTIONS = 64  # of the vectors of items, where a model has none
RESAMPLES = 500  # of the intervals of groups, at most: all users are drawn for each grouping

_Lists = tuple[npt.NDArray[np.int32], Float64Array, BoolArray]  # items, scores, hits: (m, SHOWN)


def histograms(fold: Fold, nouns: Nouns) -> list[Histogram]:
    """Plays per pair, items per user and users per item of all that a fold holds."""
    return histograms_of(fold.train.merged(fold.held_out), nouns)


def histograms_of(every: Interactions, nouns: Nouns) -> list[Histogram]:
    """Plays per pair, items per user and users per item."""
    users, items = nouns.users, nouns.items
    per_user, per_item = f"{items.capitalize()} per {nouns.user}", f"{users.capitalize()} per"
    found = (
        _histogram(every.plays, "Plays per pair", "plays", "pairs"),
        _histogram(every.per_user(), per_user, items, users),
        _histogram(every.per_item(), f"{per_item} {nouns.item}", users, items),
    )
    return [each for each in found if each is not None]


def _histogram(values: npt.NDArray[Any], title: str, what: str, of: str) -> Histogram | None:
    values = values[values > 0]
    if not len(values) or values.min() == values.max():
        return None
    edges = np.asarray(bins(values), np.float64)
    counts, _ = np.histogram(values, edges)
    return Histogram(
        title,
        what,
        of,
        edges.tolist(),
        counts.tolist(),
        float(np.median(values)),
        float(values.mean()),
        float(values.max()),
    )


def profile_counts(fold: Fold) -> dict[str, dict[str, int]]:
    """Users by age, gender and country; a field that is known of nobody is left out."""
    if fold.profiles is None:
        return {}
    fields = {
        "age": by_age(fold.profiles.age),
        "gender": by_text(fold.profiles.gender),
        "country": by_country(fold.profiles.country, COUNTRIES),
    }
    return {
        name: {group: int((labels == group).sum()) for group in ordered(labels)}
        for name, labels in fields.items()
        if (labels != UNKNOWN).any()
    }


def exposure(
    fold: Fold, shown: Mapping[str, npt.NDArray[np.int64]]
) -> dict[str, tuple[float, ...]]:
    """The share of each decile of items in all lists of a model, the best known decile first.

    Args:
        fold: Its training says how well known an item is, and what is played: "plays".
        shown: Model to the number of lists with each item, int64, shape (n_items,).
    """
    users = fold.train.per_item()
    order = np.argsort(-users, kind="stable")
    return {
        name: tuple(
            float(part.sum() / max(counts.sum(), 1)) for part in np.array_split(counts[order], 10)
        )
        for name, counts in {**shown, "plays": users}.items()
    }


def user_group_tables(
    fold: Fold, reports: Mapping[str, Report], config: ExperimentConfig
) -> dict[str, dict[str, tuple[GroupRow, ...]]]:
    """Grouping of users to model to the objective in each group; one group alone says nothing."""
    metric = config.study.metric
    values = {
        name: report.per_user[metric].to_numpy(np.float64) for name, report in reports.items()
    }
    if any(len(each) != len(fold.judged) for each in values.values()):
        return {}
    seed = seed_for(config.seed, "judge", "bootstrap")
    return {
        grouping: group_tables(values, labels, seed, min(config.judge.resamples, RESAMPLES))
        for grouping, labels in user_groups(fold, COUNTRIES).items()
        if len(np.unique(labels)) > 1
    }


def item_group_tables(
    fold: Fold, lists: Mapping[str, Recommendations], k: int, config: ExperimentConfig
) -> dict[str, tuple[ItemGroupRow, ...]]:
    """Model to its recall among the items of the head, the middle and the tail."""
    of_items = item_groups(fold.train.per_item())
    seed = seed_for(config.seed, "judge", "bootstrap")
    return {
        name: recall_by_item_group(
            hits_by_item_group(recs, fold.held_out, of_items, k),
            seed,
            min(config.judge.resamples, RESAMPLES),
        )
        for name, recs in lists.items()
    }


def well_known(train: Interactions, n: int) -> Int64Array:
    """The numbers of the n items with most users, most first."""
    return np.argsort(-train.per_item(), kind="stable")[:n]


def similar_items(
    model: Recommender, train: Interactions
) -> dict[str, list[tuple[str, float]]] | None:
    """The best known items and, by name, those most similar; None for a model that relates none."""
    if not isinstance(model, Relating):
        return None
    k, found = min(SHOWN, len(train.items) - 1), {}
    for item in well_known(train, BEST_KNOWN).tolist():
        alike, scores = model.similar(item, k)
        pairs = zip(alike.tolist(), scores.tolist(), strict=True)
        found[train.items.name(item)] = [(train.items.name(n), score) for n, score in pairs]
    return found


def shared_vectors(train: Interactions) -> npt.NDArray[np.float64]:
    """Vectors of the best known items by who plays them, for models that have none.

    A truncated SVD of the training matrix of these items: the logarithm of 1 + plays, each item
    scaled to length 1, so that items with the same users are alike however well known they are.

    Returns:
        float64, shape (n_items, d); zeros for items that are not on the map.
    """
    items = well_known(train, MAPPED)
    place = np.full(len(train.items), -1, np.int64)
    place[items] = np.arange(len(items))
    kept = place[train.cols] >= 0
    at = train.rows[kept], place[train.cols[kept]]
    weights = csr_matrix((np.log1p(train.plays[kept]), at), (len(train.users), len(items)))
    alike = np.asarray((weights.T @ weights).todense(), np.float64)
    lengths = np.sqrt(np.maximum(np.diagonal(alike), np.finfo(np.float64).tiny))
    values, vectors = np.linalg.eigh(alike / lengths[:, None] / lengths)
    strongest = np.argsort(-values)[:DIRECTIONS]
    found = np.zeros((len(train.items), len(strongest)))
    found[items] = vectors[:, strongest] * np.sqrt(np.maximum(values[strongest], 0.0))
    return found


def factor_map(
    factors: npt.NDArray[np.floating[Any]], train: Interactions
) -> tuple[list[MappedItem], float]:
    """The best known items in the plane of most variance, and the share of it that this shows.

    Principal components of the factors of these items (Jolliffe 2002), each factor centred. Signs
    are chosen so that the best known item lies right and up.

    Args:
        factors: Of all items, shape (n_items, d).
        train: What they were learned from.
    """
    items = well_known(train, MAPPED)
    centred = np.asarray(factors[items], np.float64)
    centred = centred - centred.mean(axis=0)
    if len(items) < 3 or centred.shape[1] < 2 or not np.isfinite(centred).all():
        return [], 0.0
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    if not sizes[1] > 0:
        return [], 0.0
    at = left[:, :2] * sizes[:2]
    at *= np.where(at[0] < 0, -1.0, 1.0)
    users = train.per_item()[items].tolist()
    names = [train.items.name(int(item)) for item in items]
    mapped = [
        MappedItem(n, x, y, u) for n, (x, y), u in zip(names, at.tolist(), users, strict=True)
    ]
    return mapped, float((sizes[:2] ** 2).sum() / (sizes**2).sum())


def people(fold: Fold, lists: Mapping[str, Recommendations], seed: int) -> People:
    """Judged users with their histories and lists; those that are shown come first.

    Args:
        fold: What is judged.
        lists: Model to its lists, of all judged users.
        seed: Draws who is shown, and whom the page holds where they are too many.
    """
    rng = np.random.default_rng(seed_for(seed, "report", "users"))
    drawn = rng.permutation(fold.judged)[:MOST]
    played = _played(fold.history, drawn)
    ranked = [_ranked(recs, drawn, fold.held_out) for recs in lists.values()]
    every = [played, *ranked]
    used = np.unique(np.concatenate([items[items != NO_ITEM] for items, *_ in every]))
    columns = [_ranks(used, *each) for each in every]
    about = zip(
        map(fold.train.users.id, drawn.tolist()),
        fold.history.per_user()[drawn].tolist(),
        fold.held_out.per_user()[drawn].tolist(),
        strict=True,
    )
    rows = zip(about, columns[0], zip(*columns[1:], strict=True), strict=True)
    users = [ListedUser(*each, history, of_models) for each, history, of_models in rows]
    names = [fold.train.items.name(item) for item in used.tolist()]
    return People(len(fold.judged), min(SAMPLE, len(users)), tuple(lists), names, users)


def _played(history: Interactions, users: npt.NDArray[np.int32]) -> _Lists:
    """The items that each of `users` plays most, their plays, and no hits."""
    wanted = np.zeros(len(history.users), np.bool_)
    wanted[users] = True
    cells = history.where(wanted[history.rows])
    if not len(cells):  # nothing is known of them
        shape = (len(users), SHOWN)
        return np.full(shape, NO_ITEM, np.int32), np.zeros(shape), np.zeros(shape, np.bool_)
    order = np.lexsort((-cells.plays, cells.rows))
    begins = np.searchsorted(cells.rows, users, side="left")
    ends = np.searchsorted(cells.rows, users, side="right")
    at = begins[:, None] + np.arange(SHOWN)
    there = at < ends[:, None]
    at = order[np.minimum(at, len(order) - 1)]
    items = np.where(there, cells.cols[at], NO_ITEM)
    return items, cells.plays[at], np.zeros(items.shape, np.bool_)


def _ranked(recs: Recommendations, users: npt.NDArray[np.int32], held_out: Interactions) -> _Lists:
    """The lists of each of `users`: items, scores, and which are hits."""
    order = np.argsort(recs.users, kind="stable")
    at = order[np.searchsorted(recs.users, users, sorter=order)]
    items, scores = recs.items[at, :SHOWN], recs.scores[at, :SHOWN].astype(np.float64)
    keys = users[:, None].astype(np.int64) * len(held_out.items) + items
    return items, scores, np.isin(keys, held_out.keys) & (items != NO_ITEM)


def _ranks(
    used: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    scores: Float64Array,
    hits: BoolArray,
) -> list[Ranks]:
    """A row per user, without what is past the end of a list; items are places in `used`."""
    lengths = (items != NO_ITEM).sum(axis=1).tolist()
    places = np.searchsorted(used, items).tolist()
    rounded = np.round(scores, 3).tolist()
    return [
        Ranks(row[:n], values[:n], [place for place, hit in enumerate(found) if hit])
        for row, values, found, n in zip(places, rounded, hits.tolist(), lengths, strict=True)
    ]
