"""Last.fm 360K as six libraries cut it, MovieLens 100K, and the time cut of Yambda-50M."""

from pathlib import Path

import numpy as np

from recsys import sources
from recsys.data.interactions import Events, Interactions
from recsys.dtypes import BoolArray
from recsys.errors import InputError
from recsys.protocols.draws import of_drawn_users, of_each_item
from recsys.protocols.liang import counted
from recsys.protocols.protocol import LARGE, LIGHT, Count, Prepared, Protocol, Task, rows_of
from recsys.seeds import seed_for

DRAW = 123  # seed of ours for the users of Last.fm 360K
SHARE = 0.3  # of the artists of a drawn user
SEED = 42  # of the published cut of MovieLens 100K
RATIO = 0.75  # of the ratings of a movie that stay
LAST = 26_000_000  # the end of Yambda in its seconds
DAY = 86_400
GAP = 1_800


def events_where(cells: Interactions, keep: BoolArray) -> Events:
    """Some cells as events, with the time of the last play."""
    side = cells.where(keep)
    return Events(side.users, side.items, side.rows, side.cols, side.plays, side.last).compact()


def prepare_lastfm_360k(task: Task) -> Prepared:
    """Rows with an MBID and plays; drawn users lose round(30 %) of their artists."""
    (path,) = task.files.values()
    reading = sources.read(path, format="lastfm-360k", item_key="mbid", progress=task.progress)
    cells = reading.events.cells()
    hidden = of_drawn_users(cells, task.held_out or 0, SHARE, DRAW)
    counts = {
        "rows": reading.n_rows,
        "rows with an MBID and plays": len(reading.events),
        **counted(reading.events),
        "train pairs": int(np.count_nonzero(~hidden)),
        "test pairs": int(np.count_nonzero(hidden)),
    }
    return Prepared(events_where(cells, ~hidden), counts, events_where(cells, hidden))


def ratings_cut(path: Path) -> tuple[Interactions, BoolArray]:
    """The ratings of MovieLens 100K, and which of them the published cut holds out.

    Raises:
        InputError: the file cannot be read, or a user rates a movie twice in it.
    """
    cells = sources.read(path, format="movielens").events.cells()
    try:
        table = np.loadtxt(path, dtype=np.int64, usecols=(0, 1), ndmin=2)
    except ValueError as error:
        raise InputError(f"{path} is not u.data of MovieLens 100K: {error}") from error
    if len(table) != len(cells):
        raise InputError(f"{path} is not u.data of MovieLens 100K: it rates a movie twice")
    rows = cells.users.numbers(map(str, table[:, 0].tolist()))
    cols = cells.items.numbers(map(str, table[:, 1].tolist()))
    # Theirs is numpy's legacy generator, one number per line of the file.
    keys = np.random.RandomState(SEED).random_sample(len(table))
    hidden = np.empty(len(cells), dtype=np.bool_)
    at = np.searchsorted(cells.keys, rows.astype(np.int64) * len(cells.items) + cols)
    hidden[at] = of_each_item(cols, keys, RATIO)
    return cells, hidden


def prepare_movielens_100k(task: Task) -> Prepared:
    """The published cut; validation is cut from its training side by the same rule."""
    (path,) = task.files.values()
    cells, hidden = ratings_cut(path)
    train = np.flatnonzero(~hidden)
    keys = np.random.default_rng(seed_for(task.seed, "movielens-100k", "validation"))
    drawn = of_each_item(cells.cols[train], keys.random(len(train)), RATIO)
    judged = np.zeros(len(cells), dtype=np.bool_)
    judged[train[drawn]] = True
    counts = {
        **{"ratings": len(cells), "users": len(cells.users), "items": len(cells.items)},
        **{"train ratings": len(train), "test ratings": int(np.count_nonzero(hidden))},
    }
    sides = (events_where(cells, side) for side in (~hidden & ~judged, hidden, judged))
    log, test, validation = sides
    return Prepared(log, counts, test, validation)


def prepare_yambda(task: Task) -> Prepared:
    """All likes."""
    (path,) = task.files.values()
    columns = {"user": "uid", "item": "item_id", "time": "timestamp"}
    reading = sources.read(path, columns=columns, progress=task.progress)
    return Prepared(reading.events, {"likes": len(reading.events), **counted(reading.events)})


