"""How the numbers of a log are distributed."""

from __future__ import annotations  # matplotlib is imported when something is drawn, not before

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from recsys.data.interactions import Events
from recsys.plots.drawing import COLOURS, empty, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = npt.NDArray[Any]
Draw = Callable[[Events], "Figure"]


def plays_per_row(events: Events) -> Figure:
    """How the plays of the rows of a log are distributed, log-log."""
    return distribution(events.plays, "Plays per row", "plays", "rows")


def items_per_user(events: Events) -> Figure:
    """How many distinct items the users have, log-log."""
    counts = events.cells().per_user()
    return distribution(counts, "Items per user", "items", "users")


def users_per_item(events: Events) -> Figure:
    """How many distinct users the items have, log-log."""
    counts = events.cells().per_item()
    return distribution(counts, "Users per item", "users", "items")


def distribution(values: Values, title: str, what: str, of: str) -> Figure:
    """A histogram on log-log axes with the median marked.

    Args:
        values: Numbers > 0, shape (n,); others are left out, as a log axis cannot hold them.
        title: Heading, to which the number of values is added.
        what: Label of the values, in the plural.
        of: What there is one value of, in the plural.
    """
    values = values[values > 0]
    figure, axes = new_figure(f"{title} ({len(values):,} {of})", what, f"number of {of}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    if not len(values):
        return empty(figure, axes)
    axes.hist(values, bins=bins(values).tolist(), color=COLOURS[0], edgecolor="white", lw=0.4)
    axes.set_ylim(0.7, 3 * axes.get_ylim()[1])  # room for the note above the bars
    median = float(np.median(values))
    axes.axvline(median, color=COLOURS[1], lw=1.5)
    label = f" median {median:,.6g}, mean {values.mean():,.3g}, max {values.max():,.6g}"
    right = np.log(median / values.min()) > 0.5 * np.log(values.max() / values.min())
    _note(axes, median, label + " ", "right" if right else "left")
    _plain_numbers(axes)
    return figure


def bins(values: Values) -> Values:
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
