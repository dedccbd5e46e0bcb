"""Whether a model that costs little is ahead of the winner of a search, on validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from recsys.errors import InputError, NeedsMemory
from recsys.evaluation.bootstrap import Estimate, column_intervals
from recsys.models import make_config
from recsys.models.config import ModelConfig
from recsys.models.needs import available_memory, require_memory
from recsys.report.words import is_ahead
from recsys.seeds import seed_for
from tasks.progress import report_progress, report_result
from tasks.study.choosing import values_of
from tasks.study.measuring import OnValidation, run_on_validation
from tasks.study.study import Study, fold_at
from tasks.tuning import FinishedTrial, Search

CHECKED = "als"  # the model whose searches are checked
CHEAP = ("item-knn", "rp3beta", "gf-cf", "ease")
SHARE = 0.1  # of the cost of a search: all points of a cheap model together cost no more
FEWEST = 10  # trials: one point may cost more than a tenth of a shorter search
DENSE = 100.0  # operations of a dense product in the time of one multiplication of als


@dataclass(frozen=True, slots=True)
class Checked:
    """A model at the best of its first points beside the winner, on all validation users.

    Attributes:
        model: Its name.
        params: Its point.
        estimate: Its objective.
        ahead: How far it is ahead of the winner, over the same users.
    """

    model: str
    params: Mapping[str, object]
    estimate: Estimate
    ahead: Estimate

    @property
    def is_ahead(self) -> bool:
        """Whether it is ahead beyond the interval."""
        return is_ahead(self.ahead)


def cross_check(
    study: Study,
    search: Search,
    winner: FinishedTrial,
    validation: Path,
    points: Mapping[str, Sequence[ModelConfig]],
) -> tuple[Checked, ...]:
    """Cheap models at their first points, beside the winner of a search.

    Only searches of `als` with ten trials or more are checked. Nothing is judged on test.

    Args:
        study: Shared by all runs.
        search: Its trials.
        winner: The one that won.
        validation: Folder of the validation fold.
        points: Of each model of `CHEAP`, in the order in which they are tried.
    """
    config = study.config
    if config.model != CHECKED or not config.study.cross_check or search.ended < FEWEST:
        return ()
    return _cross_check(study, search, winner, validation, points)


@task(task_run_name="cross-check", cache_policy=NO_CACHE)
def _cross_check(
    study: Study,
    search: Search,
    winner: FinishedTrial,
    validation: Path,
    points: Mapping[str, Sequence[ModelConfig]],
) -> tuple[Checked, ...]:
    config = study.config
    seed, resamples = seed_for(config.seed, "judge", "bootstrap"), config.judge.resamples
    reached = values_of(study, winner)
    found = []
    for model, affordable in _affordable(study, search.finished, validation, points).items():
        report_progress(f"{model} on validation, to cross-check", 0, None)
        measured = _measured(study, validation, affordable)
        if not measured:
            continue
        chosen, best = max(measured, key=lambda each: each[1].value)
        [estimate] = column_intervals(best.per_user[:, None], seed, resamples)
        [ahead] = column_intervals((best.per_user - reached)[:, None], seed, resamples)
        found.append(Checked(model, chosen.point(), estimate, ahead))
    return tuple(sorted(found, key=lambda each: -each.estimate.mean))


def _measured(
    study: Study, validation: Path, points: Sequence[ModelConfig]
) -> list[tuple[ModelConfig, OnValidation]]:
    """The points that could be measured, each with what it reaches."""
    found = []
    for config in points:
        try:
            found.append((config, run_on_validation.fn(study, validation, config)))
        except (InputError, MemoryError) as error:
            report_result(f"a point of {config.kind} was not cross-checked: {error}")
    return found


def _affordable(
    study: Study,
    trials: Sequence[FinishedTrial],
    validation: Path,
    points: Mapping[str, Sequence[ModelConfig]],
) -> dict[str, list[ModelConfig]]:
    """The first points of each cheap model that together cost a tenth of these trials at most."""
    train = fold_at(validation).train
    users, items, cells = *train.shape, len(train)
    searched = [make_config(study.config.model, each.params) for each in trials]
    left = dict.fromkeys(points, SHARE * sum(each.cost(users, items, cells) for each in searched))
    found: dict[str, list[ModelConfig]] = {}
    for model, config in ((name, each) for name in points for each in points[name]):
        need = config.need(users, items, cells)
        try:
            if need is not None:
                require_memory(model, need, available_memory())
        except NeedsMemory:
            continue
        left[model] -= config.cost(users, items, cells) if need is None else need.flops / DENSE
        if left[model] >= 0:
            found.setdefault(model, []).append(config)
    return found
