import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.evaluation.objectives import front, oriented

Objectives = list[list[float]]


@st.composite
def objectives(draw: st.DrawFn) -> npt.NDArray[np.float64]:
    """Up to 12 rows of 1 to 3 objectives, of few distinct values so that many are equal."""
    m = draw(st.integers(1, 3))
    row = st.lists(st.integers(-2, 2).map(float), min_size=m, max_size=m)
    return np.array(draw(st.lists(row, min_size=1, max_size=12)))


def dominated(row: list[float], rows: Objectives) -> bool:
    return any(
        all(a >= b for a, b in zip(other, row, strict=True))
        and any(a > b for a, b in zip(other, row, strict=True))
        for other in rows
    )


@given(objectives())
def test_the_front_equals_a_slow_double_loop(values: npt.NDArray[np.float64]) -> None:
    rows = values.tolist()

    found = front(values)

    assert found.dtype == np.bool_
    assert found.tolist() == [not dominated(row, rows) for row in rows]


def test_infinite_values_are_higher_or_lower_than_all_others() -> None:
    values = np.array([[np.inf, 0.0], [1.0, 1.0], [-np.inf, 1.0], [np.inf, -np.inf]])

    assert front(values).tolist() == [True, True, False, False]


def test_no_rows_have_an_empty_front() -> None:
    assert front(np.empty((0, 2))).tolist() == []


def test_a_row_that_is_not_a_number_is_refused_by_its_place() -> None:
    with pytest.raises(ValueError, match=r"rows \[1\] are NaN"):
        front(np.array([[1.0, 2.0], [np.nan, 3.0]]))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("gini", -1), ("gini@10", -1), ("popularity@5", -1), ("popularityless@10", 1), ("ndcg@10", 1)],
)
def test_metrics_of_which_less_is_better_are_negated(metric: str, expected: int) -> None:
    assert oriented(metric, 0.25) == 0.25 * expected
