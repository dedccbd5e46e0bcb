"""Figures of many models beside each other, as plotly draws them: see `recsys.report.figures`."""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.plots.drawing import COLOURS
from recsys.plots.models import Band
from recsys.report.figures import SYMBOLS, arms, colour, layout
from recsys.report.page import Figure

_NAME = 110  # pixels that a model takes beside others at least


def ladder(
    models: Mapping[str, Band], may_be_best: Sequence[bool], metric: str, side: str = "test"
) -> Figure:
    """The models from the best down, with intervals; those that may be as good stand out."""
    names, bands = list(models)[::-1], list(models.values())[::-1]
    stands_out = list(may_be_best)[::-1]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "y": names,
        "x": [mean for mean, *_ in bands],
        "error_x": arms(bands),
        "marker": {
            "size": 11,
            "opacity": 1,
            "color": [COLOURS[1] if best else COLOURS[0] for best in stands_out],
            "symbol": ["star" if best else "circle" for best in stands_out],
        },
        "hovertemplate": "%{y}<br>%{x:.4~g}<extra></extra>",
    }
    words = ", ".join(f"{name} {mean:.4f}" for name, (mean, *_) in models.items())
    axes = {"yaxis": {"type": "category"}, "xaxis": {"rangemode": "normal"}}
    title = f"{metric} on {side} with 95 % intervals; stars may be the best"
    return Figure(
        title, words, [trace], layout(metric, "", bare=True, **axes), 90 + 30 * len(names)
    )


def tradeoff(models: Mapping[str, tuple[Band, Band]], metric: str, other: str) -> Figure:
    """A point per model in two metrics, with intervals where they are known."""
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [x[0]],
            "y": [y[0]],
            "error_x": arms([x]),
            "error_y": arms([y]),
            "marker": {
                "size": 10,
                "color": colour(n),
                "symbol": SYMBOLS[(n + n // len(COLOURS)) % len(SYMBOLS)],
            },
            "hovertemplate": f"{metric} %{{x:.4~g}}<br>{other} %{{y:.4~g}}",
        }
        for n, (name, (x, y)) in enumerate(models.items())
    ]
    words = "; ".join(f"{name} {x[0]:.4f}, {y[0]:.4g}" for name, (x, y) in models.items())
    return Figure(f"{other} against {metric}", words, traces, layout(metric, other), 400)


def per_split(models: Mapping[str, Mapping[str, float]], metric: str) -> Figure:
    """The value of each model on each split, so that it is seen which order is stable."""
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": list(values),
            "y": list(values.values()),
            "line": {"color": colour(n), "width": 1},
            "marker": {"size": 8, "symbol": SYMBOLS[(n + n // len(COLOURS)) % len(SYMBOLS)]},
            "hovertemplate": "split %{x}<br>%{y:.4~g}",
        }
        for n, (name, values) in enumerate(models.items())
    ]
    words = "; ".join(
        f"{name} {', '.join(f'{value:.4f}' for value in values.values())}"
        for name, values in models.items()
    )
    shown = layout("seed of the split", metric, xaxis={"type": "category"})
    return Figure(f"{metric} on test, split by split", words, traces, shown, 360)
