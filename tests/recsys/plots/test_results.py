"""Figures of results hold the values they were given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recsys import plots
from recsys.plots import Band

MODELS: dict[str, Band] = {
    "ease": (0.30, 0.29, 0.31),
    "als": (0.299, 0.288, 0.31),
    "popularity": (0.10, 0.09, 0.11),
}
CURVE = [(1, 0.1), (2, 0.3), (3, 0.2)]


def drawn(figure: Figure) -> None:
    figure.canvas.draw()


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_models_stand_in_their_order_and_ties_are_marked() -> None:
    figure = plots.ranking(MODELS, "ndcg@10 on test", ["als"])

    drawn(figure)
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["ease", "als =", "popularity"]
    assert words(axes) == ["0.3000", "0.2990", "0.1000"]
    low, high = axes.get_ylim()
    assert low > high  # the best is at the top


def test_bars_have_a_panel_for_each_metric_and_the_height_of_the_value() -> None:
    figure = plots.metric_bars(
        {
            "a": {"ndcg@10": (0.2, None, None)},
            "b": {"ndcg@10": (0.4, 0.3, 0.5), "map@10": (1, 1, 1)},
        }
    )

    drawn(figure)
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("ndcg@10", "map@10")
    assert [bar.get_height() for bar in first.patches] == [0.2, 0.4]
    assert words(second) == ["1.000"]  # a has no such metric


def test_improvements_are_in_per_cent_and_unknown_ones_are_left_out() -> None:
    figure = plots.improvements({"ndcg@10": 0.5, "gini@10": -0.25, "map@10": None}, "b against a")

    drawn(figure)
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [50, -25]
    assert words(axes) == ["+50.0", "-25.0"]


def test_convergence_marks_the_best_iteration_beside_the_loss() -> None:
    figure = plots.convergence(CURVE, [(1, 9.0), (2, 5.0), (3, 4.0)], "ndcg@10")

    drawn(figure)
    left, right = figure.axes
    assert left.get_title() == "best 0.3000 at 2"
    assert left.lines[1].get_xydata().tolist() == [[2, 0.3]]
    assert right.lines[0].get_ydata().tolist() == [9, 5, 4]


def test_the_line_of_costs_joins_the_trials_that_no_quicker_one_reaches() -> None:
    trials = [(0, 2.0, 0.2), (1, 1.0, 0.1), (2, 3.0, 0.15), (3, 4.0, 0.3), (4, np.nan, 0.9)]

    figure = plots.cost(trials, "ndcg@10")

    drawn(figure)
    (axes,) = figure.axes
    assert words(axes) == ["1", "0", "3"]
    assert axes.lines[1].get_xydata().tolist() == [[1, 0.1], [2, 0.2], [4, 0.3]]


@given(st.lists(st.sampled_from([-1.0, -0.25, 0.0, 0.5, 1.0]), min_size=1, max_size=30))
def test_every_user_is_in_a_bar_and_the_title_counts_who_gains(values: list[float]) -> None:
    figure = plots.gains(np.array(values), "ndcg@10, b - a")

    (axes,) = figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == len(values)
    gain = sum(value > 0 for value in values) / len(values)
    assert axes.get_title(loc="left").startswith(f"{gain:.0%} of users gain, ")


@pytest.mark.parametrize(
    "figure",
    [
        plots.ranking({}, "ndcg@10"),
        plots.metric_bars({}),
        plots.improvements({"ndcg@10": None}, "b against a"),
        plots.convergence([], [], "ndcg@10"),
        plots.cost([], "ndcg@10"),
        plots.gains(np.array([]), "ndcg@10"),
    ],
    ids=["ranking", "bars", "improvements", "convergence", "cost", "gains"],
)
def test_a_figure_without_values_says_so(figure: Figure) -> None:
    drawn(figure)

    assert "nothing to show" in [word for axes in figure.axes for word in words(axes)]
