from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from recsys.config import ExperimentConfig
from recsys.data.ids import strings
from recsys.data.interactions import Events
from recsys.errors import InputError
from recsys.evaluation.protocol import judge
from recsys.models.als import Als, AlsConfig
from recsys.models.iterative import Iteration
from recsys.search.curves import Curve
from recsys.splitting.config import (
    ColdItemSplit,
    ColdUserSplit,
    GivenSplit,
    LastSplit,
    RandomSplit,
    SplitConfig,
    TimeSplit,
    UserSplit,
)
from recsys.splitting.cutting import cut, together
from recsys.splitting.split import Split, last_split, time_split
from tests.conftest import events_of, pairs, triples

PUBLISHED = GivenSplit(kind="given", test=Path("test.tsv"))
WAYS: list[SplitConfig] = [
    RandomSplit(),
    LastSplit(kind="last", n=2),
    TimeSplit(kind="time"),
    UserSplit(kind="users", validation=0.2, test=0.2),
    ColdUserSplit(kind="cold-users", validation=0.2, test=0.2),
    ColdItemSplit(kind="cold-items", validation=0.2, test=0.2),
    PUBLISHED,
]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.kind)


def config(split: SplitConfig, seed: int = 0) -> ExperimentConfig:
    return ExperimentConfig(split=split, seed=seed)


def crowd() -> Events:
    """30 users with 8 to 15 of 20 items, each played once or twice."""
    rng = np.random.default_rng(5)
    log = [
        (user, int(item), int(rng.integers(1, 9)), int(rng.integers(0, 1000)))
        for user in range(30)
        for item in rng.choice(20, rng.integers(8, 16), replace=False)
    ]
    return events_of(log + [(user, item, 1, time + 40) for user, item, _, time in log[::3]])


def published() -> Events:
    """Test plays of the same users: their items with numbers divisible by 4."""
    events = crowd()
    return events.where(events.cols % 4 == 0)


def rest() -> Events:
    events = crowd()
    return events.where(events.cols % 4 != 0)


def cut_crowd(way: SplitConfig, seed: int = 0) -> Split:
    log, test = (rest(), published()) if way is PUBLISHED else (crowd(), None)
    return cut(log, config(way, seed), test)


@every_way
def test_a_random_split_follows_its_seed_and_a_split_by_time_has_none(way: SplitConfig) -> None:
    one, same, other = (cut_crowd(way, seed) for seed in (1, 1, 2))

    assert len(one.test.held_out)
    assert one.fingerprint == same.fingerprint
    assert (one.fingerprint == other.fingerprint) == (way.kind in ("last", "time"))


def test_the_draws_for_test_and_for_validation_differ() -> None:
    """With one seed for both, a test cut from the rest would be the validation."""
    split = cut_crowd(RandomSplit(min_items=2, fraction=0.5))
    again = cut(crowd_of(split), config(RandomSplit(min_items=2, fraction=0.5)))

    assert pairs(again.test.held_out) != pairs(split.validation.held_out)


def crowd_of(split: Split) -> Events:
    cells = split.test.train
    return Events(cells.users, cells.items, cells.rows, cells.cols, cells.plays)


def altered_test(way: SplitConfig, split: Split) -> Split:
    """The same log cut again after the plays of every held-out cell of the test were changed."""
    log, test = (rest(), published()) if way is PUBLISHED else (crowd(), None)
    if test is not None:
        return cut(log, config(way), replace(test, plays=test.plays * 7))
    secret = np.isin(log.keys, split.test.held_out.keys)
    return cut(replace(log, plays=np.where(secret, log.plays * 7, log.plays)), config(way))


def tuned_on(split: Split) -> list[object]:
    """All that a search computes from a split: curves, losses and the report on validation."""
    curve = Curve(split.validation, ("ndcg@10", "recall@5"), n_users=12, seed=3)
    steps: list[float] = []

    def observe(step: Iteration) -> None:
        steps.append(step.loss)
        curve(step)

    results: list[object] = []
    for weighting in ("share", "bm25"):
        als = AlsConfig(factors=4, iterations=3, weighting=weighting)
        model = Als(als, 1).fit(split.validation.train, on_iteration=observe)
        results.append(judge(model, split.validation, (5, 10)).user_frame().to_csv())
    return [*results, steps, [point.metrics for point in curve.points]]


@every_way
def test_tuning_does_not_depend_on_the_plays_of_test_pairs(way: SplitConfig) -> None:
    split = cut_crowd(way)
    altered = altered_test(way, split)

    assert split.fingerprint != altered.fingerprint
    assert tuned_on(split) == tuned_on(altered)


@pytest.mark.parametrize("kind", ["given", "time"])
def test_tuning_does_not_depend_on_published_test_pairs_or_events_after_the_test_moment(
    kind: str,
) -> None:
    if kind == "given":
        test = published()
        other = Events.of(test.users, test.items, test.rows, 16 - test.cols, test.plays)
        split, altered = (cut(rest(), config(PUBLISHED), each) for each in (test, other))
    else:
        log, way = crowd(), TimeSplit(kind="time", validation_at=500, test_at=700)
        cols = np.where(log.times >= 700, 19 - log.cols, log.cols)
        other = Events.of(log.users, log.items, log.rows, cols, log.plays, log.times)
        split, altered = (cut(each, config(way)) for each in (log, other))

    assert pairs(split.test.held_out) != pairs(altered.test.held_out)
    assert tuned_on(split) == tuned_on(altered)


