"""`recsys bench`."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.cli.inputs import SEARCH, Adopt
from flows.cli.session import (
    HERE,
    Count,
    Json,
    Place,
    advice_on_failure,
    at_least,
    console,
    prefect,
    progress,
    short,
)
from flows.model_config import check_model
from recsys.errors import InputError
from recsys.settings import hint

NAMES = "ml-20m, msd, gowalla, yelp2018, amazon-book, lastfm-360k, movielens-100k or yambda-50m."
TRIALS = 12
POPULARITY = ("popularity-users", "popularity-plays")
"""The first that is not named takes part where one model is: a comparison needs two."""


def bench(
    protocol: Annotated[str, Parameter(name="NAME", help=NAMES)],
    /,
    *,
    data: Annotated[Path, Parameter(metavar="PATH")],
    models: Annotated[str | None, Parameter(metavar="NAME,...", group=SEARCH)] = None,
    trials: Annotated[Count, Parameter(group=SEARCH)] = TRIALS,
    seed: Annotated[int, Parameter(metavar="N", validator=at_least(0), group=SEARCH)] = 0,
    name: Annotated[str | None, Parameter(metavar="NAME", validator=short)] = None,
    adopt: Adopt = False,
    as_json: Json = False,
    place: Place = HERE,
) -> None:
    """Run a published protocol: our rows with intervals beside the published rows.

    Models are tuned on validation with the same number of trials and judged once on test. What was
    read is counted beside what is published. The same command with the same --name resumes.

    Example:
        recsys bench gowalla --data data/gowalla --models rp3beta,gf-cf

    Args:
        data: The folder of the published files, or the file where there is one.
        models: Which; popularity joins a single one. Without it: cheap ones.
        trials: Of each model.
        seed: Of the search, and of what the protocol leaves to a draw.
        name: Resume this run, or give a new one its name.
    """
    from recsys.protocols import PROTOCOLS

    if protocol not in PROTOCOLS:
        raise InputError(
            f"bench {protocol}: no such protocol{hint(protocol, PROTOCOLS)}; there are "
            f"{', '.join(PROTOCOLS)}"
        )
    chosen = PROTOCOLS[protocol]
    which = models_of(models, chosen.models)
    chosen.found(data)
    workspace = place.open(writes=True)
    with prefect(workspace) as ready, progress(place):
        from flows.bench import BenchRequest, new_name
        from flows.bench import bench as run

        called = name or new_name(protocol)
        request = BenchRequest(chosen, data, which, trials, seed, called, adopt=adopt)
        resume = f"the same command with --name {called} resumes it"
        with ready(), advice_on_failure(lambda: resume):
            result = run(request, workspace.root)
    if as_json:
        print(json.dumps(result.as_json(), sort_keys=True))
        return
    from flows.cli import bench_tables

    out = console()
    for part in (bench_tables.counts_table, bench_tables.rows_table):
        out.print(part(result))
    for line in bench_tables.notes(result):
        out.print(line, soft_wrap=True)


def models_of(typed: str | None, usual: tuple[str, ...]) -> tuple[str, ...]:
    """The models of --models, each once; a single one is joined by popularity.

    Raises:
        InputError: there is no such model.
    """
    names = tuple(typed.split(",")) if typed else usual
    names = tuple(dict.fromkeys(check_model(name, "--models") for name in names))
    if len(names) > 1:
        return names
    return (*names, next(each for each in POPULARITY if each not in names))
