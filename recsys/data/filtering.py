"""The filters of a log: which users and items stay, and what each step leaves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from recsys.data.config import FilterConfig
from recsys.data.ids import strings
from recsys.data.interactions import Events
from recsys.data.profiles import Profiles
from recsys.dtypes import BoolArray
from recsys.errors import InputError
from recsys.seeds import seed_for


@dataclass(frozen=True, slots=True)
class Step:
    """What one filter leaves.

    Attributes:
        name: The filter, with its setting.
        users: Users left.
        items: Items left.
        rows: Events left (rows of the file).
        cells: Distinct pairs left.
    """

    name: str
    users: int
    items: int
    rows: int
    cells: int


def apply_filters(
    events: Events, profiles: Profiles | None, config: FilterConfig, seed: int
) -> tuple[Events, list[Step]]:
    """The events that pass every filter, over id maps without unused ids, and the steps.

    In this order: cohort (gender, country, age), a seeded fraction of the users, the minimum
    numbers, the users with most items. The minimum numbers come after the cohort so that
    they hold for the users of the study.

    Args:
        events: All events.
        profiles: Needed only for a cohort; of any users, in any order.
        config: What to keep.
        seed: Root seed; draws the fraction of users.

    Raises:
        InputError: a cohort without profiles, or nothing is left after a step.
    """
    steps = [_step("as read", events)]
    for name, narrow in _filters(profiles, config, seed):
        events = narrow(events).compact()
        steps.append(_step(name, events))
        if not len(events):
            raise InputError(
                f"nothing is left after the filter '{name}': before it there were "
                f"{steps[-2].users} users and {steps[-2].items} items; loosen [filter]"
            )
    return events, steps


Filter = tuple[str, Callable[[Events], Events]]


def _filters(profiles: Profiles | None, config: FilterConfig, seed: int) -> Sequence[Filter]:
    filters: list[Filter] = []
    if config.has_cohort:
        cohort = _require(profiles)
        filters.append((config.cohort_text, lambda e: _users_where(e, _cohort(e, cohort, config))))
    if config.fraction < 1:
        name = f"fraction {config.fraction:g} of users"
        filters.append((name, lambda e: _users_where(e, _drawn(e, config.fraction, seed))))
    if config.mode == "core":
        name = f"core: users >= {config.min_items} items, items >= {config.min_users}"
        filters.append((name, lambda e: _core(e, config)))
    else:
        name = f"users >= {config.min_items} items"
        filters.append((name, lambda e: _enough_items(e, config)))
        name = f"items >= {config.min_users} users"
        filters.append((name, lambda e: _enough_users(e, config)))
    if config.top_users is not None:
        name = f"top {config.top_users} users by items"
        filters.append((name, lambda e: _top_users(e, config)))
    return filters


def _require(profiles: Profiles | None) -> Profiles:
    if profiles is None:
        raise InputError(
            "a cohort (filter.genders, countries, age_min, age_max) needs user profiles; "
            "pass --profiles FILE"
        )
    return profiles


def _step(name: str, events: Events) -> Step:
    cells = int(np.count_nonzero(events.begins))
    return Step(name, len(events.users), len(events.items), len(events), cells)


def _users_where(events: Events, keep: BoolArray) -> Events:
    return events.where(keep[events.rows])


def _sizes(
    numbers: npt.NDArray[np.int32], events: Events, config: FilterConfig, n: int
) -> npt.NDArray[np.int64]:
    if config.count == "rows":
        return np.bincount(numbers, minlength=n)
    return np.bincount(numbers[events.begins], minlength=n)


def _enough_items(events: Events, config: FilterConfig) -> Events:
    sizes = _sizes(events.rows, events, config, len(events.users))
    return events.where((sizes >= config.min_items)[events.rows])


def _enough_users(events: Events, config: FilterConfig) -> Events:
    sizes = _sizes(events.cols, events, config, len(events.items))
    return events.where((sizes >= config.min_users)[events.cols])


def _core(events: Events, config: FilterConfig) -> Events:
    """Both minimums, again and again until nothing changes (the k-core of the graph)."""
    while True:
        before = len(events)
        events = _enough_users(_enough_items(events, config), config)
        if len(events) == before:
            return events


def _top_users(events: Events, config: FilterConfig) -> Events:
    """The users with most items; of equals, those with the lower ids."""
    assert config.top_users is not None
    sizes = _sizes(events.rows, events, config, len(events.users))
    keep = np.zeros(len(sizes), dtype=np.bool_)
    keep[np.argsort(-sizes, kind="stable")[: config.top_users]] = True
    return _users_where(events, keep)


def _drawn(events: Events, fraction: float, seed: int) -> BoolArray:
    """A seeded draw of about `fraction` of the users, at least one."""
    rng = np.random.default_rng(seed_for(seed, "filter", "fraction"))
    order = rng.permutation(len(events.users))
    keep = np.zeros(len(events.users), dtype=np.bool_)
    keep[order[: max(1, round(fraction * len(events.users)))]] = True
    return keep


def _cohort(events: Events, profiles: Profiles, config: FilterConfig) -> BoolArray:
    """Mask of the users whose profile has every wanted value; a missing value is none."""
    known = profiles.aligned(events.users)
    keep = np.ones(len(events.users), dtype=np.bool_)
    for column, wanted in ((known.gender, config.genders), (known.country, config.countries)):
        if wanted:
            keep &= pc.is_in(column, value_set=strings(wanted)).to_numpy(zero_copy_only=False)
    if config.age_min is not None:
        keep &= known.age >= config.age_min
    if config.age_max is not None:
        keep &= known.age <= config.age_max
    return keep
