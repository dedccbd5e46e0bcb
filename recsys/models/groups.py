"""Users in groups by columns of their profiles, such as those of one country and gender."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from recsys.data.ids import IdMap
from recsys.data.profiles import Profiles
from recsys.dtypes import Int32Array, Int64Array
from recsys.models.features import age_bands, known, numbered

COLUMNS = ("country", "gender", "age", "signup")
ALL = "all"
YEARS = 300  # of signing up, from 1970 on


class ProfileGroups:
    """The groups of the users of a training.

    A user is in one group for each choice of columns that is known of them: that of the country,
    that of the gender, that of both. What a user is given is the one of all that is known.

    Attributes:
        codes: Of the groups, int64, rising, shape (n_groups,).
        users: User number of each membership, int64, shape (m,).
        groups: The group of each membership, int64, shape (m,).
    """

    codes: Int64Array
    users: Int64Array
    groups: Int64Array

    def __init__(self, columns: tuple[str, ...], profiles: Profiles) -> None:
        """Find the groups.

        Args:
            columns: Some of COLUMNS.
            profiles: Of the users of the training.
        """
        values: dict[str, IdMap] = {
            "country": known(profiles.country),
            "gender": known(profiles.gender),
        }
        self._numbers = [_reader(column, values) for column in columns]
        self._bases = _bases(columns, values)
        numbers = self._known(profiles)
        users, codes = [], []
        for choice in range(1, 1 << len(columns)):
            chosen = np.array([bool(choice >> n & 1) for n in range(len(columns))])
            at = np.flatnonzero((numbers[:, chosen] > 0).all(axis=1))
            users.append(at)
            codes.append(numbers[at][:, chosen] @ self._bases[chosen])
        self.users = np.concatenate(users)
        self.codes, self.groups = np.unique(np.concatenate(codes), return_inverse=True)

    def of(self, profiles: Profiles) -> Int32Array:
        """The group of all that is known of each user, int32, shape (n,); -1 where there is none.

        A country or gender that no user of the training has counts as unknown.
        """
        codes = self._known(profiles) @ self._bases
        at = np.searchsorted(self.codes, codes)
        there = np.append(self.codes, -1)[at] == codes
        return np.where(there, at, -1).astype(np.int32)

    def _known(self, profiles: Profiles) -> Int64Array:
        """The values of each user as numbers from 1 on, 0 where unknown, int64, shape (n, c)."""
        return np.stack([numbers(profiles) + 1 for numbers in self._numbers], 1).astype(np.int64)


def _reader(
    column: str, values: Mapping[str, IdMap]
) -> Callable[[Profiles], npt.NDArray[np.integer]]:
    """What gives the number of each user in a column; -1 for none."""
    match column:
        case "age":
            return lambda profiles: age_bands(profiles.age)
        case "signup":
            return lambda profiles: _years(profiles.signup)
        case _:
            return lambda profiles: numbered(getattr(profiles, column), values[column])


def _years(signup: Int64Array) -> Int64Array:
    """Years since 1970, int64, at most YEARS; -1 for -1."""
    years = signup.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64)
    return np.where(signup < 0, -1, np.minimum(years, YEARS))


def _bases(columns: tuple[str, ...], values: Mapping[str, IdMap]) -> Int64Array:
    """What the number of each column is multiplied by in a code, int64, shape (c,)."""
    sizes = [len(values[each]) if each in values else YEARS + 1 for each in columns]
    return np.cumprod([1, *(size + 1 for size in sizes[:-1])]).astype(np.int64)
