import numpy as np
import pyarrow as pa
import pytest

from recsys.data.ids import IdMap, strings
from recsys.data.profiles import Profiles


def profiles(*users: str, age: float = 30.0) -> Profiles:
    n = len(users)
    return Profiles(
        IdMap.of(users),
        pa.array([f"gender of {user}" for user in users], pa.string()),
        np.full(n, age, np.float32),
        pa.array([f"land of {user}" for user in users], pa.string()),
        np.arange(n, dtype=np.int64) * 86_400,
    )


def test_profiles_follow_the_users_they_are_aligned_to() -> None:
    known = profiles("a", "b", "c").aligned(IdMap.of(["b", "c"]))

    assert known.gender.to_pylist() == ["gender of b", "gender of c"]
    assert known.country.to_pylist() == ["land of b", "land of c"]
    assert known.age.tolist() == [30, 30]
    assert known.signup.tolist() == [86_400, 2 * 86_400]


def test_a_user_without_a_profile_is_all_missing() -> None:
    known = profiles("b", "d").aligned(IdMap.of(["a", "b", "z"]))

    assert known.gender.to_pylist() == [None, "gender of b", None]
    assert known.country.to_pylist() == [None, "land of b", None]
    assert np.isnan(known.age).tolist() == [True, False, True]
    assert known.signup.tolist() == [-1, 0, -1]
    assert known.missing() == {"gender": 2, "age": 2, "country": 2, "signup": 2}


def test_without_any_profile_all_fields_are_missing() -> None:
    known = profiles().aligned(IdMap.of(["a", "b"]))

    assert len(known) == 2
    assert known.missing() == {"gender": 2, "age": 2, "country": 2, "signup": 2}


@pytest.mark.parametrize("age", [-1, 101, np.inf])
def test_ages_outside_0_to_100_are_refused(age: float) -> None:
    with pytest.raises(ValueError, match=r"must lie within 0\.\.100"):
        profiles("a", age=age)


@pytest.mark.parametrize("age", [0, 100, np.nan])
def test_the_ends_of_the_range_and_a_missing_age_are_ages(age: float) -> None:
    assert len(profiles("a", age=age)) == 1


def test_every_column_has_one_entry_per_user() -> None:
    one = profiles("a")

    with pytest.raises(ValueError, match="1 users but columns of length"):
        Profiles(one.users, one.gender, one.age, strings(["x", "y"]), one.signup)
