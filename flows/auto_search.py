"""The trials of a search over several models: who takes part, and how many trials each gets."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from flows.auto_request import AutoRequest
from flows.clock import Clock
from flows.experiment import opened, prepared
from flows.model_config import check_answers, model_config
from flows.searching import joined, search_all, with_prefect
from recsys.config import ExperimentConfig, changed
from recsys.errors import InputError, NeedsMemory, TrialsFailed
from recsys.models import config_class
from recsys.search.halving import rungs
from recsys.seeds import seed_for
from recsys.splitting.config import ColdUserSplit
from tasks.data.stages import DataFiles
from tasks.progress import Stage, report_result, report_stage
from tasks.study.study import Study
from tasks.tuning import Search
from tasks.workspace.cache import StageEntry
from tasks.workspace.layout import Workspace

CANDIDATES = ("item-knn", "rp3beta", "gf-cf", "ease", "sparse-ease", "als", "slim", "fm")
"""The models that are tried, cheap ones first."""
EASE_ITEMS = 20_000  # beyond, ease takes minutes and gigabytes, and sparse-ease does the same
SLIM_ITEMS = 2**14  # beyond, slim makes the products of each item anew, which takes minutes
FM_CELLS = 500_000  # beyond, a trial of fm takes many minutes


@dataclass(slots=True)
class Contender:
    """A model in the search.

    Attributes:
        model: Its name.
        study: Of its trials.
        search: Its trials.
        folds: Folder of the folds.
        config: Of its study, with all the trials that it got.
        value: The objective, the best of its trials so far.
    """

    model: str
    study: Study
    search: Search
    folds: Path
    config: ExperimentConfig
    value: float


@dataclass(slots=True)
class Work:
    """What all steps of a search over models share.

    Attributes:
        request: What is searched.
        place: Where state lives.
        folder: For files on their way.
        clock: Takes the time.
        failed: Model to why it is not among the models that were tried.
        begin: When the search began, of the monotonic clock.
        stages: The entry of each data stage in the cache.
    """

    request: AutoRequest
    place: Workspace
    folder: Path
    clock: Clock = field(default_factory=Clock)
    failed: dict[str, str] = field(default_factory=dict)
    begin: float = field(default_factory=time.monotonic)
    stages: dict[str, StageEntry] = field(default_factory=dict)

    @property
    def source(self) -> DataFiles:
        """The log and the profiles."""
        return DataFiles(self.request.plays, self.request.profiles)

    @property
    def seed(self) -> int:
        """Of the bootstrap."""
        return seed_for(self.request.config.seed, "judge", "bootstrap")

    @property
    def resamples(self) -> int:
        """Of the bootstrap."""
        return self.request.config.judge.resamples

    @property
    def end(self) -> float | None:
        """When no further trial starts, of the monotonic clock; None without a limit."""
        timeout = self.request.config.study.timeout
        return None if timeout is None else self.begin + timeout


def search_models(work: Work) -> list[Contender]:
    """The models after their trials, the best first.

    Raises:
        InputError: the data or the configuration cannot be used, or no model can.
    """
    request, config = work.request, work.request.config
    with work.clock.part("data"):
        work.stages = prepared(work.place, work.source, config, True, request.adopt)
    models = _suiting(work)
    found: dict[str, Contender] = {}

    def rank(model: str) -> tuple[float, int]:
        return -found[model].value if model in found else 0.0, models.index(model)

    left = models
    for n, rung in enumerate(rungs(config.study.trials, len(models))):
        few = left[rung.models :] if n == 0 else []
        why = f"{config.study.trials} trials are fewer than the models; add --trials"
        work.failed |= dict.fromkeys(few, why)
        left = sorted(left, key=rank)[: rung.models]
        for model in left:
            _search_further(work, model, rung.trials, found)
        left = [model for model in left if model in found]
    report_stage("model", None)
    if not found:
        raise InputError(
            "no model can be tried: "
            + "; ".join(f"{model}: {why}" for model, why in work.failed.items())
        )
    return sorted(found.values(), key=lambda each: rank(each.model))


def _suiting(work: Work) -> list[str]:
    """The models that are tried; of the others it is noted why not.

    Raises:
        InputError: none is left.
    """
    request, train = work.request, work.stages["split"].facts["validation"]["train"]
    cold = isinstance(request.config.split, ColdUserSplit)
    able = [m for m in CANDIDATES if config_class(m).knows_profiles or not cold]
    models = [m for m in able if suits(work, m, train["items"], train["nonzeros"])]
    if not models:
        reasons = "; ".join(f"{model}: {why}" for model, why in work.failed.items())
        raise InputError(f"no model suits this data: {reasons}")
    for model in models:
        check_answers(_config(work, model, 1), request.profiles is not None)
    return models


def suits(work: Work, model: str, n_items: int, n_cells: int) -> bool:
    """Whether a model is tried; else it is noted why not."""
    learned = min(n_items, work.request.top_items or n_items)
    if model == "sparse-ease":
        return learned > EASE_ITEMS
    if model == "ease" and learned > EASE_ITEMS:
        work.failed[model] = f"there are {learned:,} items, for which sparse-ease is tried"
    elif model == "slim" and n_items > SLIM_ITEMS:
        work.failed[model] = f"a trial takes minutes with {n_items:,} items; --model slim does it"
    elif model == "fm" and work.request.profiles is None:
        work.failed[model] = "there are no profiles; --model fm does without"
    elif model == "fm" and n_cells > FM_CELLS:
        work.failed[model] = f"a trial takes minutes with {n_cells:,} plays; --model fm does it"
    return model not in work.failed


def _search_further(work: Work, model: str, trials: int, found: dict[str, Contender]) -> None:
    """Give a model more trials, unless the time is up; a model that cannot be used is left out."""
    if work.end is not None and found and time.monotonic() > work.end:
        if model not in found:
            work.failed[model] = "the time was up"
        return
    wanted, done = work.request.config.study.trials, _ended(found.values())
    report_stage("model", Stage(f"{done} of {wanted} trials, {model}", min(done, wanted), wanted))
    try:
        found[model] = _searched(work, model, trials)
    except (TrialsFailed, NeedsMemory) as error:
        work.failed[model] = str(error)
        found.pop(model, None)


def _ended(contenders: Iterable[Contender]) -> int:
    return sum(each.search.ended for each in contenders)


def _searched(work: Work, model: str, trials: int) -> Contender:
    """A model once it has so many trials; those it had before are kept."""
    request, clock = work.request, work.clock
    config, name = _config(work, model, trials), work.request.study(model)
    with opened(work.place, work.source, config, name, (), clock, adopt=request.adopt) as parts:
        study, search, stages = parts
        folds = stages["split"].folder
        with joined(study, search):
            search_all(study, search, folds / "validation", with_prefect, clock, work.end)
            # A search that is resumed decides by the trials that it had at this point.
            values = [each.value for each in search.done if each.slot < trials]
            best = max(values, default=search.best.value)
    n = min(trials, search.ended)
    report_result(f"best {config.study.metric} {best:.4f} in {n} trial{'s' * (n > 1)}")
    return Contender(model, study, search, folds, config, best)


def _config(work: Work, model: str, trials: int) -> ExperimentConfig:
    request = work.request
    has_profiles = request.profiles is not None
    config = model_config(
        request.config, model, request.config.seed, has_profiles, request.top_items
    )
    return changed(config, {"study.trials": trials})
