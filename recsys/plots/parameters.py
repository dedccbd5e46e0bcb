"""The value of trials against their hyper-parameters, one at a time and in pairs."""

from __future__ import annotations  # matplotlib is imported when something is drawn, not before

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from recsys.dtypes import Float64Array
from recsys.plots.drawing import INK, empty, new_figure, new_grid, say_nothing
from recsys.search.space import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator


_STEPS = (1, 2, 5, 10)  # between ticks, times a power of ten
ENOUGH = 20  # trials between which a value is worth a guess


@dataclass(frozen=True, slots=True)
class _Column:
    """One parameter of all trials."""

    name: str
    at: Float64Array
    """The numbers, or positions in `labels`; NaN for a trial without this parameter."""
    labels: tuple[str, ...]
    """What the positions mean; empty for numbers."""
    log: bool
    whole: bool


def slices(
    points: Sequence[Mapping[str, Value]],
    values: Sequence[float],
    what: str,
    log: Collection[str] = (),
    title: str = "",
    numbers: Sequence[int] | None = None,
) -> Figure:
    """The value of every trial against each parameter; a darker dot is a later trial.

    A trial is absent from the panel of a parameter that it does not have, and a parameter with
    one value only has no panel. In a category the trials stand from left to right.

    Args:
        points: The parameters of each trial.
        values: The value of each; a trial with NaN is left out.
        what: Label of the values, such as "ndcg@10 on validation".
        log: Names of parameters on a log axis, which those with values <= 0 do not get.
        title: Heading; by default made of `what`.
        numbers: Of the trials, which have gaps where trials were pruned or failed; by default
            their places in `points`.
    """
    title = title or f"{what} by parameter"
    y = np.array(values, np.float64)
    number = np.arange(len(y)) if numbers is None else np.array(numbers, np.int64)
    kept = [point if ok else {} for point, ok in zip(points, np.isfinite(y), strict=True)]
    columns = [_column(kept, name, log) for name in _names(kept)]
    columns = [column for column in columns if len(set(column.at[np.isfinite(column.at)])) > 1]
    if not columns:
        return empty(*new_figure(title, "parameter", what))
    figure, panels = new_grid(len(columns), 4, (2.5, 2.4), title, share_y=True)
    for axes, column in zip(panels, columns, strict=True):
        has = np.flatnonzero(np.isfinite(column.at))
        # Within a category by trial from left to right, else many would lie on each other.
        shift = 0.5 * (number[has] / max(number.max(), 1) - 0.5) if column.labels else 0
        dots = axes.scatter(column.at[has] + shift, y[has], c=number[has], cmap="viridis_r",
                            vmin=0, vmax=number.max(), s=22, edgecolors=INK,
                            linewidths=0.3)  # fmt: skip
        _fit(axes, "x", column)
        axes.tick_params("y", labelsize=8)
    panels[0].margins(y=0.08)
    figure.supylabel(what, fontsize=10, color=INK)
    _colour_bar(figure, dots, panels, "trial", whole=True)
    return figure


