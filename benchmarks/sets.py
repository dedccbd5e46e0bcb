"""The public data sets that benchmarks search on, and how each is read, filtered and split."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import recsys
from recsys.splitting.split import Split


@dataclass(frozen=True, slots=True)
class DataSet:
    """One of them.

    Attributes:
        file: In the folder of all sets.
        columns: Role to number of the column, where the format is not detected.
        least: Rating from which on a row counts.
    """

    file: str
    columns: Mapping[str, int] | None = None
    least: float | None = None

    @property
    def options(self) -> list[str]:
        """How a command is told to read it."""
        words = []
        if self.columns is not None:
            roles = ",".join(f"{role}={n}" for role, n in self.columns.items())
            words += ["--columns", roles]
        if self.least is not None:
            words += ["--set", f"data.min_value={self.least:g}"]
        return words


SETS: Mapping[str, DataSet] = {
    "hetrec": DataSet("hetrec-lastfm-2k/user_artists.dat"),
    "films": DataSet("movielens-100k/u.data", least=4),
    "amazon": DataSet("amazon-ratings/user_item.dat", least=4),
    "yelp": DataSet("yelp-ratings/user_business.dat", {"user": 0, "item": 1, "plays": 2}, 4),
    "music": DataSet("digital-music/ratings.txt", {"user": 0, "item": 1, "plays": 2, "time": 3}, 4),
    "ratings": DataSet("movielens-100k/u.data"),
    "events": DataSet("lastfm-events/events.tsv", {"user": 0, "item": 1, "time": 2}),
    "sparse sample": DataSet("3000,3000,0"),
    "dense sample": DataSet("1000,600,0"),
}
"""By name. The last two are invented: users, items and seed of the generator of `recsys sample`."""


@cache
def split_of(folder: Path, name: str, seed: int) -> Split:
    """Users and items with 5 or more of each other; a fifth of each user's items held out.

    Args:
        folder: With all sets.
        name: Of the set.
        seed: Of the draw of the sides. An invented set has one split, whatever the seed.
    """
    found = SETS[name]
    if "," in found.file:
        users, items, seed = map(int, found.file.split(","))  # the seed of the split, too
        log = recsys.sample(users, items, seed=seed)
    else:
        log = recsys.read(folder / found.file, found.columns)
    if found.least is not None:
        log = replace(log, events=log.events.where(log.events.plays >= found.least).compact())
    return log.filter(min_items=5, min_users=5).split(fraction=0.2, seed=seed)
