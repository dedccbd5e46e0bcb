"""Objectives: which direction is better, and the Pareto front of several."""

import numpy as np
import numpy.typing as npt

LOWER_IS_BETTER: frozenset[str] = frozenset({"gini", "popularity"})
"""Metrics, by their name before the @, of which less is better; of all others more is."""


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is better; its name may have a cut-off: `gini@10` or `gini`."""
    return metric.partition("@")[0] in LOWER_IS_BETTER


def oriented(metric: str, value: float) -> float:
    """`value` such that more is better: negated for the metrics of LOWER_IS_BETTER.

    Args:
        metric: Its name, with or without a cut-off: `gini@10` or `gini`.
        value: Its value; the function is its own inverse.
    """
    return -value if lower_is_better(metric) else value


def front(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Mask of the Pareto front: rows that no other row dominates.

    A row dominates another if it is at least as high everywhere and higher somewhere (Deb et al.
    2002, NSGA-II), so rows equal to one of the front are on it too. Compares all pairs, which
    takes n^2 m bytes: for the hundreds of trials of a search, not for millions.

    Args:
        values: Objectives, more is better (see `oriented`), float64, shape (n, m).

    Returns:
        bool, shape (n,); with any rows at all, at least one is True.

    Raises:
        ValueError: a value is NaN, which cannot be compared.
    """
    if missing := np.flatnonzero(np.isnan(values).any(axis=1)).tolist():
        raise ValueError(f"objectives of rows {missing} are NaN")
    one, other = values[:, None, :], values[None, :, :]
    dominates = (one >= other).all(axis=2) & (one > other).any(axis=2)
    return np.asarray(~dominates.any(axis=0))
