"""The `[filter]` table: which users and items stay."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from recsys.settings import Config, Texts


class FilterConfig(Config):
    """Which users and items stay."""

    min_items: NonNegativeInt = 5
    """Users with fewer items go."""
    min_users: NonNegativeInt = 5
    """Items with fewer users go."""
    mode: Literal["once", "core"] = "once"
    """once: users first, then items; core: both until nothing changes."""
    count: Literal["cells", "rows"] = "cells"
    """What a minimum counts: distinct pairs, or rows of the file (as the reference study)."""
    top_users: PositiveInt | None = None
    """Only the users with most items, so many."""
    genders: Texts = ()
    """Keep only users with one of these in their profile; all by default."""
    countries: Texts = ()
    """Keep only users with one of these in their profile; all by default."""
    age_min: float | None = None
    """Only users of at least this age."""
    age_max: float | None = None
    """Only users of at most this age."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """A random share of the users, to try things out."""

    @model_validator(mode="after")
    def _ages_in_order(self) -> Self:
        low, high = self.age_min, self.age_max
        if low is not None and high is not None and low > high:
            raise ValueError(f"age_min {low:g} is above age_max {high:g}")
        return self

    @property
    def has_cohort(self) -> bool:
        """Whether profiles decide who stays."""
        ages = (self.age_min, self.age_max)
        return bool(self.genders or self.countries) or any(age is not None for age in ages)

    @property
    def cohort_text(self) -> str:
        """The cohort in words."""
        low = "" if self.age_min is None else f"{self.age_min:g}"
        high = "" if self.age_max is None else f"{self.age_max:g}"
        ages = f"age {low}..{high}" if low or high else ""
        return "cohort: " + ", ".join(filter(None, [*self.genders, *self.countries, ages]))
