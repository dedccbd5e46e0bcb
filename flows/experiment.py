"""The main job: from a listening log to a tuned, tracked, compared recommender."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow

from flows import environment
from flows.alerting import ALERTS
from flows.clock import Clock
from flows.notes import NOTE, study_note
from flows.reporting import source_of
from flows.result import Result, Saved
from flows.searching import Attempt, check_not_given_up, joined, search_all, with_prefect
from recsys.bounds import name_fault, shown
from recsys.config import ExperimentConfig
from recsys.errors import InputError
from recsys.evaluation.exchange import Exchange
from recsys.models import baselines, make_config
from recsys.models.config import ModelConfig
from recsys.search.space import Point, Value, on_bounds, widened
from tasks.data.stages import (
    PROFILE_REJECTS,
    REJECTS,
    TEST_REJECTS,
    DataFiles,
    ingest,
    narrow,
    split,
)
from tasks.interrupts import INTERRUPTS
from tasks.progress import report_progress
from tasks.report.facts import EndFacts
from tasks.report.making import report_study
from tasks.study.attempt import attempt
from tasks.study.choosing import SearchWinner, choose
from tasks.study.experiment_report import (
    Compared,
    compare,
    compare_sides,
    draw_study,
    on_front,
    show_comparison,
    show_leaderboard,
)
from tasks.study.measuring import Measured, run_final
from tasks.study.study import Study, open_study, shown_metrics
from tasks.tracking.runs import Run, compare_url
from tasks.tuning import Search, open_lock, open_search
from tasks.workspace.cache import StageEntry
from tasks.workspace.code import MEASURING, code_parts
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks
from tasks.workspace.places import stored_request


@flow(
    name="experiment",
    flow_run_name="experiment {config.name}",
    on_failure=ALERTS,
    on_crashed=ALERTS,
)
def experiment(
    plays: Path,
    config: ExperimentConfig,
    workspace: Path = Path("mlruns"),
    profiles: Path | None = None,
    study: str | None = None,
    sources: Sequence[str] = (),
    adopt: bool = False,
) -> Result:
    """Read, filter, split, search, judge and compare; everything recorded.

    Args:
        plays: The log.
        config: What to do with it.
        workspace: Where state lives.
        profiles: Of the users.
        study: Name of the study, new or to resume; by default a new one.
        sources: Studies whose best points a new study begins with.
        adopt: Whether a study and stages that other code made are used.

    Raises:
        InputError: the data or the configuration cannot be used.
    """
    place = environment.place(workspace)
    clock = Clock()
    source = DataFiles(plays, profiles)
    name = study or new_study_name(config)
    with opened(place, source, config, name, sources, clock, adopt=adopt) as parts:
        shared, search, stages = parts
        return _run(shared, search, stages, with_prefect, clock)


def work(
    plays: Path,
    config: ExperimentConfig,
    place: Workspace,
    profiles: Path | None,
    study: str,
    sources: Sequence[str],
    through_prefect: bool,
    adopt: bool = False,
) -> tuple[Search, Clock]:
    """Take part in the search of a study, until all its trials are done.

    Nothing is judged on test: `experiment` does that once the trials are done.

    Args:
        plays: The log.
        config: What to do with it.
        place: Where state lives.
        profiles: Of the users.
        study: Name of the study; the first worker makes it.
        sources: Studies whose best points a new study begins with.
        through_prefect: Whether stages and trials are tasks of Prefect; then inside a flow.
        adopt: Whether a study and stages that other code made are used.

    Returns:
        The study, and where the time of this worker went.

    Raises:
        TrialsFailed: none was measured, or too many failed in a row.
        InputError: the data or the configuration cannot be used.
    """
    clock = Clock()
    source = DataFiles(plays, profiles)
    helping = {"through_prefect": through_prefect, "renews": False, "adopt": adopt}
    with opened(place, source, config, study, sources, clock, **helping) as parts:
        shared, search, stages = parts
        with joined(shared, search):
            validation = stages["split"].folder / "validation"
            attempted = with_prefect if through_prefect else attempt
            search_all(shared, search, validation, attempted, clock)
            if search.failed:
                _ = search.best  # where none was measured, the errors are raised
        check_not_given_up(search)
    return search, clock


@contextmanager
def opened(
    place: Workspace,
    source: DataFiles,
    config: ExperimentConfig,
    name: str,
    sources: Sequence[str],
    clock: Clock,
    through_prefect: bool = True,
    renews: bool = True,
    adopt: bool = False,
) -> Iterator[tuple[Study, Search, dict[str, StageEntry]]]:
    """The data, the study and its run in MLflow; within the block this worker lives.

    Args:
        place: Where state lives.
        source: The log and the profiles.
        config: What to do with it.
        name: Of the study, new or to resume.
        sources: Studies whose best points a new study begins with.
        clock: Takes the time.
        through_prefect: Whether the data stages are tasks of Prefect; then inside a flow.
        renews: Whether the study stores this request in place of the one it was made with.
        adopt: Whether a study and stages that other code made are used.
    """
    INTERRUPTS.check()  # a flow of Prefect has taken SIGTERM
    worker = new_worker()
    locks = workspace_locks(place)
    with locks.living(worker), locks.shared(open_lock(name)):
        with clock.part("data"):
            stages = _prepare(place, source, config, through_prefect, adopt)
        with clock.part("tracking"):
            search = open_search(
                place,
                name,
                config,
                stages["split"].facts["fingerprint"],
                code_parts(MEASURING, config.model),
                stored_request(
                    place, config.model_dump(mode="json"), source.plays, source.profiles
                ),
                sources,
                renews,
                adopt,
            )
            ids = stages["split"].folder / "validation"
            facts = _facts(stages)
            study = open_study(place, config, search, source.plays, facts, ids, worker)
        yield study, search, stages


@flow(name="work", flow_run_name="work on {study}")
def work_in_prefect(
    plays: Path,
    config: ExperimentConfig,
    workspace: Path,
    profiles: Path | None,
    study: str,
    sources: Sequence[str] = (),
    adopt: bool = False,
) -> int:
    """`work` as a flow of Prefect; returns how many trials are done."""
    place = environment.place(workspace)
    search, _ = work(plays, config, place, profiles, study, sources, True, adopt)
    return search.ended


def new_worker() -> str:
    """A new name."""
    return secrets.token_hex(8)


def new_study_name(config: ExperimentConfig) -> str:
    """A new name.

    Raises:
        InputError: the name of the configuration is too long for it.
    """
    if fault := name_fault(config.name):
        raise InputError(f"name = {shown(config.name)} in the configuration: {fault}")
    return f"{config.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _prepare(
    place: Workspace,
    source: DataFiles,
    config: ExperimentConfig,
    through_prefect: bool,
    adopt: bool,
) -> dict[str, StageEntry]:
    reading, narrowing, cutting = (
        (ingest, narrow, split) if through_prefect else (ingest.fn, narrow.fn, split.fn)
    )
    ingested = reading(place, source, config.data, adopt)
    filtered = narrowing(place, ingested, config.filter, config.seed, adopt)
    cut_up = cutting(place, filtered, config, adopt)
    return {"ingest": ingested, "filter": filtered, "split": cut_up}


def _facts(stages: Mapping[str, StageEntry]) -> dict[str, Mapping[str, Any]]:
    return {name: entry.facts for name, entry in stages.items()}


def _run(
    study: Study, search: Search, stages: Mapping[str, StageEntry], attempted: Attempt, clock: Clock
) -> Result:
    with joined(study, search):
        return _searched_and_judged(study, search, stages, attempted, clock)


def _searched_and_judged(
    study: Study, search: Search, stages: Mapping[str, StageEntry], attempted: Attempt, clock: Clock
) -> Result:
    folder = stages["split"].folder
    search_all(study, search, folder / "validation", attempted, clock)
    # Of two workers that come this far together, the second finds everything judged.
    with workspace_locks(study.workspace).exclusive(f"judge-{study.name}"):
        with clock.part("choose"):
            chosen = choose(study, search, folder / "validation")
        link = compare_url(study.workspace, study.experiment, [done.run for done in search.done])
        with clock.part("reporting"):
            show_leaderboard(study, chosen.ranked, link)
            draw_study(study, search)
        finals, compared = _finish(study, chosen, folder / "test", clock)
        with clock.part("compare"):
            exchange = compare_sides(study, folder, stages["split"].facts.get("sides"))
    with clock.part("reporting"):
        _report(study, search, stages, clock, chosen, compared, finals)
    clock.seconds["total"] = clock.total
    result = _result(study, search, stages, clock, chosen, compared, finals, link, exchange)
    for run in result.runs.values():
        Run.of(study.workspace, run).log({}, tags={NOTE: study_note(result)})
    return result


def _report(
    study: Study,
    search: Search,
    stages: Mapping[str, StageEntry],
    clock: Clock,
    chosen: SearchWinner,
    compared: Compared,
    finals: Mapping[str, Measured],
) -> None:
    """Put the figures on test beside the study, and its report."""
    rows = {row.metric: row for row in compared.comparison.rows}
    judged = {f"test/{name}": rows[name].b.mean for name in shown_metrics(study.config)}
    best = {"best_trial": str(chosen.winner.slot), "best_run": chosen.winner.run}
    parent = Run.of(study.workspace, study.parent)
    noted = parent.recorded()  # also by a command that this one repeats
    parent.log({n: v for n, v in judged.items() if noted.metric(n) != v}, tags=best)
    ids = {model: measured.run for model, measured in finals.items()}
    now = EndFacts.now({**clock.seconds, "total": clock.total}, ids, chosen.ranked)
    report_study(source_of(study, search, stages), study.experiment, now)


def _result(
    study: Study,
    search: Search,
    stages: Mapping[str, StageEntry],
    clock: Clock,
    chosen: SearchWinner,
    compared: Compared,
    finals: Mapping[str, Measured],
    link: str,
    exchange: Exchange | None,
) -> Result:
    done = search.done
    wider = _wider(study.config, chosen.winner.params)
    return Result(
        study=study.name,
        config=study.config,
        facts=_facts(stages),
        reused={name: entry.reused for name, entry in stages.items()},
        rejects=_rejects(stages["ingest"].folder / REJECTS, stages["ingest"].facts),
        test_rejects=_rejects(
            stages["split"].folder / TEST_REJECTS, stages["split"].facts["test_file"]
        ),
        profile_rejects=_rejects(
            stages["ingest"].folder / PROFILE_REJECTS, stages["ingest"].facts["profiles"]
        ),
        trials=tuple(done),
        pruned=tuple(search.pruned),
        failed=search.failed,
        space_size=search.size,
        best=chosen.winner,
        chosen=chosen,
        front=tuple(
            each
            for each, is_on in zip(done, on_front(done, study.config.objectives), strict=True)
            if is_on and study.config.study.also
        ),
        saved=Saved.of(search.finished),
        at_bound={name: edge for name, (edge, _) in wider.items()},
        wider={name: text for name, (_, text) in wider.items()},
        models=compared.models,
        comparison=compared.comparison,
        shown=compared.shown,
        exchange=exchange,
        runs={"study": study.parent, "final": finals[study.config.model].run},
        compare_url=link,
        seconds=clock.seconds,
    )


def _wider(config: ExperimentConfig, params: Point) -> dict[str, tuple[str, str]]:
    """Best parameters on an edge of their range: the edge in words, and a wider range."""
    edges = on_bounds(config.whole_space, params)
    found = {
        name: (edge, widened(config.whole_space[name], params[name], _takes(config, params, name)))
        for name, edge in edges.items()
    }
    return {name: (edge, text) for name, (edge, text) in found.items() if text is not None}


def _takes(config: ExperimentConfig, params: Point, name: str) -> Callable[[Value], bool]:
    """Whether the model takes a value of one parameter, the others being as they are."""

    def takes(value: Value) -> bool:
        try:
            make_config(config.model, {**params, name: value})
        except ValueError:
            return False
        return True

    return takes


def _rejects(path: Path, facts: Mapping[str, Any] | None) -> str | None:
    return str(path) if facts is not None and facts["rejected"] else None


def _finish(
    study: Study, chosen: SearchWinner, test: Path, clock: Clock
) -> tuple[dict[str, Measured], Compared]:
    """Refit the winner on train + validation, judge it and the baselines once on test."""
    models: list[ModelConfig] = [
        *(make_config(name, {}) for name in baselines() if name != study.config.model),
        make_config(study.config.model, chosen.winner.params),
    ]
    with study.scratch() as folder:
        with clock.part("final"):
            finals: dict[str, Measured] = {}
            for n, model in enumerate(models, 1):
                finals[model.kind] = run_final(study, test, model, folder / model.kind)
                report_progress("models judged on test", n, len(models))
        with clock.part("compare"):
            compared = compare(study, finals, folder)
        with clock.part("reporting"):
            show_comparison(study, compared.comparison)
    return finals, compared
