"""The items with most plays or most users, the baseline that every other model has to beat."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, NonNegativeFloat, PositiveFloat
from scipy.sparse import csr_matrix

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.errors import InputError
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import ModelConfig
from recsys.models.groups import ALL, COLUMNS, ProfileGroups
from recsys.models.recommender import NO_ITEM, Recommendations, padded
from recsys.models.weighting import decay, latest

Groups = npt.NDArray[np.int32]


def _columns(within: str) -> str:
    names = within.split("+")
    if within != ALL and not (set(names) <= set(COLUMNS) and len(set(names)) == len(names)):
        raise ValueError(f"use {ALL}, or some of {', '.join(COLUMNS)} joined by +")
    return within


class PopularityConfig(ModelConfig):
    """Parameters of popularity: it counts plays, or distinct users."""

    baseline: ClassVar[bool] = True
    knows_profiles: ClassVar[bool] = True
    profile_parameters: ClassVar[tuple[str, ...]] = ("within", "shrinkage")

    kind: Literal["popularity-plays", "popularity-users"]
    within: Annotated[str, AfterValidator(_columns)] = ALL
    """The users that count: all, or those with the country, gender, age band or year of signing up
    of the user; several are joined, as in "country+gender"."""
    shrinkage: NonNegativeFloat = 10.0
    """So many users with the taste of all are added to those of a group."""
    half_life: PositiveFloat | None = None
    """Days after which a play, or a user, counts half; None: all count the same. Needs times."""

    @property
    def uses_profiles(self) -> bool:
        """True where it counts within groups of users."""
        return self.within != ALL


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """All items, best first.

    Attributes:
        scores: By item, float32, shape (n_items,).
        order: Items, best first, int32, shape (n_items,).
        place: Where in `order` each item stands, int64, shape (n_items,).
    """

    scores: npt.NDArray[np.float32]
    order: npt.NDArray[np.int32]
    place: npt.NDArray[np.int64]

    @classmethod
    def of(cls, counts: npt.NDArray[np.float64], among: npt.NDArray[np.int32]) -> Self:
        """Highest count first; of equal ones the first in `among`, which holds all items."""
        order = among[np.argsort(-counts[among], kind="stable")]
        return cls(counts.astype(np.float32), order, np.argsort(order))


class Popularity:
    """Rank items by the plays or the distinct users they have in training.

    Ties go to the lower item number. Items without users in training are ranked last, with a
    score of 0: the catalogue is never cut.

    Within a group, such as a country or an age band (0-17, 18-24, 25-34, 35-44, 45-54, 55 and
    above), the score of item i is

        n_gi + shrinkage * n_i / n

    with n_gi its count in the group, n_i that among all, and n the users of the training; ties go
    to the more popular item among all. A field of the profile that is missing, or that no user of
    the training has, is left out. A user without any gets the items that are popular among all.
    """

    _train: Interactions
    _seen: csr_matrix
    _all: Ranking
    _groups: Groups
    _counts: csr_matrix
    _grouped: ProfileGroups | None
    _added: npt.NDArray[np.float64]

    def __init__(self, config: PopularityConfig, profiles: Profiles | None = None) -> None:
        """An untrained model.

        Args:
            config: Plays or users, and of which users.
            profiles: Of the users of the training data, aligned with them.

        Raises:
            InputError: it counts within groups and there are no profiles.
        """
        if config.uses_profiles and profiles is None:
            raise InputError(
                f'{config.kind} with within = "{config.within}" needs user profiles; pass '
                f'--profiles FILE, or set within = "all"'
            )
        self._config = config
        self._profiles = profiles

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Score of each item among all, float32, shape (n_items,)."""
        return self._all.scores

    def fit(self, train: Interactions) -> Self:
        """Count plays or users.

        Raises:
            InputError: there is a half-life and the data has no times.
        """
        self._train, self._seen = train, train.matrix()
        weights = self._weights(train)
        n_items = len(train.items)
        counts = np.bincount(train.cols, weights, minlength=n_items).astype(np.float64)
        self._all = Ranking.of(counts, np.arange(n_items, dtype=np.int32))
        self._added = counts * self._config.shrinkage / max(len(train.users_with_cells()), 1)
        self._grouped = None
        if self._profiles is not None and self._config.uses_profiles:
            columns = tuple(self._config.within.split("+"))
            self._grouped = ProfileGroups(columns, self._profiles)
        self._groups = self._groups_of(self._profiles, len(train.users))
        self._counts = self._counted(train, weights)
        return self

    def _weights(self, train: Interactions) -> npt.NDArray[np.float64]:
        """What each cell counts, float64, shape (n,)."""
        by_plays = self._config.kind == "popularity-plays"
        weights = train.plays if by_plays else np.ones(len(train))
        half_life = self._config.half_life
        return weights if half_life is None else weights * decay(train, half_life, latest(train))

    def arrays(self) -> ModelArrays:
        """No arrays: counting is no training."""
        return {}

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        """Count plays or users."""
        return self.fit(train)

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """The k most popular items for each user, without those of the training."""
        return self._ranked(self._seen[users], users, k, self._groups[users])

    def fold_in(
        self,
        history: Interactions,
        users: npt.NDArray[np.int32],
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """The k most popular items that are not in each user's history."""
        if profiles is None and history.users is self._train.users:
            profiles = self._profiles
        groups = self._groups_of(profiles, len(history.users))
        return self._ranked(history.matrix()[users], users, k, groups[users])

    def _groups_of(self, profiles: Profiles | None, n_users: int) -> Groups:
        """Number of each user's group, int32, shape (n_users,); -1 is all users."""
        if profiles is None or self._grouped is None:
            return np.full(n_users, -1, np.int32)
        return self._grouped.of(profiles)

    def _counted(self, train: Interactions, weights: npt.NDArray[np.float64]) -> csr_matrix:
        """The counts of each group, float64 CSR, shape (n_groups, n_items)."""
        if self._grouped is None:
            return csr_matrix((0, len(train.items)))
        cells = csr_matrix((weights, (train.rows, train.cols)), shape=train.shape)
        users, groups = self._grouped.users, self._grouped.groups
        members = csr_matrix(
            (np.ones(len(users)), (groups, users)),
            shape=(len(self._grouped.codes), len(train.users)),
        )
        return csr_matrix(members @ cells)

    def _ranking(self, group: int) -> Ranking:
        if group < 0 or not self._counts[[group]].nnz:
            return self._all
        counts = self._counts[[group]].toarray().ravel() + self._added
        return Ranking.of(counts, self._all.order)

    def _ranked(
        self, seen: csr_matrix, users: npt.NDArray[np.int32], k: int, groups: Groups
    ) -> Recommendations:
        if (groups < 0).all():
            return _walked(self._all, seen, users, k)
        items = np.empty((len(users), k), np.int32)
        scores = np.empty((len(users), k), np.float32)
        for group in np.unique(groups):
            of = np.flatnonzero(groups == group)
            part = _walked(self._ranking(int(group)), seen[of], users[of], k)
            items[of], scores[of] = part.items, part.scores
        return Recommendations(users.astype(np.int32), items, scores)


CONFIG = PopularityConfig


def create(config: PopularityConfig, seed: int, profiles: Profiles | None = None) -> Popularity:
    """The untrained model."""
    return Popularity(config, profiles)


def _walked(
    ranking: Ranking, seen: csr_matrix, users: npt.NDArray[np.int32], k: int
) -> Recommendations:
    """Walk down one common ranking, past the items of each history.

    Of the places p0 < p1 < ... of a history, p_i has p_i - i open places before it. So the j-th
    open place, from 0, is j plus the number of places of the history with p_i - i <= j.
    """
    sizes = np.diff(seen.indptr)
    rows = np.repeat(np.arange(len(users)), sizes)
    n_items = seen.shape[1]
    met = np.sort(rows * n_items + ranking.place[seen.indices]) - rows * n_items
    before = met - (np.arange(len(met)) - np.repeat(seen.indptr[:-1], sizes))
    near = before < k
    passed = np.bincount(rows[near] * k + before[near], minlength=len(users) * k)
    place = np.arange(k) + np.cumsum(passed.reshape(len(users), k), axis=1)
    shown = place < n_items
    item = ranking.order[np.minimum(place, n_items - 1)]
    items = np.where(shown, item, NO_ITEM)
    scores = np.where(shown, ranking.scores[item], np.float32(np.nan))
    return padded(users, items, scores, k)
