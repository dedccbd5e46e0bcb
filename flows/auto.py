"""One search over several models, within one budget: the best model or ensemble is judged once."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from prefect import flow

from flows import environment
from flows.alerting import ALERTS
from flows.auto_request import AutoRequest, AutoResult
from flows.auto_search import Contender, Work, search_models
from flows.experiment import opened
from flows.judging import facts_of, rejects_of
from flows.model_config import AUTO, ensemble_of
from flows.notes import auto_answer, auto_note, describe
from flows.reporting import command
from flows.searching import joined
from flows.tuned import TunedModel, judged_split
from recsys.config import ExperimentConfig
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
from recsys.search.config import Prefer
from recsys.search.space import Point
from recsys.sources.layout import nouns_of
from tasks.data.stages import PROFILE_REJECTS, REJECTS
from tasks.orchestration.naming import name_run
from tasks.orchestration.telling import tell
from tasks.progress import report_progress
from tasks.report.facts import EndFacts
from tasks.report.making import report_comparison, report_url
from tasks.study.choosing import choose, values_of
from tasks.study.comparison_report import record_comparison
from tasks.study.experiment_report import compare_sides
from tasks.study.measuring import SAMPLE_USER, run_final, run_on_validation
from tasks.study.merging import run_best_merge
from tasks.study.study import Study, show_together
from tasks.study.tried import record_tried, search_seconds
from tasks.tracking.queries import find_comparison, read_run
from tasks.tracking.runs import Run
from tasks.tuning import has_study
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks
from tasks.workspace.scratch import scratch

ENSEMBLES = (2, 3)  # how many of the best are merged


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """A model, a baseline or an ensemble as it does on all validation users."""

    name: str
    config: ModelConfig
    point: Point  # the parameters that were searched
    values: npt.NDArray[np.float64]  # of each user, shape (m,)
    trials: int
    seconds: float
    run: str  # that has the value on validation

    @property
    def value(self) -> float:
        return float(self.values.mean())

    @property
    def kind(self) -> str:
        return self.config.kind


def new_name() -> str:
    """A name for a search, by the second, UTC."""
    return f"auto-{datetime.now(UTC):%Y%m%d-%H%M%S}"


@flow(name="auto", flow_run_name="auto", on_failure=ALERTS, on_crashed=ALERTS)
def auto(request: AutoRequest, workspace: Path = Path("mlruns")) -> AutoResult:
    """Search several models within one budget of trials, and judge the best of them once on test.

    All models get a few trials, the better half more, and so on, see `recsys.search.halving`. Then
    ensembles of the best two and three are tried on validation. The best value there wins; with
    study.prefer = "cheapest" an ensemble wins only where it is ahead of the best model beyond its
    interval. Each model has a study, so the same request resumes, and gives the same result as one
    that was never interrupted.

    Args:
        request: What is searched.
        workspace: Where state lives.

    Raises:
        InputError: the data or the configuration cannot be used, or no model can.
    """
    request = replace(request, name=request.name or new_name())
    name_run(f"auto {request.name.removeprefix('auto-')}")
    place = environment.place(workspace)
    _check_name(place, request.name)
    with scratch(place) as folder:
        work = Work(request, place, folder)
        contenders = search_models(work)
        with workspace_locks(place).exclusive(f"judge-{request.name}"):
            return _judged(work, contenders)


def _check_name(place: Workspace, name: str) -> None:
    """Refuse the name of something else, which commands would find in place of the search.

    Raises:
        InputError: a study or a comparison has it.
    """
    run = find_comparison(place, name)
    other = run is not None and read_run(place, run).params.get("models") != AUTO
    if other or has_study(place, name):
        what = "comparison" if other else "study"
        raise InputError(f"--study {name}: a {what} has this name; choose another --study name")


@contextmanager
def _taking_part(work: Work, of: Contender) -> Iterator[Study]:
    """The study of a model, open, so that no other process takes this one for dead."""
    name, adopt = work.request.study(of.model), work.request.adopt
    with opened(work.place, work.source, of.config, name, (), work.clock, adopt=adopt) as parts:
        study, search, _ = parts
        with joined(study, search):
            yield study


def _judged(work: Work, contenders: Sequence[Contender]) -> AutoResult:
    """Choose on validation, judge the winner and the baselines once on test, record."""
    with _taking_part(work, contenders[0]) as study:
        entries, ahead = _entries(work, study, contenders)
    tried = _tried(work, entries)
    winner = _winner(entries, ahead, work.request.config.study.prefer)
    best = next(entry for entry in entries if entry.trials)
    home = next(each for each in contenders if each.model in (winner.name, best.name))
    with _taking_part(work, home) as study:
        tuned = {}
        others = [each for each in entries if each.name in baselines() and each is not winner]
        for n, entry in enumerate([*others, winner]):
            report_progress("models judged on test", n, len(others) + 1)
            into = work.folder / entry.kind
            with work.clock.part("final"):
                measured = run_final(study, home.folds / "test", entry.config, into)
            tuned[entry.kind] = TunedModel(
                study, entry.config, entry.value, entry.trials, entry.seconds, measured, into,
                home.folds,
            )  # fmt: skip
        Run.of(work.place, study.parent).log({}, tags={"best_run": winner.run})
        return _recorded(work, home.folds, winner, tuned, tried, ahead)


def _entries(
    work: Work, study: Study, contenders: Sequence[Contender]
) -> tuple[list[_Entry], dict[str, Estimate]]:
    """All that was tried on validation, the best first; how far ensembles are ahead of models."""
    folds = contenders[0].folds
    searched = sorted((_searched(work, each) for each in contenders), key=lambda e: -e.value)
    plain = [
        _on_validation(work, study, folds, name, make_config(name, {})) for name in baselines()
    ]
    merged = []
    for size in (size for size in ENSEMBLES if size <= len(searched)):
        members = searched[:size]
        name = _ensemble_name([member.name for member in members])
        config = ensemble_of([member.config for member in members])
        merged.append(_merged_on_validation(work, study, folds, name, config))
    models = sorted([*searched, *plain], key=lambda entry: -entry.value)
    ahead = {each.name: _difference(work, each, models[0]) for each in merged}
    return sorted([*models, *merged], key=lambda entry: -entry.value), ahead


def _winner(entries: Sequence[_Entry], ahead: Mapping[str, Estimate], prefer: Prefer) -> _Entry:
    """The best on validation.

    Args:
        entries: The best first.
        ahead: How far each ensemble is ahead of the best model.
        prefer: With "cheapest" an ensemble wins only where it is ahead beyond its interval.
    """
    unsure = {name for name in ahead if prefer == "cheapest" and not is_ahead(ahead[name])}
    return next(entry for entry in entries if entry.name not in unsure)


def _searched(work: Work, of: Contender) -> _Entry:
    """The winner among the trials of a model."""
    with work.clock.part("choose"):
        chosen = choose(of.study, of.search, of.folds / "validation").winner
    config = make_config(of.model, chosen.params)
    seconds = search_seconds(of.study, of.search)
    values = values_of(of.study, chosen)
    return _Entry(of.model, config, chosen.params, values, of.search.ended, seconds, chosen.run)


def _ensemble_name(members: Sequence[str]) -> str:
    return f"ensemble of {', '.join(members[:-1])} and {members[-1]}"


def _on_validation(work: Work, study: Study, folds: Path, name: str, config: ModelConfig) -> _Entry:
    report_progress(f"{name} on validation", 0, None)
    with work.clock.part("judge"):
        found = run_on_validation(study, folds / "validation", config)
    return _Entry(name, config, {}, found.per_user, 0, found.seconds, found.run)


def _merged_on_validation(
    work: Work, study: Study, folds: Path, name: str, config: ModelConfig
) -> _Entry:
    report_progress(f"{name} on validation", 0, None)
    with work.clock.part("judge"):
        way, found = run_best_merge(study, folds / "validation", config)
    return _Entry(name, way, {}, found.per_user, 0, found.seconds, found.run)


def _difference(work: Work, one: _Entry, other: _Entry) -> Estimate:
    values = (one.values - other.values)[:, None]
    return column_intervals(values, work.seed, work.resamples, report_progress)[0]


def _tried(work: Work, entries: Sequence[_Entry]) -> tuple[TriedRow, ...]:
    values = np.column_stack([entry.values for entry in entries])
    estimates = column_intervals(values, work.seed, work.resamples, report_progress)
    tied = tied_with_best(values, work.seed, work.resamples, progress=report_progress)
    return tuple(
        TriedRow(entry.name, estimate, bool(is_tied), entry.trials, entry.seconds, entry.point)
        for entry, estimate, is_tied in zip(entries, estimates, tied, strict=True)
    )


def _recorded(
    work: Work,
    folds: Path,
    winner: _Entry,
    tuned: Mapping[str, TunedModel],
    tried: Sequence[TriedRow],
    ahead: Mapping[str, Estimate],
) -> AutoResult:
    request, clock, study = work.request, work.clock, tuned[winner.kind].study
    config, stages = request.config, work.stages
    with clock.part("compare"):
        split = judged_split(config.seed, tuned, config.study.metric)
        metric = config.study.metric
        every = Comparison.of([split], metric, work.seed, work.resamples, report_progress)
        reports = [load_report(tuned[n].folder) for n in (config.judge.baseline, winner.kind)]
        comparison = paired(reports[0], reports[1], work.seed, work.resamples, report_progress)
        exchange = compare_sides(study, folds, stages["split"].facts.get("sides"))
    final = tuned[winner.kind].measured.run
    with clock.part("reporting"):
        run = record_comparison(study, request.name, every, _settings(request), work.failed)
        record_tried(study, run, final, tried)
        facts = EndFacts.now({**clock.seconds, "total": clock.total})
        facts = replace(facts, commands=_commands(request, work.place), settings=_toml(config))
        report_comparison(work.place, study.experiment, run, facts)
    clock.seconds["total"] = clock.total
    result = AutoResult(
        request=request,
        facts=facts_of(stages),
        rejects=rejects_of(stages["ingest"], REJECTS),
        profile_rejects=rejects_of(stages["ingest"], PROFILE_REJECTS, "profiles"),
        tried=tuple(tried),
        winner=winner.name,
        config=winner.config,
        ahead=ahead,
        comparison=comparison,
        exchange=exchange,
        failed=work.failed,
        nouns=nouns_of(study.tags["format"]),
        sample_user=_sample_user(tuned[winner.kind].folder),
        runs={"compare": run, "final": final},
        seconds=clock.seconds,
    )
    show_together([each.study for each in tuned.values()])
    pages = {"The report": report_url(study, run)}
    describe(study, request.name, [run], auto_note(result), pages)
    tell(auto_answer(result))
    return result


def _toml(config: ExperimentConfig) -> str:
    return as_toml(config.model_dump(mode="json", exclude_none=True))


def _sample_user(folder: Path) -> str:
    """The id of the sample user: the winner's lists for this user were kept."""
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
