"""Several models whose lists are merged by reciprocal rank (Cormack, Clarke and Buettcher 2009)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, PositiveFloat, SerializeAsAny
from scipy.sparse import csr_matrix

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.models import build, read_config
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import Count, ModelConfig
from recsys.models.recommender import NO_ITEM, Recommendations, Recommender
from recsys.models.top_k import best

SCORES = 1 << 24  # dense scores at a time, 64 MiB of float32


def _member(value: object) -> object:
    """The configuration of a member, where it is still a table."""
    return read_config(value) if isinstance(value, Mapping) else value


Member = Annotated[SerializeAsAny[ModelConfig], BeforeValidator(_member)]


class EnsembleConfig(ModelConfig):
    """Several models whose lists are merged by reciprocal rank."""

    kind: Literal["ensemble"] = "ensemble"
    members: tuple[Member, ...] = Field(min_length=2)
    depth: Count = 200
    """Length of the lists that are merged, or that of the merged one if it is longer."""
    constant: PositiveFloat = 60.0
    """Added to each rank: the higher, the less the first places count."""

    @property
    def uses_profiles(self) -> bool:
        """True where a member uses them."""
        return any(member.uses_profiles for member in self.members)

    @property
    def parts(self) -> tuple[ModelConfig, ...]:
        """The members."""
        return self.members


class Ensemble:
    """Each model gives an item at rank r, from 1, 1 / (constant + r); the sums are ranked.

    Ties go to the lower item number. An item in no list of length `depth` is not recommended.
    """

    def __init__(self, config: EnsembleConfig, members: Sequence[Recommender]) -> None:
        """An untrained ensemble of untrained models."""
        self._config = config
        self._members = list(members)

    def fit(self, train: Interactions) -> Self:
        """Fit every member."""
        self._n_items = len(train.items)
        for member in self._members:
            member.fit(train)
        return self

    def arrays(self) -> ModelArrays:
        """The arrays of the members, with their numbers before the names."""
        every = enumerate(self._members)
        return {f"{n}/{name}": part for n, one in every for name, part in one.arrays().items()}

    def restore(self, train: Interactions, stored: StoredArrays) -> Self:
        """Restore every member."""
        self._n_items = len(train.items)
        for n, member in enumerate(self._members):
            member.restore(train, stored.member(n))
        return self

    def recommend(self, users: npt.NDArray[np.int32], k: int) -> Recommendations:
        """The k items with the highest sum of reciprocal ranks, none met in training."""
        return self._merged(users, k, lambda model, depth: model.recommend(users, depth))

    def fold_in(
        self,
        history: Interactions,
        users: npt.NDArray[np.int32],
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """As `recommend`, from what each member recommends to users with this history."""
        return self._merged(
            users, k, lambda model, depth: model.fold_in(history, users, depth, profiles)
        )

    def _merged(
        self,
        users: npt.NDArray[np.int32],
        k: int,
        lists: Callable[[Recommender, int], Recommendations],
    ) -> Recommendations:
        depth = min(max(self._config.depth, k), self._n_items)
        sums = csr_matrix((len(users), self._n_items), dtype=np.float64)
        for member in self._members:
            sums = sums + self._reciprocal(lists(member, depth))
        size = max(1, SCORES // max(self._n_items, 1))
        items, scores = [np.zeros((0, k), np.int32)], [np.zeros((0, k), np.float32)]
        for start in range(0, len(users), size):
            block = sums[start : start + size].toarray().astype(np.float32)
            block[block == 0] = -np.inf
            ranked, values = best(block, k)
            items.append(ranked)
            scores.append(values)
        return Recommendations(
            users.astype(np.int32), np.concatenate(items), np.concatenate(scores)
        )

    def _reciprocal(self, recs: Recommendations) -> csr_matrix:
        rows, ranks = np.nonzero(recs.items != NO_ITEM)
        values = 1.0 / (self._config.constant + 1 + ranks)
        shape = (len(recs.users), self._n_items)
        return csr_matrix((values, (rows, recs.items[rows, ranks])), shape=shape)


CONFIG = EnsembleConfig


def create(config: EnsembleConfig, seed: int, profiles: Profiles | None = None) -> Ensemble:
    """The untrained model."""
    return Ensemble(config, [build(part, seed, profiles) for part in config.members])
