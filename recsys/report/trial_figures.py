"""Figures of the trials of a study, as plotly draws them: see `recsys.report.figures`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from recsys.dtypes import Float64Array
from recsys.plots.drawing import COLOURS
from recsys.report.figures import INK, layout
from recsys.report.page import Figure
from recsys.report.tables import TrialRow
from recsys.search.space import Value

ENOUGH = 20  # trials between which a value is worth a guess
_GRID = 40
_VIRIDIS = "Viridis"


def history(trials: Sequence[TrialRow], what: str, words: str) -> Figure:
    """Trials by number: measured, tied, the winner, pruned, and the best so far."""
    measured = [each for each in trials if each.value is not None]
    pruned = [each for each in trials if each.state == "pruned" and each.last is not None]
    kinds = {
        "measured": [each for each in measured if not each.tied and not each.winner],
        "tied with the best": [each for each in measured if each.tied and not each.winner],
        "winner": [each for each in measured if each.winner],
        "pruned": pruned,
    }
    looks: dict[str, dict[str, Any]] = {
        "measured": {"color": COLOURS[0], "symbol": "circle"},
        "tied with the best": {"color": COLOURS[4], "symbol": "square"},
        "winner": {"color": COLOURS[1], "symbol": "star", "size": 14},
        "pruned": {"color": COLOURS[0], "symbol": "circle-open"},
    }
    last = max(each.number for each in trials)
    traces: list[dict[str, Any]] = [_best_so_far(measured, last)]
    for kind, found in kinds.items():
        if found:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": kind,
                    "x": [each.number for each in found],
                    "y": [each.last if each.value is None else each.value for each in found],
                    "marker": {"size": 9, **looks[kind]},
                    "text": [point_text(each.params) for each in found],
                    "hovertemplate": "trial %{x}<br>%{y:.4~g}<br>%{text}<extra></extra>",
                }
            )
    whole = {"tickformat": "d", "range": [-0.6, last + 0.6]}
    return Figure("Trials in their order", words, traces, layout("trial", what, xaxis=whole))


def _best_so_far(measured: Sequence[TrialRow], last: int) -> dict[str, Any]:
    """A line up to the last trial, which may be a pruned one."""
    values = np.array([each.value for each in [*measured, *measured[-1:]]], np.float64)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [*(each.number for each in measured), *[last] * bool(measured)],
        "y": np.fmax.accumulate(values).tolist(),
        "line": {"shape": "hv", "color": "@soft", "width": 1},
        "hoverinfo": "skip",
    }


def slice_of(trials: Sequence[TrialRow], name: str, what: str, log: bool) -> Figure | None:
    """The value of every trial against a parameter; None where there are not two values of it."""
    having = [each for each in trials if name in each.params]
    found = [each.params[name] for each in having]
    if len({str(value) for value in found}) < 2:
        return None
    numeric = _numeric(found)
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": found if numeric else [str(value) for value in found],
        "y": [each.value for each in having],
        "marker": {
            "size": [13 if each.winner else 9 for each in having],
            "symbol": ["star" if each.winner else "circle" for each in having],
            "color": [each.number for each in having],
            "colorscale": _VIRIDIS,
            "reversescale": True,
            "opacity": 1,
            "line": {"width": 1, "color": "@soft"},
        },
        "text": [f"trial {each.number}" for each in having],
        "hovertemplate": f"%{{text}}<br>{name} %{{x}}<br>%{{y:.4~g}}<extra></extra>",
    }
    axis: dict[str, Any] = {"type": "category"}
    if numeric:
        positive = min(float(value) for value in found) > 0
        axis = log_axis(found) if log and positive else {"type": "linear"}
    words = f"{what} of {len(having)} trials by {name}; darker is later, the star is the winner."
    return Figure(name, words, [trace], layout("", "", bare=True, xaxis=axis), 240)


def log_axis(values: Sequence[Any]) -> dict[str, Any]:
    """An axis with few ticks: powers of ten, and between them where there are few of these."""
    low, high = np.log10(min(values)), np.log10(max(values))
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    step = -(-len(powers) // 5)
    steps = (1,) if high - low > 2 else (1, 2, 5)
    ticks = [m * 10.0**power for power in powers[::step] for m in steps]
    inside = [t for t in ticks if low - 0.05 <= np.log10(t) <= high + 0.05]
    if len(inside) < 2:
        inside = [float(min(values)), float(max(values))]
    return {"type": "log", "tickvals": inside, "ticktext": [f"{t:.3g}" for t in inside]}


def importance(shares: Mapping[str, tuple[float, float]], words: str) -> Figure:
    """One bar per parameter with its spread, the most important on top."""
    known = sorted(((s, spread, n) for n, (s, spread) in shares.items()), key=lambda each: each[0])
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [name for *_, name in known],
        "x": [share for share, *_ in known],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [spread for _, spread, _ in known],
            "arrayminus": [min(share, spread) for share, spread, _ in known],
            "color": INK,
            "thickness": 1,
        },
        "marker": {"color": COLOURS[0]},
        "hovertemplate": "%{y}<br>%{x:.1%}<extra></extra>",
    }
    axes = {"xaxis": {"tickformat": ".0%", "rangemode": "tozero"}, "yaxis": {"type": "category"}}
    shown = layout("share of the importance", "", bare=True, **axes)
    return Figure("What the value depends on", words, [trace], shown, 80 + 30 * len(known))


def landscape(
    trials: Sequence[TrialRow], names: tuple[str, str], what: str, log: Collection[str]
) -> Figure | None:
    """The value over two numeric parameters: filled from 20 trials on, else dots; None without."""
    having = [each for each in trials if all(name in each.params for name in names)]
    columns = [[each.params[name] for each in having] for name in names]
    if not having or not all(map(_numeric, columns)) or any(len(set(c)) < 2 for c in columns):
        return None
    at = np.array(columns, np.float64)
    logs = [name in log and bool(row.min() > 0) for name, row in zip(names, at, strict=True)]
    z = np.array([each.value for each in having], np.float64)
    traces: list[dict[str, Any]] = []
    filled = len(having) >= ENOUGH
    if filled:
        traces.append(_filled(at, logs, z, what))
    bar = {"title": {"text": what, "side": "right"}, "thickness": 12, "outlinewidth": 0}
    look: dict[str, Any] = {"size": 7, "color": INK, "line": {"width": 1, "color": "@paper"}}
    if not filled:
        look |= {"size": 12, "color": z.tolist(), "colorscale": _VIRIDIS, "colorbar": bar}
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": at[0].tolist(),
            "y": at[1].tolist(),
            "marker": look,
            "text": [f"trial {each.number}: {each.value:.4g}" for each in having],
            "hovertemplate": "%{text}<br>%{x}, %{y}<extra></extra>",
        }
    )
    axes: dict[str, Any] = {
        side: log_axis(column) if is_log else {"type": "linear"}
        for side, column, is_log in zip(("xaxis", "yaxis"), columns, logs, strict=True)
    }
    how = "linear between the trials" if filled else f"dots, as {len(having)} trials are too few"
    words = f"{what} by {names[0]} and {names[1]}; {how}."
    return Figure(
        f"{names[1]} against {names[0]}", words, traces, layout(*names, bare=True, **axes), 380
    )


def _filled(at: Float64Array, logs: Sequence[bool], z: Float64Array, what: str) -> dict[str, Any]:
    """A contour over a grid, linear between the trials in the coordinates of the panel."""
    from scipy.interpolate import LinearNDInterpolator

    seen = np.array([np.log(row) if is_log else row for row, is_log in zip(at, logs, strict=True)])
    low, high = seen.min(1, keepdims=True), seen.max(1, keepdims=True)
    places, which = np.unique(((seen - low) / (high - low)).round(6), axis=1, return_inverse=True)
    mean = np.bincount(which.ravel(), z) / np.bincount(which.ravel())
    ticks = np.linspace(0, 1, _GRID)
    try:
        grid = LinearNDInterpolator(places.T, mean)(*np.meshgrid(ticks, ticks))
    except (ValueError, RuntimeError):  # on one line
        grid = np.full((_GRID, _GRID), np.nan)
    ends = [low + ticks * (high - low) for low, high in zip(low, high, strict=True)]
    x, y = (np.exp(row) if is_log else row for row, is_log in zip(ends, logs, strict=True))
    return {
        "type": "contour",
        "x": x.tolist(),
        "y": y.tolist(),
        "z": [[None if np.isnan(v) else float(f"{v:.4g}") for v in row] for row in grid],
        "colorscale": _VIRIDIS,
        "contours": {"coloring": "fill"},
        "line": {"width": 0},
        "colorbar": {"title": {"text": what, "side": "right"}, "thickness": 12, "outlinewidth": 0},
        "hoverinfo": "skip",
    }


def tradeoff(trials: Sequence[TrialRow], what: str, other: str, words: str) -> Figure:
    """Trials in the objective and another metric; the winner is a star."""
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [each.value for each in trials],
        "y": [each.beyond[other] for each in trials],
        "marker": {
            "size": [14 if each.winner else 9 for each in trials],
            "symbol": ["star" if each.winner else "circle" for each in trials],
            "color": [COLOURS[1] if each.winner else COLOURS[0] for each in trials],
            "opacity": 1,
        },
        "text": [f"trial {each.number}" for each in trials],
        "hovertemplate": "%{text}<br>%{x:.4~g}, %{y:.4~g}<extra></extra>",
    }
    return Figure(f"{other} against {what}", words, [trace], layout(what, other, bare=True))


def point_text(point: Mapping[str, Value]) -> str:
    """A point in words."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in point.items()
        if value is not None
    )


def _numeric(values: Sequence[Value | None]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
