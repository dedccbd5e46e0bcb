"""Gender, age, country and sign-up day of users; what is missing is explicit."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.data.ids import IdMap, Strings
from recsys.dtypes import BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """Gender, age, country and day of signing up, one entry per user of `users`.

    Attributes:
        users: The users described, n of them.
        gender: pyarrow strings, shape (n,), "m", "f" or the text of the source; null if missing.
        age: Years, float32, shape (n,), within 0 to 100; NaN if missing.
        country: pyarrow strings, shape (n,); null if missing.
        signup: Seconds since 1970-01-01 UTC at midnight of that day, int64, shape (n,); -1 if
            missing.
    """

    users: IdMap
    gender: Strings
    age: npt.NDArray[np.float32]
    country: Strings
    signup: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        lengths = [len(self.gender), len(self.age), len(self.country), len(self.signup)]
        if set(lengths) != {len(self.users)}:
            raise ValueError(f"{len(self.users)} users but columns of length {lengths}")
        known = self.age[~np.isnan(self.age)]
        if known.size and not 0 <= float(known.min()) <= float(known.max()) <= 100:
            raise ValueError(f"ages run {known.min()}..{known.max()}, must lie within 0..100")

    @classmethod
    def unknown(cls, users: IdMap) -> Self:
        """Profiles with every field missing."""
        nothing = pa.nulls(len(users), pa.string())
        age = np.full(len(users), np.nan, np.float32)
        return cls(users, nothing, age, nothing, np.full(len(users), -1, np.int64))

    def aligned(self, users: IdMap) -> Self:
        """The profiles of `users`, in their order; a user without one has no values."""
        if not len(self):
            return type(self).unknown(users)
        at = self.users.find(users.ids)
        there = at >= 0
        index = pa.array(at, mask=~there)
        gender, country = self.gender.take(index), self.country.take(index)
        age = np.where(there, self.age[at], np.float32(np.nan))
        signup = np.where(there, self.signup[at], -1)
        return type(self)(users, gender, age, country, signup)

    def taken(self, at: npt.NDArray[np.int32]) -> Self:
        """The profiles at rising positions, int32, shape (m,)."""
        keep = np.zeros(len(self), dtype=np.bool_)
        keep[at] = True
        return self.aligned(self.users.where(keep))

    def digest(self) -> bytes:
        """32 bytes that change with any value."""
        digest = sha256(self.age.tobytes() + self.signup.tobytes())
        for texts in self._texts:
            digest.update("\0".join(text or "" for text in texts.to_pylist()).encode())
        return digest.digest()

    def __repr__(self) -> str:
        return f"Profiles: {len(self):,} users, {int(self.described().sum()):,} described"

    def __len__(self) -> int:
        return len(self.users)

    def described(self) -> BoolArray:
        """Which users have at least one field, bool, shape (n,)."""
        texts = [column.is_valid().to_numpy(zero_copy_only=False) for column in self._texts]
        return np.asarray(texts[0] | texts[1] | ~np.isnan(self.age) | (self.signup >= 0))

    @property
    def _texts(self) -> tuple[Strings, Strings]:
        return self.gender, self.country

    def missing(self) -> dict[str, int]:
        """How many users lack each field."""
        return {
            "gender": int(self.gender.null_count),
            "age": int(np.isnan(self.age).sum()),
            "country": int(self.country.null_count),
            "signup": int((self.signup < 0).sum()),
        }
