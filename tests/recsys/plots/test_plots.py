"""Figures hold the data they were given; files hold a picture."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.cbook import STEP_LOOKUP_MAP
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.tri import TriContourSet

from recsys import plots
from recsys.data.ids import IdMap
from recsys.data.interactions import Events
from recsys.plots import Band
from recsys.plots.distributions import bins
from recsys.search.space import Point

MEANS: dict[str, dict[str, tuple[float, float | None, float | None]]] = {
    "popularity": {"ndcg@10": (0.10, 0.09, 0.11), "ndcg@1": (0.05, 0.04, 0.07)},
    "als": {
        "ndcg@1": (0.15, 0.14, 0.17),
        "ndcg@10": (0.25, 0.24, 0.26),
        "coverage@10": (0.5, None, None),
    },
}


def events() -> Events:
    users, items = IdMap.of(f"u{i}" for i in range(9)), IdMap.of(f"i{i}" for i in range(9))
    rows, cols = np.nonzero(np.add.outer(np.arange(9), np.arange(9)) < 9)
    plays = np.power(10.0, cols % 5, dtype=np.float64)
    return Events.of(users, items, rows.astype(np.int32), cols.astype(np.int32), plays)


BAND: Band = (0.25, 0.24, 0.26)
MISSING: Band = (math.nan, None, None)
TRIALS: list[Point] = [
    {"factors": 8, "alpha": 0.001, "weighting": "log", "seed": 1},
    {"factors": 64, "alpha": 1.0, "weighting": "power", "power": 0.5, "seed": 1},
    {"factors": 512, "alpha": 0.01, "weighting": "power", "power": 0.9, "seed": 1},
    {"factors": 16, "alpha": 100.0, "weighting": "none", "seed": 1},
    {"factors": 256, "alpha": 10.0, "weighting": "log", "seed": 1},
]
NDCG = [0.1, 0.3, 0.2, 0.15, 0.25]
LOG = {"factors", "alpha"}


def heights(figure: Figure) -> list[float]:
    return [bar.get_height() for bar in figure.axes[0].patches]  # type: ignore[attr-defined]


def texts(figure: Figure) -> list[str]:
    return [text.get_text().strip() for text in figure.axes[0].texts]


def dots(axes: Axes) -> list[tuple[float, float]]:
    """Where the dots of a scatter are."""
    (found,) = [drawn for drawn in axes.collections if isinstance(drawn, PathCollection)]
    return [(float(x), float(y)) for x, y in np.asarray(found.get_offsets())]


def filled(axes: Axes) -> list[TriContourSet]:
    return [drawn for drawn in axes.collections if isinstance(drawn, TriContourSet)]


def panels(figure: Figure) -> dict[str, Axes]:
    """Panels by the label of their x axis; the colour bar has none."""
    return {axes.get_xlabel(): axes for axes in figure.axes if axes.get_xlabel()}


def legend(figure: Figure) -> list[str]:
    found = figure.axes[0].get_legend()
    return [text.get_text() for text in found.get_texts()] if found else []


def lines(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    """Points of each line by its label."""
    return {
        str(line.get_label()): [(x, y) for x, y in np.asarray(line.get_xydata()).tolist()]
        for line in figure.axes[0].lines
    }


@pytest.mark.parametrize(
    ("draw", "title", "total"),
    [
        (plots.plays_per_row, "Plays per row (45 rows)", 45),
        (plots.items_per_user, "Items per user (9 users)", 9),
        (plots.users_per_item, "Users per item (9 items)", 9),
    ],
)
def test_a_distribution_counts_each_value_once_on_log_axes(
    draw: plots.Draw, title: str, total: int
) -> None:
    figure = draw(events())

    axes = figure.axes[0]
    assert sum(heights(figure)) == total
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_title("left") == title
    assert axes.get_xlabel()
    assert axes.get_ylabel().startswith("number of")


@settings(deadline=None, max_examples=20)  # drawing takes its time
@given(st.lists(st.floats(1e-3, 1e12) | st.integers(1, 10**7), min_size=1, max_size=50))
def test_no_value_falls_outside_thebins(values: list[float]) -> None:
    figure = plots.distribution(np.array(values, np.float64), "T", "x", "things")

    assert sum(heights(figure)) == len(values)
    assert np.median(values) == pytest.approx(figure.axes[0].lines[0].get_xdata()[0])  # type: ignore[index]


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50))
def test_bins_of_whole_numbers_lie_between_them_and_never_get_narrower(values: list[int]) -> None:
    edges = bins(np.array(values))
    widths = np.diff(edges)

    assert (edges % 1 == 0.5).all()
    assert (np.diff(widths) >= 0).all()
    assert len(widths) <= 60


def test_zeros_are_left_out_of_a_log_axis() -> None:
    assert sum(heights(plots.distribution(np.array([0, 0, 3]), "T", "x", "things"))) == 1


def test_the_comparison_has_a_line_and_a_band_per_model_in_order_of_k() -> None:
    figure = plots.comparison(MEANS, "ndcg")

    axes = figure.axes[0]
    assert lines(figure) == {
        "popularity": [(1, 0.05), (10, 0.10)],
        "als": [(1, 0.15), (10, 0.25)],
    }
    bands = [band.get_paths()[0].get_extents() for band in axes.collections]
    assert [(band.y0, band.y1) for band in bands] == [(0.04, 0.11), (0.14, 0.26)]
    assert set(texts(figure)) == {"popularity", "als"}
    assert axes.get_xticks().tolist() == [1, 10]


def test_a_metric_without_intervals_is_drawn_without_a_band() -> None:
    figure = plots.comparison(MEANS, "coverage")

    band = figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert [str(line.get_label()) for line in figure.axes[0].lines] == ["als"]
    assert (band.y0, band.y1) == (0.5, 0.5)


def test_learning_curves_count_iterations_from_one_and_end_in_their_names() -> None:
    figure = plots.learning_curves({"train": [3.0, 2.0, 1.5], "short": [1.0]}, "loss")

    assert lines(figure) == {"train": [(1, 3.0), (2, 2.0), (3, 1.5)], "short": [(1, 1.0)]}
    assert set(texts(figure)) == {"train", "short"}
    assert figure.axes[0].get_ylabel() == "loss"


@pytest.mark.parametrize(
    ("direction", "best"), [("maximize", [2, 2, 2, 3, 3]), ("minimize", [2, 1, 1, 1, 1])]
)
def test_the_history_shows_every_trial_and_the_best_so_far(
    direction: str, best: list[float]
) -> None:
    figure = plots.history([2.0, 1.0, None, 3.0, float("nan")], "value", "", direction)  # type: ignore[arg-type]

    lines = {str(line.get_label()): line for line in figure.axes[0].lines}
    assert np.asarray(lines["best so far"].get_ydata()).tolist() == best
    np.testing.assert_equal(lines["trial"].get_ydata(), [2, 1, np.nan, 3, np.nan])
    assert np.asarray(lines["failed"].get_xdata()).tolist() == [2, 4]


def test_a_pruned_trial_stands_at_its_last_value_and_is_neither_best_nor_failed() -> None:
    figure = plots.history([2.0, 9.0, None, 3.0, None], "value", pruned=[1, 2, 7])

    drawn = {str(line.get_label()): line for line in figure.axes[0].lines}
    assert np.asarray(drawn["best so far"].get_ydata()).tolist() == [2, 2, 2, 3, 3]
    np.testing.assert_equal(drawn["trial"].get_ydata(), [2, np.nan, np.nan, 3, np.nan])
    assert lines(figure)["pruned"] == [(1, 9)]
    assert lines(figure)["_pruned at the bottom"] == [(2, 0)]
    assert lines(figure)["failed"] == [(4, 0)]
    assert drawn["pruned"].get_markerfacecolor() == "none"
    assert legend(figure) == ["best so far", "trial", "pruned", "failed"]


def test_a_history_of_pruned_trials_only_has_no_best_but_a_legend() -> None:
    some = plots.history([1.0, None], "value", pruned=[0, 1])
    bottom = plots.history([1.0, None], "value", pruned=[1])

    assert legend(some) == ["best so far", "trial", "pruned"]
    assert texts(some) == []
    assert legend(bottom) == ["best so far", "trial", "pruned"]


def test_the_most_important_parameter_is_the_bar_on_top() -> None:
    shares = {"alpha": 0.25, "factors": 0.7, "seed": 0.0, "power": 0.0002, "gone": math.nan}
    spreads = {"alpha": 0.3, "factors": 0.1, "seed": 0.0, "power": 0.0001, "gone": math.nan}

    figure = plots.importance({n: (shares[n], spreads[n]) for n in shares}, "ndcg@10", 12)

    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    widths = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
    bottom, top = axes.get_ylim()
    assert names == ["factors", "alpha", "power", "seed"]
    assert widths == pytest.approx([70, 25, 0.02, 0])
    assert texts(figure) == ["70.0 %", "25.0 %", "< 0.1 %", "0.0 %"]
    assert top < axes.get_yticks()[0] < bottom
    assert axes.get_title("left") == "What ndcg@10 depends on, 12 trials"


def test_slices_have_a_panel_per_varied_parameter_with_the_trials_that_have_it() -> None:
    figure = plots.slices(TRIALS, NDCG, "ndcg@10", LOG)

    drawn = panels(figure)
    assert list(drawn) == ["factors", "alpha", "weighting", "power"]
    assert len(figure.axes) == 5  # and the colour bar
    assert [axes.get_xscale() for axes in drawn.values()] == ["log", "log", "linear", "linear"]
    assert dots(drawn["factors"]) == [(8, 0.1), (64, 0.3), (512, 0.2), (16, 0.15), (256, 0.25)]
    assert dots(drawn["power"]) == [(0.5, 0.3), (0.9, 0.2)]
    assert len({axes.get_ylim() for axes in drawn.values()}) == 1


def test_slices_put_a_category_at_its_tick_and_colour_by_the_number_of_the_trial() -> None:
    figure = plots.slices(TRIALS, NDCG, "ndcg@10", numbers=[0, 2, 3, 7, 9])

    axes = panels(figure)["weighting"]
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    at = [ticks[round(x)] for x, _ in dots(axes)]
    assert at == [trial["weighting"] for trial in TRIALS]
    assert np.asarray(axes.collections[0].get_array()).tolist() == [0, 2, 3, 7, 9]
    assert np.asarray(panels(figure)["power"].collections[0].get_array()).tolist() == [2, 3]


def test_a_category_is_written_as_it_is_or_shortened() -> None:
    names = [r"$\broken$", "a-name-of-more-than-fourteen-letters"]
    figure = plots.slices([{"name": name} for name in names], [1.0, 2.0], "value")

    figure.draw_without_rendering()  # would raise if it took the $ for mathematics
    ticks = [label.get_text() for label in panels(figure)["name"].get_xticklabels()]
    assert ticks == [r"$\broken$", "a-name-of-mor…"]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (8, 512, ["10", "20", "50", "100", "200", "500"]),
        (0.01, 1000.0, ["0.01", "0.1", "1", "10", "100", "1000"]),
        (1e-4, 4e-3, ["1e-4", "3e-4", "0.001", "0.003"]),
        (20.0, 24.0, ["20", "22", "24"]),
    ],
)
def test_ticks_of_a_log_axis_are_few_and_short(low: float, high: float, ticks: list[str]) -> None:
    figure = plots.slices([{"x": low}, {"x": high}], [1.0, 2.0], "value", {"x"})

    figure.draw_without_rendering()
    axes = panels(figure)["x"]
    left, right = axes.get_xlim()
    drawn = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    assert [label.get_text() for at, label in drawn if left <= at <= right] == ticks


def test_slices_start_a_new_row_after_four_panels() -> None:
    trials: list[Point] = [{f"p{i}": at * i for i in range(1, 7)} for at in range(3)]

    figure = plots.slices(trials, [1.0, 2.0, 3.0], "value")

    figure.draw_without_rendering()
    boxes = [axes.get_position() for axes in panels(figure).values()]
    rows = [sum(abs(box.y0 - other.y0) < 0.01 for box in boxes) for other in boxes]
    assert rows == [4, 4, 4, 4, 2, 2]


def test_a_parameter_with_zero_gets_no_log_axis_and_a_failed_trial_no_dot() -> None:
    trials: list[Point] = [{"alpha": 0.0}, {"alpha": 1.0}, {"alpha": 2.0}]

    figure = plots.slices(trials, [1.0, math.nan, 3.0], "value", {"alpha"})

    axes = panels(figure)["alpha"]
    assert axes.get_xscale() == "linear"
    assert dots(axes) == [(0, 1), (2, 3)]


def test_contours_fill_each_pair_and_show_every_trial_that_has_both() -> None:
    pairs = [("factors", "alpha"), ("power", "alpha")]

    figure = plots.contours(TRIALS * 4, NDCG * 4, pairs, "ndcg", LOG)

    both, few = panels(figure)["factors"], panels(figure)["power"]
    assert len(figure.axes) == 3  # and the colour bar
    assert (both.get_xscale(), both.get_yscale(), few.get_xscale()) == ("log", "log", "linear")
    assert both.get_ylabel() == "alpha"
    assert dots(both) == [(8, 0.001), (64, 1), (512, 0.01), (16, 100), (256, 10)] * 4
    assert dots(few) == [(0.5, 1), (0.9, 0.01)] * 4
    assert (len(filled(both)), len(filled(few))) == (1, 0)


def test_contours_are_linear_in_the_logarithm_and_reach_to_the_outermost_trials() -> None:
    corners: list[Point] = [{"x": x, "y": y} for x in (1, 100) for y in (1, 10_000)]

    values = [0.0, 0.0, 1.0, 1.0] * 5

    figure = plots.contours(corners * 5, values, [("x", "y")], "value", {"x", "y"})

    (axes,) = panels(figure).values()
    bands = [path for path in filled(axes)[0].get_paths() if np.size(path.vertices)]
    ends = [axes.transAxes.transform_path(path).get_extents() for path in bands]
    at = [axes.transData.inverted().transform([(box.x0, box.y0), (box.x1, box.y1)]) for box in ends]
    edges = [0, *(np.log10(box[1, 0]) / 2 for box in at)]
    np.testing.assert_allclose(edges, np.linspace(0, 1, len(edges)), atol=1e-6)
    np.testing.assert_allclose([box[:, 1] for box in at], [(1, 10_000)] * len(at), rtol=1e-4)


def test_contours_show_the_mean_of_trials_at_one_place() -> None:
    square: list[Point] = [{"x": x, "y": y} for x in (0, 1) for y in (0, 1)]

    twice = plots.contours(square * 6, ([0.0] * 4 + [2.0] * 4) * 3, [("x", "y")], "value")

    (axes,) = panels(twice).values()
    assert len(dots(axes)) == 24
    drawn = filled(axes)[0]
    assert drawn.zmin == drawn.zmax == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "trials",
    [
        [{"x": 1.0, "y": float(i)} for i in range(24)],
        [{"x": float(i), "y": 2.0 * i} for i in range(24)],
        [{"x": i / 10, "y": i / 10 + (i == 3) * 1e-12} for i in range(24)],
        [{"x": 1.0, "y": 1.0}] * 24,
        [{"x": float(i % 2), "y": float(i % 3 == 0)} for i in range(3)] * 8,
    ],
)
def test_places_on_a_line_are_shown_without_a_filling(trials: list[Point]) -> None:
    figure = plots.contours(trials, list(range(len(trials))), [("x", "y")], "value")

    figure.draw_without_rendering()
    (axes,) = panels(figure).values()
    assert len(dots(axes)) == len(trials)
    assert filled(axes) == []


@pytest.mark.parametrize(("n", "bands"), [(19, 0), (20, 1)])
def test_a_few_trials_are_dots_and_no_landscape(n: int, bands: int) -> None:
    trials: list[Point] = [{"x": i % 5, "y": i * i % 7} for i in range(n)]

    figure = plots.contours(trials, list(range(n)), [("x", "y")], "value")

    assert len(filled(panels(figure)["x"])) == bands


def test_a_parameter_of_one_value_still_has_a_tick_there_on_a_log_axis() -> None:
    trials: list[Point] = [{"x": 1.0, "y": float(i)} for i in range(3)]

    figure = plots.contours(trials, [1.0, 2.0, 3.0], [("x", "y")], "value", {"x"})

    figure.draw_without_rendering()
    ticks = [label.get_text() for label in panels(figure)["x"].get_xticklabels()]
    assert ticks == ["0.01", "0.1", "1", "10", "100"]


def test_a_pair_with_a_category_or_an_unknown_parameter_has_an_empty_panel() -> None:
    pairs = [("factors", "alpha"), ("weighting", "alpha"), ("factors!", "alpha")]

    figure = plots.contours(TRIALS, NDCG, pairs, "ndcg", LOG)

    words = {x: [text.get_text() for text in axes.texts] for x, axes in panels(figure).items()}
    nothing = ["nothing to show"]
    assert words == {"factors": [], "weighting": nothing, "factors!": nothing}


@pytest.mark.parametrize(
    ("directions", "front", "corner"),
    [
        (("maximize", "maximize"), [(1, 3), (2, 1)], (1, 1)),
        (("minimize", "minimize"), [(1, 3), (2, 1)], (2, 3)),
        (("maximize", "minimize"), [(1, 1), (2, 3)], (1, 3)),
        (("minimize", "maximize"), [(1, 1), (2, 3)], (2, 1)),
    ],
)
def test_the_steps_of_the_front_bound_the_dominated_area(
    directions: tuple[Literal["maximize", "minimize"], Literal["maximize", "minimize"]],
    front: list[tuple[float, float]],
    corner: tuple[float, float],
) -> None:
    points = [front[1], front[0], (math.nan, 2.0), corner]

    figure = plots.pareto(
        points, [True, True, True, False], ("ndcg", "seconds"), directions=directions
    )

    axes = figure.axes[0]
    step = next(line for line in axes.lines if line.get_label() == "front")
    assert lines(figure) == {"front": front, "other trials": [corner]}
    x, y = STEP_LOOKUP_MAP[str(step.get_drawstyle())](*np.transpose(front))
    assert (x[1], y[1]) == corner
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("ndcg", "seconds")
    assert sorted(texts(figure)) == ["0", "1"]
    assert axes.get_title("left") == "2 of 3 trials on the front"


def test_points_of_the_front_have_their_labels_except_where_these_would_overlap() -> None:
    far = plots.pareto([(1, 3), (2, 2), (3, 1)], [True, False, True], ("x", "y"), ["a", "b", "c"])
    near = plots.pareto([(1, 3), (1.001, 2.999), (3, 1)], [True] * 3, ("x", "y"), ["a", "b", "c"])

    assert sorted(texts(far)) == ["a", "c"]
    assert sorted(texts(near)) == ["a", "c"]


def test_a_figure_without_any_value_says_so() -> None:
    figures = [
        plots.comparison(MEANS, "recall"),
        plots.comparison({}, "ndcg"),
        plots.learning_curves({"none": []}, "loss"),
        plots.history([], "value"),
        plots.history([None], "value"),
        plots.history([None], "value", pruned=[0]),
        plots.importance({}, "value", 0),
        plots.importance({"x": (math.nan, math.nan)}, "value", 3),
        plots.slices([], [], "value"),
        plots.slices([{"x": 1}, {"x": 1.0}, {}], [1.0, 2.0, 3.0], "value"),
        plots.slices([{"x": 1}, {"x": 2}], [math.nan, math.inf], "value"),
        plots.contours([], [], [("x", "y")], "value"),
        plots.contours(TRIALS, NDCG, [], "value"),
        plots.contours(TRIALS, [math.nan] * 5, [("factors", "alpha")], "value"),
        plots.pareto([], [], ("x", "y")),
        plots.pareto([(math.nan, 1.0)], [True], ("x", "y")),
        plots.distribution(np.array([0, 0]), "T", "x", "things"),
        plots.tradeoff({"broken": (MISSING, MISSING)}, ("x", "y")),
        plots.groups({}, "x"),
        plots.groups({"als": {}}, "x"),
        plots.groups({"als": {"cold": MISSING}}, "x"),
    ]

    assert [texts(figure) for figure in figures] == [["nothing to show"]] * len(figures)


NUMBERS = st.floats(-1e9, 1e9) | st.integers(-3, 3) | st.sampled_from([1e-9, 1.0, 2.0, 1e9])
VALUES = NUMBERS | st.sampled_from([math.nan, math.inf, 0.25, 0.25 + 1e-16])
STUDIES = st.lists(
    st.tuples(
        st.fixed_dictionaries(
            {"x": NUMBERS},
            optional={"y": NUMBERS, "z": NUMBERS | st.booleans() | st.text("ab$\\^_{")},
        ),
        VALUES,
        VALUES,
        st.booleans(),
    ),
    max_size=9,
)


@settings(max_examples=4)  # drawing takes its time
@given(STUDIES, st.sets(st.sampled_from("xyz")))
def test_any_study_can_be_drawn(
    study: list[tuple[Point, float, float, bool]], log: set[str]
) -> None:
    points, first, second, marks = map(list, zip(*study, strict=True)) if study else ([],) * 4
    pairs = [("x", "y"), ("y", "z"), ("x", "x")]
    figures = [
        plots.slices(points, first, "value", log),
        plots.contours(points, first, pairs, "value", log),
        plots.pareto(list(zip(first, second, strict=True)), marks, ("a", "b")),
        plots.history(first, "value", pruned=np.flatnonzero(marks).tolist()),
    ]

    for figure in figures:
        figure.draw_without_rendering()


@settings(max_examples=10)
@given(st.dictionaries(st.text("abc_", min_size=1), st.floats(0, 1) | st.just(math.nan)))
def test_shares_of_any_size_are_drawn(shares: dict[str, float]) -> None:
    figure = plots.importance({n: (each, each / 2) for n, each in shares.items()}, "value", 5)

    figure.draw_without_rendering()
    known = [share for share in shares.values() if share == share]
    assert len(figure.axes[0].patches) == len(known)


def test_names_at_the_ends_of_close_lines_do_not_overlap() -> None:
    figure = plots.learning_curves({str(i): [0.0, 1 + i / 1000] for i in range(5)}, "loss")

    low, high = figure.axes[0].get_ylim()
    at = sorted(text.get_position()[1] for text in figure.axes[0].texts)
    assert (np.diff(at) > 0.05 * (high - low)).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.importance({"a": (0.7, 0.1), "b": (0.3, 0.1)}, "ndcg", 9),
        lambda: plots.slices(TRIALS, NDCG, "ndcg", LOG),
        lambda: plots.contours(TRIALS, NDCG, [("factors", "alpha")], "ndcg", LOG),
        lambda: plots.pareto([(1, 2), (2, 1), (1, 1)], [True, True, False], ("a", "b")),
        lambda: plots.history([1.0, None, 2.0, 3.0], "ndcg", pruned=[1, 3]),
        lambda: plots.comparison(MEANS, "ndcg"),
        lambda: plots.tradeoff({"als": (BAND, BAND), "bpr": (BAND, BAND)}, ("x", "y")),
        lambda: plots.groups({"als": {"cold": BAND}, "bpr": {"heavy": BAND}}, "ndcg"),
    ],
    ids=["importance", "slices", "contours", "pareto", "history", "comparison", "models", "groups"],
)
def test_a_saved_picture_of_each_kind_is_not_blank_and_the_same_each_time(
    draw: Callable[[], Figure], tmp_path: Path
) -> None:
    first, second = (tmp_path / "new" / name for name in ("a.png", "b.png"))
    plots.save(draw(), first)
    plots.save(draw(), second)

    assert len(np.unique(imread(first).reshape(-1, 4), axis=0)) > 20
    assert first.read_bytes() == second.read_bytes()


def test_a_failed_save_leaves_the_old_picture_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        plots.save(plots.comparison(MEANS, "ndcg"), path)

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_importing_the_module_loads_no_matplotlib_and_drawing_no_pyplot() -> None:
    code = (
        "import sys; from recsys import plots; assert 'matplotlib' not in sys.modules;"
        "plots.learning_curves({'a': [1.0, 2.0]}, 'loss');"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
