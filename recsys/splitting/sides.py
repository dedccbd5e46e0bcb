"""What a published test side and the log know of each other."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from recsys.splitting.split import Fold


@dataclass(frozen=True, slots=True)
class Sides:
    """The users, items and pairs of a published test side beside those of the log.

    Attributes:
        users: Users of the test side.
        users_only_in_log: Users of the log that the test side does not have.
        users_only_in_test: Users of the test side without anything in the log.
        with_profile: Those of `users_only_in_test` with a profile; None without profiles.
        without_profile: Those without one; None without profiles.
        missing: Users of the test side that lack each field; None without profiles.
        items: Items of the test side.
        items_only_in_test: Those of them that nobody in the log has: no model can find them.
        pairs: Pairs of the test side that are judged.
        pairs_dropped: Pairs of the test file that the log has, too: they are not judged.
        pairs_of_unknown_items: Judged pairs whose item is only in the test.
    """

    users: int
    users_only_in_log: int
    users_only_in_test: int
    with_profile: int | None
    without_profile: int | None
    missing: dict[str, int] | None
    items: int
    items_only_in_test: int
    pairs: int
    pairs_dropped: int
    pairs_of_unknown_items: int

    @classmethod
    def of(cls, fold: Fold, n_pairs: int) -> Self:
        """The counts of a test fold; its test file had `n_pairs` distinct pairs."""
        judged, items = fold.judged, np.unique(fold.held_out.cols)
        new = judged[fold.train.per_user()[judged] == 0]
        described = None if fold.profiles is None else int(fold.profiles.described()[new].sum())
        return cls(
            users=len(judged),
            users_only_in_log=len(np.setdiff1d(fold.train.users_with_cells(), judged)),
            users_only_in_test=len(new),
            with_profile=described,
            without_profile=None if described is None else len(new) - described,
            missing=None if fold.profiles is None else fold.profiles.taken(judged).missing(),
            items=len(items),
            items_only_in_test=int((fold.train.per_item()[items] == 0).sum()),
            pairs=len(fold.held_out),
            pairs_dropped=n_pairs - len(fold.held_out),
            pairs_of_unknown_items=fold.unreachable,
        )
