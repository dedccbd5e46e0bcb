from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recsys.data.ids import IdMap, strings
from recsys.data.interactions import Events, Interactions
from recsys.splitting.split import (
    Fold,
    Split,
    given_split,
    last_split,
    moments,
    random_split,
    time_split,
)
from recsys.splitting.users import user_split
from tests.conftest import Heard, cells_of, events_of, heard_logs, pairs, triples

FULL = set(range(10))  # a user with this many items always has validation items
libraries = st.lists(st.sets(st.integers(0, 19), min_size=1), max_size=5).map(
    lambda users: [FULL, *users]
)


def library(users: list[set[int]], *, plays: int = 1) -> Interactions:
    """A cell for each item of each user."""
    return events_of(
        [(user, item, plays, 0) for user, items in enumerate(users) for item in items], timed=False
    ).cells()


def sizes(side: Interactions) -> list[int]:
    return side.per_user().tolist()


def at_random(data: Interactions, seeds: tuple[int, int] = (1, 2)) -> Split:
    return random_split(data, 0.2, 5, seeds)


@given(libraries)
def test_random_split_holds_out_a_fifth_for_test_and_of_the_rest_for_validation(
    users: list[set[int]],
) -> None:
    def held_out(n: int) -> int:
        return max(1, n // 5) if n >= 5 else 0

    split = at_random(library(users))

    test = [held_out(len(items)) for items in users]
    rest = [len(items) - n for items, n in zip(users, test, strict=True)]
    validation = [held_out(n) for n in rest]
    assert sizes(split.test.held_out) == test
    assert sizes(split.validation.held_out) == validation
    assert sizes(split.test.train) == rest
    assert sizes(split.validation.train) == [n - m for n, m in zip(rest, validation, strict=True)]


@given(st.sampled_from(["0.1", "0.29", "0.3", "0.5", "0.7"]), st.integers(5, 120))
def test_the_share_is_rounded_down_exactly(share: str, n: int) -> None:
    split = random_split(library([set(range(n)), set(range(100))]), float(share), 2, (1, 2))

    assert sizes(split.test.held_out)[0] == max(1, int(Fraction(share) * n))


def assert_nothing_is_lost_and_nothing_is_twice(split: Split, data: Interactions) -> None:
    train, validation = pairs(split.validation.train), pairs(split.validation.held_out)
    refit, test = pairs(split.test.train), pairs(split.test.held_out)
    assert not train & validation
    assert not refit & test
    assert train | validation == refit
    assert refit | test == pairs(data)
    assert set(triples(split.test.train)) | set(triples(split.test.held_out)) == set(triples(data))


def ways(log: list[Heard]) -> list[Split]:
    """The same log cut in every way there is."""
    events = events_of([*((9, item, 1, 2 * item) for item in range(10)), *log])
    data = events.cells()
    return [
        at_random(data),
        last_split(data, 2),
        time_split(events, 5, 12),
        user_split(data, (0.2, 0.2), 0.8, (1, 2)),
        nested_by_given(data),
    ]


def nested_by_given(data: Interactions) -> Split:
    published = data.keys % 5 == 0
    return given_split(data.where(~published), data.where(published), 0.2, 5, 3)


crowds = heard_logs().map(
    lambda log: log + [(user, user + step, 1, 8) for user in range(6) for step in range(3)]
)


@given(crowds, st.randoms(use_true_random=False))
def test_the_order_of_the_file_never_changes_any_side(log: list[Heard], random) -> None:
    once, again = ways(log), ways(random.sample(log, len(log)))

    for one, other in zip(once, again, strict=True):
        for fold, same in ((one.validation, other.validation), (one.test, other.test)):
            assert triples(fold.train) == triples(same.train)
            assert triples(fold.history) == triples(same.history)
            assert triples(fold.held_out) == triples(same.held_out)
        assert one.fingerprint == other.fingerprint


@given(heard_logs(), st.integers(1, 4))
def test_splits_by_pairs_lose_nothing_and_repeat_nothing(log: list[Heard], n: int) -> None:
    data = events_of([*((9, item, 1, item) for item in range(10)), *log]).cells()

    for split in (at_random(data), last_split(data, n), nested_by_given(data)):
        assert_nothing_is_lost_and_nothing_is_twice(split, data)


@given(crowds)
def test_no_test_pair_is_in_the_validation_fold(log: list[Heard]) -> None:
    for split in ways(log):
        hidden, fold = pairs(split.test.held_out), split.validation
        assert not hidden & (pairs(fold.train) | pairs(fold.history) | pairs(fold.held_out))


def test_test_and_validation_draws_have_separate_seeds() -> None:
    data = library([set(range(20))] * 5)
    split, same = at_random(data, (1, 2)), at_random(data, (1, 2))
    other, later = at_random(data, (3, 2)), at_random(data, (1, 3))

    assert split.fingerprint == same.fingerprint
    assert pairs(split.test.held_out) != pairs(other.test.held_out)
    assert pairs(split.test.held_out) == pairs(later.test.held_out)
    assert pairs(split.validation.held_out) != pairs(later.validation.held_out)


def test_every_item_of_a_user_is_equally_likely_held_out() -> None:
    data = library([FULL, FULL])
    held = np.zeros(len(data))
    for seed in range(400):
        held += np.isin(data.keys, at_random(data, (seed, seed)).test.held_out.keys)

    np.testing.assert_allclose(held / 400, 0.2, atol=0.07)


@given(heard_logs(), st.integers(1, 4))
def test_last_split_holds_out_the_items_with_the_latest_first_time(log, n: int) -> None:
    data = events_of([*((9, item, 1, item) for item in range(10)), *log]).cells()

    split = last_split(data, n)

    for fold, whole in ((split.test, data), (split.validation, split.test.train)):
        assert fold.in_order
        n_held_out = np.minimum(n, whole.per_user() - 1)
        assert sizes(fold.held_out) == n_held_out.tolist()
        for user in fold.judged:
            kept = fold.train.first[fold.train.rows == user]
            assert kept.max() <= fold.held_out.first[fold.held_out.rows == user].min()


def test_a_fold_is_in_order_where_nothing_held_out_comes_before_the_history() -> None:
    log = events_of([(user, item, 1, item) for user in range(3) for item in range(9)])

    assert time_split(log, 5, 7).test.in_order
    assert not at_random(log.cells()).test.in_order
    assert not at_random(library([FULL])).test.in_order  # there are no times


def test_of_items_with_equal_times_the_higher_number_is_later() -> None:
    log = [(0, item, 1, 5) for item in range(4)]

    split = last_split(events_of(log).cells(), 2)

    assert pairs(split.test.held_out) == {("u00", "i02"), ("u00", "i03")}
    assert pairs(split.validation.held_out) == {("u00", "i01")}


@given(heard_logs(min_size=3), st.integers(1, 10), st.integers(1, 10))
def test_nothing_from_the_future_reaches_training(log: list[Heard], start: int, gap: int) -> None:
    first, then = start, start + gap
    events = sorted((f"u{user:02}", f"i{item:02}", time, plays) for user, item, plays, time in log)
    known = {pair: min(t for *q, t, _ in events if tuple(q) == pair) for pair in pairs_of(events)}

    def expected(until: int, since: int | None = None) -> dict[tuple[str, str], int]:
        return {
            pair: sum(p for *q, t, p in events if tuple(q) == pair and t < until)
            for pair, born in known.items()
            if born < until and (since is None or born >= since)
        }

    assume(expected(first) and expected(then, first) and expected(99, then))

    split = time_split(events_of(log), first, then)

    assert by_pair(split.validation.train) == expected(first)
    assert by_pair(split.validation.held_out) == expected(then, first)
    assert by_pair(split.test.train) == expected(then)
    assert by_pair(split.test.held_out) == expected(99, then)


def pairs_of(events: list[tuple[str, str, int, int]]) -> set[tuple[str, str]]:
    return {(user, item) for user, item, _, _ in events}


def by_pair(side: Interactions) -> dict[tuple[str, str], float]:
    return {(user, item): plays for user, item, plays in triples(side)}


def evenly(n: int) -> Events:
    return events_of([(0, second % 7, 1, second) for second in reversed(range(n))])


def test_moments_leave_their_share_of_the_events_after_them() -> None:
    assert moments(evenly(100), validation=0.1, test=0.2) == (70, 80)
    assert moments(evenly(40), validation=0.25, test=0.5) == (10, 20)


def test_moments_that_leave_nothing_to_train_on_or_are_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="leave nothing to train on"):
        moments(evenly(10), validation=0.5, test=0.5)
    with pytest.raises(ValueError, match="5 must be before test_at 5"):
        time_split(evenly(10), 5, 5)


