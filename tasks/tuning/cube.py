"""Samplers that draw in the unit cube: Sobol's sequence, CMA-ES and a Gaussian process.

Each is a function of the seed, the place and the finished trials alone, as all points are
(`tasks.tuning.sampling`): nothing is kept between two calls.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recsys.dtypes import Float64Array
from recsys.search.space import Choice, Point, Space
from recsys.search.unit import free, point_at, units_at

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

SPREAD = 0.25  # of the first generation of CMA-ES, where a side of the cube is 1
RANDOM = 2000  # candidates of a Gaussian process all over the cube
NEAREST, NEAR = 5, 100  # of the best trials, and candidates near each
STEP = 0.1  # from one of the best to a candidate near it
AGAIN = 100_000  # points of Sobol's sequence between a draw and its repeat


@dataclass(frozen=True, slots=True)
class Tried:
    """The finished trials of a study with one objective.

    Attributes:
        units: Their points in the cube, float64, shape (n, d).
        values: More is better; of a pruned trial the best of its curve. float64, shape (n,).
    """

    units: Float64Array
    values: Float64Array


def sobol(space: Space, seed: int, slot: int, redraw: int) -> list[float]:
    """A point of Sobol's sequence, scrambled by the seed (Owen 1998)."""
    from scipy.stats import qmc

    sides = len(free(space))
    if not sides:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that one draw is no power of two
        sequence = qmc.Sobol(sides, scramble=True, rng=np.random.default_rng(seed))
        if before := slot + AGAIN * redraw:
            sequence.fast_forward(before)
        return [float(each) for each in sequence.random(1)[0]]


def cma_es(space: Space, seed: int, tried: Tried, begun: int) -> list[float]:
    """A point drawn from the distribution that CMA-ES has learned (Hansen 2016).

    It starts around the best of the first `begun` trials. Every 4 + 3 log(d) trials after these
    are a generation, whatever chose their points.

    Args:
        space: With the parameters.
        seed: Of this draw.
        tried: The finished trials.
        begun: How many of them come before the first generation.
    """
    sides = len(free(space))
    if sides < 2:  # it needs two
        return [float(each) for each in np.random.default_rng(seed).random(sides)]
    from cmaes import CMA

    start = np.full(sides, 0.5)
    if begun and len(tried.values):
        start = tried.units[:begun][int(np.argmax(tried.values[:begun]))]
    bounds = np.tile([0.0, 1.0], (sides, 1))
    optimizer = CMA(mean=start, sigma=SPREAD, bounds=bounds, seed=seed)
    size = optimizer.population_size
    for at in range(begun, len(tried.values) - size + 1, size):
        generation = zip(tried.units[at : at + size], -tried.values[at : at + size], strict=True)
        optimizer.tell([(units, float(value)) for units, value in generation])
    return [float(each) for each in optimizer.ask()]


def gaussian_process(space: Space, seed: int, tried: Tried) -> list[float]:
    """The candidate of which most improvement is expected (Jones, Schonlau and Welch 1998).

    Candidates are drawn over the whole cube and near the best trials.
    """
    from scipy.stats import norm

    model = fitted(space, tried)
    units = candidates(space, seed, tried)
    mean, deviation = model.predict(encoded(space, units), return_std=True)
    better = mean - tried.values.max()
    z = better / np.maximum(deviation, 1e-12)
    expected = better * norm.cdf(z) + deviation * norm.pdf(z)
    return [float(each) for each in units[int(np.argmax(expected))]]


def fitted(space: Space, tried: Tried) -> "GaussianProcessRegressor":
    """A Gaussian process with a Matern kernel, a length scale for each side, and noise."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    points = encoded(space, tried.units)
    scales = Matern(np.full(points.shape[1], 0.5), (0.05, 20.0), nu=2.5)
    kernel = ConstantKernel(1.0, (0.01, 100.0)) * scales + WhiteKernel(0.01, (1e-6, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a side that does nothing
        return GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(
            points, tried.values
        )


def candidates(space: Space, seed: int, tried: Tried) -> Float64Array:
    """Points all over the cube and near the best trials, where the space has points.

    Returns:
        float64, shape (n, d).
    """
    rng = np.random.default_rng(seed)
    drawn = rng.random((RANDOM, tried.units.shape[1]))
    best = tried.units[np.argsort(-tried.values, kind="stable")[:NEAREST]]
    near = np.repeat(best, NEAR, axis=0)
    near = np.clip(near + STEP * rng.standard_normal(near.shape), 0, 1)
    # As the space has them: whole numbers are whole, and what a point lacks is in the middle.
    return np.array([units_at(space, point_at(space, each)) for each in np.vstack([drawn, near])])


def encoded(space: Space, units: Float64Array) -> Float64Array:
    """Points of the cube with a choice as one column for each option, float64, shape (n, m)."""
    columns = []
    for side, spec in enumerate(free(space).values()):
        values = units[:, side]
        if isinstance(spec, Choice) and any(isinstance(each, str) for each in spec.options):
            n = len(spec.options)
            chosen = np.minimum((values * n).astype(int), n - 1)
            columns.append(np.eye(n)[chosen] / math.sqrt(2))
        else:
            columns.append(values[:, None])
    return np.hstack(columns)


def tried_of(space: Space, shown: Sequence[tuple[Point, float]]) -> Tried:
    """Points and values as arrays."""
    sides = len(free(space))
    units = np.array([units_at(space, point) for point, _ in shown]).reshape(-1, sides)
    return Tried(units, np.array([value for _, value in shown], dtype=np.float64))
