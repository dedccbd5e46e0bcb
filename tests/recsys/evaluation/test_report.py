from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.ids import IdMap
from recsys.data.interactions import Interactions
from recsys.evaluation.beyond import coverage, gini
from recsys.evaluation.metrics import METRICS
from recsys.evaluation.report import KS, Report, accuracy, evaluate
from recsys.models.recommender import NO_ITEM, Recommendations

N_USERS, N_ITEMS = 5, 8
USERS_PER_ITEM = np.array([5, 4, 3, 2, 1, 1, 0, 0])


def cells(*pairs: tuple[int, int]) -> Interactions:
    """Held-out (user, item) pairs among five users and eight items."""
    rows, cols = np.array(sorted(pairs), dtype=np.int32).reshape(-1, 2).T
    users = IdMap.of(f"u{n}" for n in range(N_USERS))
    items = IdMap.of(f"i{n}" for n in range(N_ITEMS))
    return Interactions(users, items, rows, cols, np.ones(len(rows)))


def lists(by_user: dict[int, list[int]], k: int) -> Recommendations:
    rows = [[*row, *[NO_ITEM] * (k - len(row))] for row in by_user.values()]
    items = np.array(rows, dtype=np.int32).reshape(len(rows), k)
    users = np.array(list(by_user), dtype=np.int32)
    return Recommendations(users, items, np.zeros(items.shape, np.float32))


def judge(by_user: dict[int, list[int]], *pairs: tuple[int, int], k: int = 3) -> Report:
    return evaluate(lists(by_user, k), cells(*pairs), USERS_PER_ITEM, N_USERS, ks=range(1, k + 1))


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[int, list[int]], list[tuple[int, int]]]:
    """Lists of up to three items, and held-out pairs, of the same users."""
    some = st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=3)
    users = draw(st.lists(st.integers(0, N_USERS - 1), unique=True, min_size=1))
    pairs = [(u, i) for u in users for i in {*draw(some), draw(st.integers(0, N_ITEMS - 1))}]
    return {u: draw(some) for u in users}, pairs


@given(cases())
def test_a_hit_is_an_item_of_that_user_that_was_held_out(
    case: tuple[dict[int, list[int]], list[tuple[int, int]]],
) -> None:
    by_user, pairs = case

    report = judge(by_user, *pairs)

    for user, shown in by_user.items():
        for k in (1, 2, 3):
            n_hits = sum((user, item) in pairs for item in shown[:k])
            assert report.per_user.loc[user, f"precision@{k}"] == n_hits / k
            relevant = sum(u == user for u, _ in pairs)
            assert report.per_user.loc[user, f"recall@{k}"] == n_hits / relevant


def test_the_end_of_a_list_never_hits_the_last_item_of_the_user_before() -> None:
    last_item = N_ITEMS - 1

    report = judge({1: [0], 2: []}, (1, last_item), (2, 3))

    assert report.summary()["hit_rate@3"] == 0


def test_a_user_without_a_list_scores_zero_and_stays_in_the_mean() -> None:
    report = judge({0: [4], 3: []}, (0, 4), (3, 4))

    assert report.users.tolist() == [0, 3]
    assert report.n_shown.tolist() == [1, 0]
    assert (report.per_user.loc[3] == 0).all()
    assert report.summary()["precision@1"] == 0.5


def test_rows_are_in_the_order_of_users_whatever_the_order_of_the_lists() -> None:
    pairs = [(0, 1), (2, 3), (4, 5)]
    by_user = {0: [1], 2: [1, 3], 4: [5, 6, 7]}
    backwards = dict(reversed(by_user.items()))

    one, other = judge(by_user, *pairs), judge(backwards, *pairs)

    pd.testing.assert_frame_equal(one.per_user, other.per_user)
    assert other.n_shown.tolist() == [1, 2, 3]
    assert one.summary() == other.summary()


def test_by_default_every_metric_is_there_at_every_cut_off() -> None:
    held_out = cells((0, 1))
    wide = np.full((1, 25), NO_ITEM, dtype=np.int32)
    recs = Recommendations(np.zeros(1, np.int32), wide, wide.astype(np.float32))

    report = evaluate(recs, held_out, USERS_PER_ITEM, N_USERS)

    names = [*METRICS, "novelty", "popularity"]
    assert list(report.per_user) == [f"{name}@{k}" for name in names for k in KS]
    assert (report.per_user.dtypes == np.float64).all()
    assert report.per_user.index.dtype == np.int32
    assert list(report.summary())[len(names) * len(KS) :] == [
        f"{name}@{k}" for name in ("coverage", "gini") for k in KS
    ]


def test_other_metrics_are_computed_by_name() -> None:
    recs = lists({0: [1]}, 1)

    report = evaluate(recs, cells((0, 1)), USERS_PER_ITEM, N_USERS, (1,), ["capped_recall"])

    assert list(report.per_user) == ["capped_recall@1", "novelty@1", "popularity@1"]


def test_a_summary_is_the_mean_over_users_and_the_exposure_of_all_lists() -> None:
    report = judge({0: [1, 2], 1: [1]}, (0, 1), (1, 5))

    summary = report.summary()

    assert summary["ndcg@1"] == 0.5
    assert summary["popularity@2"] == np.mean([(4 + 3) / 2, 4])
    assert report.exposure[2].tolist() == [0, 2, 1, 0, 0, 0, 0, 0]
    assert summary["coverage@1"] == 1 / 8
    assert summary["coverage@2"] == coverage(report.exposure[2]) == 2 / 8
    assert summary["gini@2"] == gini(report.exposure[2])


