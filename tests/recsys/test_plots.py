"""Figures hold the data they were given; files hold a picture."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.image import imread

from recsys import plots
from recsys.ids import IdMap
from recsys.interactions import Events

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


def heights(figure: Figure) -> list[float]:
    return [bar.get_height() for bar in figure.axes[0].patches]  # type: ignore[attr-defined]


def texts(figure: Figure) -> list[str]:
    return [text.get_text().strip() for text in figure.axes[0].texts]


@pytest.mark.parametrize(
    ("draw", "title", "total"),
    [
        (plots.plays_per_row, "Plays per row (45 rows)", 45),
        (plots.artists_per_user, "Artists per listener (9 listeners)", 9),
        (plots.listeners_per_artist, "Listeners per artist (9 artists)", 9),
    ],
)
def test_a_distribution_counts_everything_once_on_log_axes(
    draw: plots.Draw, title: str, total: int
) -> None:
    figure = draw(events())

    axes = figure.axes[0]
    assert sum(heights(figure)) == total
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_title("left") == title
    assert axes.get_xlabel()
    assert axes.get_ylabel().startswith("number of")


@settings(deadline=None, max_examples=40)  # drawing takes its time
@given(st.lists(st.floats(1e-3, 1e12) | st.integers(1, 10**7), min_size=1, max_size=50))
def test_no_value_falls_outside_the_bins(values: list[float]) -> None:
    figure = plots.distribution(np.array(values, np.float64), "T", "x", "things")

    assert sum(heights(figure)) == len(values)
    assert np.median(values) == pytest.approx(figure.axes[0].lines[0].get_xdata()[0])  # type: ignore[index]


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50))
def test_bins_of_whole_numbers_lie_between_them_and_never_get_narrower(values: list[int]) -> None:
    edges = plots._bins(np.array(values))
    widths = np.diff(edges)

    assert (edges % 1 == 0.5).all()
    assert (np.diff(widths) >= 0).all()
    assert len(widths) <= 60


def test_zeros_are_left_out_of_a_log_axis_and_nothing_at_all_is_said() -> None:
    some = plots.distribution(np.array([0, 0, 3]), "T", "x", "things")
    none = plots.distribution(np.array([0, 0]), "T", "x", "things")

    assert sum(heights(some)) == 1
    assert texts(none) == ["nothing to show"]


def test_the_comparison_has_a_line_and_a_band_per_model_in_order_of_k() -> None:
    figure = plots.comparison(MEANS, "ndcg")

    axes = figure.axes[0]
    drawn = {
        str(line.get_label()): np.asarray(line.get_xydata(), np.float64) for line in axes.lines
    }
    assert set(drawn) == {"popularity", "als"}
    np.testing.assert_allclose(drawn["popularity"], [[1, 0.05], [10, 0.10]])
    np.testing.assert_allclose(drawn["als"], [[1, 0.15], [10, 0.25]])
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

    lines = {
        str(line.get_label()): np.asarray(line.get_xydata(), np.float64)
        for line in figure.axes[0].lines
    }
    np.testing.assert_allclose(lines["train"], [[1, 3.0], [2, 2.0], [3, 1.5]])
    np.testing.assert_allclose(lines["short"], [[1, 1.0]])
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


def test_no_curves_no_trials_and_no_such_metric_still_make_a_figure() -> None:
    figures = [
        plots.comparison(MEANS, "recall"),
        plots.comparison({}, "ndcg"),
        plots.learning_curves({"none": []}, "loss"),
        plots.history([], "value"),
        plots.history([None], "value"),
    ]

    assert [texts(figure) for figure in figures] == [["nothing to show"]] * 5


def test_names_at_the_ends_of_close_lines_do_not_overlap() -> None:
    figure = plots.learning_curves({str(i): [0.0, 1 + i / 1000] for i in range(5)}, "loss")

    low, high = figure.axes[0].get_ylim()
    at = sorted(text.get_position()[1] for text in figure.axes[0].texts)
    assert (np.diff(at) > 0.05 * (high - low)).all()


def test_a_saved_picture_is_not_blank_and_the_same_each_time(tmp_path: Path) -> None:
    plots.save(plots.comparison(MEANS, "ndcg"), tmp_path / "made" / "a.png")
    plots.save(plots.comparison(MEANS, "ndcg"), tmp_path / "made" / "b.png")

    pixels = imread(tmp_path / "made" / "a.png")
    assert pixels.shape == (660, 1080, 4)
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 20
    first, second = sorted((tmp_path / "made").iterdir())
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