def test_each_split_uses_its_settings() -> None:
    log = crowd()

    assert cut(log, config(RandomSplit(fraction=0.3, min_items=9))).method == (
        "30% of the items of each user with 9 or more, at random"
    )
    last = cut(log, config(LastSplit(kind="last", n=3)))
    assert last.fingerprint == last_split(log.cells(), 3).fingerprint
    users = cut(log, config(UserSplit(kind="users", validation=0.1, test=0.3, history=0.5)))
    assert (len(users.validation.judged), len(users.test.judged)) == (3, 9)
    given = cut(rest(), config(PUBLISHED.model_copy(update={"fraction": 0.5})), published())
    sizes = given.test.train.per_user()
    assert given.validation.held_out.per_user().tolist() == [n // 2 for n in sizes]


@pytest.mark.parametrize(
    "moments",
    [
        (500, 700),
        (datetime.fromtimestamp(500, UTC), datetime.fromtimestamp(700, UTC)),
        (500, datetime.fromisoformat("1970-01-01T01:11:40+01:00")),
    ],
    ids=["seconds", "moments", "offset"],
)
def test_a_time_split_is_at_the_configured_moments(moments: tuple[object, object]) -> None:
    way = TimeSplit(kind="time", validation_at=moments[0], test_at=moments[1])

    split = cut(crowd(), config(way))

    assert split.fingerprint == time_split(crowd(), 500, 700).fingerprint


def test_published_sides_are_taken_as_they_are_and_pairs_known_before_are_dropped() -> None:
    events = crowd()
    log = events.where(events.cols % 4 < 2)
    validation = events.where(events.cols % 4 != 3)  # repeats what the log has
    test = events.where(events.cols % 4 != 1)  # repeats what both have
    given = GivenSplit(kind="given", test=Path("test.tsv"), validation=Path("validation.tsv"))
    split = cut(log, config(given), test, validation)

    assert pairs(split.validation.train) == pairs(log.cells())
    assert pairs(split.validation.held_out) == pairs(events.where(events.cols % 4 == 2).cells())
    assert pairs(split.test.train) == pairs(events.where(events.cols % 4 != 3).cells())
    assert pairs(split.test.held_out) == pairs(events.where(events.cols % 4 == 3).cells())
    assert split.method == "validation and test as given"


def test_without_moments_a_time_split_leaves_shares_of_the_events() -> None:
    log = events_of([(user, step, 1, 30 * step + user) for step in range(10) for user in range(10)])

    split = cut(log, config(TimeSplit(kind="time", validation=0.2, test=0.1)))

    assert len(split.validation.train) == 70
    assert len(split.validation.held_out) == 20
    assert len(split.test.held_out) == 10


@pytest.mark.parametrize(
    ("way", "log", "fault"),
    [
        (LastSplit(kind="last"), events_of([(0, 0, 1, 0)], timed=False), "needs times"),
        (TimeSplit(kind="time"), events_of([(0, 0, 1, 0)], timed=False), "needs times"),
        (RandomSplit(), events_of([(0, 0, 1, 0), (0, 1, 1, 0)]), "nothing is held out"),
        (TimeSplit(kind="time"), events_of([(0, n, 1, 5) for n in range(9)]), "must be before"),
        (UserSplit(kind="users"), events_of([(0, 0, 1, 0), (1, 0, 1, 0)]), "nothing is left to"),
        (PUBLISHED, crowd(), "it needs a test file"),
    ],
    ids=["last", "time", "random", "moments", "users", "given"],
)
def test_data_that_cannot_be_split_is_an_error_with_the_reason(
    way: SplitConfig, log: Events, fault: str
) -> None:
    with pytest.raises(InputError, match=rf"split '{way.kind}' of .*{fault}.*choose another \["):
        cut(log, config(way))


def test_two_logs_get_shared_ids_and_keep_their_rows() -> None:
    one = events_of([(0, 1, 3, 5), (2, 1, 4, 6)])
    other = events_of([(1, 0, 5, 7), (2, 3, 6, 8)])

    here, there = together(one, other)

    assert here.users is there.users
    assert here.items is there.items
    assert here.users.ids.to_pylist() == ["u00", "u01", "u02"]
    assert here.items.ids.to_pylist() == ["i00", "i01", "i03"]
    assert triples(here) == triples(one)
    assert triples(there) == triples(other)
    assert (here.times.tolist(), there.times.tolist()) == ([5, 6], [7, 8])


def test_the_names_of_the_first_log_win_and_those_of_the_second_fill_in() -> None:
    one, other = events_of([(0, 0, 1, 0), (0, 1, 1, 0)]), events_of([(0, 1, 1, 0), (0, 2, 1, 0)])
    one = replace(one, items=one.items.named(strings(["A", "B"])))
    other = replace(other, items=other.items.named(strings(["b", "c"])))

    here, _ = together(one, other)

    assert here.items.names.to_pylist() == ["A", "B", "c"]


def test_times_are_dropped_where_one_log_has_none() -> None:
    timed, timeless = events_of([(0, 0, 1, 0)]), events_of([(0, 1, 1, 0)], timed=False)

    for one, other in ((timed, timeless), (timeless, timed)):
        here, there = together(one, other)
        assert here.times is None
        assert there.times is None


def test_an_empty_log_can_be_joined() -> None:
    log = events_of([(0, 0, 1, 0)])

    here, there = together(log, events_of([]))

    assert triples(here) == triples(log)
    assert len(there) == 0