def test_ranks_beyond_the_largest_cut_off_do_not_count() -> None:
    narrow, wide = lists({0: [1, 2]}, 2), lists({0: [1, 2, 3]}, 3)
    held_out = cells((0, 3))

    one, other = (
        evaluate(recs, held_out, USERS_PER_ITEM, N_USERS, (1, 2)) for recs in (narrow, wide)
    )

    pd.testing.assert_frame_equal(one.per_user, other.per_user)
    assert one.exposure[2].tolist() == other.exposure[2].tolist()
    assert other.n_shown.tolist() == [2]


def test_accuracy_is_the_mean_a_report_would_give() -> None:
    recs, held_out = lists({0: [1, 2, 3], 4: [5, 6]}, 3), cells((0, 3), (0, 7), (4, 5))

    means = accuracy(recs, held_out, ["ndcg@3", "precision@2", "capped_recall@3"])

    summary = evaluate(recs, held_out, USERS_PER_ITEM, N_USERS, (2, 3)).summary()
    assert means == pytest.approx(
        {
            "ndcg@3": summary["ndcg@3"],
            "precision@2": summary["precision@2"],
            "capped_recall@3": 0.75,
        }
    )


@pytest.mark.parametrize(
    ("by_user", "says"),
    [
        ({0: [1]}, "1 users have something held out but no row .* user number 1"),
        ({0: [1], 1: [1], 4: [1]}, "1 users have recommendations but nothing .* user number 4"),
        ({0: [1], 1: [2, 2]}, "1 lists show an item twice, .* user number 1"),
        ({0: [1], 1: [2, 1, 2]}, "1 lists show an item twice, .* user number 1"),
        ({0: [N_ITEMS], 1: [1]}, "1 lists show an item outside the catalogue of 8"),
        ({0: [-2], 1: [1]}, "outside the catalogue"),
        ({0: [1], 1: [NO_ITEM, 1]}, "1 lists go on after their end .* user number 1"),
    ],
)
def test_lists_that_cannot_be_judged_fairly_are_refused(
    by_user: dict[int, list[int]], says: str
) -> None:
    held_out = cells((0, 1), (1, 1))

    with pytest.raises(ValueError, match=says):
        evaluate(lists(by_user, 3), held_out, USERS_PER_ITEM, N_USERS, (1, 3))
    with pytest.raises(ValueError, match=says):
        accuracy(lists(by_user, 3), held_out, ["ndcg@3"])


ONE, HIDDEN = lists({0: [1]}, 2), cells((0, 1))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((Recommendations.stack([ONE, ONE]), HIDDEN), "1 users have more than one list"),
        ((ONE, HIDDEN, USERS_PER_ITEM, N_USERS, (1, 3)), "2 wide, the largest cut-off is 3"),
        ((ONE, HIDDEN, USERS_PER_ITEM, N_USERS, ()), "cut-offs must be whole numbers from 1"),
        ((ONE, HIDDEN, USERS_PER_ITEM, N_USERS, (0, 1)), "cut-offs must be whole numbers from 1"),
        ((lists({}, 1), cells()), "nothing is held out"),
        ((ONE, HIDDEN, USERS_PER_ITEM[1:]), "numbers of users of 7 items, catalogue of 8"),
        ((ONE, HIDDEN, USERS_PER_ITEM, 4), "5 users, the training has 4"),
    ],
)
def test_arguments_that_do_not_fit_each_other_are_refused(
    arguments: tuple[Any, ...], says: str
) -> None:
    usual = (None, None, USERS_PER_ITEM, N_USERS, (1,))

    with pytest.raises(ValueError, match=says):
        evaluate(*arguments, *usual[len(arguments) :])


def test_a_report_has_each_user_once_and_every_value() -> None:
    index = pd.Index(np.array([1, 1], dtype=np.int32), name="user")
    twice = pd.DataFrame({"ndcg@1": [0.0, 1.0]}, index=index)
    hole = pd.DataFrame({"ndcg@1": [0.0, np.nan]}, index=index + 1 * np.array([0, 1]))

    with pytest.raises(ValueError, match="distinct and rising"):
        Report(twice, np.ones(2, np.int32), {})
    with pytest.raises(ValueError, match=r"missing values in .'ndcg@1'"):
        Report(hole, np.ones(2, np.int32), {})
    with pytest.raises(ValueError, match="2 users but 1 list lengths"):
        Report(twice, np.ones(1, np.int32), {})


def test_cut_offs_may_come_in_any_order_and_twice() -> None:
    recs, held_out = lists({0: [1, 2, 3]}, 3), cells((0, 3))

    shuffled = evaluate(recs, held_out, USERS_PER_ITEM, N_USERS, (3, 1, 3))

    ordered = evaluate(recs, held_out, USERS_PER_ITEM, N_USERS, (1, 3))
    pd.testing.assert_frame_equal(shuffled.per_user, ordered.per_user)
    assert list(shuffled.exposure) == [1, 3]
