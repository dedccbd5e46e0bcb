"""The main job: from a listening log to a tuned, tracked, compared recommender."""

import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow

from flows.result import Result
from recsys.config import AlsConfig, ExperimentConfig, ModelConfig, PopularityConfig
from recsys.space import on_bounds
from tasks.cache import Entry, code_version
from tasks.comparing import Compared, compare, show_comparison, show_leaderboard
from tasks.data import REJECTS, TEST_REJECTS, Plays, ingest, narrow, split
from tasks.locking import locked
from tasks.telling import tell
from tasks.tracking import Run, compare_url, end_run, end_unfinished
from tasks.training import Measured, Study, open_study, run_final, run_trial, start_trial
from tasks.tuning import Done, Search, Trial, open_search
from tasks.workspace import Workspace

GIVE_UP_AFTER = 3  # failures in a row: the next would fail too


class Clock:
    """Adds up seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block towards `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Count `seconds` towards `name`."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    @property
    def total(self) -> float:
        """Since it was made."""
        return time.perf_counter() - self._start


@flow(name="experiment", flow_run_name="experiment {config.name}")
def experiment(
    plays: Path,
    config: ExperimentConfig,
    workspace: Path = Path("mlruns"),
    profiles: Path | None = None,
    study: str | None = None,
) -> Result:
    """Read, filter, split, search, judge and compare; everything recorded.

    Args:
        plays: The log.
        config: What to do with it.
        workspace: Where state lives.
        profiles: Of the listeners.
        study: Name of the study, new or to go on with; by default a new one.

    Raises:
        InputError: the data or the configuration cannot be used.
    """
    place = Workspace.at(workspace)
    clock = Clock()
    with clock.part("data"):
        stages = _prepare(place, Plays(plays, profiles), config)
    name = study or new_study_name(config)
    busy = f"study {name!r} is being worked on by another process; wait, or choose another --study"
    with locked(place.lock(f"study-{name}"), busy):
        search = _open(place, name, config, stages)
        with clock.part("tracking"):
            ids = stages["split"].folder / "validation"
            shared = open_study(place, config, search, plays, _facts(stages), ids)
        return _run(shared, search, stages, clock)


def new_study_name(config: ExperimentConfig) -> str:
    """A name nobody has used."""
    return f"{config.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _prepare(place: Workspace, source: Plays, config: ExperimentConfig) -> dict[str, Entry]:
    ingested = ingest(place, source, config.data)
    filtered = narrow(place, ingested, config.filter, config.seed)
    return {"ingest": ingested, "filter": filtered, "split": split(place, filtered, config)}


def _facts(stages: Mapping[str, Entry]) -> dict[str, Mapping[str, Any]]:
    return {name: entry.facts for name, entry in stages.items()}


def _open(
    place: Workspace, name: str, config: ExperimentConfig, stages: Mapping[str, Entry]
) -> Search:
    """The study, with whatever a process that died left running closed on both sides."""
    made_from = {
        "split": stages["split"].facts["fingerprint"],
        "code": code_version(),
        "search": str(config.model_dump(mode="json")["search"]),
        "metric": config.study.metric,
        "sampler": config.study.sampler,
        "seed": str(config.seed),
    }
    search = open_search(place, name, config.space, config.study, config.seed, made_from)
    for run_id in search.reconcile():
        end_run(place, run_id, "KILLED", {"error": "its process died"})
    return search


def _run(study: Study, search: Search, stages: Mapping[str, Entry], clock: Clock) -> Result:
    parent = Run.of(study.workspace, study.parent)
    with parent.closing(), _ending_children(study):
        _search(study, search, stages["split"].folder / "validation", clock)
        best = search.best
        link = compare_url(study.experiment, [done.run for done in search.done])
        with clock.part("reporting"):
            show_leaderboard(study, search.done, link)
        finals, compared = _finish(study, search, stages["split"].folder / "test", clock)
        clock.seconds["total"] = clock.total
        parent.log({}, tags={"best_trial": str(best.slot), "best_run": best.run})
    return Result(
        study=study.name,
        config=study.config,
        facts=_facts(stages),
        reused={name: entry.reused for name, entry in stages.items()},
        rejects=_rejects(stages["ingest"].folder / REJECTS, stages["ingest"].facts),
        test_rejects=_rejects(
            stages["split"].folder / TEST_REJECTS, stages["split"].facts["test_file"]
        ),
        trials=tuple(search.done),
        failed=search.failed,
        best=best,
        at_bound=on_bounds(study.config.space, best.params),
        models=compared.models,
        comparison=compared.comparison,
        listeners=compared.listeners,
        runs={"study": study.parent, "final": finals["als"].run},
        compare_url=link,
        seconds=clock.seconds,
    )


@contextmanager
def _ending_children(study: Study) -> Iterator[None]:
    """Close what a run could not close itself: killed, or cut off before it had begun."""
    end_unfinished(study.workspace, study.experiment, study.parent, "its process died")
    try:
        yield
    finally:
        end_unfinished(study.workspace, study.experiment, study.parent, "interrupted")


def _rejects(path: Path, facts: Mapping[str, Any] | None) -> str | None:
    return str(path) if facts is not None and facts["rejected"] else None


def _search(study: Study, search: Search, validation: Path, clock: Clock) -> None:
    """Measure what is still to be measured, until all are, time is up or nothing works."""
    timeout = study.config.study.timeout
    start = time.monotonic()
    in_a_row = 0
    while in_a_row < GIVE_UP_AFTER:
        if timeout is not None and search.done and time.monotonic() - start > timeout:
            return
        with clock.part("optuna"):
            trial = search.ask()
        if trial is None:
            return
        measured = _try(study, search, trial, validation, clock)
        in_a_row = 0 if measured else in_a_row + 1
        _tell_best(search)


def _tell_best(search: Search) -> None:
    best = f", best {search.best.value:.4f}" if search.done else ""
    told = len(search.done) + len(search.failed)
    tell(f"trials{best}", told, search.wanted)


def _try(
    study: Study, search: Search, trial: Trial, validation: Path, clock: Clock
) -> Measured | None:
    """One trial: measured, or failed on both sides and None; an interrupt leaves it to repeat."""
    start = time.perf_counter()
    beaten = max((done.value for done in search.done), default=None)
    try:
        run = start_trial(study, trial)
        search.started(trial, run.id)
        state = run_trial(study, validation, trial, run, beaten, return_state=True)
        outcome = state.result(raise_on_failure=False)
    except BaseException:
        search.interrupt(trial)
        raise
    if not isinstance(outcome, Measured):
        search.fail(trial, f"{type(outcome).__name__}: {outcome}")
        return None
    previous = search.done
    search.tell(trial, outcome.summary[study.config.study.metric])
    if study.config.study.keep_factors == "best":
        _drop_beaten(study, search, previous)
    Run.of(study.workspace, study.parent).log(
        {f"best/{study.config.study.metric}": search.best.value}, step=trial.slot
    )
    clock.add("fit", outcome.fit_seconds)
    clock.add("judge", outcome.judge_seconds)
    spent = time.perf_counter() - start
    clock.add("trial overhead", spent - outcome.fit_seconds - outcome.judge_seconds)
    return outcome


def _drop_beaten(study: Study, search: Search, previous: Sequence[Done]) -> None:
    """Take back the factors of the trial that was the best until now."""
    if previous and search.best.slot not in {done.slot for done in previous}:
        beaten = max(previous, key=lambda done: (done.value, -done.slot))
        Run.of(study.workspace, beaten.run).drop("factors")


def _finish(
    study: Study, search: Search, test: Path, clock: Clock
) -> tuple[dict[str, Measured], Compared]:
    """Refit the winner on train + validation, judge it and the baselines once on test."""
    models: list[ModelConfig] = [
        PopularityConfig(kind="popularity-plays"),
        PopularityConfig(kind="popularity-listeners"),
        AlsConfig.model_validate(search.best.params),
    ]
    folder = study.workspace.final(study.name)
    shutil.rmtree(folder, ignore_errors=True)
    values = {done.slot: done.value for done in search.done}
    try:
        with clock.part("final"):
            finals: dict[str, Measured] = {}
            for n, model in enumerate(models, 1):
                finals[model.kind] = run_final(study, test, model, folder / model.kind)
                tell("models judged on test", n, len(models))
        with clock.part("compare"):
            slots = range(max(values, default=-1) + 1)
            compared = compare(study, finals, folder, [values.get(slot) for slot in slots])
        with clock.part("reporting"):
            show_comparison(study, compared.comparison)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return finals, compared
