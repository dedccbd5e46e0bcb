"""Answers of a fitted model, for people: what to play next, what is alike, and why.

Whoever is asked about is served by the most that is known of them:

    a history                             the model, by the plays
    a profile that the model can use      the model, by the profile
    a profile that it cannot use          what listeners of the same country, age and gender play
    nothing                               what most listeners play

A model that can score everything (`recsys.models.recommender.Scoring`) solves everybody from their
history, those of the training too: so a listener gets the same list whether the model has met
them or not, and the shares in an explanation add up to the score that was shown. Of other models
the known listeners get what `recommend` gives, which leaves out what was heard.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.errors import InputError
from recsys.models.config import ModelConfig
from recsys.models.recommender import (
    NO_ITEM,
    Explaining,
    Recommendations,
    Recommender,
    Relating,
    Scoring,
)
from recsys.models.top_k import best
from recsys.serving.audience import Audience, audience
from recsys.serving.names import Lookup

SOMEBODY = np.zeros(1, dtype=np.int32)  # the one row of a history that was typed in
NAME = "somebody"


@dataclass(frozen=True, eq=False)
class Served:
    """A model fitted on all the data, with what its answers need.

    Attributes:
        config: The model with its parameters.
        model: Fitted on `cells`.
        cells: All plays, none held out.
        profiles: Of the users of `cells`, aligned with them; None where none are known.
    """

    config: ModelConfig
    model: Recommender
    cells: Interactions
    profiles: Profiles | None = None

    def __post_init__(self) -> None:
        if self.profiles is not None and self.profiles.users is not self.cells.users:
            raise ValueError("the profiles must be aligned with the users of the cells")

    @cached_property
    def users_per_item(self) -> npt.NDArray[np.int64]:
        """How many users play each item, int64, shape (n_items,)."""
        return self.cells.per_item()

    @cached_property
    def names(self) -> Lookup:
        """Items by name or id; of several with one name, that of most users."""
        return Lookup(self.cells.items, self.users_per_item, "item")

    def user(self, text: str) -> int:
        """The number of a listener.

        Raises:
            InputError: there is none of this id; the message offers the nearest.
        """
        number = int(self.cells.users.find([text])[0])
        if number >= 0:
            return number
        return Lookup(self.cells.users, self.cells.per_user(), "user").number(text)


@dataclass(frozen=True, slots=True)
class RankedItem:
    """An artist in an answer.

    Attributes:
        id: External id.
        name: What a person is shown.
        score: By the model: its score, or how alike, or the listeners.
        heard: Whether it is in the history.
    """

    id: str
    name: str
    score: float
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Items, best first, and what they are chosen by.

    Attributes:
        items: At most as many as the request asks for.
        by: "plays", "profile", "alike" (what those with a like profile play) or "popularity".
        audience: Whose plays count, in words, where the model was not asked; else "".
    """

    items: Sequence[RankedItem]
    by: str
    audience: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """What an artist of the history adds to a score.

    Attributes:
        id: External id.
        name: What a person is shown.
        plays: Of the listener.
        share: Added to the score; may be negative.
    """

    id: str
    name: str
    plays: float
    share: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an artist has the score it has.

    Attributes:
        id: Of the artist that is explained.
        name: Likewise.
        score: Of the listener solved exactly from their history: the sum of all shares.
        heard: Whether the listener plays it.
        shares: Of every artist of the history, the largest first.
    """

    id: str
    name: str
    score: float
    heard: bool
    shares: Sequence[Share]


def known_user(served: Served, user: int, k: int, include_heard: bool = False) -> Answer:
    """The k best artists for a listener of the training data.

    Args:
        served: The model.
        user: Number of the listener.
        k: How many.
        include_heard: Rank what they play among the rest, by the model's scores.

    Raises:
        InputError: the model has no scores of what was heard.
    """
    if isinstance(served.model, Scoring):
        return _scored(served, served.cells, user, k, include_heard, served.profiles)
    _refuse_heard(served, include_heard)
    row = np.array([user], dtype=np.int32)
    return _answer(served, served.model.recommend(row, k), "plays")


def fold_in_history(
    served: Served,
    plays: Mapping[int, float],
    k: int,
    include_heard: bool = False,
    profile: Profiles | None = None,
) -> Answer:
    """The k best artists for a listener the model has not met; nothing is trained.

    Args:
        served: The model.
        plays: Of each artist, by its number; at least one.
        k: How many.
        include_heard: Rank what they play among the rest, by the model's scores.
        profile: Of this listener, one row.

    Raises:
        InputError: the model has no scores of what was heard.
    """
    history = history_of(served, plays)
    if isinstance(served.model, Scoring):
        return _scored(served, history, 0, k, include_heard, profile)
    _refuse_heard(served, include_heard)
    return _answer(served, served.model.fold_in(history, SOMEBODY, k, profile), "plays")


def from_profile(served: Served, profile: Profiles | None, k: int) -> Answer:
    """The k best artists for somebody of whom no plays are known.

    The model can use the profile if it answers, and otherwise than to an empty one.

    Args:
        served: The model.
        profile: Of this listener, one row, or None.
        k: How many.
    """
    if profile is not None and served.profiles is not None:
        nobody = history_of(served, {})
        unknown = unknown_profile()
        theirs, any_ = (
            served.model.fold_in(nobody, SOMEBODY, k, each) for each in (profile, unknown)
        )
        same = np.array_equal(theirs.items, any_.items) and np.array_equal(
            theirs.scores, any_.scores, equal_nan=True
        )
        if theirs.items[0, 0] != NO_ITEM and not same:
            return _answer(served, theirs, "profile")
    heard_by = audience(served.cells, served.profiles, profile)
    return _popular(served, heard_by, k)


def similar(served: Served, item: int, k: int) -> list[RankedItem]:
    """The k artists most like one, best first, without itself.

    Raises:
        InputError: the model does not relate artists.
    """
    if not isinstance(served.model, Relating):
        raise InputError(
            f"the model {served.config.kind} does not say which artists are alike; "
            "pass --run of another model, such as als"
        )
    items, scores = served.model.similar(item, k)
    return [_found(served, int(i), float(s)) for i, s in zip(items, scores, strict=True)]


def explain(served: Served, history: Interactions, user: int, item: int) -> Explanation:
    """Which artists of a history carry the score of one, and how much of it.

    Args:
        served: The model.
        history: `served.cells`, or what `history_of` makes.
        user: Row number of `history`; with at least one cell.
        item: The artist, heard or not.

    Raises:
        InputError: the scores of the model are no sums over the history.
    """
    if not isinstance(served.model, Explaining):
        raise InputError(
            f"the model {served.config.kind} cannot be explained by the history; "
            "pass --run of another model, such as als"
        )
    theirs, _ = _only(history, user, None)
    shares = served.model.contributions(theirs, 0, item)
    items = history.items
    listed = [
        Share(items.id(col), items.name(col), plays, share)
        for col, plays, share in zip(
            theirs.cols.tolist(), theirs.plays.tolist(), shares.tolist(), strict=True
        )
    ]
    listed.sort(key=lambda each: -each.share)
    heard = bool((theirs.cols == item).any())
    return Explanation(items.id(item), items.name(item), float(shares.sum()), heard, listed)


def history_of(served: Served, plays: Mapping[int, float]) -> Interactions:
    """The history of one listener, row 0, over the artists of the model.

    Where the model counts old plays less, these are as late as the last play it knows.
    """
    cols = np.array(sorted(plays), dtype=np.int32)
    amounts = np.array([plays[int(col)] for col in cols], dtype=np.float64)
    now = served.cells.last
    moments = None if now is None else np.full(len(cols), now.max(initial=0), dtype=np.int64)
    rows = np.zeros(len(cols), dtype=np.int32)
    somebody = IdMap.of([NAME])
    return Interactions(somebody, served.cells.items, rows, cols, amounts, moments, moments)


def unknown_profile() -> Profiles:
    """One listener of whom nothing is known."""
    return Profiles.unknown(IdMap.of([NAME]))


def _scored(
    served: Served,
    history: Interactions,
    user: int,
    k: int,
    include_heard: bool,
    profiles: Profiles | None,
) -> Answer:
    assert isinstance(served.model, Scoring)
    theirs, profile = _only(history, user, profiles)
    scores = np.array(served.model.score(theirs, 0, profile), dtype=np.float32)
    heard = theirs.cols
    if not include_heard:
        scores[heard] = -np.inf
    items, values = best(scores[None, :], k)
    known = set(heard.tolist())
    return Answer(
        [
            _found(served, int(i), float(s), int(i) in known)
            for i, s in zip(items[0], values[0], strict=True)
            if i != NO_ITEM
        ],
        "plays",
    )


def _only(
    history: Interactions, user: int, profiles: Profiles | None
) -> tuple[Interactions, Profiles | None]:
    """The history and the profile of one user alone: a model need not walk through all."""
    one = slice(user, user + 1)
    users = IdMap(history.users.ids[one], history.users.names[one])
    mine = slice(*np.searchsorted(history.rows, [user, user + 1]))
    first, last = (None if t is None else t[mine] for t in (history.first, history.last))
    theirs = Interactions(
        users,
        history.items,
        np.zeros_like(history.rows[mine]),
        history.cols[mine],
        history.plays[mine],
        first,
        last,
    )
    if profiles is None:
        return theirs, None
    fields = (profiles.gender[one], profiles.age[one], profiles.country[one], profiles.signup[one])
    return theirs, Profiles(users, *fields)


def _refuse_heard(served: Served, include_heard: bool) -> None:
    if include_heard:
        raise InputError(
            f"the model {served.config.kind} has no scores of what was heard; "
            "leave out --include-heard"
        )


def _answer(served: Served, recs: Recommendations, by: str) -> Answer:
    pairs = zip(recs.items[0].tolist(), recs.scores[0].tolist(), strict=True)
    return Answer([_found(served, i, s) for i, s in pairs if i != NO_ITEM], by)


def _popular(served: Served, heard_by: Audience, k: int) -> Answer:
    """By listeners among the audience, ties by all listeners, then the lower number."""
    counts = heard_by.counts
    order = np.lexsort((np.arange(len(counts)), -served.users_per_item, -counts))[:k]
    by = "popularity" if heard_by.everybody else "alike"
    items = [_found(served, int(i), float(counts[i])) for i in order]
    return Answer(items, by, heard_by.words)


def _found(served: Served, item: int, score: float, heard: bool = False) -> RankedItem:
    items = served.cells.items
    return RankedItem(items.id(item), items.name(item), score, heard)
