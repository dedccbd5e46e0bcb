"""The `[study]` table: how the space is searched."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from recsys.bounds import CUTS, TRIALS
from recsys.search.pruning import Pruner
from recsys.search.space import Value
from recsys.settings import Config, Texts, setting

FOUND = "iterations"
"""Searched along the training where it is given as a range, not drawn for each trial."""

Sampler = Literal["random", "tpe", "grid", "qmc", "cma-es", "gp"]
PLANNED: tuple[Sampler, ...] = ("random", "grid", "qmc")
"""Samplers that need no results: all their points are known before the first trial."""
ONE_OBJECTIVE: tuple[Sampler, ...] = ("cma-es", "gp")
"""Samplers that look at one objective."""
KeepFactors = Literal["all", "best", "none"]
Prefer = Literal["best", "cheapest"]


class StudyConfig(Config):
    """How the space is searched."""

    sampler: Sampler = setting("tpe", identity="points")
    """What chooses the points: at random, every one (grid), evenly spread (qmc), or by what earlier
    trials found: a model of the good ones (tpe), evolution (cma-es), a Gaussian process (gp)."""
    trials: Annotated[int, Field(gt=0, le=TRIALS)] = setting(40, identity=False)
    """How many points are measured."""
    metric: str = setting("ndcg@10", identity="stop")
    """Maximised on validation; it picks the winner."""
    also: Texts = setting((), identity="points")
    """Further objectives: the study then looks for the Pareto front, and nothing is pruned."""
    pruner: Pruner = setting("none", identity="points")
    """Stops a trial whose curve is behind those of earlier trials."""
    prunes_from: PositiveInt = setting(1, identity="points")
    """The first iteration after which the pruner stops a trial."""
    patience: PositiveInt | None = setting(None, identity="stop")
    """Points of the curve without a new best after which the training ends."""
    prefer: Prefer = setting("best", identity=False)
    """Which of the trials that cannot be told from the best wins. In a search over models, cheapest
    also leaves out ensembles that may be no better than the best model."""
    cross_check: bool = setting(True, identity=False)
    """Judge cheap models on validation too, beside the winner of a search of als."""
    finalists: Annotated[int, Field(gt=0, le=TRIALS)] = setting(5, identity=False)
    """How many trials are judged again at most, on all users or on further validation cuts."""
    cuts: Annotated[int, Field(gt=0, le=CUTS)] | Literal["auto"] = setting(1, identity=False)
    """Validation cuts that the finalists are judged on; the best mean wins. auto: three, for the
    trials that cannot be told from the best, where the split can be drawn again."""
    fresh: bool = setting(False, identity=False)
    """Train again what was measured before on the same data, split and code."""
    stop_after: PositiveInt | None = setting(None, identity=False)
    """Trials in a row without a new best after which no further trial starts."""
    timeout: PositiveFloat | None = setting(None, identity=False)
    """Seconds after which no further trial starts."""
    default_first: bool = setting(False, identity="points")
    """Try the model's default point first, so that a search never ends below it."""
    first: tuple[dict[str, Value], ...] = setting((), identity="points")
    """Points to try before the sampler takes over, such as good points of other studies."""
    keep_factors: KeepFactors = setting("all", identity=False)
    """The trials of which what the model learned is stored."""
