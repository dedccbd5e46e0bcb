"""Folds and splits: what a model trains on, and what it is judged on.

A split has two folds. Tuning sees the validation fold only; the test fold is read once, by the
final comparison:

    validation fold   train               -> held out
    test fold         train + validation  -> held out
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from html import escape

import numpy as np
import numpy.typing as npt
import pandas as pd

from recsys.data.interactions import Events, Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import BoolArray


@dataclass(frozen=True, eq=False)
class Fold:
    """Training cells, the history of the judged users, and held-out cells.

    The constructor refuses a fold that leaks: no pair is on two sides.

    Attributes:
        train: What a model is fitted on.
        history: What the model sees of the judged users when it recommends: the training cells
            themselves or, where whole users are held out, a part of the items of users that
            are not in `train` and are folded in; or nothing, where only profiles are known.
        held_out: What a recommendation has to find; every pair is new to its user. A user who
            is folded in has a history, unless none has one.
        profiles: Of all users of the id map, in its order, where they are known.
    """

    train: Interactions
    history: Interactions
    held_out: Interactions
    profiles: Profiles | None = None

    def __post_init__(self) -> None:
        for side in (self.history, self.held_out):
            if side.users is not self.train.users or side.items is not self.train.items:
                raise ValueError("the sides of a fold must share their id maps")
        if self.profiles is not None and self.profiles.users is not self.train.users:
            raise ValueError("the profiles of a fold must be aligned with its users")
        if not len(self.train):
            raise ValueError("nothing is left to train on")
        if not len(self.held_out):
            raise ValueError("nothing is held out")
        _refuse_common(self.train, self.held_out, "train", "held out")
        if self.folds_in:
            _refuse_common(self.history, self.held_out, "history", "held out")
            known = self.history.rows if len(self.history) else self.judged
            both = np.intersect1d(self.train.rows, known)
            if both.size:
                raise ValueError(f"user {self.train.users.id(both[0])!r} is folded in and trained")
            unknown = np.setdiff1d(self.judged, self.history.rows)
            if unknown.size and len(self.history):
                raise ValueError(
                    f"user {self.train.users.id(unknown[0])!r} has items held out but no history "
                    f"to fold in"
                )

    @property
    def folds_in(self) -> bool:
        """Whether the judged users are unknown to the fitted model."""
        return self.history is not self.train

    @cached_property
    def judged(self) -> npt.NDArray[np.int32]:
        """Numbers of the users with something held out, int32, rising."""
        return self.held_out.users_with_cells()

    @cached_property
    def in_order(self) -> bool:
        """Whether each user meets the held-out items after those of the history; needs times."""
        known, hidden = self.history.first, self.held_out.first
        if known is None or hidden is None:
            return False
        latest = np.full(len(self.train.users), np.iinfo(np.int64).min)
        np.maximum.at(latest, self.history.rows, known)
        return bool((hidden >= latest[self.held_out.rows]).all())

    def sample(self, n_users: int, seed: int) -> "Fold":
        """The same fold judged on a seeded draw of n_users users; itself where it has no more."""
        if len(self.judged) <= n_users:
            return self
        rng = np.random.default_rng(seed)
        drawn = np.sort(rng.choice(self.judged, n_users, replace=False))
        held_out = self.held_out.where(np.isin(self.held_out.rows, drawn))
        return replace(self, held_out=held_out)

    @property
    def unreachable(self) -> int:
        """Held-out cells whose item has no user in training: no model can find them."""
        return int((self.train.per_item()[self.held_out.cols] == 0).sum())


@dataclass(frozen=True, eq=False)
class Split:
    """The validation fold and the test fold over the same id maps.

    Attributes:
        validation: For tuning; holds no pair of the test.
        test: For the final judgement.
        method: How it was split, in words.
    """

    validation: Fold
    test: Fold
    method: str

    def __post_init__(self) -> None:
        mine, theirs = self.validation.train, self.test.train
        if mine.users is not theirs.users or mine.items is not theirs.items:
            raise ValueError("validation and test must share their id maps")
        hidden = self.test.held_out
        for name, side in (
            ("validation train", self.validation.train),
            ("validation history", self.validation.history),
            ("validation held out", self.validation.held_out),
        ):
            _refuse_common(side, hidden, name, "test held out")

    @property
    def sides(self) -> pd.DataFrame:
        """A row for each side of each fold: its users, items and pairs."""
        rows = {
            (name, what.replace("_", " ")): _counts(getattr(fold, what))
            for name, fold in (("validation", self.validation), ("test", self.test))
            for what in ("train", "held_out")
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=["users", "items", "pairs"])

    def __repr__(self) -> str:
        return f"Split: {self.method}\n{self.sides.to_string()}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.method)}</p>{self.sides.to_html(border=0)}"

    def with_profiles(self, profiles: Profiles) -> "Split":
        """The same split with profiles, which may be of any users, in any order."""
        known = profiles.aligned(self.test.train.users)
        validation, test = (replace(f, profiles=known) for f in (self.validation, self.test))
        return Split(validation, test, self.method)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with any id, cell, time, side or profile."""
        digest = sha256()
        for ids in (self.test.train.users, self.test.train.items):
            digest.update(len(ids).to_bytes(8, "little"))
            for text in ids.ids.to_pylist():
                digest.update(text.encode() + b"\0")
        for fold in (self.validation, self.test):
            for side in (fold.train, fold.history, fold.held_out):
                digest.update(side.keys.tobytes())
                digest.update(side.plays.tobytes())
                for times in (side.first, side.last):
                    digest.update(b"" if times is None else times.tobytes())
        if self.test.profiles is not None:
            digest.update(self.test.profiles.digest())
        return digest.hexdigest()[:16]


