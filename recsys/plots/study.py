"""The trials of a study: how they went, what mattered, and what was traded for what."""

from __future__ import annotations  # matplotlib is imported when something is drawn, not before

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from recsys.plots.drawing import COLOURS, INK, empty, label_ends, new_figure, whole_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Direction = Literal["maximize", "minimize"]

_PALE = "#AAAAAA"


def history(
    values: Sequence[float | None],
    what: str,
    title: str = "",
    direction: Direction = "maximize",
    pruned: Collection[int] = (),
) -> Figure:
    """The value of every trial, and the best so far of those that ran to their end.

    Args:
        values: One value per trial in the order of their numbers; None or NaN for a failed one.
        what: Label of the values, such as "ndcg@10 on validation".
        title: Heading; by default the number of trials.
        direction: Whether more or less is better.
        pruned: Positions in `values` of trials stopped early. Their value is the last one
            reported; without any they stand at the bottom.
    """
    found = np.array([np.nan if value is None else value for value in values], np.float64)
    figure, axes = new_figure(title or f"Search: {what}, {len(found)} trials", "trial", what)
    if not np.isfinite(found).any():
        return empty(figure, axes)
    steps = np.arange(len(found))
    stopped = np.isin(steps, list(pruned))
    ended = np.where(stopped, np.nan, found)
    best = (np.fmax if direction == "maximize" else np.fmin).accumulate(ended)
    axes.step(steps, best, where="post", color=COLOURS[1], lw=1.8, label="best so far")
    axes.plot(steps, ended, "o", color=COLOURS[0], ms=5, label="trial")
    _mark_pruned(axes, found, stopped)
    _mark_bottom(axes, ~stopped & ~np.isfinite(found), "x", "failed")
    whole_steps(axes)
    axes.set_xlabel("trial", loc="left")
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, -0.08), ncols=4, fontsize=9)
    if np.isfinite(best[-1]):
        label_ends(axes, [(float(steps[-1]), float(best[-1]), f"{best[-1]:.4g}", COLOURS[1])])
    return figure


def importance(
    shares: Mapping[str, tuple[float, float]], what: str, n_trials: int, title: str = ""
) -> Figure:
    """One bar per parameter with its spread, the most important on top.

    Args:
        shares: Parameter to its share, of 1 in all, and the standard deviation of that; NaN where
            unknown, which is left out.
        what: The value that depends on them, such as "ndcg@10 on validation".
        n_trials: From how many trials.
        title: Heading; by default made of the other two.
    """
    known = sorted(
        ((name, *each) for name, each in shares.items() if np.isfinite(each[0])),
        key=lambda row: -row[1],
    )
    title = title or f"What {what} depends on, {n_trials} trials"
    figure, axes = new_figure(title, "share of the importance, %, and its standard deviation", "")
    if not known:
        return empty(figure, axes)
    figure.set_figheight(max(2.4, 1.3 + 0.36 * len(known)))
    names = [name for name, _, _ in known]
    percent, spread = (np.array([100 * row[at] for row in known]) for at in (1, 2))
    axes.barh(range(len(names)), percent, height=0.66, color=COLOURS[0])
    low = np.minimum(spread, percent)
    axes.errorbar(percent, range(len(names)), xerr=(low, spread), fmt="none", ecolor=INK, lw=1)
    for at, (part, wide) in enumerate(zip(percent, spread, strict=True)):
        label = f"{part:.1f} %" if part >= 0.05 or part <= 0 else "< 0.1 %"
        axes.annotate(label, (part + wide, at), (4, 0), textcoords="offset points", va="center",
                      color=INK, fontsize=9)  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 3) - 0.4, -0.6)  # one bar alone is not as thick as three
    axes.set_xlim(0, 1.15 * float((percent + spread).max()) or 1)  # room for the numbers
    axes.grid(visible=False, axis="y")
    return figure