@given(st.lists(st.integers(1, 15), min_size=10, max_size=20), st.integers(0, 9))
def test_judged_users_of_a_user_split_are_not_in_training(lengths: list[int], seed: int) -> None:
    lengths = [max(2, n) if seed % 2 else n + 1 for n in lengths]
    data = library([set(range(n)) for n in lengths])

    split = user_split(data, (0.1, 0.2), 0.8, (seed, seed + 1))

    n = len(lengths)
    validation, test = split.validation, split.test
    judged = {*validation.judged.tolist()}, {*test.judged.tolist()}
    assert (len(judged[0]), len(judged[1])) == (max(1, round(0.1 * n)), max(1, round(0.2 * n)))
    assert not judged[0] & judged[1]
    assert not judged[1] & {*test.train.rows.tolist(), *validation.train.rows.tolist()}
    assert not judged[0] & {*validation.train.rows.tolist()}
    assert {*test.train.rows.tolist()} == set(range(n)) - judged[1]
    for fold in (validation, test):
        assert fold.folds_in
        for user in fold.judged:
            hidden = max(1, lengths[user] // 5)
            assert sizes(fold.held_out)[user] == hidden
            assert sizes(fold.history)[user] == lengths[user] - hidden


def test_a_trained_user_keeps_every_item_and_the_refit_has_the_validation_users_whole() -> None:
    data = library([FULL] * 10)

    split = user_split(data, (0.2, 0.3), 0.8, (1, 2))

    assert sorted(sizes(split.validation.train)) == [0] * 5 + [10] * 5
    assert sorted(sizes(split.test.train)) == [0] * 3 + [10] * 7
    whole = pairs(split.validation.history) | pairs(split.validation.held_out)
    assert whole <= pairs(split.test.train)


@given(
    st.lists(st.integers(1, 15), min_size=12, max_size=20),
    st.floats(0.01, 0.99),
    st.integers(0, 9),
)
def test_folded_in_users_have_a_history_and_held_out_items(
    lengths: list[int], history: float, seed: int
) -> None:
    data = library([set(range(max(n, 2) if user % 4 else n)) for user, n in enumerate(lengths)])

    split = user_split(data, (0.3, 0.3), history, (seed, seed + 1))

    for fold in (split.validation, split.test):
        known, hidden = np.array(sizes(fold.history)), np.array(sizes(fold.held_out))
        judged = hidden > 0
        assert (known[judged] > 0).all()
        assert (known[~judged] <= 1).all()


def test_draws_of_users_and_of_items_have_separate_seeds() -> None:
    data = library([FULL] * 10)
    split = user_split(data, (0.2, 0.2), 0.8, (1, 2))
    items = user_split(data, (0.2, 0.2), 0.8, (1, 3))
    users = user_split(data, (0.2, 0.2), 0.8, (4, 2))

    assert split.test.judged.tolist() == items.test.judged.tolist()
    assert pairs(split.test.held_out) != pairs(items.test.held_out)
    assert split.test.judged.tolist() != users.test.judged.tolist()


@given(libraries)
def test_a_published_test_is_not_changed(users: list[set[int]]) -> None:
    data = library(users)
    published = data.keys % 5 == 1
    refit, held_out = data.where(~published), data.where(published)

    split = given_split(refit, held_out, 0.2, 5, seed=1)

    assert split.test.train is refit
    assert split.test.held_out is held_out
    rest = [max(1, n // 5) if n >= 5 else 0 for n in sizes(refit)]
    assert sizes(split.validation.held_out) == rest


def test_pairs_of_a_published_test_that_the_log_has_are_dropped() -> None:
    data = library([FULL, FULL])
    new = np.isin(data.keys, [3, 12])

    split = given_split(data.where(~new), data.where(np.isin(data.keys, [3, 5, 12])), 0.2, 5, 1)

    assert split.test.held_out.keys.tolist() == [3, 12]


def test_a_published_test_that_only_repeats_training_is_refused_with_an_example() -> None:
    data = library([FULL, FULL])
    both = np.isin(data.keys, [3, 12])

    with pytest.raises(ValueError, match=r"2 pairs .* example user 'u00' with item 'i03'"):
        given_split(data, data.where(both), 0.2, 5, seed=1)


GRID = cells_of(np.ones((4, 6)))


def side(*taken: tuple[int, int]) -> Interactions:
    return GRID.where(np.isin(GRID.keys, [row * 6 + col for row, col in taken]))


ONE, TWO, NONE = side((0, 0)), side((0, 0), (0, 1)), side()
STRANGER = cells_of(np.ones((1, 6)))


@pytest.mark.parametrize(
    ("train", "history", "held_out", "fault"),
    [
        (TWO, TWO, side((0, 1), (1, 1)), r"train and in held out, for .* user 'u00'.*'i01'"),
        (TWO, side((1, 0), (1, 1)), side((1, 1)), "history and in held out"),
        (TWO, side((0, 2)), side((0, 3)), "user 'u00' is folded in and trained"),
        (ONE, side((1, 0), (3, 0)), side((1, 1), (2, 1)), "user 'u02' has items .* no history"),
        (NONE, NONE, ONE, "nothing is left to train on"),
        (ONE, ONE, NONE, "nothing is held out"),
        (ONE, ONE, STRANGER, "share their id maps"),
    ],
)
def test_a_fold_that_leaks_or_misses_a_side_cannot_be_built(
    train: Interactions, history: Interactions, held_out: Interactions, fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        Fold(train, history, held_out)


def test_users_with_something_held_out_are_judged_without_training_too() -> None:
    folded_in = Fold(ONE, side((1, 0), (2, 0), (3, 0)), side((1, 1), (2, 1)))

    assert folded_in.judged.tolist() == [1, 2]
    assert Fold(ONE, ONE, side((1, 1))).judged.tolist() == [1]


@pytest.mark.parametrize("leak", ["train", "history", "held_out"])
def test_a_split_with_test_pairs_in_validation_cannot_be_built(leak: str) -> None:
    sides = {"train": side((0, 0)), "history": side((1, 0)), "held_out": side((1, 1))}
    secret = side({"train": (0, 5), "history": (1, 4), "held_out": (1, 5)}[leak])
    sides[leak] = sides[leak].merged(secret)
    test = Fold(side((3, 0)), side((0, 1), (1, 2)), secret)

    with pytest.raises(ValueError, match="in test held out"):
        Split(Fold(**sides), test, "by hand")


def test_the_folds_of_a_split_share_their_id_maps() -> None:
    fold = Fold(side((0, 0)), side((1, 1)), side((1, 2)))
    items = GRID.items.named(strings(["other"] * 6))
    parts = (replace(part, items=items) for part in (fold.train, fold.history, fold.held_out))

    with pytest.raises(ValueError, match="share their id maps"):
        Split(fold, Fold(*parts), "by hand")


def test_held_out_items_without_training_users_are_counted() -> None:
    train = side((0, 0), (1, 1))

    fold = Fold(train, train, side((0, 1), (0, 5), (1, 5), (2, 0)))

    assert fold.unreachable == 2
    assert fold.judged.tolist() == [0, 1, 2]


def changed(split: Split, fold: str, part: str, cells: Interactions) -> Split:
    """The split with one side replaced; a history that was the training stays that."""
    old: Fold = getattr(split, fold)
    parts = {name: getattr(old, name) for name in ("train", "history", "held_out")}
    if parts["history"] is parts[part]:
        parts["history"] = cells
    new = Fold(**(parts | {part: cells}))
    return Split(**{"validation": split.validation, "test": split.test, "method": "", fold: new})


@given(st.integers(0, 1_000))
def test_the_fingerprint_changes_with_any_cell_of_any_side(at: int) -> None:
    split = user_split(library([FULL] * 6, plays=2), (0.2, 0.2), 0.8, (1, 2))
    prints = {split.fingerprint}

    for fold in ("validation", "test"):
        for part in ("train", "history", "held_out"):
            cells = getattr(getattr(split, fold), part)
            one = np.arange(len(cells)) == at % len(cells)
            louder = replace(cells, plays=np.where(one, 3.0, cells.plays))
            prints.add(changed(split, fold, part, louder).fingerprint)
            prints.add(changed(split, fold, part, cells.where(~one)).fingerprint)

    assert len(prints) == 13


def test_the_fingerprint_changes_with_the_times_of_the_plays() -> None:
    def fold_of(first: int, last: int) -> Fold:
        maps = IdMap.of(["a", "b"]), IdMap.of(["c"])
        rows, cols = np.zeros(1, np.int32), np.zeros(1, np.int32)
        times = np.array([first]), np.array([last])
        train = Interactions(*maps, rows, cols, np.ones(1), *times)
        return Fold(train, train, Interactions(*maps, rows + 1, cols, np.ones(1), *times))

    assert len({fingerprint(fold_of(*times)) for times in ((5, 9), (6, 9), (5, 8))}) == 3


def test_the_fingerprint_changes_with_any_id() -> None:
    def fold_of(users: list[str], items: list[str], held: tuple[int, int]) -> Fold:
        maps = IdMap.of(users), IdMap.of(items)
        at = (np.array([n], np.int32) for n in held)
        train = Interactions(*maps, np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1))
        return Fold(train, train, Interactions(*maps, *at, np.ones(1)))

    several = [
        fold_of(["a", "b"], ["c"], (1, 0)),
        fold_of(["a", "x"], ["c"], (1, 0)),
        fold_of(["a", "b"], ["x"], (1, 0)),
        fold_of(["a"], ["b", "c"], (0, 1)),
    ]
    assert len({fingerprint(fold) for fold in several}) == 4


def fingerprint(fold: Fold) -> str:
    """The fingerprint of an unchecked split with this fold on both sides."""
    split = object.__new__(Split)
    object.__setattr__(split, "validation", fold)
    object.__setattr__(split, "test", fold)
    return split.fingerprint


def fold_of_users(n: int) -> Fold:
    data = library([FULL] * n)
    return random_split(data, 0.2, 5, (1, 2)).validation


@given(st.integers(1, 12), st.integers(1, 14), st.integers(0, 999))
def test_a_sample_judges_a_seeded_draw_of_users_on_all_their_held_out_items(
    n_users: int, n: int, seed: int
) -> None:
    fold = fold_of_users(n_users)

    sample = fold.sample(n, seed)

    assert len(sample.judged) == min(n, n_users)
    assert set(sample.judged) <= set(fold.judged)
    assert (np.diff(sample.judged) > 0).all()
    drawn = np.isin(fold.held_out.rows, sample.judged)
    assert triples(sample.held_out) == triples(fold.held_out.where(drawn))
    assert sample.train is fold.train
    assert sample.history is fold.history
    again = fold.sample(n, seed)
    assert again.judged.tolist() == sample.judged.tolist()


def test_another_seed_draws_other_users_and_every_user_can_be_drawn() -> None:
    fold = fold_of_users(12)

    draws = [tuple(fold.sample(4, seed).judged.tolist()) for seed in range(40)]

    assert len(set(draws)) > 20
    assert {user for draw in draws for user in draw} == set(fold.judged.tolist())


def test_a_sample_of_new_users_is_folded_in_from_the_same_histories() -> None:
    fold = user_split(library([FULL] * 12), (0.4, 0.4), 0.8, (1, 2)).validation

    sample = fold.sample(2, 1)

    assert sample.folds_in
    assert sample.history is fold.history
    assert len(sample.judged) == 2


def test_held_out_users_may_be_numbers_and_too_many_are_refused() -> None:
    data = library([FULL] * 10)

    split = user_split(data, (3, 2), 0.8, (1, 2))

    assert (len(split.validation.judged), len(split.test.judged)) == (3, 2)
    with pytest.raises(ValueError, match=r"7 \+ 3 of 10 users .* nothing is left to train on"):
        user_split(data, (7, 3), 0.8, (1, 2))


def test_users_with_fewer_items_are_not_judged_and_a_model_may_stay_without_refit() -> None:
    data = library([FULL] * 6 + [set(range(4))] * 6)

    split = user_split(data, (4, 4), 0.8, (1, 2), min_items=5, refit=False)

    assert split.test.train is split.validation.train
    for fold in (split.validation, split.test):
        assert set(sizes(fold.held_out)) == {0, 2}
        assert (fold.history.per_user()[fold.judged] == 8).all()


def test_a_gap_leaves_no_time_between_the_moments() -> None:
    events = events_of([(0, 1, 1, 0), (0, 2, 1, 10), (0, 3, 1, 20)])

    with pytest.raises(ValueError, match="validation_at 10 must be before test_at 20 - gap 10"):
        time_split(events, 10, 20, gap=10)