LASTFM_360K = Protocol(
    name="lastfm-360k",
    title="Last.fm 360K, 10,000 users lose 30 % of their artists",
    paper="the notebooks of the folder benchmark of github.com/david-cortes/cmfrec, January 2022",
    files=("usersha1-artmbid-artname-plays.tsv",),
    home="http://ocelma.net/MusicRecommendationDataset/lastfm-360K.html",
    prepare=prepare_lastfm_360k,
    split={"kind": "given", "fraction": SHARE, "min_items": 5},
    metrics=("precision@10", "recall@10", "map@10", "hit_rate@10", "mrr@10"),
    objective="precision@10",
    held_out=10_000,
    counts={
        "rows": Count(17_559_530),
        "rows with an MBID and plays": Count(17_309_518),
        "users": Count(358_858),
        "items": Count(160_112),
        "interactions": Count(17_309_151),
        "train pairs": Count(17_164_027, exact=False),
        "test pairs": Count(145_124, exact=False),
    },
    published=rows_of(
        "notebooks of cmfrec, commit 56f43b7; 50 factors, untuned",
        {
            "cmfrec, CG": (0.16969, 0.117693, 0.088718, 0.7810, 0.409968),
            "cmfrec, Cholesky": (0.17010, 0.117924, 0.089032, 0.7844, 0.413211),
            "implicit, CG": (0.17007, 0.117821, 0.089215, 0.7851, 0.411801),
            "implicit, Cholesky": (0.17031, 0.117941, 0.089321, 0.7872, 0.413636),
            "LensKit, CG": (0.17069, 0.118615, 0.089617, 0.7845, 0.413202),
            "LensKit, LU": (0.16941, 0.117761, 0.089272, 0.7817, 0.411940),
            "QMF": (0.17019, 0.118182, 0.089924, 0.7873, 0.419423),
            "cornac, SGD": (0.00889, 0.006234, 0.003009, 0.0812, 0.026816),
        },
    ),
    models=LARGE,
    validation_users=10_000,
    notes=(
        "who is drawn is a draw of ours of the same sizes: theirs is in C++ and cannot be repeated",
        "the published rows are untuned; ours are tuned on validation",
    ),
)

MOVIELENS_100K = Protocol(
    name="movielens-100k",
    title="MovieLens 100K, each movie keeps 75 % of its ratings",
    paper="examples/06_benchmarks/movielens.ipynb of github.com/recommenders-team/recommenders",
    files=("u.data",),
    home="https://grouplens.org/datasets/movielens/100k/",
    prepare=prepare_movielens_100k,
    split={"kind": "given"},
    metrics=("ndcg@10", "precision@10", "recall@10", "map@10"),
    objective="ndcg@10",
    counts={
        "ratings": Count(100_000),
        "users": Count(943),
        "items": Count(1_682),
        "train ratings": Count(75_066),
        "test ratings": Count(24_934),
    },
    published=rows_of(
        "recommenders, movielens.ipynb at commit 6232b154",
        {
            "BiVAE": (0.471722, 0.411347, 0.224300, 0.329962),
            "BPR": (0.444991, 0.388653, 0.216555, 0.297456),
            "LightGCN": (0.417327, 0.361824, 0.196233, 0.276277),
            "SAR": (0.393819, 0.340615, 0.185377, 0.258452),
            "NCF": (0.384246, 0.338176, 0.176739, 0.252473),
            "embedding dot bias (FastAI)": (0.117810, 0.104242, 0.042450, 0.053549),
            "ALS on ratings (Spark)": (0.037863, 0.042842, 0.013880, 0.012740),
        },
    ),
    models=LIGHT,
    seeded=True,
)

YAMBDA_50M = Protocol(
    name="yambda-50m",
    title="Yambda-50M, likes, the last day is the test",
    paper="Ploshkin et al. 2025 (arXiv:2505.22238), Yambda-5B, Global Temporal Split",
    files=("likes.parquet",),
    home="https://huggingface.co/datasets/yandex/yambda (flat/50m/likes.parquet)",
    prepare=prepare_yambda,
    split={
        **{"kind": "time", "gap": GAP, "known_users": True},
        **{"test_at": LAST - DAY, "validation_at": LAST - DAY - GAP - DAY},
    },
    metrics=("ndcg@10", "ndcg@100", "recall@10", "recall@100"),
    objective="ndcg@100",
    counts={"likes": Count(881_456)},
    models=LARGE,
    notes=(
        "no published row stands beside ours: the authors also count likes of tracks that a user "
        "liked before, here lists and test hold new tracks only",
    ),
)