def _counts(cells: Interactions) -> tuple[int, int, int]:
    """How many users, items and pairs have a cell."""
    return len(cells.users_with_cells()), int((cells.per_item() > 0).sum()), len(cells)


def _refuse_common(one: Interactions, other: Interactions, first: str, second: str) -> None:
    common = np.intersect1d(one.keys, other.keys, assume_unique=True)
    if common.size:
        user, item = divmod(int(common[0]), len(one.items))
        raise ValueError(
            f"{common.size} pairs are both in {first} and in {second}, for example user "
            f"{one.users.id(user)!r} with item {one.items.id(item)!r}"
        )


def ranks_within(
    rows: npt.NDArray[np.int32], *order: npt.NDArray[np.generic]
) -> npt.NDArray[np.int64]:
    """Place of each cell among those of its user, 0 first, by the last of `order` first."""
    position = np.lexsort((*order, rows))
    sorted_rows = rows[position]
    ranks = np.empty(len(rows), dtype=np.int64)
    ranks[position] = np.arange(len(rows)) - np.searchsorted(sorted_rows, sorted_rows)
    return ranks


def drawn(data: Interactions, fraction: float, min_items: int, seed: int) -> BoolArray:
    """Mask of the cells that are held out where each user gives up a random part.

    A user with n >= min_items items gives floor(fraction * n), at least 1; others give none.
    Draws follow the sorted data, so the order of the file does not matter.

    Returns:
        bool, shape (len(data),).
    """
    sizes = data.per_user()
    given = np.maximum(1, np.floor(fraction * sizes + 1e-9)).astype(np.int64)
    given[sizes < max(min_items, 2)] = 0
    keys = np.random.default_rng(seed).random(len(data))
    return np.asarray(ranks_within(data.rows, keys) < given[data.rows])


def redrawn(fold: Fold, seed: int) -> Fold:
    """The cells of both sides cut at random: each user gives up as many as in `fold`, but others.

    Where the held-out cells were drawn at random per user, this fold and `fold` are alike.
    """
    whole = fold.train.merged(fold.held_out)
    keys = np.random.default_rng(seed).random(len(whole))
    hidden = ranks_within(whole.rows, keys) < fold.held_out.per_user()[whole.rows]
    train = whole.where(~hidden)
    return Fold(train, train, whole.where(hidden), fold.profiles)


def latest(data: Interactions, n: int) -> BoolArray:
    """Mask of the last n cells of each user by first time; a user always keeps one.

    Of cells first seen in the same second, the one with the higher item number is later.

    Returns:
        bool, shape (len(data),).

    Raises:
        ValueError: the data has no times.
    """
    if data.first is None:
        raise ValueError("the split by last n needs times, and the data has none")
    given = np.minimum(n, np.maximum(data.per_user() - 1, 0))
    return np.asarray(ranks_within(data.rows, -data.cols, -data.first) < given[data.rows])


def nested(refit: Interactions, held_out: Interactions, hidden: BoolArray, method: str) -> Split:
    """A split with a given test side, and `hidden` of the other cells as validation."""
    train = refit.where(~hidden)
    return Split(
        Fold(train, train, refit.where(hidden)), Fold(refit, refit, held_out), method=method
    )


def random_split(
    data: Interactions, fraction: float, min_items: int, seeds: tuple[int, int]
) -> Split:
    """Per user at random: test first, then validation from the rest by the same rule.

    Args:
        data: All cells.
        fraction: Share of a user's items that is held out.
        min_items: Users with fewer are not judged.
        seeds: Of the test draw and of the validation draw.
    """
    hidden = drawn(data, fraction, min_items, seeds[0])
    rest = data.where(~hidden)
    method = f"{fraction:.0%} of the items of each user with {min_items} or more, at random"
    return nested(rest, data.where(hidden), drawn(rest, fraction, min_items, seeds[1]), method)


