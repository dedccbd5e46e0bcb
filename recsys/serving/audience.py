"""The audience of a profile: users with a similar one, who answer where no plays are known."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.ids import IdMap, Strings
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.dtypes import BoolArray
from recsys.errors import InputError
from recsys.serving.names import Lookup

YEARS = 5  # largest difference of a similar age
FEWEST = 30  # users in an audience; with fewer, one field less has to match


@dataclass(frozen=True, slots=True, eq=False)
class Audience:
    """Users with a similar profile.

    Attributes:
        counts: How many of them play each item, int64, shape (n_items,).
        words: Their number and common fields.
        everyone: Whether it is all users.
    """

    counts: npt.NDArray[np.int64]
    words: str
    everyone: bool


def audience(cells: Interactions, known: Profiles | None, wanted: Profiles | None) -> Audience:
    """The users who match `wanted` in as many fields as leave at least FEWEST users.

    Gender is dropped first, then age, then country.

    Args:
        cells: All cells.
        known: Profiles of the users of `cells`, aligned with them.
        wanted: One row, or None.
    """
    like = {} if known is None or wanted is None else _like(known, wanted)
    while like:
        all_users = np.ones(len(cells.users), dtype=np.bool_)
        who = np.logical_and.reduce([all_users, *like.values()])
        if int(who.sum()) >= FEWEST:
            counts = np.bincount(cells.cols[who[cells.rows]], minlength=len(cells.items))
            return Audience(counts, f"{int(who.sum()):,} users: {', '.join(like)}", False)
        like.popitem()
    return Audience(cells.per_item(), f"all {len(cells.users):,} users", True)


def _like(known: Profiles, wanted: Profiles) -> dict[str, BoolArray]:
    """Field in words to the users who match `wanted` in it, for each field `wanted` has."""
    like: dict[str, BoolArray] = {}
    country, gender = wanted.country[0].as_py(), wanted.gender[0].as_py()
    age = float(wanted.age[0])
    if country is not None:
        like[f"country {country}"] = _equal(known.country, country)
    if not np.isnan(age):
        like[f"age {age - YEARS:g} to {age + YEARS:g}"] = np.abs(known.age - age) <= YEARS
    if gender is not None:
        like[f"gender {gender}"] = _equal(known.gender, gender)
    return like


def _equal(texts: Strings, wanted: str) -> BoolArray:
    same = pc.fill_null(pc.equal(texts, wanted), False)
    return np.asarray(same.to_numpy(zero_copy_only=False), dtype=np.bool_)


def profile_of(
    known: Profiles, country: str | None, age: float | None, gender: str | None
) -> Profiles:
    """The profile of one user, in the spelling of the known profiles.

    Raises:
        InputError: no known profile has the country or gender, or the age is not within 0..100.
    """
    if age is not None and not 0 <= age <= 100:
        raise InputError(f"age {age:g} is not within 0..100; give an age in years")
    return Profiles(
        IdMap.of(["anonymous"]),
        _spelt(known.gender, gender, "gender"),
        np.array([np.nan if age is None else age], dtype=np.float32),
        _spelt(known.country, country, "country"),
        np.array([-1], dtype=np.int64),
    )


def _spelt(column: Strings, text: str | None, what: str) -> Strings:
    if text is None:
        return pa.nulls(1, pa.string())
    values = pc.value_counts(column.drop_null())
    counts = {each["values"].as_py(): each["counts"].as_py() for each in values}
    spellings = IdMap.of(counts)
    often = np.array([counts[each] for each in spellings.ids.to_pylist()], dtype=np.int64)
    number = Lookup(spellings, often, what).number(text)
    return pa.array([spellings.id(number)], type=pa.string())
