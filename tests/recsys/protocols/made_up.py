"""Made-up data in the layouts in which the data of the protocols is published."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Pairs = set[tuple[str, str]]


def liked(n_users: int = 160, n_items: int = 40, seed: int = 0) -> list[tuple[int, int, float]]:
    """User, film and rating in half stars; films differ in how many rate them."""
    rng = np.random.default_rng(seed)
    chances = np.linspace(0.02, 0.9, n_items)
    rated = np.argwhere(
        rng.random((n_users, n_items)) < chances * rng.uniform(0.1, 1, (n_users, 1))
    )
    return [(u + 1, 10 * i + 1, float(rng.integers(1, 11)) / 2) for u, i in rated.tolist()]


def write_ml_20m(folder: Path, ratings: list[tuple[int, int, float]]) -> None:
    rows = [f"{user},{item},{rating:g},{1112486027 + user}" for user, item, rating in ratings]
    text = "userId,movieId,rating,timestamp\n" + "\n".join(rows) + "\n"
    (folder / "ratings.csv").write_text(text, encoding="utf-8")


def triplets(n_users: int = 400, n_songs: int = 45, seed: int = 1) -> list[tuple[str, str, int]]:
    """User, song and plays; some songs have under 200 users, some users under 20 songs."""
    rng = np.random.default_rng(seed)
    chances = np.linspace(0.45, 1, n_songs)
    played = np.argwhere(
        rng.random((n_users, n_songs)) < chances * rng.uniform(0.5, 1.2, (n_users, 1))
    )
    return [(f"user{u:03}", f"SO{i:03}", int(rng.integers(1, 9))) for u, i in played.tolist()]


def write_msd(folder: Path, rows: list[tuple[str, str, int]]) -> None:
    text = "".join(f"{user}\t{song}\t{plays}\n" for user, song, plays in rows)
    (folder / "train_triplets.txt").write_text(text, encoding="utf-8")


def adjacency(n_users: int = 50, n_items: int = 30, seed: int = 2) -> tuple[Pairs, Pairs]:
    """The pairs of train and of test: a fifth of the items of each user, at random."""
    rng = np.random.default_rng(seed)
    chances = np.linspace(0.1, 0.8, n_items)
    pairs = np.argwhere(rng.random((n_users, n_items)) < chances).tolist()
    hidden = rng.random(len(pairs)) < 0.2
    sides: tuple[Pairs, Pairs] = (set(), set())
    for (user, item), is_test in zip(pairs, hidden.tolist(), strict=True):
        sides[is_test].add((str(user), str(item)))
    return sides


def write_adjacency(path: Path, pairs: Pairs, more: str = "") -> None:
    users = sorted({user for user, _ in pairs}, key=int)
    of = {user: sorted((i for u, i in pairs if u == user), key=int) for user in users}
    text = "".join(f"{user} {' '.join(of[user])}\n" for user in users)
    path.write_text(text + more, encoding="utf-8")


def write_lastfm(folder: Path, n_users: int = 40, n_artists: int = 30, seed: int = 4) -> Pairs:
    """Users, MBIDs, names, plays; a row without an MBID and one without plays are of no use."""
    rng = np.random.default_rng(seed)
    chances = rng.uniform(0.05, 0.9, (n_users, 1))
    pairs = np.argwhere(rng.random((n_users, n_artists)) < chances).tolist()
    named = [(f"{u:040x}", f"{i:08x}-0000-4000-8000-000000000000", f"artist {i}") for u, i in pairs]
    rows = [f"{u}\t{mbid}\t{name}\t{int(rng.integers(1, 500))}" for u, mbid, name in named]
    rows += [f"{0:040x}\t\tnameless\t3", f"{1:040x}\t{named[0][1]}\t{named[0][2]}\t0"]
    path = folder / "usersha1-artmbid-artname-plays.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return {(u, mbid) for u, mbid, _ in named}


def write_u_data(folder: Path, n_users: int = 60, n_items: int = 40, seed: int = 5) -> list[str]:
    """Lines of user, movie, rating and time, in no order."""
    rng = np.random.default_rng(seed)
    chances = np.linspace(0.05, 0.9, n_items)
    rated = np.argwhere(rng.random((n_users, n_items)) < chances)
    rng.shuffle(rated)
    rows = [f"{u + 1}\t{i + 1}\t{rng.integers(1, 6)}\t{rng.integers(8_000_000)}" for u, i in rated]
    (folder / "u.data").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return rows


Likes = list[tuple[int, int, int]]


def write_likes(folder: Path, likes: Likes) -> None:
    user, item, time = (pa.array(column, pa.uint32()) for column in zip(*likes, strict=True))
    organic = pa.array([1] * len(likes), pa.uint8())
    table = pa.table({"uid": user, "item_id": item, "timestamp": time, "is_organic": organic})
    pq.write_table(table, folder / "likes.parquet")
