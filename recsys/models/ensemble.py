"""Merges the lists of several models, by rank or by score."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PositiveFloat, SerializeAsAny, model_validator

from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import Int32Array
from recsys.models import build, read_config
from recsys.models.arrays import ModelArrays, StoredArrays
from recsys.models.config import Count, ModelConfig
from recsys.models.merging import Merge, merged, worth
from recsys.models.recommender import Recommendations, Recommender


def _member(value: object) -> object:
    """The configuration of a member, where it is still a table."""
    return read_config(value) if isinstance(value, Mapping) else value


Member = Annotated[SerializeAsAny[ModelConfig], BeforeValidator(_member)]


class EnsembleConfig(ModelConfig):
    """Which models are merged, and how."""

    kind: Literal["ensemble"] = "ensemble"
    members: tuple[Member, ...] = Field(min_length=2)
    merge: Merge = "ranks"
    """What adds up: reciprocal ranks, or the scores of each list scaled to 1."""
    weights: tuple[PositiveFloat, ...] = ()
    """Of the members, in their order; none for equal ones."""
    depth: Count = 200
    """Length of the lists that are merged, or that of the merged one if it is longer."""
    constant: PositiveFloat = 60.0
    """Added to each rank: the higher, the less the first places count."""

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if self.weights and len(self.weights) != len(self.members):
            raise ValueError(
                f"{len(self.weights)} weights for {len(self.members)} members; give one for each"
            )
        return self

    @property
    def uses_profiles(self) -> bool:
        """True where a member uses them."""
        return any(member.uses_profiles for member in self.members)

    @property
    def parts(self) -> tuple[ModelConfig, ...]:
        """The members."""
        return self.members


class Ensemble:
    """An item scores the sum over the members of weight times worth of its place in their list.

    The worth of a place is `recsys.models.merging.worth`. Ties go to the lower item number. An item
    in no list of length `depth` is not recommended.
    """

    def __init__(self, config: EnsembleConfig, members: Sequence[Recommender]) -> None:
        """An untrained ensemble of untrained models."""
        self._config = config
        self._members = list(members)

    @property
    def members(self) -> Sequence[Recommender]:
        """The models, in the order of the configuration."""
        return self._members

    def merging(self, config: EnsembleConfig) -> "Ensemble":
        """The same members, fitted as they are, whose lists are merged in another way."""
        other = Ensemble(config, self._members)
        other._n_items = self._n_items
        return other

    def depth(self, k: int) -> int:
        """Length of the members' lists that are merged into one of k items."""
        return min(max(self._config.depth, k), self._n_items)

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

    def recommend(self, users: Int32Array, k: int) -> Recommendations:
        """The k items whose worths add up to the most, none met in training."""
        depth = self.depth(k)
        return self.merge([model.recommend(users, depth) for model in self._members], k)

    def fold_in(
        self,
        history: Interactions,
        users: Int32Array,
        k: int,
        profiles: Profiles | None = None,
    ) -> Recommendations:
        """As `recommend`, from what each member recommends to users with this history."""
        depth = self.depth(k)
        lists = [model.fold_in(history, users, depth, profiles) for model in self._members]
        return self.merge(lists, k)

    def merge(self, lists: Sequence[Recommendations], k: int) -> Recommendations:
        """The k best items of one list of each member, in the order of the members."""
        config = self._config
        weights = config.weights or (1.0,) * len(lists)
        worths = [
            weight * worth(each, config.merge, config.constant, config.depth)
            for weight, each in zip(weights, lists, strict=True)
        ]
        return merged(lists, worths, k)


CONFIG = EnsembleConfig


def create(config: EnsembleConfig, seed: int, profiles: Profiles | None = None) -> Ensemble:
    """The untrained model."""
    return Ensemble(config, [build(part, seed, profiles) for part in config.members])
