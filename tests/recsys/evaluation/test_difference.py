import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.evaluation.difference import Change, difference
from recsys.evaluation.report import Report

VALUES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=6, max_size=6)


def report(values: list[float], exposed: list[int], first_user: int = 10) -> Report:
    users = np.arange(first_user, first_user + len(values), dtype=np.int32)
    per_user = pd.DataFrame({"ndcg@10": values}, index=pd.Index(users, name="user"))
    shown = np.full(len(values), 10, np.int32)
    return Report(per_user, shown, {10: np.array(exposed, np.int64)})


def test_users_and_items_that_change_most_come_first_and_the_rest_are_counted() -> None:
    a = report([0.5, 0.5, 0.5, 0.0, 1.0], [5, 4, 1, 0])
    b = report([0.5, 1.0, 0.0, 0.1, 0.9], [1, 4, 2, 3])

    found = difference(a, b, "ndcg@10", 1, seed=0, n_resamples=50)

    assert (found.n_gained, found.n_lost) == (2, 2)
    assert found.gained == [Change(11, 0.5, 1.0)]
    assert found.lost == [Change(12, 0.5, 0.0)]
    assert found.shown_more == [Change(3, 0.0, 3.0)]
    assert found.shown_less == [Change(0, 5.0, 1.0)]
    assert found.comparison["ndcg@10"].difference.mean == pytest.approx(0.0)


@settings(max_examples=15)
@given(VALUES, VALUES)
def test_the_other_way_round_gains_are_losses(a: list[float], b: list[float]) -> None:
    one, other = report(a, [3, 1]), report(b, [1, 3])

    there = difference(one, other, "ndcg@10", 6, seed=0, n_resamples=20)
    back = difference(other, one, "ndcg@10", 6, seed=0, n_resamples=20)

    assert [(each.number, each.b, each.a) for each in back.lost] == [
        (each.number, each.a, each.b) for each in there.gained
    ]
    assert there.n_gained + there.n_lost == sum(x != y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (report([1.0, 1.0], [1, 1], first_user=7), "users are in one of the two reports only"),
        (report([1.0, 1.0], [1, 1, 1]), "2 items in one report, 3 in the other"),
    ],
    ids=["users", "items"],
)
def test_reports_that_do_not_belong_together_are_refused(other: Report, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        difference(report([1.0, 0.0], [1, 1]), other, "ndcg@10", 5, seed=0, n_resamples=20)


def test_a_metric_of_all_lists_together_is_refused() -> None:
    one = report([1.0, 0.0], [1, 1])

    with pytest.raises(ValueError, match="coverage@10 is not among the metrics of every user"):
        difference(one, one, "coverage@10", 5, seed=0, n_resamples=20)
