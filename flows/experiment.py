"""The main job: from a listening log to a tuned, tracked, compared recommender."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow

from flows import environment
from flows.alerting import ALERTS
from flows.clock import Clock
from flows.judging import facts_of, searched_and_judged
from flows.model_config import check_answers
from flows.notes import data_line
from flows.result import Result
from flows.searching import check_not_given_up, joined, search_all, with_prefect
from recsys.bounds import name_fault, shown
from recsys.config import ExperimentConfig
from recsys.errors import InputError
from recsys.search.repeats import options_of, without_repeats
from tasks.data.stages import (
    DataFiles,
    ingest,
    narrow,
    split,
)
from tasks.interrupts import INTERRUPTS
from tasks.orchestration.naming import name_run
from tasks.orchestration.telling import tell
from tasks.progress import report_result
from tasks.study.attempt import attempt
from tasks.study.study import Study, not_left_running, open_study
from tasks.tuning import Search, find_search, has_study, open_lock, open_search
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
        plays: The log of plays: a file, or a folder of files.
        config: What to do with it.
        workspace: The folder that holds studies, runs and models.
        profiles: A file with age, gender and country of the users.
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
    name_run(f"experiment {name}")
    with opened(place, source, config, name, sources, clock, adopt=adopt) as parts:
        shared, search, stages = parts
        tell(data_line(facts_of(stages)))
        with joined(shared, search):
            return searched_and_judged(shared, search, stages, with_prefect, clock)


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
    check_answers(config, source.profiles is not None)
    worker = new_worker()
    locks = workspace_locks(place)
    with locks.living(worker), locks.shared(open_lock(name)):
        with clock.part("data"):
            stages = prepared(place, source, config, through_prefect, adopt)
        config = _searched(place, name, config, stages["split"].facts)
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
        with not_left_running(place, search, worker):
            with clock.part("tracking"):
                ids = stages["split"].folder / "validation"
                facts = facts_of(stages)
                study = open_study(place, config, search, source.plays, facts, ids, worker)
            yield study, search, stages


def _searched(
    place: Workspace, name: str, config: ExperimentConfig, facts: Mapping[str, Any]
) -> ExperimentConfig:
    """The search that suits the data; that of a study that exists stays as it is."""
    shorter = without_repeats(config) if facts.get("equal_plays") else config
    if shorter is config:
        return config
    if has_study(place, name) and find_search(place, name)[1].search == config.search:
        return config
    options = ", ".join(options_of(config))
    kept = ", ".join(options_of(shorter))
    report_result(f"note: all plays are equal, so of the weightings {options} it tries {kept}")
    return shorter


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


def prepared(
    place: Workspace,
    source: DataFiles,
    config: ExperimentConfig,
    through_prefect: bool,
    adopt: bool,
) -> dict[str, StageEntry]:
    """The data stages, by name, made or from the cache; the arguments are those of `opened`."""
    reading, narrowing, cutting = (
        (ingest, narrow, split) if through_prefect else (ingest.fn, narrow.fn, split.fn)
    )
    ingested = reading(place, source, config.data, adopt)
    filtered = narrowing(place, ingested, config.filter, config.seed, adopt)
    cut_up = cutting(place, filtered, config, adopt)
    return {"ingest": ingested, "filter": filtered, "split": cut_up}
