"""One search over several models, within one budget: the best model or ensemble is judged once."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from prefect import flow

from flows import environment
from flows.alerting import ALERTS
from flows.auto_request import AutoRequest, AutoResult
from flows.clock import Clock
from flows.experiment import opened
from flows.model_config import AUTO, ensemble_of, model_config
from flows.reporting import command
from flows.searching import joined, search_all, with_prefect
from flows.tuned import TunedModel, judged_split
from recsys.config import ExperimentConfig, changed
from recsys.data.interactions import Interactions
from recsys.errors import InputError
from recsys.evaluation.bootstrap import Estimate, column_intervals, paired
from recsys.evaluation.comparison import Comparison
from recsys.evaluation.store import load_report
from recsys.evaluation.ties import tied_with_best
from recsys.models import baselines, make_config
from recsys.models.config import ModelConfig
from recsys.report.comparison import TriedRow
from recsys.report.toml import as_toml
from recsys.report.words import is_ahead
from recsys.search.halving import rungs
from recsys.search.space import Point
from recsys.seeds import seed_for
from recsys.sources.layout import nouns_of
from tasks.data.stages import DataFiles
from tasks.orchestration.naming import name_run
from tasks.progress import Stage, report_progress, report_result, report_stage
from tasks.report.facts import EndFacts
from tasks.report.making import report_comparison
from tasks.study.choosing import choose, values_of
from tasks.study.comparison_report import record_comparison
from tasks.study.measuring import SAMPLE_USER, run_final, run_on_validation
from tasks.study.study import Study, fold_at
from tasks.study.tried import record_tried, search_seconds
from tasks.tuning import Search
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks
from tasks.workspace.scratch import scratch

CANDIDATES = ("item-knn", "rp3beta", "gf-cf", "ease", "sparse-ease", "als", "slim", "fm")
"""The models that are tried, cheap ones first."""
ENSEMBLES = (2, 3)  # how many of the best are merged
EASE_ITEMS = 20_000  # beyond, ease takes minutes and gigabytes, and sparse-ease does the same
SLIM_ITEMS = 2**14  # beyond, slim makes the products of each item anew, which takes minutes
FM_CELLS = 500_000  # beyond, a trial of fm takes many minutes


@dataclass(slots=True)
class _Contender:
    """A model in the search."""

    model: str
    study: Study
    search: Search
    folds: Path
    value: float  # of the objective, the best of its trials so far

    @property
    def train(self) -> Interactions:
        return fold_at(self.folds / "validation").train


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """A model, a baseline or an ensemble as it does on all validation users."""

    name: str
    config: ModelConfig
    point: Point  # the parameters that were searched
    values: npt.NDArray[np.float64]  # of each user, shape (m,)
    trials: int
    seconds: float

    @property
    def value(self) -> float:
        return float(self.values.mean())

    @property
    def kind(self) -> str:
        return self.config.kind


@dataclass(slots=True)
class _Work:
    """What all steps share."""

    request: AutoRequest
    place: Workspace
    folder: Path
    clock: Clock = field(default_factory=Clock)
    failed: dict[str, str] = field(default_factory=dict)
    begin: float = field(default_factory=time.monotonic)

    @property
    def seed(self) -> int:
        return seed_for(self.request.config.seed, "judge", "bootstrap")

    @property
    def resamples(self) -> int:
        return self.request.config.judge.resamples


def new_name() -> str:
    """A name for a search, by the second, UTC."""
    return f"auto-{datetime.now(UTC):%Y%m%d-%H%M%S}"


@flow(name="auto", flow_run_name="auto", on_failure=ALERTS, on_crashed=ALERTS)
def auto(request: AutoRequest, workspace: Path = Path("mlruns")) -> AutoResult:
    """Search several models within one budget of trials, and judge the best of them once on test.

    All models get a few trials, the better half more, and so on, see `recsys.search.halving`. Then
    ensembles of the best two and three are tried on validation. Each model has a study, so the same
    request resumes, and gives the same result as one that was never interrupted.

    Args:
        request: What is searched.
        workspace: Where state lives.

    Raises:
        InputError: the data or the configuration cannot be used, or no model can.
    """
    request = replace(request, name=request.name or new_name())
    name_run(f"auto {request.name.removeprefix('auto-')}")
    place = environment.place(workspace)
    with scratch(place) as folder:
        work = _Work(request, place, folder)
        contenders = _searched(work)
        with workspace_locks(place).exclusive(f"judge-{request.name}"):
            return _judged(work, contenders)


def _searched(work: _Work) -> list[_Contender]:
    """The models after their trials, the best first."""
    first = _searched_model(work, CANDIDATES[0], 1)  # which also finds what is wrong with the data
    n_items, n_cells = len(first.train.items), len(first.train)
    models = [model for model in CANDIDATES if _suits(work, model, n_items, n_cells)]
    found: dict[str, _Contender] = {}

    def rank(model: str) -> tuple[float, int]:
        return -found[model].value if model in found else 0.0, models.index(model)

    left = models
    for rung in rungs(work.request.config.study.trials, len(models)):
        left = sorted(left, key=rank)[: rung.models]
        for model in left:
            try:
                done = sum(each.search.ended for each in found.values())
                found[model] = _searched_model(work, model, rung.trials, done)
            except InputError as error:
                work.failed[model] = str(error)
        left = [model for model in left if model not in work.failed]
    report_stage("model", None)
    return sorted(found.values(), key=lambda each: rank(each.model))


def _suits(work: _Work, model: str, n_items: int, n_cells: int) -> bool:
    """Whether a model is tried; else it is noted why not."""
    if model == "sparse-ease":
        return n_items > EASE_ITEMS
    if model == "ease" and n_items > EASE_ITEMS:
        work.failed[model] = f"there are {n_items:,} items, for which sparse-ease is tried"
    elif model == "slim" and n_items > SLIM_ITEMS:
        work.failed[model] = f"a trial takes minutes with {n_items:,} items; --model slim does it"
    elif model == "fm" and work.request.profiles is None:
        work.failed[model] = "there are no profiles; --model fm does without"
    elif model == "fm" and n_cells > FM_CELLS:
        work.failed[model] = f"a trial takes minutes with {n_cells:,} plays; --model fm does it"
    return model not in work.failed


def _searched_model(work: _Work, model: str, trials: int, done: int = 0) -> _Contender:
    """A model once it has so many trials; those it had before are kept.

    Args:
        work: What all models share.
        model: Its name.
        trials: Of this model.
        done: Trials of all models, for the progress.
    """
    request, clock = work.request, work.clock
    wanted = request.config.study.trials
    report_stage("model", Stage(f"{done} of {wanted} trials, {model}", done, wanted))
    config = _config(work, model, trials)
    source = DataFiles(request.plays, request.profiles)
    name = request.study(model)
    with opened(work.place, source, config, name, (), clock, adopt=request.adopt) as parts:
        study, search, stages = parts
        folds = stages["split"].folder
        with joined(study, search):
            search_all(study, search, folds / "validation", with_prefect, clock)
            # Also where a later rung has added trials: a resumed search decides as before.
            values = [done.value for done in search.done if done.slot < trials]
            best = max(values, default=search.best.value)
    report_result(f"best {request.config.study.metric} {best:.4f} in {trials} trials")
    return _Contender(model, study, search, folds, best)


def _config(work: _Work, model: str, trials: int) -> ExperimentConfig:
    request = work.request
    has_profiles = request.profiles is not None
    config = model_config(
        request.config, model, request.config.seed, has_profiles, request.top_items
    )
    settings: dict[str, Any] = {"study.trials": trials}
    if (timeout := request.config.study.timeout) is not None:
        settings["study.timeout"] = max(1e-3, timeout - (time.monotonic() - work.begin))
    return changed(config, settings)


def _judged(work: _Work, contenders: Sequence[_Contender]) -> AutoResult:
    """Choose on validation, judge the winner and the baselines once on test, record."""
    best = contenders[0]
    entries, ahead = _entries(work, contenders)
    tried = _tried(work, entries)
    report_progress("models judged on test", 0, None)
    winner = next(e for e in entries if e.name not in ahead or is_ahead(ahead[e.name]))
    baseline_names = baselines()
    models = [entry for entry in entries if entry.name in baseline_names and entry is not winner]
    tuned = {}
    for entry in [*models, winner]:
        into = work.folder / entry.kind
        with work.clock.part("final"):
            measured = run_final(best.study, best.folds / "test", entry.config, into)
        tuned[entry.kind] = TunedModel(
            best.study, entry.config, entry.value, entry.trials, entry.seconds, measured, into,
            best.folds,
        )  # fmt: skip
    return _recorded(work, best, winner, tuned, tried, ahead)


def _entries(
    work: _Work, contenders: Sequence[_Contender]
) -> tuple[list[_Entry], dict[str, Estimate]]:
    """All that was tried on validation, the best first; how far ensembles are ahead of models."""
    models = []
    for each in contenders:
        with work.clock.part("choose"):
            chosen = choose(each.study, each.search, each.folds / "validation").winner
        config = make_config(each.model, chosen.params)
        seconds = search_seconds(each.study, each.search)
        values = values_of(each.study, chosen)
        models.append(_Entry(each.model, config, chosen.params, values, each.search.ended, seconds))
    models.sort(key=lambda entry: -entry.value)
    best = contenders[0]
    for name in baselines():
        models.append(_on_validation(work, best, name, make_config(name, {})))
    models.sort(key=lambda entry: -entry.value)
    searched = [entry for entry in models if entry.trials]
    merged = []
    for size in (size for size in ENSEMBLES if size <= len(searched)):
        members = searched[:size]
        name = _ensemble_name([member.name for member in members])
        config = ensemble_of([member.config for member in members])
        merged.append(_on_validation(work, best, name, config))
    ahead = {each.name: _difference(work, each, models[0]) for each in merged}
    return sorted([*models, *merged], key=lambda entry: -entry.value), ahead


def _ensemble_name(members: Sequence[str]) -> str:
    return f"ensemble of {', '.join(members[:-1])} and {members[-1]}"


def _on_validation(work: _Work, best: _Contender, name: str, config: ModelConfig) -> _Entry:
    report_progress(f"{name} on validation", 0, None)
    with work.clock.part("judge"):
        found = run_on_validation(best.study, best.folds / "validation", config)
    return _Entry(name, config, {}, found.per_user, 0, found.seconds)


def _difference(work: _Work, one: _Entry, other: _Entry) -> Estimate:
    values = (one.values - other.values)[:, None]
    return column_intervals(values, work.seed, work.resamples, report_progress)[0]


def _tried(work: _Work, entries: Sequence[_Entry]) -> tuple[TriedRow, ...]:
    values = np.column_stack([entry.values for entry in entries])
    estimates = column_intervals(values, work.seed, work.resamples, report_progress)
    tied = tied_with_best(values, work.seed, work.resamples, progress=report_progress)
    return tuple(
        TriedRow(entry.name, estimate, bool(is_tied), entry.trials, entry.seconds, entry.point)
        for entry, estimate, is_tied in zip(entries, estimates, tied, strict=True)
    )


def _recorded(
    work: _Work,
    best: _Contender,
    winner: _Entry,
    tuned: Mapping[str, TunedModel],
    tried: Sequence[TriedRow],
    ahead: Mapping[str, Estimate],
) -> AutoResult:
    request, clock, study = work.request, work.clock, best.study
    config = request.config
    with clock.part("compare"):
        split = judged_split(config.seed, tuned, config.study.metric)
        metric = config.study.metric
        every = Comparison.of([split], metric, work.seed, work.resamples, report_progress)
        reports = [load_report(tuned[n].folder) for n in (config.judge.baseline, winner.kind)]
        comparison = paired(reports[0], reports[1], work.seed, work.resamples, report_progress)
    with clock.part("reporting"):
        run = record_comparison(study, request.name, every, _settings(request), work.failed)
        final = tuned[winner.kind].measured.run
        record_tried(study, run, final, tried)
        facts = EndFacts.now({**clock.seconds, "total": clock.total})
        facts = replace(facts, commands=_commands(request, work.place), settings=_toml(config))
        report_comparison(work.place, study.experiment, run, facts)
    clock.seconds["total"] = clock.total
    return AutoResult(
        request=request,
        tried=tuple(tried),
        winner=winner.name,
        config=winner.config,
        ahead=ahead,
        comparison=comparison,
        failed=work.failed,
        nouns=nouns_of(study.tags["format"]),
        sample_user=_sample_user(tuned[winner.kind].folder),
        runs={"compare": run, "final": final},
        seconds=clock.seconds,
    )


def _toml(config: ExperimentConfig) -> str:
    return as_toml(config.model_dump(mode="json", exclude_none=True))


def _sample_user(folder: Path) -> str:
    """The id of the user whose lists were kept."""
    shown = json.loads((folder / SAMPLE_USER).read_text(encoding="utf-8"))
    return str(shown["user"])


def _settings(request: AutoRequest) -> dict[str, Any]:
    return {
        "models": AUTO,
        "splits": 1,
        "first_seed": request.config.seed,
        "tune_once": False,
        "trials": request.config.study.trials,
        "metric": request.config.study.metric,
        "split": request.config.split.kind,
    }


def _commands(request: AutoRequest, place: Workspace) -> dict[str, str]:
    words = [
        *("experiment", "--model", AUTO, "--plays", str(request.plays)),
        *(() if request.profiles is None else ("--profiles", str(request.profiles))),
        *(() if request.top_items is None else ("--top-items", str(request.top_items))),
        *("--config", f"{request.name}.toml"),
    ]
    return {
        f"Anew, with the settings below as {request.name}.toml": command(place, *words),
        "The same, with what is there already": command(place, *words, "--study", request.name),
    }
