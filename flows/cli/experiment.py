"""`recsys experiment`, and the rest of an experiment that is resumed."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from flows.auto_request import AutoRequest
from flows.cli.inputs import (
    NO_READING,
    NO_REQUEST,
    Adopt,
    ReadingOptions,
    RequestOptions,
    check_files,
)
from flows.cli.resuming import resumable
from flows.cli.session import (
    HERE,
    OUTPUT,
    STARTED,
    TYPED,
    WORKSPACE,
    Json,
    Place,
    console,
    prefect,
    progress,
    short,
)
from recsys.config import ExperimentConfig
from recsys.errors import InputError
from tasks.workspace.layout import Workspace

if TYPE_CHECKING:
    from flows.result import Result

All = Annotated[
    bool, Parameter(name="--all", group=OUTPUT, help="Show everything, not one screen.")
]


def experiment(
    *,
    study: Annotated[str | None, Parameter(metavar="NAME", validator=short)] = None,
    adopt: Adopt = False,
    as_json: Json = False,
    every: All = False,
    request: RequestOptions = NO_REQUEST,
    reading: ReadingOptions = NO_READING,
    place: Place = HERE,
) -> None:
    """Read, filter, split, search, judge, compare and track.

    Searches the parameters of one model on validation, and judges the winner once on test, beside
    a baseline. With --model auto, those of several models within one budget of trials.

    Example:
        recsys experiment --plays plays.tsv --trials 12
        recsys experiment --plays plays.tsv --model auto
        recsys experiment --model ease --set search.regularization=100,500

    Args:
        study: Continue this study, or give a new one its name.
    """
    request.check_paths()
    workspace = place.open(writes=True)
    several = request.searches_models
    config = request.several(reading) if several else request.experiment(reading)
    plays, profiles = request.files(workspace)
    if several:
        if every:
            raise InputError("--all: --model auto shows everything; leave it out")
        from flows.cli.auto import run_several

        top_items = request.top_items
        wanted = AutoRequest(plays, profiles, config, study or "", top_items, adopt)
        run_several(workspace, wanted, as_json, place)
        return
    ending = Ending(place, adopt, as_json, every, TYPED)
    run(workspace, plays, profiles, config, study, request.sources, ending)


@dataclass(frozen=True, slots=True)
class Ending:
    """How an experiment is run and shown.

    Attributes:
        place: Its workspace, and whether it is quiet.
        adopt: Whether studies and stages of other code are used.
        as_json: Whether JSON is printed.
        every: Whether everything is shown, and not what fits one screen.
        command: The words after `recsys` that run it again; none where they cannot.
    """

    place: Place
    adopt: bool
    as_json: bool
    every: bool
    command: Sequence[str] = ()


def run(
    workspace: Workspace,
    plays: Path,
    profiles: Path | None,
    config: ExperimentConfig,
    study: str | None,
    sources: Sequence[str],
    ending: Ending,
) -> None:
    """An experiment to its end, printed."""
    check_files(plays, profiles, config)
    with prefect(workspace) as ready, progress(ending.place):
        from flows.experiment import experiment, new_study_name

        name = study or new_study_name(config)
        with ready(), resumable(workspace, name):
            start = time.perf_counter() - STARTED
            result = experiment(
                plays, config, workspace.root, profiles, name, sources, ending.adopt
            )
    show_result(result, workspace, ending, start)


def show_result(result: "Result", workspace: Workspace, ending: Ending, start: float) -> None:
    """Print an experiment: JSON, or its tables; `start` is the seconds before it began."""
    seconds = {"start": start, **result.seconds}
    if ending.as_json:
        print(json.dumps({**result.as_json(), "seconds": seconds}, sort_keys=True))
        return
    from flows.cli import experiment_tables

    words = experiment_tables.place_words(workspace.root, WORKSPACE)
    experiment_tables.show(console(), result, ending.command, words, ending.every)
    if ending.every:
        console().print(experiment_tables.seconds_line(seconds), soft_wrap=True)
