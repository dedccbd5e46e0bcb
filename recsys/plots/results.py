"""What an experiment found: models in order, metrics, improvements, training, cost, who gains."""

from __future__ import annotations  # matplotlib is imported when something is drawn, not before

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recsys.dtypes import Float64Array
from recsys.plots.drawing import (
    COLOURS,
    INK,
    MARKERS,
    empty,
    new_figure,
    new_grid,
    say_nothing,
    styles,
    whole_steps,
)
from recsys.plots.models import Band, arms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GREY = "#888888"
_ROW = 0.34  # inches of a line of text with the space around it
_NOT_LOG = 30.0  # a training longer than this many times the shortest needs a logarithmic axis


def ranking(
    models: Mapping[str, Band], what: str, ties: Collection[str] = (), title: str = ""
) -> Figure:
    """Models from the best to the worst, with their intervals.

    Args:
        models: Model to its value, in the order to show them, the best first.
        what: Label of the values, such as "ndcg@10 on test".
        ties: Models that may be as good as the best; they are coloured and marked with =.
        title: Heading; by default made of `what`.
    """
    figure, axes = new_figure(title or f"{what}, 95 % intervals; = may be as good", what, "")
    if not models:
        return empty(figure, axes)
    figure.set_figheight(1.4 + _ROW * len(models))
    for at, (name, band) in enumerate(models.items()):
        may_be_best = at == 0 or name in ties
        axes.errorbar([band[0]], [at], xerr=arms([band]), fmt="o" if may_be_best else "s", ms=6,
                      color=COLOURS[0] if may_be_best else _GREY, elinewidth=1.4)  # fmt: skip
        axes.annotate(f"{band[0]:.4f}", (band[0], at), (0, 6), textcoords="offset points",
                      ha="center", fontsize=8, color=INK)  # fmt: skip
    axes.set_yticks(range(len(models)), [f"{name}{' =' * (name in ties)}" for name in models])
    axes.set_ylim(len(models) - 0.4, -0.8)
    axes.grid(visible=False, axis="y")
    return figure


def metric_bars(models: Mapping[str, Mapping[str, Band]], title: str = "") -> Figure:
    """A panel for each metric, a bar for each model, each panel with a scale of its own.

    Args:
        models: Model to metric to value; metrics stand in the order in which they first come.
        title: Heading.
    """
    metrics = list(dict.fromkeys(metric for values in models.values() for metric in values))
    if not metrics:
        return empty(*new_figure(title, "", ""))
    heading = title or "On test, with 95 % intervals"
    figure, panels = new_grid(len(metrics), 4, (2.0, 2.6), heading)
    for metric, axes in zip(metrics, panels, strict=True):
        axes.set_title(metric, fontsize=10, color=INK)
        for at, (values, (colour, _)) in enumerate(
            zip(models.values(), styles(len(models)), strict=True)
        ):
            band = values.get(metric, (np.nan, None, None))
            axes.bar([at], [band[0]], 0.7, yerr=arms([band]), color=colour,
                     hatch=("", "//", "..")[at % 3], edgecolor="white",
                     error_kw={"ecolor": INK, "elinewidth": 1.0})  # fmt: skip
            if np.isfinite(band[0]):
                top = max(band[0], band[2] or band[0])
                axes.annotate(f"{band[0]:.3f}", (at, top), (0, 2), textcoords="offset points",
                              ha="center", fontsize=8, color=INK)  # fmt: skip
        axes.margins(y=0.15)
        axes.set_xticks(range(len(models)), list(models), rotation=30, ha="right", fontsize=8)
        axes.grid(visible=False, axis="x")
    return figure


def improvements(changes: Mapping[str, float | None], what: str, title: str = "") -> Figure:
    """How much each metric changes from one model to another, in per cent.

    Args:
        changes: Metric to (b - a) / a; None where it cannot be said.
        what: The two models, such as "als against popularity-users".
        title: Heading; by default made of `what`.
    """
    figure, axes = new_figure(title or f"Change of {what}, in per cent", "per cent", "")
    known = {name: 100 * share for name, share in changes.items() if share is not None}
    if not known:
        return empty(figure, axes)
    figure.set_figheight(1.4 + _ROW * len(known))
    shares = list(known.values())
    colours = [COLOURS[0] if share >= 0 else COLOURS[1] for share in shares]
    axes.barh(range(len(known)), shares, 0.6, color=colours)
    for at, share in enumerate(shares):
        axes.annotate(f"{share:+.1f}", (share, at), (4 if share >= 0 else -4, 0), va="center",
                      textcoords="offset points", ha="left" if share >= 0 else "right",
                      fontsize=9, color=INK)  # fmt: skip
    axes.axvline(0, color=INK, lw=0.8)
    axes.margins(x=0.15)
    axes.set_yticks(range(len(known)), list(known))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    return figure


