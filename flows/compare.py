"""Many models, each tuned alike, judged once on the same test sides, over several splits."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow

from flows import environment
from flows.alerting import ALERTS
from flows.clock import Clock
from flows.experiment import opened
from flows.model_config import ensemble_of, model_config, pinned
from flows.notes import comparison_note, describe, tuned_note
from flows.reporting import command
from flows.searching import joined, search_all, with_prefect
from flows.tuned import TunedModel, judged_split
from recsys.config import ExperimentConfig
from recsys.described import FORM
from recsys.errors import InputError
from recsys.evaluation.comparison import Comparison
from recsys.evaluation.exchange import Exchange
from recsys.models import config_class, is_baseline, make_config
from recsys.models.config import ModelConfig
from recsys.report.toml import as_toml
from recsys.search.widening import Edge, edges_of
from recsys.seeds import seed_for
from recsys.sources.layout import nouns_of
from tasks.data.stages import DataFiles
from tasks.orchestration.naming import name_run
from tasks.orchestration.telling import tell
from tasks.progress import Stage, report_progress, report_stage
from tasks.report.facts import EndFacts
from tasks.report.making import report_comparison, report_url
from tasks.study.choosing import choose, values_of
from tasks.study.comparison_report import record_comparison
from tasks.study.experiment_report import compare_sides
from tasks.study.measuring import run_final
from tasks.study.merging import run_best_merge
from tasks.study.study import Study, show_together
from tasks.tuning import Search
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks
from tasks.workspace.scratch import scratch

ENSEMBLE = "ensemble"


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """What is compared, and how.

    Attributes:
        plays: The log.
        profiles: Of the users.
        config: Data, filter, split, budget and judging; its search is that of its model.
        models: Names.
        n_splits: Split seeds, from that of the configuration on.
        tune_once: Whether later splits take over the points found on the first.
        name: Of the comparison; its studies have names with it, and existing ones are resumed. A
            new name if empty.
        top_items: Items that EASE and Turbo-CF learn and show; all by default.
        adopt: Whether studies and stages that other code made are used.
    """

    __pydantic_config__ = FORM

    plays: Path
    profiles: Path | None
    config: ExperimentConfig
    models: tuple[str, ...]
    n_splits: int
    tune_once: bool
    name: str = ""
    top_items: int | None = None
    adopt: bool = False

    @property
    def seeds(self) -> range:
        """Of the splits."""
        return range(self.config.seed, self.config.seed + self.n_splits)

    def study(self, model: str, seed: int) -> str:
        """The name of the study that tunes a model on a split."""
        return f"{self.name}-{model}-{seed}"


@dataclass(frozen=True, slots=True)
class CompareResult:
    """A comparison as it is shown.

    Attributes:
        request: What was compared.
        comparison: What came out.
        failed: Model to why it could not take part.
        ensemble: Of which models, with the validation values of the best of them and of the
            ensemble; None where fewer than two took part.
        exchange: A published test side beside a random cut; None for a cut of ours.
        edges: Parameters. On most splits the best value of each is an end of its range.
        run: MLflow id.
        seconds: By part.
    """

    request: CompareRequest
    comparison: Comparison
    failed: Mapping[str, str]
    ensemble: tuple[tuple[str, str], float, float] | None
    exchange: Exchange | None
    edges: Sequence[Edge]
    run: str
    seconds: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "config": self.request.config.model_dump(mode="json"),
            "seeds": list(self.request.seeds),
            "tuned": "once" if self.request.tune_once else "on every split",
            "models": self.comparison.as_json(),
            "best": self.comparison.models[0],
            "ensemble": self._merged(),
            "failed": dict(self.failed),
            "random_cut": None if self.exchange is None else self.exchange.as_json(),
            "at_bound": [asdict(each) for each in self.edges],
            "runs": {"compare": self.run, "name": self.request.name},
            "seconds": {part: round(value, 3) for part, value in self.seconds.items()},
        }

    def _merged(self) -> dict[str, Any] | None:
        if self.ensemble is None:
            return None
        members, best, value = self.ensemble
        return {"members": list(members), "validation": value, "best_alone": best}


def new_name() -> str:
    """A name for a comparison, by the second, UTC."""
    return f"compare-{datetime.now(UTC):%Y%m%d-%H%M%S}"


@flow(
    name="compare",
    flow_run_name="compare",
    on_failure=ALERTS,
    on_crashed=ALERTS,
)
def compare(request: CompareRequest, workspace: Path = Path("mlruns")) -> CompareResult:
    """Tune each model on validation, judge each once on test, for every split.

    Each model has one study for each split, so an interrupted comparison resumes, and workers may
    join its studies.

    Args:
        request: The models, and how they are compared.
        workspace: The folder that holds studies, runs and models.

    Raises:
        InputError: the data or the configuration cannot be used, there is no such model, or
            fewer than two models are named, or can be used on this data.
    """
    for model in request.models:
        config_class(model)
    if len(set(request.models)) < 2:
        raise InputError(
            f"a comparison needs two models or more, got {', '.join(request.models) or 'none'}; "
            "add one, such as --models als,popularity-users"
        )
    request = replace(request, name=request.name or new_name())
    name_run(f"compare {request.name.removeprefix('compare-')}")
    place = environment.place(workspace)
    with scratch(place) as folder:
        return _compared(request, place, Clock(), folder)


def _compared(
    request: CompareRequest, place: Workspace, clock: Clock, folder: Path
) -> CompareResult:
    failed: dict[str, str] = {}
    entries: dict[int, dict[str, TunedModel]] = {}
    n_models = len(request.models)
    for n, seed in enumerate(request.seeds):
        first = entries.get(request.config.seed) if request.tune_once else None
        entries[seed] = {}
        for m, model in enumerate(request.models):
            if model in failed:
                continue
            label = f"{model}, split {n + 1}/{request.n_splits}"
            done = n * n_models + m
            report_stage("model", Stage(label, done, n_models * request.n_splits))
            known = None if first is None else first[model].config
            try:
                entries[seed][model] = _entry(request, place, model, seed, known, clock, folder)
            except InputError as error:
                _check_others(request, model, error, failed, entries)
    report_stage("model", None)
    merged = _merged(request, place, entries, clock, folder)
    metric = request.config.study.metric
    splits = [judged_split(seed, of_seed, metric) for seed, of_seed in entries.items()]
    judge = request.config.judge
    with clock.part("compare"):
        comparison = Comparison.of(
            splits,
            metric,
            seed_for(request.config.seed, "judge", "bootstrap"),
            judge.resamples,
            report_progress,
        )
    first_model = next(iter(entries[request.config.seed].values()))
    study = first_model.study
    with clock.part("compare"):
        exchange = compare_sides(study, first_model.folds, None)
    with clock.part("reporting"):
        run = record_comparison(study, request.name, comparison, _params(request), failed)
        facts = EndFacts.now({**clock.seconds, "total": clock.total})
        report_comparison(place, study.experiment, run, _with_commands(facts, request, place))
    clock.seconds["total"] = clock.total
    edges = _edges(request, entries)
    result = CompareResult(request, comparison, failed, merged, exchange, edges, run, clock.seconds)
    show_together([each.study for each in entries[request.config.seed].values()])
    note = comparison_note(result, nouns_of(study.tags["format"]).users)
    describe(study, request.name, [run], note, {"The report": report_url(study, run)})
    tell(note.partition("\n")[0])
    return result


def _edges(request: CompareRequest, entries: Mapping[int, dict[str, TunedModel]]) -> list[Edge]:
    """Of the splits on which each model was searched."""
    seeds = [request.config.seed] if request.tune_once else [*entries]
    models = [name for name in entries[request.config.seed] if name != ENSEMBLE]
    return [
        edge
        for model in models
        for edge in edges_of(
            model,
            [
                (of[model].study.config, of[model].config.point())
                for of in map(entries.get, seeds)
                if of
            ],
        )
    ]


def _check_others(
    request: CompareRequest,
    model: str,
    error: InputError,
    failed: dict[str, str],
    entries: Mapping[int, dict[str, TunedModel]],
) -> None:
    """A model that cannot be used is left out of all splits, as long as two others can."""
    failed[model] = str(error)
    for of_seed in entries.values():
        of_seed.pop(model, None)
    if len(request.models) - len(failed) < 2:
        raise error


def _entry(
    request: CompareRequest,
    place: Workspace,
    model: str,
    seed: int,
    known: ModelConfig | None,
    clock: Clock,
    folder: Path,
) -> TunedModel:
    has_profiles = request.profiles is not None
    config = model_config(request.config, model, seed, has_profiles, request.top_items)
    if known is not None:
        config = pinned(config, known)
    source = DataFiles(request.plays, request.profiles)
    name = request.study(model, seed)
    with opened(place, source, config, name, (), clock, adopt=request.adopt) as parts:
        study, search, stages = parts
        folds = stages["split"].folder
        with joined(study, search):
            return _tuned_and_judged(study, search, folds, clock, folder / name)


def _tuned_and_judged(
    study: Study, search: Search, folds: Path, clock: Clock, into: Path
) -> TunedModel:
    before = clock.seconds.get("fit", 0.0) + clock.seconds.get("judge", 0.0)
    search_all(study, search, folds / "validation", with_prefect, clock)
    spent = clock.seconds.get("fit", 0.0) + clock.seconds.get("judge", 0.0) - before
    with workspace_locks(study.workspace).exclusive(f"judge-{study.name}"):
        with clock.part("choose"):
            chosen = choose(study, search, folds / "validation")
        search.describe(tuned_note(study.config.model, study.config.study.metric, chosen))
        winner = make_config(study.config.model, chosen.winner.params)
        value = float(values_of(study, chosen.winner).mean())  # of one cut, as of an ensemble
        with clock.part("final"):
            measured = run_final(study, folds / "test", winner, into)
    return TunedModel(study, winner, value, search.ended, spent, measured, into, folds)


def _merged(
    request: CompareRequest,
    place: Workspace,
    entries: Mapping[int, dict[str, TunedModel]],
    clock: Clock,
    folder: Path,
) -> tuple[tuple[str, str], float, float] | None:
    """Add the ensemble of the two models best on validation, if it is better there than both."""
    names = [name for name in entries[request.config.seed] if not is_baseline(name)]
    if len(names) < 2:
        return None

    def mean(model: str) -> float:
        return sum(of_seed[model].validation for of_seed in entries.values()) / len(entries)

    pair = sorted(names, key=mean, reverse=True)[:2]
    ways, values = {}, {}
    for seed, of_seed in entries.items():
        report_progress(f"ensemble on split {seed}", 0, None)
        best = of_seed[pair[0]]
        members = ensemble_of([of_seed[name].config for name in pair])
        ways[seed], found = run_best_merge(best.study, best.folds / "validation", members)
        values[seed] = found.value
    value = sum(values.values()) / len(values)
    if value > mean(pair[0]):
        for seed, of_seed in entries.items():
            best, into = of_seed[pair[0]], folder / request.study(ENSEMBLE, seed)
            with clock.part("final"):
                measured = run_final(best.study, best.folds / "test", ways[seed], into)
            of_seed[ENSEMBLE] = TunedModel(
                best.study, ways[seed], values[seed], 1, 0.0, measured, into, best.folds
            )
    return (pair[0], pair[1]), mean(pair[0]), value


def _with_commands(facts: EndFacts, request: CompareRequest, place: Workspace) -> EndFacts:
    """With how to run it again, which the run of a comparison does not hold."""
    words = [
        *("compare", "--plays", str(request.plays)),
        *(() if request.profiles is None else ("--profiles", str(request.profiles))),
        *("--models", ",".join(request.models), "--seeds", str(request.n_splits)),
        *["--tune-once"] * request.tune_once,
        *(() if request.top_items is None else ("--top-items", str(request.top_items))),
        *("--config", f"{request.name}.toml"),
    ]
    commands = {
        f"Anew, with the settings below as {request.name}.toml": command(place, *words),
        "The same, with what is there already": command(place, *words, "--name", request.name),
    }
    settings = as_toml(request.config.model_dump(mode="json", exclude_none=True))
    return replace(facts, commands=commands, settings=settings)


def _params(request: CompareRequest) -> dict[str, Any]:
    return {
        "models": ",".join(request.models),
        "splits": request.n_splits,
        "first_seed": request.config.seed,
        "tune_once": request.tune_once,
        "trials": request.config.study.trials,
        "metric": request.config.study.metric,
        "split": request.config.split.kind,
    }
