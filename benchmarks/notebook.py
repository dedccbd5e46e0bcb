"""The steps of the reference study with pandas and implicit, as a notebook has them.

python benchmarks/notebook.py FILE --points points.json --test test.parquet [--top 20000]

pandas reads all four columns of the file into a table that stays; rows without MBID or plays are
dropped, then users and then artists with fewer than 5 rows; the users with most artists are kept
and plays of a pair added up. A fifth of each user's artists is held out. Every point of the search
is trained by implicit on plays times alpha and judged on the TEST side, by lists of 1,000 users
asked for one after another: that is how the study chooses, so its winner has seen the test. The
winner and popularity are then judged on all users.

`points.json` holds the points, so that both sides search the same ones. `test.parquet`
(columns user and mbid) replaces the cells that were drawn, so that precision@10 is measured on the
same test side; the clock stands still meanwhile. Prints seconds and precision@10 as JSON.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_matrix

K, LEAST, FRACTION, JUDGED, SEED = 10, 5, 0.2, 1_000, 42
Ids = npt.NDArray[Any]


def main() -> None:
    """Run the steps and print one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--points", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--top", type=int, default=20_000)
    args = parser.parse_args()
    clock = [time.perf_counter()]
    log = filtered(args.file, args.top)
    clock.append(time.perf_counter())
    plays, users, artists = matrix(log)
    cut(plays)
    clock.append(time.perf_counter())
    outside = time.perf_counter()
    train, test = given(plays, users, artists, args.test)
    outside = time.perf_counter() - outside
    best, model = searched(train, test, json.loads(args.points.read_text()))
    clock.append(time.perf_counter())
    everybody = np.flatnonzero(np.diff(test.indptr))
    found = model.recommend(everybody, train[everybody], N=K)[0]
    precision = {
        "als": precision_of(found, everybody, test),
        "popularity": precision_of(popular(train, everybody), everybody, test),
    }
    clock.append(time.perf_counter())
    parts = dict(zip(("read", "split", "search", "final"), np.diff(clock).tolist(), strict=True))
    parts["search"] -= outside
    size = {"users": len(users), "items": len(artists), "cells": plays.nnz, "held_out": test.nnz}
    found_all = {"outside": outside, "seconds": parts, "size": size}
    print(json.dumps(found_all | {"best": best, "precision@10": precision}))


def filtered(path: Path, top: int) -> pd.DataFrame:
    """The rows of the users with most artists."""
    plays = pd.read_csv(
        path, sep="\t", header=None, names=["user", "mbid", "artist", "plays"], quoting=3
    )
    log = plays.dropna(subset=["mbid", "plays"])
    log = log[log["plays"] > 0]
    log = log[log.groupby("user")["mbid"].transform("size") >= LEAST]
    log = log[log.groupby("mbid")["user"].transform("size") >= LEAST]
    sizes = log.groupby("user").size().sort_values(ascending=False, kind="stable")
    log = log[log["user"].isin(sizes.head(top).index)]
    return log.groupby(["user", "mbid"], as_index=False)["plays"].sum()


def matrix(log: pd.DataFrame) -> tuple[csr_matrix, Ids, Ids]:
    """Plays, float32, shape (users, artists), and the ids of both."""
    user, mbid = (log[name].astype("category").cat for name in ("user", "mbid"))
    cells = (user.codes.to_numpy(), mbid.codes.to_numpy())
    plays = csr_matrix((log["plays"].to_numpy(np.float32), cells))
    return plays, user.categories.to_numpy(), mbid.categories.to_numpy()


def cut(plays: csr_matrix) -> tuple[csr_matrix, csr_matrix]:
    """Train and test, user by user."""
    rng = np.random.default_rng(SEED)
    hidden = np.zeros(plays.nnz, dtype=bool)
    for start, end in zip(plays.indptr[:-1], plays.indptr[1:], strict=True):
        if end - start >= LEAST:
            n = max(1, int(FRACTION * (end - start)))
            hidden[rng.choice(np.arange(start, end), n, replace=False)] = True
    return sides(plays, hidden)


def given(plays: csr_matrix, users: Ids, artists: Ids, path: Path) -> tuple[csr_matrix, csr_matrix]:
    """Train and test by a list of the cells that are held out."""
    table = pd.read_parquet(path)
    rows, cols = (
        pd.Index(ids).get_indexer(table[name]) for ids, name in ((users, "user"), (artists, "mbid"))
    )
    if (rows < 0).any() or (cols < 0).any():
        raise SystemExit(f"{int(((rows < 0) | (cols < 0)).sum())} held-out cells are not in ours")
    mine = np.repeat(np.arange(plays.shape[0]), np.diff(plays.indptr)) * plays.shape[1]
    return sides(plays, np.isin(mine + plays.indices, rows * plays.shape[1] + cols))


def sides(plays: csr_matrix, hidden: npt.NDArray[np.bool_]) -> tuple[csr_matrix, csr_matrix]:
    """The cells outside of a mask, and those inside."""
    two = []
    for keep in (~hidden, hidden):
        side = plays.copy()
        side.data = np.where(keep, side.data, 0)
        side.eliminate_zeros()
        two.append(side)
    return two[0], two[1]


def searched(
    train: csr_matrix, test: csr_matrix, points: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any], Any]:
    """The point with the best precision on the test side of some users, and its model."""
    from implicit.als import AlternatingLeastSquares

    able = np.flatnonzero(np.diff(test.indptr))
    rng = np.random.default_rng(SEED)
    some = rng.choice(able, min(JUDGED, len(able)), replace=False)
    best: tuple[float, dict[str, Any], Any] = (-1.0, {}, None)
    for point in points:
        names = ("factors", "regularization", "iterations", "alpha")
        chosen = {name: point[name] for name in names}
        model = AlternatingLeastSquares(**chosen, random_state=SEED)
        model.fit(train, show_progress=False)
        lists = [model.recommend(user, train[user], N=K)[0] for user in some]
        value = precision_of(np.array(lists), some, test)
        if value > best[0]:
            best = value, chosen, model
    return best[1], best[2]


def precision_of(lists: Ids, users: Ids, test: csr_matrix) -> float:
    """Hits of K, in the mean of the users."""
    hits = [
        len(set(items) & set(test.indices[test.indptr[user] : test.indptr[user + 1]]))
        for items, user in zip(lists.tolist(), users, strict=True)
    ]
    return float(np.mean(hits)) / K


def popular(train: csr_matrix, users: Ids) -> Ids:
    """The artists with most users that each user does not know."""
    order = np.argsort(-np.bincount(train.indices, minlength=train.shape[1]), kind="stable")
    lists = []
    for user in users:
        known = train.indices[train.indptr[user] : train.indptr[user + 1]]
        head = order[: K + len(known)]
        lists.append(head[~np.isin(head, known)][:K])
    return np.array(lists)


if __name__ == "__main__":
    main()
