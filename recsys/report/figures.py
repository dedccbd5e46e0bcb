"""Figures as plotly draws them, from the tables of `recsys.plots` and in its colours."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from recsys.plots.drawing import COLOURS
from recsys.plots.models import Band
from recsys.report.page import Figure
from recsys.report.tables import Curve, Histogram, MappedItem

INK = "@ink"
_NAMED = 24  # items of the map with their names beside them
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")
_HATCHES = ("", "/", ".", "x", "\\", "-", "+")
_LEGEND = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
_MARGIN = {"l": 8, "r": 12, "t": 12, "b": 8}
_VALUE = "%{x}<br>%{y:.4~g}"


def colour(n: int) -> str:
    """Of the n-th model; black is the ink of the page, which may be dark."""
    found = COLOURS[n % len(COLOURS)]
    return INK if found == "#000000" else found


def layout(x: str, y: str, **more: Any) -> dict[str, Any]:
    """The layout of a figure with one pair of axes; `more` adds to it, axes included."""
    axes = {
        name: {"title": {"text": title}, **more.pop(name, {})}
        for name, title in (("xaxis", x), ("yaxis", y))
    }
    legend = {"showlegend": False} if more.pop("bare", False) else {"legend": _LEGEND}
    return {"margin": _MARGIN, "hovermode": "closest", "dragmode": False, **legend, **axes, **more}


def bars(
    models: Mapping[str, Mapping[str, Band]], what: str, title: str, words: str, unit: str = ""
) -> Figure:
    """Bars of all models side by side for each label, with intervals where they are known.

    Args:
        models: Model to label to value.
        what: Label of the values.
        title: Of the figure.
        words: What it shows.
        unit: "%" for shares.
    """
    traces = []
    for n, (name, values) in enumerate(models.items()):
        bands = list(values.values())
        traces.append(
            {
                "type": "bar",
                "name": name,
                "x": list(values),
                "y": [mean for mean, *_ in bands],
                "error_y": arms(bands),
                "marker": {
                    "color": colour(n),
                    "pattern": {
                        "shape": _HATCHES[n % 7],
                        "bgcolor": colour(n),
                        "fgcolor": "@paper",
                        "size": 6,
                        "solidity": 0.2,
                    },
                },
                "hovertemplate": _VALUE.replace("4~g", "1%") if unit else _VALUE,
            }
        )
    axes = {"xaxis": {"type": "category"}, "yaxis": {"tickformat": ".0%"} if unit else {}}
    bare = len(models) == 1
    return Figure(title, words, traces, layout("", what, barmode="group", bare=bare, **axes))


def improvements(changes: Mapping[str, Band], title: str, words: str) -> Figure:
    """How much the winner changes each metric, in percent of the baseline, with intervals."""
    names = [f"{name} {mean:+.0%}" for name, (mean, *_) in changes.items()][::-1]
    bands = list(changes.values())[::-1]
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": [mean for mean, *_ in bands],
        "error_x": arms(bands),
        "marker": {"color": [COLOURS[2] if mean >= 0 else COLOURS[1] for mean, *_ in bands]},
        "hovertemplate": "%{y}<br>%{x:+.1%}",
    }
    axes = {"yaxis": {"type": "category"}, "xaxis": {"tickformat": "+.0%"}}
    return Figure(title, words, [trace], layout("change", "", bare=True, **axes))


def by_cutoff(models: Mapping[str, Mapping[int, Band]], what: str, words: str) -> Figure:
    """A metric at every k, one line per model, with its interval."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": list(points),
            "y": [mean for mean, *_ in points.values()],
            "error_y": arms(list(points.values())),
            "line": {"color": colour(n)},
            "marker": {"symbol": SYMBOLS[n % 7], "size": 8},
            "hovertemplate": f"{what}@%{{x}}<br>%{{y:.4~g}}",
        }
        for n, (name, points) in enumerate(models.items())
    ]
    ks = sorted({k for points in models.values() for k in points})
    axes = {"xaxis": {"tickvals": ks}, "yaxis": {"rangemode": "tozero"}}
    return Figure(f"{what}@k on test", words, traces, layout("k", f"{what}@k", **axes), 300)


