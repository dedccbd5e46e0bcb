"""The `[judge]` table: what is measured."""

from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt

from recsys.bounds import RESAMPLES
from recsys.models import check_baseline
from recsys.settings import Config, Cutoffs, Texts, setting

BEYOND = ("coverage", "gini", "novelty", "popularity")


class JudgeConfig(Config):
    """What is measured."""

    ks: Cutoffs = (1, 5, 10, 15, 20)
    """Lengths of the lists that metrics are computed for."""
    validation_users: PositiveInt | None = None
    """A seeded sample of users that trials are judged on; all by default."""
    curve_users: PositiveInt = 500
    """Validation users, at most, that the curves along the training are measured on."""
    curve_every: PositiveInt = 1
    """Iterations from one point of a curve to the next, at least."""
    curve_points: PositiveInt = 20
    """Points of a curve, at most: those of longer trainings are measured less often."""
    curve_metrics: Texts = ("ndcg@10", "precision@10")
    """What is measured along the training, besides the objective."""
    resamples: Annotated[int, Field(gt=0, le=RESAMPLES)] = setting(2000, identity=False)
    """Of the users, by which intervals are computed."""
    baseline: Annotated[str, AfterValidator(check_baseline)] = setting(
        "popularity-users", identity=False
    )
    """The model that the winner is compared with on test."""
