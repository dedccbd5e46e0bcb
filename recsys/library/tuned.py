"""A search and the curve of a training, for a notebook; `recsys experiment` does more."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recsys.config import checked
from recsys.errors import InputError
from recsys.evaluation.fitting import check_order, fit, fit_and_judge
from recsys.evaluation.metrics import parsed
from recsys.evaluation.objectives import lower_is_better
from recsys.library.fitted import Side, check_length, configured
from recsys.library.judged import fold_of
from recsys.models import make_config
from recsys.models.config import ModelConfig
from recsys.models.iterative import Iteration, Iterative, State
from recsys.search.curves import Curve
from recsys.search.space import Choice, FloatRange, IntRange, Point, Space, Value, applies, inside
from recsys.seeds import seed_for
from recsys.splitting.split import Fold, Split

if TYPE_CHECKING:
    from recsys.plots.drawing import Figure


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Every point that a search measured.

    Attributes:
        metric: By which the best is chosen, on validation.
        trials: A row for each point in the order of measuring: its parameters, the metric, seconds.
        points: The parameters of each, for the pictures of `recsys.plots`.
        best: The model with the parameters of the best point, for `recsys.fit`.
    """

    metric: str
    trials: pd.DataFrame
    points: tuple[Point, ...]
    best: ModelConfig

    @property
    def table(self) -> pd.DataFrame:
        """The trials, the best first."""
        return self.trials.sort_values(
            self.metric, ascending=lower_is_better(self.metric), kind="stable"
        )

    def __repr__(self) -> str:
        return f"{self._head}\n{self.table.head(10).to_string()}"

    def _repr_html_(self) -> str:
        table = self.table.head(10).to_html(border=0, float_format="{:.4g}".format, na_rep="")
        return f"<p>{escape(self._head)}</p>{table}"

    @property
    def _head(self) -> str:
        point = ", ".join(f"{name}={value}" for name, value in self.best.point().items())
        return f"{len(self.trials)} trials by {self.metric} on validation; best {point}"


def tune(
    model: str,
    split: Split,
    space: Mapping[str, Any],
    *,
    trials: int = 12,
    metric: str = "ndcg@10",
    seed: int = 0,
) -> Search:
    """A random search on the validation fold; the test side is not read.

    The default point comes first, moved into the space. `recsys experiment` of the command line
    learns from trials, prunes them, and stores them.

    Args:
        model: Its name.
        split: Where it is tuned.
        space: Parameter to its values, as the table [search] of a configuration has it: a list,
            one value, or a range such as {"low": 1, "high": 100, "log": True}.
        trials: How many points.
        metric: With its cut-off.
        seed: Of the draws, and of the trainings, which all share one.

    Raises:
        InputError: no such model, parameter or metric, or a wrong range.
    """
    check_length(trials, "trials")
    k = _cut_off(metric)
    table = {"model": model, "search": dict(space), "seed": seed}
    found = checked(table, "of tune()").whole_space
    if not found:
        raise InputError("the space is empty; give a parameter, as in {'factors': [32, 64]}")
    drawn = _points(found, configured(model, {}).point(), trials, seed)
    rows, values = [], []
    for point in drawn:
        config = make_config(model, point)
        judged = fit_and_judge(config, seed, split.validation, (k,))
        values.append(judged.report.summary()[metric])
        rows.append({**point, metric: values[-1], "seconds": judged.fit_seconds})
    best = np.argmin(values) if lower_is_better(metric) else np.argmax(values)
    frame = pd.DataFrame(rows).rename_axis("trial")
    return Search(metric, frame, tuple(drawn), make_config(model, drawn[int(best)]))


def curve(
    model: str | ModelConfig,
    split: Split | Fold,
    *,
    metric: str = "ndcg@10",
    side: Side = "validation",
    seed: int = 0,
    **parameters: Any,
) -> pd.DataFrame:
    """The training loss and a metric after each iteration.

    Args:
        model: Its name or its parameters; one that trains in iterations.
        split: Where it is fitted and judged.
        metric: With its cut-off, of the accuracy metrics.
        side: "validation", to choose the iterations by.
        seed: Of the training.
        **parameters: As in `recsys.fit`.

    Returns:
        A row for each iteration: loss, the metric, seconds.

    Raises:
        InputError: the model learns in one pass, or there is no such metric.
    """
    config = configured(model, parameters)
    _cut_off(metric)
    if not config.iterative:
        raise InputError(f"{config.kind} learns in one pass, so it has no curve")
    fold = fold_of(split, side)
    check_order(config, fold)
    looking = _Looking(fold, metric)
    fit(config, seed, fold.train, fold.profiles, watch=looking)
    points = looking.curve.points
    return pd.DataFrame(
        {
            "loss": [each.loss for each in points],
            metric: [each.metrics[metric] for each in points],
            "seconds": [each.fit_seconds for each in points],
        },
        index=pd.Index([each.iteration for each in points], name="iteration"),
    )


def convergence(curve: pd.DataFrame) -> "Figure":
    """A picture of `recsys.curve`: the metric and the training loss by iteration, with the best.

    Args:
        curve: As `recsys.curve` answers.

    Raises:
        InputError: it has no loss, or no metric.
    """
    from recsys import plots

    metrics = [name for name in curve.columns if "@" in name]
    if "loss" not in curve.columns or not metrics:
        raise InputError(
            f"a curve has a loss and a metric, and this table {', '.join(curve.columns) or 'none'};"
            " pass what recsys.curve answers"
        )
    points = {}
    for name in (metrics[0], "loss"):
        known = curve[name].dropna()
        steps = known.index.to_numpy(np.int64).tolist()
        points[name] = list(zip(steps, known.to_numpy(np.float64).tolist(), strict=True))
    return plots.convergence(points[metrics[0]], points["loss"], metrics[0])


class _Looking:
    """Measures every iteration on all judged users, and changes nothing."""

    def __init__(self, fold: Fold, metric: str) -> None:
        self.curve = Curve(fold, [metric], len(fold.judged), seed=0)

    def begin(self) -> State | None:
        return None

    def __call__(self, step: Iteration) -> None:
        self.curve(step)

    def settle(self, model: Iterative) -> None:
        pass


def _cut_off(metric: str) -> int:
    try:
        return parsed(metric)[1]
    except ValueError as error:
        raise InputError(f"metric: {error}") from error


def _points(space: Space, default: Point, n: int, seed: int) -> list[Point]:
    rng = np.random.default_rng(seed_for(seed, "tune"))
    return [inside(space, default), *(_drawn(space, rng) for _ in range(n - 1))]


def _drawn(space: Space, rng: np.random.Generator) -> Point:
    point: Point = {}
    for name, spec in space.items():
        if applies(spec, point):
            point[name] = _value(spec, rng)
    return point


def _value(spec: Choice | IntRange | FloatRange, rng: np.random.Generator) -> Value:
    if isinstance(spec, Choice):
        return spec.options[int(rng.integers(len(spec.options)))]
    whole = isinstance(spec, IntRange)
    low, high = (spec.low - 0.5, spec.high + 0.5) if whole else (spec.low, spec.high)
    if not spec.log:
        value = float(rng.uniform(low, high))
    else:
        value = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return min(max(round(value), int(spec.low)), int(spec.high)) if whole else value
