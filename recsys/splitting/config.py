"""The `[split]` table: how the log is split, one class per kind."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt

from recsys.settings import Config

Fraction = Annotated[float, Field(gt=0, lt=1)]
ShareOrNumber = Fraction | PositiveInt


class SplitKind(Config):
    """What all ways to split share."""

    @property
    def redrawable(self) -> bool:
        """Whether another validation side can be drawn at random; only some kinds can."""
        return False


class RandomSplit(SplitKind):
    """A random share of the items of each user."""

    kind: Literal["random"] = "random"
    """Names this way to split."""
    fraction: Fraction = 0.2
    """The share of the items of a user that is held out."""
    min_items: PositiveInt = 5
    """Users with fewer items keep all of them in training."""

    @property
    def redrawable(self) -> bool:
        """Always."""
        return True


class LastSplit(SplitKind):
    """Per user the last n items by their first time."""

    kind: Literal["last"]
    """Names this way to split."""
    n: PositiveInt = 5
    """Items of each user on each side."""


class TimeSplit(SplitKind):
    """One moment for all users; a share of the events where no moment is given."""

    kind: Literal["time"]
    """Names this way to split."""
    validation_at: AwareDatetime | int | None = None
    """When validation begins: a moment with its offset, or seconds since 1970-01-01 UTC."""
    test_at: AwareDatetime | int | None = None
    """When test begins, likewise."""
    validation: Fraction = 0.1
    """The share of events before test, used where no moment is given."""
    test: Fraction = 0.1
    """The last share of events, used where no moment is given."""
    gap: NonNegativeInt = 0
    """Seconds before each moment of which nothing is learned or judged."""
    known_users: bool = False
    """Whether only users of the training are judged."""


class UserSplit(SplitKind):
    """Whole users, judged by fold-in from a part of their items."""

    kind: Literal["users"]
    """Names this way to split."""
    validation: ShareOrNumber = 0.1
    """The share of users that trials are judged on, or their number."""
    test: ShareOrNumber = 0.1
    """The share of users that the winner is judged on, or their number."""
    history: Fraction = 0.8
    """The share of the items of such a user that the model is shown."""
    min_items: Annotated[int, Field(ge=2)] = 2
    """Users with fewer items are not judged."""
    known_items: bool = False
    """Whether items that no training user has are left out."""
    refit: bool = True
    """Whether the winner learns from the validation users, too."""
    draw: Literal["seed", "liang-2018"] = "seed"
    """Who and what is held out: by the seed, or as the code of Liang et al. 2018 draws it."""


class ColdUserSplit(SplitKind):
    """Whole users of whom only the profile is known."""

    kind: Literal["cold-users"]
    """Names this way to split."""
    validation: Fraction = 0.1
    """The share of users that trials are judged on."""
    test: Fraction = 0.1
    """The share of users that the winner is judged on."""


class ColdItemSplit(SplitKind):
    """Items of which few users are known."""

    kind: Literal["cold-items"]
    """Names this way to split."""
    validation: Fraction = 0.1
    """The share of items that trials are judged on."""
    test: Fraction = 0.1
    """The share of items that the winner is judged on."""
    known: NonNegativeInt = 3
    """Users of a held-out item that stay in training."""


class GivenSplit(SplitKind):
    """A test file as published; validation likewise, or cut from the rest, per user at random."""

    kind: Literal["given"]
    """Names this way to split."""
    test: Path
    """The published test file."""
    validation: Path | None = None
    """The published validation file; without it, validation is a part of the log."""
    fraction: Fraction = 0.2
    """The share of the items of a user that is held out for validation."""
    min_items: PositiveInt = 5
    """Users with fewer items keep all of them in training."""

    @property
    def redrawable(self) -> bool:
        """Unless it was published."""
        return self.validation is None


SplitConfig = Annotated[
    RandomSplit | LastSplit | TimeSplit | UserSplit | ColdUserSplit | ColdItemSplit | GivenSplit,
    Field(discriminator="kind"),
]