def convergence(
    values: Sequence[tuple[int, float]],
    loss: Sequence[tuple[int, float]],
    what: str,
    title: str = "",
) -> Figure:
    """The metric and the training loss by iteration, side by side, with where the best was.

    Args:
        values: (iteration, value) of the metric; more is better.
        loss: (iteration, loss); less is better.
        what: Label of the values, such as "ndcg@10 on validation".
        title: Heading.
    """
    heading = title or f"Training: {what}, and the loss, by iteration"
    figure, (left, right) = new_grid(2, 2, (3.6, 3.4), heading)
    for axes, points, label, colour in (
        (left, values, what, COLOURS[0]),
        (right, loss, "training loss", COLOURS[1]),
    ):
        axes.set_xlabel("iteration", color=INK)
        axes.set_ylabel(label, color=INK)
        if not points:
            say_nothing(axes)
            continue
        steps, heights = np.array(sorted(points), np.float64).T
        axes.plot(steps, heights, color=colour, marker="o", ms=4, lw=1.8)
        whole_steps(axes)
        if axes is left:
            best = int(np.nanargmax(heights))
            axes.plot([steps[best]], [heights[best]], "*", color=COLOURS[4], ms=15, zorder=3)
            axes.set_title(f"best {heights[best]:.4f} at {steps[best]:.0f}", fontsize=10, color=INK)
    return figure


def cost(trials: Sequence[tuple[int, float, float]], what: str, title: str = "") -> Figure:
    """The value of each trial against the seconds it took; a line joins those best for their time.

    These are numbered, and the others are not: names of all would lie on each other.

    Args:
        trials: Number, seconds and value of each.
        what: Label of the values; more is better.
        title: Heading.
    """
    figure, axes = new_figure(
        title or f"{what} against the time of a trial; numbered: best for their time",
        "seconds to fit and judge",
        what,
    )
    known = [each for each in trials if np.isfinite(each[1:]).all()]
    if not known:
        return empty(figure, axes)
    numbers, seconds, values = (np.array(each) for each in zip(*known, strict=True))
    axes.plot(seconds, values, MARKERS[0], color=COLOURS[0], ms=6)
    order = np.lexsort((-values, seconds))
    best = np.maximum.accumulate(values[order])
    front = order[np.diff(best, prepend=-np.inf) > 0]
    axes.plot(seconds[front], values[front], color=COLOURS[1], lw=1.2, zorder=0)
    for at in front:
        axes.annotate(f"{numbers[at]:.0f}", (seconds[at], values[at]), (-5, 4), ha="right",
                      textcoords="offset points", fontsize=8, color=INK)  # fmt: skip
    axes.margins(x=0.12)
    if min(seconds) > 0 and max(seconds) > _NOT_LOG * min(seconds):
        _log_seconds(axes)
    return figure


def _log_seconds(axes: Axes) -> None:
    """A logarithmic axis with plain numbers: 0.2, 1, 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def gains(differences: Float64Array, what: str, title: str = "") -> Figure:
    """How many users gain and lose how much, from one model to another.

    Args:
        differences: Of each user, float64, shape (n,); above 0 is a gain.
        what: Label of the differences, such as "ndcg@10, als - popularity-users".
        title: Heading; by default the shares of users who gain, lose and stay equal.
    """
    known = np.asarray(differences, np.float64)
    known = known[np.isfinite(known)]
    n = max(len(known), 1)
    up, down = float((known > 0).sum() / n), float((known < 0).sum() / n)
    shares = f"{up:.0%} of users gain, {down:.0%} lose, {max(0.0, 1 - up - down):.0%} stay equal"
    figure, axes = new_figure(title or shares, what, "users")
    if not len(known):
        return empty(figure, axes)
    widest = float(np.abs(known).max()) or 1.0
    edges = np.linspace(-widest, widest, 42)  # an odd number of bins: 0 has one of its own
    counts, _ = np.histogram(known, edges)
    middles = (edges[:-1] + edges[1:]) / 2
    half = len(counts) // 2
    colours = [COLOURS[1]] * half + [_GREY] + [COLOURS[0]] * half
    axes.bar(middles, counts, np.diff(edges), color=colours, edgecolor="white", lw=0.4)
    axes.axvline(float(known.mean()), color=INK, lw=1.2, ls="--")
    axes.annotate(f"mean {known.mean():+.4f}", (float(known.mean()), 1), (5, -4), va="top",
                  xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=9,
                  color=INK)  # fmt: skip
    axes.grid(visible=False, axis="x")
    return figure
