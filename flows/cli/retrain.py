"""`recsys retrain`."""

import json
from dataclasses import asdict
from typing import Annotated

from cyclopts import Group, Parameter

from flows import environment
from flows.cli.inputs import NO_READING, NO_REQUEST, ReadingOptions, RequestOptions
from flows.cli.session import (
    HERE,
    PUBLISHED,
    Json,
    Model,
    Place,
    PublishedOption,
    advice_on_failure,
    prefect,
    progress,
    share,
)
from flows.retrain_request import RetrainRequest, limits
from recsys.data.drift import Limits
from recsys.errors import InputError
from recsys.evaluation.gate import Gate, Rule
from tasks.orchestration.interfaces import MODEL

TRIALS = 12  # the search begins where the last one ended
GATE = Gate()
DATABASE = (
    "Where --query runs: sqlite:///FILE or postgresql://...; also from RECSYS_DATABASE, where a "
    "password is safer."
)
DRIFT = (
    "By how much new plays may differ from the last: "
    + ", ".join(f"{name} ({value:g})" for name, value in asdict(Limits()).items())
    + ". shrink and grow are in times. May be repeated."
)
_GATE, _PLAYS = Group("Gate", sort_key=4), Group("Data", sort_key=1)
_PUBLISHING = Group("Publishing", sort_key=5)
ShareOption = Annotated[float, Parameter(group=_GATE, metavar="SHARE", validator=share)]


def retrain(
    *,
    query: Annotated[str | None, Parameter(group=_PLAYS, metavar="SQL")] = None,
    database: Annotated[str | None, Parameter(group=_PLAYS, metavar="URL", help=DATABASE)] = None,
    gate: Annotated[Rule, Parameter(group=_GATE)] = GATE.rule,
    margin: ShareOption = GATE.margin,
    coverage: ShareOption = GATE.coverage,
    drift: Annotated[tuple[str, ...], Parameter(group=_GATE, metavar="NAME=X", help=DRIFT)] = (),
    accept_drift: Annotated[bool, Parameter(group=_GATE)] = False,
    model_name: Model = MODEL,
    publish: Annotated[bool | None, Parameter(group=_PUBLISHING, negative="--no-publish")] = None,
    to: Annotated[PublishedOption, Parameter(group=_PUBLISHING, help=PUBLISHED)] = None,
    as_json: Json = False,
    request: RequestOptions = NO_REQUEST,
    reading: ReadingOptions = NO_READING,
    place: Place = HERE,
) -> None:
    """Train a challenger on new plays; it serves if it passes the gate.

    --plays is a file, or a folder whose files, by name, are one log. The search begins at the
    champion's parameters; --trials 0 fits them again without a search. The same command resumes
    after an interruption, and on plays that were retrained before changes nothing.

    Example:
        recsys retrain --plays logs/ --gate better
        recsys retrain --query "select user, item, plays from log" --trials 0

    Args:
        query: Plays from a database: select user, item, plays ...
        gate: What the challenger has to show to serve.
        margin: Share of the champion's value that may be lost.
        coverage: Share of the champion's coverage that has to be kept.
        accept_drift: Continue where the plays differ by more.
        publish: The lists of a new champion. Without it: only those of the default --name.
    """
    request.check_paths()
    allowed = limits(drift)
    if to:
        environment.use_published(to)
    if database:
        if query is None:
            raise InputError("--database without --query: add the SQL that selects the plays")
        environment.use_database(database)
    from recsys.sources import check_file

    workspace = place.open(writes=True)
    refit, follows = request.trials == 0, request.model is None
    plays, profiles = request.plays, request.profiles
    if query is None:
        plays, profiles = request.files(workspace)
    retraining = RetrainRequest(
        plays,
        profiles,
        request.with_trials(1 if refit else request.trials or TRIALS).experiment(reading),
        Gate(gate, margin, coverage),
        allowed,
        accept_drift=accept_drift,
        refit=refit,
        follows=follows,
        name=model_name,
        sources=request.sources,
        query=query,
        publish=publish,
    )
    retraining.check()
    for path in (plays, profiles):
        if path is not None and not path.is_dir():
            check_file(path)
    resume = advice_on_failure(lambda: "the same command resumes it")
    with prefect(workspace) as ready, progress(place), resume:
        from flows.retrain import retrain as run

        with ready():
            result = run(retraining, workspace.root)
    print(json.dumps(result.as_json(), sort_keys=True) if as_json else "\n".join(result.lines()))
