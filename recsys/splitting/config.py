"""The `[split]` table: how the log is split, one class per kind."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, PositiveInt

from recsys.settings import Config

Fraction = Annotated[float, Field(gt=0, lt=1)]


class RandomSplit(Config):
    """A random share of the items of each user."""

    kind: Literal["random"] = "random"
    fraction: Fraction = 0.2
    min_items: PositiveInt = 5
    """Users with fewer items keep all of them in training."""


class LastSplit(Config):
    """Per user the last n items by their first time."""

    kind: Literal["last"]
    n: PositiveInt = 5


class TimeSplit(Config):
    """One moment for all users; a share of the events where no moment is given."""

    kind: Literal["time"]
    validation_at: AwareDatetime | int | None = None
    test_at: AwareDatetime | int | None = None
    """A moment with its offset, or seconds since 1970-01-01 UTC."""
    validation: Fraction = 0.1
    test: Fraction = 0.1
    """The last share of events, used where no moment is given."""


class UserSplit(Config):
    """Whole users, judged by fold-in from a part of their items."""

    kind: Literal["users"]
    validation: Fraction = 0.1
    test: Fraction = 0.1
    history: Fraction = 0.8


class GivenSplit(Config):
    """A test file as published; validation is cut from the rest, per user at random."""

    kind: Literal["given"]
    test: Path
    fraction: Fraction = 0.2
    min_items: PositiveInt = 5


SplitConfig = Annotated[
    RandomSplit | LastSplit | TimeSplit | UserSplit | GivenSplit, Field(discriminator="kind")
]