def contours(
    points: Sequence[Mapping[str, Value]],
    values: Sequence[float],
    pairs: Sequence[tuple[str, str]],
    what: str,
    log: Collection[str] = (),
    title: str = "",
) -> Figure:
    """The value over each pair of numeric parameters, linear between the trials.

    Linear in the logarithm of those with a log axis. Trials at the same place count as one with
    their mean. Between fewer than 20 trials, or places on one line, nothing is filled in.

    Args:
        points: The parameters of each trial.
        values: The value of each; a trial with NaN is left out.
        pairs: Names of the parameters along and up; a trial without both is absent.
        what: Label of the values, such as "ndcg@10 on validation".
        log: Names of parameters on a log axis, which those with values <= 0 do not get.
        title: Heading; by default made of `what`.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm
    from matplotlib.ticker import MaxNLocator

    title = title or f"{what} by pairs of parameters"
    z = np.array(values, np.float64)
    kept = [point if ok else {} for point, ok in zip(points, np.isfinite(z), strict=True)]
    if not pairs or not any(kept):
        return empty(*new_figure(title, "parameter", "parameter"))
    finite = z[np.isfinite(z)]
    levels = MaxNLocator(12).tick_values(finite.min(), finite.max())
    norm = BoundaryNorm(levels, 256)
    figure, panels = new_grid(len(pairs), 3, (3.2, 2.9), title)
    for axes, pair in zip(panels, pairs, strict=True):
        x, y = (_column(kept, name, log) for name in pair)
        _contour(axes, x, y, z, norm)
    _colour_bar(figure, ScalarMappable(norm, "viridis"), panels, what)
    return figure


def _names(points: Sequence[Mapping[str, Value]]) -> list[str]:
    """All parameters, in the order in which they first appear."""
    return list(dict.fromkeys(name for point in points for name in point))


def _column(points: Sequence[Mapping[str, Value]], name: str, log: Collection[str]) -> _Column:
    found = {i: point[name] for i, point in enumerate(points) if name in point}
    at = np.full(len(points), np.nan)
    numbers = [v for v in found.values() if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(found):
        labels = tuple(sorted({str(value) for value in found.values()}))
        at[list(found)] = [labels.index(str(value)) for value in found.values()]
        return _Column(name, at, labels, log=False, whole=True)
    at[list(found)] = numbers
    at[~np.isfinite(at)] = np.nan
    whole = all(isinstance(number, int) for number in numbers)
    return _Column(name, at, (), name in log and min(numbers, default=1) > 0, whole)


def _contour(axes: Axes, x: _Column, y: _Column, z: Float64Array, norm: BoundaryNorm) -> None:
    from matplotlib.tri import Triangulation

    has = np.isfinite(x.at) & np.isfinite(y.at)
    if x.labels or y.labels or not has.any():
        axes.set(xlabel=x.name, ylabel=y.name, xticks=[], yticks=[])
        say_nothing(axes)
        return
    dots = axes.scatter(x.at[has], y.at[has], 18, z[has], cmap="viridis", norm=norm,
                        edgecolors=INK, linewidths=0.5, zorder=3)  # fmt: skip
    _fit(axes, "x", x)
    _fit(axes, "y", y)
    # Fixed, as tricontourf would widen the limits by its coordinates, which are the panel's.
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
    places = np.column_stack([x.at[has], y.at[has]])
    inside = (axes.transScale + axes.transLimits).transform(places)  # 0 to 1 across the panel
    distinct, which = np.unique(inside.round(6), axis=0, return_inverse=True)
    if has.sum() < ENOUGH or not _span_a_plane(distinct):
        return
    which = which.ravel()
    mean = np.bincount(which, z[has]) / np.bincount(which)
    axes.tricontourf(Triangulation(*distinct.T), mean, norm.boundaries, cmap="viridis",
                     norm=norm, transform=axes.transAxes)  # fmt: skip
    dots.set_array(None)  # in the colour of its surroundings a dot would hardly be seen
    dots.set(facecolor=INK, edgecolor="white")


def _span_a_plane(places: Float64Array) -> bool:
    """Whether there are 4 or more and they are not, or almost, on one line."""
    return len(places) >= 4 and bool(
        np.linalg.svd(places - places.mean(0), compute_uv=False)[1] > 1e-3
    )


def _fit(axes: Axes, side: Literal["x", "y"], column: _Column) -> None:
    """Scale, ticks and label of the axis of a parameter."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    axis = axes.xaxis if side == "x" else axes.yaxis
    axes.set(**{f"{side}label": column.name})
    axis.label.set_color(INK)
    axis.set_tick_params(labelsize=8)
    if column.labels:
        _name_ticks(axes, column.labels)
    elif column.log:
        axes.set(**{f"{side}scale": "log"})
        axis.set_major_locator(_log_ticks(column.at[np.isfinite(column.at)]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(5, integer=column.whole, steps=_STEPS))


def _log_ticks(found: Float64Array) -> Locator:
    """Powers of ten; between them too where there are few, as far as their labels have room."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    low, high = np.log10(found.min()), np.log10(found.max())
    if low == high or high - low >= 2.5:
        return LogLocator()
    if high - low < 0.8:
        return MaxNLocator(4, steps=_STEPS)
    longest = max(len(_short(10.0 ** np.floor(end))) for end in (low, high))
    return LogLocator(subs=(1, 2, 5) if longest * (high - low) < 6 else (1, 3))


def _short(value: float) -> str:
    """A tick of a log axis in few characters: 0.01, 250, 1e-4, 2.5e6."""
    if 0.000999 < value < 99_999 or value <= 0:
        return f"{value:.6g}"
    power = int(np.floor(np.log10(value) + 1e-9))
    return f"{value / 10.0**power:.3g}e{power}"


def _name_ticks(axes: Axes, labels: Sequence[str]) -> None:
    short = [label if len(label) <= 14 else f"{label[:13]}…" for label in labels]
    axes.set_xticks(range(len(short)), short, parse_math=False)  # a $ is a $
    axes.set_xlim(-0.6, len(short) - 0.4)
    if sum(map(len, short)) > 20:
        axes.tick_params("x", rotation=30)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")


def _colour_bar(
    figure: Figure, colours: ScalarMappable, panels: Sequence[Axes], label: str, whole: bool = False
) -> None:
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(6, integer=True, steps=_STEPS) if whole else None
    bar = figure.colorbar(colours, ax=list(panels), label=label, ticks=ticks, pad=0.02, aspect=30)
    bar.ax.tick_params(colors=INK, labelsize=8)
    bar.ax.yaxis.label.set_color(INK)
    bar.outline.set_visible(False)