def last_split(data: Interactions, n: int) -> Split:
    """Per user the last n items by first time; validation is the n before them.

        first time    0   1   2   3   4   5       n = 2, x train, v validation, o test
        alice         x   x   v   v   o   o
        bob           x   v   o                   one always stays for training

    Items may appear in the training of one user later than in the test of another: the order
    holds within each user only. `time_split` orders all users.
    """
    hidden = latest(data, n)
    rest = data.where(~hidden)
    return nested(rest, data.where(hidden), latest(rest, n), f"last {n} items of each user")


def time_split(
    events: Events, validation_at: int, test_at: int, gap: int = 0, known_users: bool = False
) -> Split:
    """One moment for all users; events are cut before they are summed.

        time      before validation_at | before test_at | from test_at on
        alice     a3  b1               | a1  c2         | b4  d1
                  train a3 b1          | held out c2    |
                  refit a4 b1 c2                        | held out d1

    Held out are items that a user plays for the first time after the cut; a later play of a
    known item is in neither side.

    Args:
        events: With times.
        validation_at: First second (UTC) of the validation side.
        test_at: First second (UTC) of the test side.
        gap: Seconds before each of the two of which nothing is used on that side.
        known_users: Whether users without an event in the training of a side are not judged there.
    """
    if events.times is None:
        raise ValueError("a split by time needs times, and the data has none")
    if not validation_at < test_at - gap:
        gapped = f" - gap {gap}" * (gap > 0)
        raise ValueError(f"validation_at {validation_at} must be before test_at {test_at}{gapped}")
    train = events.where(events.times < validation_at - gap).cells()
    refit = events.where(events.times < test_at - gap).cells()
    held_out = _first_played_from(events.cells(), test_at)
    hidden = _first_played_from(refit, validation_at)
    if known_users:
        held_out, hidden = _of_known_users(held_out, refit), _of_known_users(hidden, train)
    moments = (_utc(validation_at), _utc(test_at))
    method = "by time: validation from {}, test from {} (UTC)".format(*moments)
    return Split(Fold(train, train, hidden), Fold(refit, refit, held_out), method)


def _of_known_users(held_out: Interactions, train: Interactions) -> Interactions:
    return held_out.where(train.per_user()[held_out.rows] > 0)


def _utc(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def _first_played_from(cells: Interactions, moment: int) -> Interactions:
    assert cells.first is not None
    return cells.where(cells.first >= moment)


def moments(events: Events, validation: float, test: float) -> tuple[int, int]:
    """Seconds UTC at which validation and test begin, from their shares of the events.

    Raises:
        ValueError: the shares leave no training, or both moments are the same second.
    """
    if events.times is None:
        raise ValueError("a split by time needs times, and the data has none")
    if validation + test >= 1:
        raise ValueError(f"validation {validation:g} + test {test:g} leave nothing to train on")
    ordered = np.sort(events.times)
    at = [int(ordered[int(len(ordered) * (1 - share))]) for share in (validation + test, test)]
    return at[0], at[1]


def given_split(
    refit: Interactions, held_out: Interactions, fraction: float, min_items: int, seed: int
) -> Split:
    """A published test side; validation is cut from the rest, per user at random.

    Args:
        refit: Everything that may be learned from.
        held_out: The published test, over the same id maps; its pairs that `refit` has are dropped.
        fraction: Share of a user's items in `refit` that is held out for validation.
        min_items: Users with fewer are not used for validation.
        seed: Of the validation draw.
    """
    hidden = drawn(refit, fraction, min_items, seed)
    method = f"test as given; validation {fraction:.0%} of the rest"
    return nested(refit, _new_to(held_out, refit), hidden, method)


def published_split(train: Interactions, validation: Interactions, test: Interactions) -> Split:
    """All three sides as published, over the same id maps.

    Args:
        train: What is tuned on.
        validation: Its pairs that `train` has are dropped.
        test: Its pairs that `train` or `validation` has are dropped.
    """
    tuning = Fold(train, train, _new_to(validation, train))
    refit = train.merged(tuning.held_out)
    held_out = _new_to(test, refit)
    return Split(tuning, Fold(refit, refit, held_out), "validation and test as given")


def _new_to(side: Interactions, known: Interactions) -> Interactions:
    """The pairs of `side` that `known` has not; `side` where it has all, which the fold refuses."""
    new = ~np.isin(side.keys, known.keys, assume_unique=True)
    return side.where(new) if new.any() and not new.all() else side