def pareto(
    points: Sequence[tuple[float, float]],
    on_front: Sequence[bool],
    names: tuple[str, str],
    labels: Sequence[str] = (),
    title: str = "",
    directions: tuple[Direction, Direction] = ("maximize", "maximize"),
) -> Figure:
    """Two objectives of every trial; those that no other beats in both are joined by steps.

    A name that would lie on another one is left out: the ends of the front keep theirs.

    Args:
        points: The two values of each trial; a trial with NaN is left out.
        on_front: Whether it is on the front, per trial.
        names: Labels of the two values.
        labels: Name of each trial; by default its position.
        title: Heading; by default how many of the trials are on the front.
        directions: Whether more or less is better, per objective.
    """
    at = np.array(points, np.float64).reshape(-1, 2)
    called = np.array(list(labels) or [str(i) for i in range(len(at))], np.str_)
    finite = np.isfinite(at).all(1)
    front, called = np.array(on_front, np.bool_)[finite], called[finite]
    at = at[finite]
    heading = title or f"{front.sum()} of {len(at)} trials on the front"
    figure, axes = new_figure(heading, *names)
    if not len(at):
        return empty(figure, axes)
    axes.plot(*at[~front].T, "o", color=_PALE, ms=5, alpha=0.7, mec="none", label="other trials")
    order = np.flatnonzero(front)[np.lexsort((at[front, 1], at[front, 0]))]
    # What a point of the front beats ends at its x if more is better, and begins there if less.
    where: Literal["pre", "post"] = "pre" if directions[0] == "maximize" else "post"
    axes.step(*at[order].T, where=where, marker="o", color=COLOURS[1], ms=6, lw=1.6,
              label="front")  # fmt: skip
    longest = max((len(name) for name in called[order]), default=0)
    axes.margins(x=0.06 + 0.01 * min(longest, 20), y=0.09)
    _name_points(axes, at[order], called[order].tolist(), directions)
    axes.set_xlabel(names[0], loc="left")
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, -0.08), ncols=2, fontsize=9)
    return figure


def _mark_pruned(axes: Axes, last: npt.NDArray[np.float64], stopped: npt.NDArray[np.bool_]) -> None:
    known = np.flatnonzero(stopped & np.isfinite(last))
    if known.size:
        axes.plot(known, last[known], "o", color=COLOURS[0], mfc="none", ms=5, label="pruned")
    label = "_pruned at the bottom" if known.size else "pruned"  # the legend skips a leading _
    _mark_bottom(axes, stopped & ~np.isfinite(last), "o", label, COLOURS[0])


def _mark_bottom(
    axes: Axes, which: npt.NDArray[np.bool_], marker: str, label: str, colour: str = INK
) -> None:
    if (at := np.flatnonzero(which)).size:
        bottom = axes.get_xaxis_transform()
        axes.plot(at, np.zeros(len(at)), marker, color=colour, mfc="none", ms=6,
                  transform=bottom, clip_on=False, label=label)  # fmt: skip


def _name_points(
    axes: Axes,
    at: npt.NDArray[np.float64],
    labels: Sequence[str],
    directions: tuple[Direction, Direction],
) -> None:
    """Write each name on the better side of its point, where nothing of the front lies."""
    dx, dy = (1 if direction == "maximize" else -1 for direction in directions)
    axes.autoscale_view()  # limits are otherwise set when drawn, and transLimits would be the old
    seen = (axes.transScale + axes.transLimits).transform(at)  # 0 to 1 across the panel
    named: list[int] = []
    for i in sorted(range(len(labels)), key=lambda i: (0 < i < len(labels) - 1, i)):
        gaps = np.abs(seen[named] - seen[i])
        widths = [0.008 * (len(labels[i]) + len(labels[j])) + 0.01 for j in named]
        if ((gaps[:, 0] > widths) | (gaps[:, 1] > 0.05)).all():
            named.append(i)
            axes.annotate(labels[i], at[i], (5 * dx, 4 * dy), textcoords="offset points",
                          ha="left" if dx > 0 else "right", va="bottom" if dy > 0 else "top",
                          color=COLOURS[1], fontsize=9)  # fmt: skip
