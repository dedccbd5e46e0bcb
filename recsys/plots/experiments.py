"""Judged models beside each other, and how they learned."""

from __future__ import annotations  # matplotlib is imported when something is drawn, not before

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recsys.plots.drawing import empty, label_ends, new_figure, styles, whole_steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Means = Mapping[str, Mapping[str, tuple[float, float | None, float | None]]]
"""Model to metric name ("ndcg@10") to mean, low and high; the last two None without interval."""


def comparison(means: Means, metric: str, title: str = "") -> Figure:
    """`metric` at every k it is known at, one line per model, with a band from low to high.

    Args:
        means: Model to metric name to (mean, low, high).
        metric: Name before the @, such as "ndcg".
        title: Heading; by default the metric and the word test.
    """
    figure, axes = new_figure(
        title or f"{metric}@k on test, with 95 % intervals", "k", f"{metric}@k"
    )
    ends = []
    for model, (colour, marker) in zip(means, styles(len(means)), strict=True):
        points = _by_k(means[model], metric)
        if not points:
            continue
        ks, mean, low, high = (np.array(column, np.float64) for column in zip(*points, strict=True))
        axes.fill_between(ks, low, high, color=colour, alpha=0.2, lw=0)
        axes.plot(ks, mean, color=colour, marker=marker, ms=5, lw=1.8, label=model)
        ends.append((ks[-1], mean[-1], model, colour))
    if not ends:
        return empty(figure, axes)
    axes.set_xticks(sorted({k for model in means for k, *_ in _by_k(means[model], metric)}))
    axes.set_ylim(bottom=0)
    label_ends(axes, ends)
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
    figure, axes = new_figure(title or f"{what} by iteration", "iteration", what)
    ends = []
    for (name, values), (colour, marker) in zip(curves.items(), styles(len(curves)), strict=True):
        if not len(values):
            continue
        steps = np.arange(first, first + len(values))
        axes.plot(steps, list(values), color=colour, marker=marker, ms=4, lw=1.8, label=name)
        ends.append((float(steps[-1]), float(values[-1]), name, colour))
    if not ends:
        return empty(figure, axes)
    whole_steps(axes)
    label_ends(axes, ends)
    return figure


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
