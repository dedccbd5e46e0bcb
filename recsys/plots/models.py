"""Many models at a glance: what accuracy costs, and whom each serves."""

from __future__ import annotations  # matplotlib is imported when something is drawn, not before

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recsys.dtypes import Float64Array
from recsys.plots.drawing import COLOURS, FAINT, INK, empty, new_figure, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Band = tuple[float, float | None, float | None]
"""Mean, low and high; the last two None without interval."""


_HEIGHT = 0.045  # of a line of text, as a part of the panel
_WIDTH = 0.0125  # of a letter, likewise
_GAP = 0.018  # between a point and its name
_DOWN = (0.0, -0.045, 0.045, -0.09, 0.09, -0.135, 0.135)  # how far a name may lie below its point
_LEADER = {"arrowstyle": "-", "color": FAINT, "lw": 0.8, "shrinkA": 0, "shrinkB": 4}


class _Box(NamedTuple):
    """A rectangle in parts of the panel."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def middle(self) -> float:
        """Its height in the panel, half way between bottom and top."""
        return (self.bottom + self.top) / 2

    def overlap(self, other: _Box) -> float:
        """The area it has in common with another one."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def outside(self) -> float:
        """Its area beyond the panel."""
        whole = (self.right - self.left) * (self.top - self.bottom)
        return whole - self.overlap(_Box(0.0, 0.0, 1.0, 1.0))


def tradeoff(
    models: Mapping[str, tuple[Band, Band]], names: tuple[str, str], title: str = ""
) -> Figure:
    """One named point per model in two metrics, with bars for the intervals that are known.

    Args:
        models: Model to its two metrics; one without a finite mean of both is left out.
        names: Labels of the two metrics, such as "ndcg@10" and "coverage@10".
        title: Heading; by default made of the names.
    """
    figure, axes = new_figure(title or f"{names[1]} against {names[0]}", *names)
    known = {
        name: both
        for name, both in models.items()
        if np.isfinite([mean for mean, *_ in both]).all()
    }
    if not known:
        return empty(figure, axes)
    at = np.array([[mean for mean, *_ in both] for both in known.values()], np.float64)
    colours = []
    for (name, (x, y)), (colour, marker) in zip(known.items(), styles(len(known)), strict=True):
        axes.errorbar([x[0]], [y[0]], xerr=arms([x]), yerr=arms([y]), fmt=marker, color=colour,
                      ms=7, elinewidth=1.2, label=name)  # fmt: skip
        colours.append(colour)
    axes.margins(x=0.12, y=0.12)
    axes.autoscale_view()  # limits are otherwise set when drawn, and transLimits would be the old
    _name_points(axes, at, _covered(axes, list(known.values())), list(known), colours)
    return figure


def groups(
    models: Mapping[str, Mapping[str, Band]],
    what: str,
    title: str = "",
    sizes: Mapping[str, int] | None = None,
) -> Figure:
    """Bars of all models side by side for each group, with intervals where they are known.

    Args:
        models: Model to group to value; groups stand in the order in which they first come. A
            model leaves a gap where it has no finite value.
        what: Label of the values, such as "ndcg@10".
        title: Heading; by default made of `what`.
        sizes: Group to the number of its members, which is written below its name.
    """
    figure, axes = new_figure(title or f"{what} by group", "", what)
    shown = list(dict.fromkeys(group for values in models.values() for group in values))
    if not any(np.isfinite(v[0]) for values in models.values() for v in values.values()):
        return empty(figure, axes)
    figure.set_figwidth(max(7.2, 1.2 + 0.1 * len(shown) * (len(models) + 2)))
    width = 0.84 / len(models)
    for i, ((name, values), (colour, _)) in enumerate(
        zip(models.items(), styles(len(models)), strict=True)
    ):
        bars = [values.get(group, (np.nan, None, None)) for group in shown]
        at = np.arange(len(shown)) + (i - (len(models) - 1) / 2) * width
        axes.bar(at, [mean for mean, *_ in bars], width, yerr=arms(bars), color=colour,
                 hatch=_hatch(i), edgecolor="white", lw=0.4, label=name,
                 error_kw={"ecolor": INK, "elinewidth": 1.0})  # fmt: skip
    counts = {group: f"\n({n:,})" for group, n in (sizes or {}).items()}
    axes.set_xticks(range(len(shown)), [f"{group}{counts.get(group, '')}" for group in shown])
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.grid(visible=False, axis="x")
    figure.legend(loc="outside lower left", frameon=False, ncols=6, fontsize=9)
    return figure


def _hatch(i: int) -> str:
    """Hatches of bars of the same colour, as there may be more models than colours."""
    return ("", "//", "..", "xx", "\\\\", "oo", "++")[i // len(COLOURS) % 7]


def arms(values: Sequence[Band]) -> Float64Array:
    """Lengths of the error bars below and above, shape (2, n); NaN draws none."""
    mean, low, high = np.array(values, np.float64).reshape(-1, 3).T
    # A mean may stand a rounding error beyond its interval, and matplotlib refuses lengths < 0.
    return np.maximum([mean - low, high - mean], 0.0)


def _covered(axes: Axes, values: Sequence[tuple[Band, Band]]) -> list[_Box]:
    """Where in the panel the points lie, and where their error bars."""
    found = []
    for x, y in values:
        (at_x, low_x, high_x), (at_y, low_y, high_y) = (
            [value[0] if end is None else end for end in value] for value in (x, y)
        )
        for left, bottom, right, top, thick in (
            (at_x, at_y, at_x, at_y, 0.02),
            (low_x, at_y, high_x, at_y, 0.005),
            (at_x, low_y, at_x, high_y, 0.005),
        ):
            (x0, y0), (x1, y1) = _seen(axes, np.array([[left, bottom], [right, top]])).tolist()
            found.append(_Box(x0 - thick / 2, y0 - thick, x1 + thick / 2, y1 + thick))
    return found


def _seen(axes: Axes, at: Float64Array) -> Float64Array:
    """Points, float64 of shape (n, 2), in parts of the panel: 0 to 1."""
    return np.asarray((axes.transScale + axes.transLimits).transform(at), np.float64)


def _name_points(
    axes: Axes,
    at: Float64Array,
    covered: Sequence[_Box],
    names: Sequence[str],
    colours: Sequence[str],
) -> None:
    """Write each name beside its point, where it covers least of other names and of `covered`."""
    seen, taken = _seen(axes, at), list(covered)
    for i in np.lexsort(seen.T).tolist():
        x, y = seen[i].tolist()
        boxes = [_box(x, y, dx, dy, len(names[i])) for dy, dx in product(_DOWN, (1, -1))]
        costs = [box.outside() + sum(map(box.overlap, taken)) for box in boxes]
        box = boxes[int(np.argmin(costs))]
        taken.append(box)
        right = box.left > x
        axes.annotate(names[i], at[i], (box.left if right else box.right, box.middle),
                      textcoords="axes fraction", ha="left" if right else "right", va="center",
                      color=colours[i], fontsize=9, arrowprops=_LEADER)  # fmt: skip


def _box(x: float, y: float, side: int, down: float, n_letters: int) -> _Box:
    """Where a name of so many letters lies right (side 1) or left (-1) of a point, and below it."""
    near, far = x + side * _GAP, x + side * (_GAP + _WIDTH * n_letters)
    middle = y - down
    return _Box(min(near, far), middle - _HEIGHT / 2, max(near, far), middle + _HEIGHT / 2)
