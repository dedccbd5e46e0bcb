"""Pictures of a log and of experiments. The only file of this package that imports matplotlib.

Every function returns a `Figure` with its own Agg canvas; nothing goes through pyplot, so no
global state is shared between threads. Colours are those of Okabe and Ito (2008), which remain
distinct for colour-blind readers.
"""

from __future__ import annotations  # matplotlib is imported when something is drawn, not before

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from recsys.interactions import Events

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = npt.NDArray[Any]
Draw = Callable[[Events], "Figure"]
Means = Mapping[str, Mapping[str, tuple[float, float | None, float | None]]]
"""Model to metric name ("ndcg@10") to mean, low and high; the last two None without interval."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK = "#333333"
FAINT = "#DDDDDD"
DPI = 150


def plays_per_row(events: Events) -> Figure:
    """How the plays of the rows of a log are distributed, log-log."""
    return distribution(events.plays, "Plays per row", "plays", "rows")


def artists_per_user(events: Events) -> Figure:
    """How many distinct artists listeners have, log-log."""
    counts = events.cells().per_user()
    return distribution(counts, "Artists per listener", "artists", "listeners")


def listeners_per_artist(events: Events) -> Figure:
    """How many distinct listeners artists have, log-log."""
    counts = events.cells().per_item()
    return distribution(counts, "Listeners per artist", "listeners", "artists")


def distribution(values: Values, title: str, what: str, of: str) -> Figure:
    """A histogram on log-log axes with the median marked.

    Args:
        values: Numbers > 0, shape (n,); others are left out, as a log axis cannot hold them.
        title: Heading, to which the number of values is added.
        what: Label of the values, in the plural.
        of: What there is one value of, in the plural.
    """
    values = values[values > 0]
    figure, axes = _figure(f"{title} ({len(values):,} {of})", what, f"number of {of}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    if not len(values):
        return _empty(figure, axes)
    axes.hist(values, bins=_bins(values).tolist(), color=COLOURS[0], edgecolor="white", lw=0.4)
    axes.set_ylim(0.7, 3 * axes.get_ylim()[1])  # room for the note above the bars
    median = float(np.median(values))
    axes.axvline(median, color=COLOURS[1], lw=1.5)
    label = f" median {median:,.6g}, mean {values.mean():,.3g}, max {values.max():,.6g}"
    right = np.log(median / values.min()) > 0.5 * np.log(values.max() / values.min())
    _note(axes, median, label + " ", "right" if right else "left")
    _plain_numbers(axes)
    return figure


def comparison(means: Means, metric: str, title: str = "") -> Figure:
    """`metric` at every k it is known at, one line per model, with a band from low to high.

    Args:
        means: Model to metric name to (mean, low, high).
        metric: Name before the @, such as "ndcg".
        title: Heading; by default the metric and the word test.
    """
    figure, axes = _figure(title or f"{metric}@k on test, with 95 % intervals", "k", f"{metric}@k")
    ends = []
    for model, (colour, marker) in zip(means, _styles(len(means)), strict=True):
        points = _by_k(means[model], metric)
        if not points:
            continue
        ks, mean, low, high = (np.array(column, np.float64) for column in zip(*points, strict=True))
        axes.fill_between(ks, low, high, color=colour, alpha=0.2, lw=0)
        axes.plot(ks, mean, color=colour, marker=marker, ms=5, lw=1.8, label=model)
        ends.append((ks[-1], mean[-1], model, colour))
    if not ends:
        return _empty(figure, axes)
    axes.set_xticks(sorted({k for model in means for k, *_ in _by_k(means[model], metric)}))
    axes.set_ylim(bottom=0)
    _label_ends(axes, ends)
    return figure


def learning_curves(
    curves: Mapping[str, Sequence[float]], what: str, title: str = "", first: int = 1
) -> Figure:
    """Several curves by iteration, each named at its end.

    Args:
        curves: Name to one value per iteration.
        what: Label of the values, such as "ndcg@10" or "training loss".
        title: Heading; by default `what` by iteration.
        first: Number of the iteration of the first value.
    """
    figure, axes = _figure(title or f"{what} by iteration", "iteration", what)
    ends = []
    for (name, values), (colour, marker) in zip(curves.items(), _styles(len(curves)), strict=True):
        if not len(values):
            continue
        steps = np.arange(first, first + len(values))
        axes.plot(steps, list(values), color=colour, marker=marker, ms=4, lw=1.8, label=name)
        ends.append((float(steps[-1]), float(values[-1]), name, colour))
    if not ends:
        return _empty(figure, axes)
    _whole_steps(axes)
    _label_ends(axes, ends)
    return figure


def history(
    values: Sequence[float | None],
    what: str,
    title: str = "",
    direction: Literal["maximize", "minimize"] = "maximize",
) -> Figure:
    """The value of every trial, and the best so far.

    Args:
        values: One value per trial in the order of their numbers; None or NaN for a failed one.
        what: Label of the values, such as "ndcg@10 on validation".
        title: Heading; by default the number of trials.
        direction: Whether more or less is better.
    """
    found = np.array([np.nan if value is None else value for value in values], np.float64)
    figure, axes = _figure(title or f"Search: {what}, {len(found)} trials", "trial", what)
    if not np.isfinite(found).any():
        return _empty(figure, axes)
    pick = np.fmax if direction == "maximize" else np.fmin
    best = pick.accumulate(found)
    steps = np.arange(len(found))
    axes.step(steps, best, where="post", color=COLOURS[1], lw=1.8, label="best so far")
    axes.plot(steps, found, "o", color=COLOURS[0], ms=5, label="trial")
    if (failed := np.flatnonzero(~np.isfinite(found))).size:
        bottom = axes.get_xaxis_transform()
        axes.plot(failed, np.zeros(len(failed)), "x", color=INK, transform=bottom, clip_on=False,
                  label="failed")  # fmt: skip
    _whole_steps(axes)
    axes.set_xlabel("trial", loc="left")
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, -0.08), ncols=3, fontsize=9)
    _label_ends(axes, [(float(steps[-1]), float(best[-1]), f"{best[-1]:.4g}", COLOURS[1])])
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG; the file appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        # Without the software's version in it the same figure is the same file.
        figure.savefig(part, format="png", dpi=DPI, metadata={"Software": None})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, color=INK, pad=10)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.grid(color=FAINT, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, which="both", length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")
    return figure, axes


def _empty(figure: Figure, axes: Axes) -> Figure:
    axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", color=INK)
    return figure


def _bins(values: Values) -> Values:
    """Edges of about 40 bins of equal width in the logarithm.

    Bins of whole numbers hold whole numbers, and never fewer than the bin before: else their
    heights would go up and down with the number of values that can fall into them.
    """
    low, high = float(values.min()), float(values.max())
    if (values != np.rint(values)).any() or high > 1e9:
        return np.geomspace(low / 1.001, high * 1.001, 41)
    growth = (high / low) ** (1 / 40) - 1
    edges, width = [low], 1
    while edges[-1] <= high:
        width = max(width, int(edges[-1] * growth))
        edges.append(edges[-1] + width)
    return np.array(edges) - 0.5


def _note(axes: Axes, x: float, text: str, side: Literal["left", "right"]) -> None:
    at = axes.get_xaxis_transform()
    axes.text(x, 0.98, text, transform=at, ha=side, va="top", color=COLOURS[1], fontsize=9)


def _plain_numbers(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axis.set_minor_formatter(NullFormatter())


def _whole_steps(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _styles(n: int) -> list[tuple[str, str]]:
    """Colour and marker of each of n lines; the pairs repeat after 49."""
    size = len(COLOURS)
    return [(COLOURS[i % size], MARKERS[(i + i // size) % size]) for i in range(n)]


def _by_k(
    means: Mapping[str, tuple[float, float | None, float | None]], metric: str
) -> list[tuple[int, float, float, float]]:
    """k, mean, low and high of `metric`, by k; low and high are the mean where unknown."""
    points = []
    for name, (mean, low, high) in means.items():
        what, _, k = name.partition("@")
        if what == metric and k.isdecimal():
            points.append(
                (int(k), mean, mean if low is None else low, mean if high is None else high)
            )
    return sorted(points)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each name right of the end of its line, pushed apart where they would touch."""
    low, high = axes.get_ylim()
    gap = 0.055
    at = -np.inf
    right = axes.get_yaxis_transform()
    for _, y, name, colour in sorted(ends, key=lambda end: end[1]):
        at = max((y - low) / (high - low), at + gap)
        axes.text(1.01, low + at * (high - low), name, transform=right, color=colour, va="center",
                  fontsize=9)  # fmt: skip
