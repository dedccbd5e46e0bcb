"""What all figures share: their look, their labels, their file."""

from __future__ import annotations  # matplotlib is imported when something is drawn, not before

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recsys.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK = "#333333"
FAINT = "#DDDDDD"
DPI = 150
NOTEBOOK_DPI = 80


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG; the file appears complete or not at all."""
    with atomic_file(path) as new:
        # Without the software's version in it the same figure is the same file.
        figure.savefig(new, format="png", dpi=DPI, metadata={"Software": None})


def new_figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """A figure of one panel, with its heading and the labels of its axes."""
    figure = _blank(7.2, 4.4)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, color=INK, pad=10)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    _dress(axes)
    return figure, axes


def new_grid(
    n: int, most: int, cell: tuple[float, float], title: str, *, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of n > 0 panels, at most `most` in a row, each about `cell` inches wide and high."""
    width = min(n, most)
    height = -(-n // width)
    figure = _blank(max(7.2, cell[0] * width + 1.2), cell[1] * height + 0.8)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=INK)
    panels = list(figure.subplots(height, width, sharey=share_y, squeeze=False).flat)
    for axes in panels[n:]:
        axes.remove()
    for axes in panels[:n]:
        _dress(axes)
    return figure, panels[:n]


def empty(figure: Figure, axes: Axes) -> Figure:
    """`figure`, whose panel says that there is nothing in it."""
    say_nothing(axes)
    return figure


def say_nothing(axes: Axes) -> None:
    """Write into a panel that there is nothing in it."""
    axes.text(0.5, 0.5, "nothing to show", transform=axes.transAxes, ha="center", color=INK)


def styles(n: int) -> list[tuple[str, str]]:
    """Colour and marker of each of n lines; the pairs repeat after 49."""
    size = len(COLOURS)
    return [(COLOURS[i % size], MARKERS[(i + i // size) % size]) for i in range(n)]


def whole_steps(axes: Axes) -> None:
    """Mark the axis of steps at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each name right of the end of its line, pushed apart where they would touch."""
    low, high = axes.get_ylim()
    gap = 0.055
    at = -np.inf
    right = axes.get_yaxis_transform()
    for _, y, name, colour in sorted(ends, key=lambda end: end[1]):
        at = max((y - low) / (high - low), at + gap)
        axes.text(1.01, low + at * (high - low), name, transform=right, color=colour, va="center",
                  fontsize=9)  # fmt: skip


def _blank(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _shown_in_notebooks()(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


@cache
def _shown_in_notebooks() -> type[Figure]:
    """A figure that a notebook shows as a picture, which else takes pyplot and a magic command."""
    from matplotlib.figure import Figure

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            file = BytesIO()
            self.savefig(file, format="png", dpi=NOTEBOOK_DPI, metadata={"Software": None})
            return file.getvalue()

    return Picture


def _dress(axes: Axes) -> None:
    axes.grid(color=FAINT, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, which="both", length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")
