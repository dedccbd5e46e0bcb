"""Answers of a served model: recommendations, similar items and explanations.

A user is served by the most that is known:

    a history                             the model, by the plays
    a profile that the model can use      the model, by the profile
    a profile that it cannot use          items of users of the same country, age and gender
    nothing                               items with most users

A model that can score all items (`recsys.models.recommender.Scoring`) folds in every user by the
history, users of the training too: known and new users with one history get one list, and the
shares of an explanation add up to the displayed score. Of other models, known users get
`recommend`, which leaves out the items of the history.
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

ONE_ROW = np.zeros(1, dtype=np.int32)  # the row of a history without a known user
ANONYMOUS = "anonymous"


@dataclass(frozen=True, eq=False)
class Served:
    """A model fitted on all the data, with the data its answers need.

    Attributes:
        config: The model with its parameters.
        model: Fitted on `cells`.
        cells: All cells, none held out.
        profiles: Of the users of `cells`, aligned with them; None where none are known.
    """

    config: ModelConfig
    model: Recommender
    cells: Interactions
    profiles: Profiles | None = None

    def __post_init__(self) -> None:
        if self.profiles is not None and self.profiles.users is not self.cells.users:
            raise ValueError("the profiles must be aligned with the users of the cells")

    def longest(self, k: int) -> int:
        """The length of a list when k items are requested: lists end at the catalogue."""
        return min(k, len(self.cells.items))

    @cached_property
    def users_per_item(self) -> npt.NDArray[np.int64]:
        """How many users play each item, int64, shape (n_items,)."""
        return self.cells.per_item()

    @cached_property
    def names(self) -> Lookup:
        """Items by name or id; of several with one name, that of most users."""
        return Lookup(self.cells.items, self.users_per_item, "item")

    def user(self, text: str) -> int:
        """The number of a user.

        Raises:
            InputError: no user has this id; the message offers the nearest ids.
        """
        number = int(self.cells.users.find([text])[0])
        if number >= 0:
            return number
        return Lookup(self.cells.users, self.cells.per_user(), "user").number(text)


@dataclass(frozen=True, slots=True)
class RankedItem:
    """An item in an answer.

    Attributes:
        id: External id.
        name: Display name.
        score: Score by the model, or similarity, or number of users.
        heard: Whether it is in the history.
    """

    id: str
    name: str
    score: float
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Items, best first, and the method that chose them.

    Attributes:
        items: At most as many as the request asks for.
        by: "plays", "profile", "alike" (the items of users with a similar profile) or "popularity".
        audience: The users that count for "alike" and "popularity", in words; else "".
    """

    items: Sequence[RankedItem]
    by: str
    audience: str = ""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What an item of the history adds to a score.

    Attributes:
        id: External id.
        name: Display name.
        plays: Of the user.
        share: Added to the score; may be negative.
    """

    id: str
    name: str
    plays: float
    share: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an item has its score.

    Attributes:
        id: Of the explained item.
        name: Of the explained item.
        score: For the user folded in exactly: the sum of all shares.
        heard: Whether it is in the history.
        shares: Of every item of the history, the largest first.
    """

    id: str
    name: str
    score: float
    heard: bool
    shares: Sequence[Contribution]


def known_user(served: Served, user: int, k: int, include_heard: bool = False) -> Answer:
    """The k best items for a user of the training data.

    Args:
        served: The model.
        user: Number of the user.
        k: How many.
        include_heard: Rank the items of the history too, by the scores of the model.

    Raises:
        InputError: the model has no scores for the items of the history.
    """
    if isinstance(served.model, Scoring):
        return _scored(served, served.cells, user, k, include_heard, served.profiles)
    _refuse_heard(served, include_heard)
    row = np.array([user], dtype=np.int32)
    return _answer(served, served.model.recommend(row, served.longest(k)), "plays")


def fold_in_history(
    served: Served,
    plays: Mapping[int, float],
    k: int,
    include_heard: bool = False,
    profile: Profiles | None = None,
) -> Answer:
    """The k best items for a history that the model has not seen; nothing is trained.

    Args:
        served: The model.
        plays: Item number to plays, in the order in which they were played; at least one.
        k: How many.
        include_heard: Rank the items of the history too, by the scores of the model.
        profile: Of this user, one row.

    Raises:
        InputError: the model has no scores for the items of the history.
    """
    k = served.longest(k)
    history = history_of(served, plays)
    if isinstance(served.model, Scoring):
        return _scored(served, history, 0, k, include_heard, profile)
    _refuse_heard(served, include_heard)
    return _answer(served, served.model.fold_in(history, ONE_ROW, k, profile), "plays")


def from_profile(served: Served, profile: Profiles | None, k: int) -> Answer:
    """The k best items for a user without plays.

    The model uses the profile if its list differs from the list for an empty profile.

    Args:
        served: The model.
        profile: Of this user, one row, or None.
        k: How many.
    """
    k = served.longest(k)
    if profile is not None and served.profiles is not None:
        empty = history_of(served, {})
        unknown = unknown_profile()
        own, default = (
            served.model.fold_in(empty, ONE_ROW, k, each) for each in (profile, unknown)
        )
        same = np.array_equal(own.items, default.items) and np.array_equal(
            own.scores, default.scores, equal_nan=True
        )
        if own.items[0, 0] != NO_ITEM and not same:
            return _answer(served, own, "profile")
    similar_users = audience(served.cells, served.profiles, profile)
    return _popular(served, similar_users, k)


