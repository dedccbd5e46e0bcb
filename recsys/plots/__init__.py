"""Pictures of a log, of experiments and of studies. Nothing outside this folder imports matplotlib.

Every function returns a `Figure` with its own Agg canvas; nothing goes through pyplot, so no
global state is shared between threads. Colours are those of Okabe and Ito (2008), which remain
distinct for colour-blind readers; where colour is a number, viridis.
"""

from recsys.plots.distributions import (
    Draw,
    Values,
    distribution,
    items_per_user,
    plays_per_row,
    users_per_item,
)
from recsys.plots.drawing import COLOURS, DPI, FAINT, INK, MARKERS, save
from recsys.plots.experiments import Means, comparison, learning_curves
from recsys.plots.models import Band, groups, tradeoff
from recsys.plots.parameters import contours, slices
from recsys.plots.results import (
    convergence,
    cost,
    gains,
    improvements,
    metric_bars,
    ranking,
)
from recsys.plots.study import history, importance, pareto

__all__ = [
    "COLOURS",
    "DPI",
    "FAINT",
    "INK",
    "MARKERS",
    "Band",
    "Draw",
    "Means",
    "Values",
    "comparison",
    "contours",
    "convergence",
    "cost",
    "distribution",
    "gains",
    "groups",
    "history",
    "importance",
    "improvements",
    "items_per_user",
    "learning_curves",
    "metric_bars",
    "pareto",
    "plays_per_row",
    "ranking",
    "save",
    "slices",
    "tradeoff",
    "users_per_item",
]
