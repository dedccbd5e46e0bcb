"""Figures of many models hold the values they were given, and every name can be read."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from recsys import plots
from recsys.plots import Band

MODELS: dict[str, tuple[Band, Band]] = {
    "popularity": ((0.10, 0.09, 0.12), (0.02, None, None)),
    "als": ((0.25, 0.24, 0.26), (0.30, 0.28, 0.35)),
    "bpr": ((0.20, None, None), (0.40, None, None)),
}
GROUPS: dict[str, dict[str, Band]] = {
    "popularity": {"cold": (0.10, 0.08, 0.13), "heavy": (0.30, None, None)},
    "als": {"heavy": (0.40, 0.35, 0.41), "cold": (0.20, 0.19, 0.21)},
    "bpr": {"cold": (0.15, 0.1, 0.2)},
}
numbers = st.floats(-100, 100, width=16)


def annotations(axes: Axes) -> dict[str, Annotation]:
    return {text.get_text(): text for text in axes.texts if isinstance(text, Annotation)}


def points(axes: Axes) -> dict[str, tuple[float, float]]:
    """Where the point of each model is."""
    bars = [drawn for drawn in axes.containers if isinstance(drawn, ErrorbarContainer)]
    ends = {str(drawn.get_label()): drawn.lines[0].get_xydata() for drawn in bars}
    return {name: (float(at[0][0]), float(at[0][1])) for name, at in ends.items()}


def arms(drawn: ErrorbarContainer) -> list[tuple[tuple[float, float], ...]]:
    """Both ends of every error bar that is drawn, horizontal ones first."""
    segments = [segment for bars in drawn.lines[2] for segment in bars.get_segments()]
    return [
        tuple((float(x), float(y)) for x, y in np.round(segment, 9))
        for segment in segments
        if len(segment) and np.isfinite(segment).all()
    ]


def bars(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    """Middle and height of the bars of each model, but for gaps."""
    return {
        str(drawn.get_label()): [
            (bar.get_x() + bar.get_width() / 2, bar.get_height())
            for bar in drawn.patches
            if np.isfinite(bar.get_height())
        ]
        for drawn in figure.axes[0].containers
        if isinstance(drawn, BarContainer)
    }


def test_every_model_is_a_named_point_in_the_two_metrics() -> None:
    figure = plots.tradeoff(MODELS, ("ndcg@10", "coverage@10"))

    axes = figure.axes[0]
    means = {name: (x[0], y[0]) for name, (x, y) in MODELS.items()}
    assert points(axes) == means
    assert {name: text.xy for name, text in annotations(axes).items()} == means
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("ndcg@10", "coverage@10")
    assert axes.get_title("left") == "coverage@10 against ndcg@10"
    assert plots.tradeoff(MODELS, ("x", "y"), "T").axes[0].get_title("left") == "T"


def test_error_bars_reach_from_low_to_high_where_they_are_known() -> None:
    axes = plots.tradeoff(MODELS, ("ndcg@10", "coverage@10")).axes[0]

    drawn = {str(one.get_label()): arms(one) for one in axes.containers}  # type: ignore[arg-type]
    assert drawn == {
        "popularity": [((0.09, 0.02), (0.12, 0.02))],
        "als": [((0.24, 0.30), (0.26, 0.30)), ((0.25, 0.28), (0.25, 0.35))],
        "bpr": [],
    }


def test_a_name_has_the_colour_of_its_point_and_models_differ_in_colour_or_marker() -> None:
    models = {f"m{i}": ((i / 20, None, None), (i % 3, None, None)) for i in range(15)}

    axes = plots.tradeoff(models, ("x", "y")).axes[0]

    lines = {str(one.get_label()): one.lines[0] for one in axes.containers}  # type: ignore[attr-defined]
    named = annotations(axes)
    assert all(named[name].get_color() == line.get_color() for name, line in lines.items())
    assert len({(line.get_color(), line.get_marker()) for line in lines.values()}) == 15


def test_names_of_a_dozen_models_are_near_their_points_and_do_not_cover_each_other() -> None:
    rng = np.random.default_rng(3)
    # As models are: many good ones close together, some bad ones by themselves.
    at = np.vstack([rng.normal([0.25, 0.3], 0.02, (7, 2)), rng.uniform(0, 0.3, (5, 2))])
    models: dict[str, tuple[Band, Band]] = {
        f"model {i:02}": ((x, x - 0.004, x + 0.004), (y, None, None))
        for i, (x, y) in enumerate(at.tolist())
    }

    figure = plots.tradeoff(models, ("ndcg@10", "coverage@10"))

    figure.draw_without_rendering()
    # Of the text alone: the extent of an annotation also holds the line to its point.
    axes = figure.axes[0]
    names = annotations(axes).values()
    seen = [Text.get_window_extent(text) for text in names]
    for text, box in zip(names, seen, strict=True):
        x, y = axes.transData.transform(text.xy)
        away = max(box.x0 - x, x - box.x1, 0), max(box.y0 - y, y - box.y1, 0)
        assert np.hypot(*away) < 0.2 * axes.bbox.height
    overlapping = [(a, b) for a, b in combinations(seen, 2) if a.overlaps(b)]
    assert len(seen) == 12
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in seen)
    assert overlapping == []


@settings(deadline=None, max_examples=15)  # drawing takes its time
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_every_finite_point_is_drawn_and_named_wherever_it_lies(
    at: list[tuple[float, float]],
) -> None:
    models = {f"m{i}": ((x, x, x + 1), (y, None, None)) for i, (x, y) in enumerate(at)}

    axes = plots.tradeoff(models, ("x", "y")).axes[0]

    assert points(axes) == {f"m{i}": point for i, point in enumerate(at)}
    assert set(annotations(axes)) == set(models)


def test_a_model_without_a_value_is_left_out() -> None:
    missing: Band = (float("nan"), None, None)

    some = plots.tradeoff({**MODELS, "broken": (missing, (0.1, None, None))}, ("x", "y"))

    assert set(points(some.axes[0])) == set(MODELS)


def test_each_group_has_a_bar_per_model_side_by_side_and_a_gap_where_there_is_no_value() -> None:
    figure = plots.groups(GROUPS, "ndcg@10")

    width = 0.84 / 3
    assert bars(figure) == {
        "popularity": [pytest.approx((-width, 0.10)), pytest.approx((1 - width, 0.30))],
        "als": [pytest.approx((0, 0.20)), pytest.approx((1, 0.40))],
        "bpr": [pytest.approx((width, 0.15))],
    }
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cold", "heavy"]
    assert axes.get_ylabel() == "ndcg@10"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(GROUPS)


def test_bars_have_their_intervals_where_they_are_known() -> None:
    axes = plots.groups(GROUPS, "ndcg@10").axes[0]

    drawn = [arms(one) for one in axes.containers if isinstance(one, ErrorbarContainer)]
    heights = [[(low, high) for (_, low), (_, high) in found] for found in drawn]
    assert heights == [[(0.08, 0.13)], [(0.19, 0.21), (0.35, 0.41)], [(0.1, 0.2)]]


def test_the_size_of_a_group_stands_below_its_name() -> None:
    figure = plots.groups(GROUPS, "ndcg@10", "T", sizes={"cold": 1234})

    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cold\n(1,234)", "heavy"]
    assert axes.get_title("left") == "T"


def test_bars_of_many_models_differ_in_colour_or_hatch() -> None:
    figure = plots.groups({f"m{i}": {"all": (0.1 * i, None, None)} for i in range(15)}, "x")

    looks = {
        (one.patches[0].get_facecolor(), one.patches[0].get_hatch())
        for one in figure.axes[0].containers
        if isinstance(one, BarContainer)
    }
    assert len(looks) == 15