def curve(points: Curve, what: str, best: int | None, words: str) -> Figure:
    """A value by iteration, with a line where the best was."""
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [at for at, _ in points],
        "y": [value for _, value in points],
        "line": {"color": COLOURS[0]},
        "hovertemplate": "iteration %{x}<br>%{y:.6~g}",
    }
    more: dict[str, Any] = {"bare": True}
    if best is not None:
        more["shapes"] = [
            {"type": "line", "x0": best, "x1": best, "yref": "paper", "y0": 0, "y1": 1}
            | {"line": {"color": COLOURS[1], "dash": "dot"}}
        ]
        more["annotations"] = [_note(best, f"best: {best}")]
        more["margin"] = {**_MARGIN, "t": 26}
    return Figure(f"{what} by iteration", words, [trace], layout("iteration", what, **more), 300)


def distribution(of: Histogram) -> Figure:
    """A histogram on log-log axes with the median marked."""
    edges = np.array(of.edges, np.float64)
    trace = {
        "type": "bar",
        "x": np.sqrt(np.maximum(edges[:-1], 0.5) * edges[1:]).tolist(),
        "y": [count or None for count in of.counts],
        "width": np.diff(edges).tolist(),
        "marker": {"color": COLOURS[0]},
        "customdata": [f"{_first(a)} to {_last(b)}" for a, b in pairwise(edges)],
        "hovertemplate": f"%{{customdata}} {of.what}<br>%{{y:,}} {of.of}<extra></extra>",
    }
    median = {"type": "line", "x0": of.median, "x1": of.median, "yref": "paper", "y0": 0, "y1": 1}
    log = {"type": "log", "dtick": 1, "exponentformat": "none", "separatethousands": True}
    shown = layout(
        of.what, f"number of {of.of}", bare=True, xaxis=log, yaxis=log,
        shapes=[median | {"line": {"color": COLOURS[1]}}], bargap=0,
    )  # fmt: skip
    words = f"Median {of.median:,.6g}, mean {of.mean:,.3g}, largest {of.high:,.6g}."
    return Figure(f"{of.title}: median {of.median:,.6g}", words, [trace], shown, 280)


def item_map(items: Sequence[MappedItem], title: str, words: str, users: str) -> Figure:
    """Items by two directions of their factors; those with room have their names beside them."""
    sizes = np.sqrt(np.array([each.users for each in items], np.float64))
    size = 5 + 13 * sizes / max(float(sizes.max(initial=0)), 1.0)
    named = _with_room(items)
    trace = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [each.x for each in items],
        "y": [each.y for each in items],
        "text": [each.name if n in named else "" for n, each in enumerate(items)],
        "textposition": "top center",
        "textfont": {"size": 11},
        "marker": {"size": size.tolist(), "color": COLOURS[0], "opacity": 0.55},
        "customdata": [[each.name, each.users] for each in items],
        "hovertemplate": f"%{{customdata[0]}}<br>%{{customdata[1]:,}} {users}<extra></extra>",
    }
    bare = {"showticklabels": False, "showgrid": False, "zeroline": False}
    return Figure(title, words, [trace], layout("", "", bare=True, xaxis=bare, yaxis=bare), 560)


def _with_room(items: Sequence[MappedItem]) -> set[int]:
    """Positions of the items whose names touch no name of one that is better known."""
    at = np.array([(each.x, each.y) for each in items], np.float64)
    seen = (at - at.min(0)) / np.maximum(np.ptp(at, axis=0), 1e-12)
    named: list[int] = []
    for n in range(len(items)):
        wide = [0.006 * (len(items[n].name) + len(items[m].name)) for m in named]
        gaps = np.abs(seen[named] - seen[n])
        if ((gaps[:, 0] > wide) | (gaps[:, 1] > 0.045)).all():
            named.append(n)
        if len(named) == _NAMED:
            break
    return set(named)


def arms(values: Sequence[Band]) -> dict[str, Any]:
    """Error bars; an end that is not known has none."""
    known = [(m, m if lo is None else lo, m if hi is None else hi) for m, lo, hi in values]
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(high - mean, 0.0) for mean, _, high in known],
        "arrayminus": [max(mean - low, 0.0) for mean, low, _ in known],
        "color": INK,
        "thickness": 1.2,
        "visible": any(low < high for _, low, high in known),
    }


def _note(x: float, text: str) -> dict[str, Any]:
    place = {"x": x, "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
    return {**place, "text": text, "font": {"color": "@ink", "size": 11}}


def _first(edge: float) -> str:
    return f"{np.ceil(edge):,.6g}"


def _last(edge: float) -> str:
    return f"{np.floor(edge):,.6g}"