def similar(served: Served, item: int, k: int) -> list[RankedItem]:
    """The k items most similar to one, best first, without itself.

    Raises:
        InputError: the model has no similarities of items.
    """
    if not isinstance(served.model, Relating):
        raise InputError(
            f"the model {served.config.kind} has no similarities of items; "
            "pass the run of another model, such as als"
        )
    items, scores = served.model.similar(item, served.longest(k))
    return [_ranked(served, int(i), float(s)) for i, s in zip(items, scores, strict=True)]


def explain(served: Served, history: Interactions, user: int, item: int) -> Explanation:
    """How much each item of a history adds to the score of one item.

    Args:
        served: The model.
        history: `served.cells`, or the result of `history_of`.
        user: Row of `history`, with at least one cell.
        item: Number of the item, in the history or not.

    Raises:
        InputError: the scores of the model are not sums over the history.
    """
    if not isinstance(served.model, Explaining):
        raise InputError(
            f"the model {served.config.kind} cannot be explained by the history; "
            "pass the run of another model, such as als"
        )
    one, _ = _only(history, user, None)
    shares = served.model.contributions(one, 0, item)
    items = history.items
    listed = [
        Contribution(items.id(col), items.name(col), plays, share)
        for col, plays, share in zip(
            one.cols.tolist(), one.plays.tolist(), shares.tolist(), strict=True
        )
    ]
    listed.sort(key=lambda each: -each.share)
    heard = bool((one.cols == item).any())
    return Explanation(items.id(item), items.name(item), float(shares.sum()), heard, listed)


def history_of(served: Served, plays: Mapping[int, float]) -> Interactions:
    """The history of one user, row 0, over the items of the model.

    In case the model discounts old plays, or reads them in their order, the first of them gets the
    time of the last known play and each further one a second more.
    """
    order = {item: place for place, item in enumerate(plays)}
    cols = np.array(sorted(plays), dtype=np.int32)
    amounts = np.array([plays[int(col)] for col in cols], dtype=np.float64)
    now = served.cells.last
    places = np.array([order[int(col)] for col in cols], dtype=np.int64)
    moments = None if now is None else now.max(initial=0) + places
    rows = np.zeros(len(cols), dtype=np.int32)
    anonymous = IdMap.of([ANONYMOUS])
    return Interactions(anonymous, served.cells.items, rows, cols, amounts, moments, moments)


def unknown_profile() -> Profiles:
    """An empty profile, one row."""
    return Profiles.unknown(IdMap.of([ANONYMOUS]))


def _scored(
    served: Served,
    history: Interactions,
    user: int,
    k: int,
    include_heard: bool,
    profiles: Profiles | None,
) -> Answer:
    assert isinstance(served.model, Scoring)
    one, profile = _only(history, user, profiles)
    scores = np.array(served.model.score(one, 0, profile), dtype=np.float32)
    heard = one.cols
    if not include_heard:
        scores[heard] = -np.inf
    items, values = best(scores[None, :], served.longest(k))
    known = set(heard.tolist())
    return Answer(
        [
            _ranked(served, int(i), float(s), int(i) in known)
            for i, s in zip(items[0], values[0], strict=True)
            if i != NO_ITEM
        ],
        "plays",
    )


def _only(
    history: Interactions, user: int, profiles: Profiles | None
) -> tuple[Interactions, Profiles | None]:
    """The history and the profile of one user alone, so that a model reads no more."""
    one = slice(user, user + 1)
    users = IdMap(history.users.ids[one], history.users.names[one])
    mine = slice(*np.searchsorted(history.rows, [user, user + 1]))
    first, last = (None if t is None else t[mine] for t in (history.first, history.last))
    cells = Interactions(
        users,
        history.items,
        np.zeros_like(history.rows[mine]),
        history.cols[mine],
        history.plays[mine],
        first,
        last,
    )
    if profiles is None:
        return cells, None
    fields = (profiles.gender[one], profiles.age[one], profiles.country[one], profiles.signup[one])
    return cells, Profiles(users, *fields)


def _refuse_heard(served: Served, include_heard: bool) -> None:
    if include_heard:
        raise InputError(
            f"the model {served.config.kind} has no scores for the items of the history; "
            "leave out --include-heard"
        )


def _answer(served: Served, recs: Recommendations, by: str) -> Answer:
    pairs = zip(recs.items[0].tolist(), recs.scores[0].tolist(), strict=True)
    return Answer([_ranked(served, i, s) for i, s in pairs if i != NO_ITEM], by)


def _popular(served: Served, similar_users: Audience, k: int) -> Answer:
    """The items by users in the audience, ties by all users, then by number."""
    counts = similar_users.counts
    order = np.lexsort((np.arange(len(counts)), -served.users_per_item, -counts))[:k]
    by = "popularity" if similar_users.everyone else "alike"
    items = [_ranked(served, int(i), float(counts[i])) for i in order]
    return Answer(items, by, similar_users.words)


def _ranked(served: Served, item: int, score: float, heard: bool = False) -> RankedItem:
    items = served.cells.items
    return RankedItem(items.id(item), items.name(item), score, heard)
