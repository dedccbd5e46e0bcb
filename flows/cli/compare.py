"""`recsys compare`."""

import json
from typing import Annotated

from cyclopts import Parameter

from flows.cli.inputs import (
    NO_READING,
    NO_REQUEST,
    Adopt,
    ReadingOptions,
    RequestOptions,
    check_files,
)
from flows.cli.session import (
    HERE,
    TYPED,
    Json,
    Place,
    advice_on_failure,
    between,
    console,
    prefect,
    progress,
    short,
)
from flows.model_config import check_model, without_extras
from recsys.bounds import SEEDS


def compare(
    *,
    models: Annotated[str | None, Parameter(metavar="NAME,...")] = None,
    seeds: Annotated[int, Parameter(metavar="N", validator=between(1, SEEDS))] = 5,
    tune_once: bool = False,
    name: Annotated[str | None, Parameter(metavar="NAME", validator=short)] = None,
    adopt: Adopt = False,
    as_json: Json = False,
    request: RequestOptions = NO_REQUEST,
    reading: ReadingOptions = NO_READING,
    place: Place = HERE,
) -> None:
    """Tune many models alike, judge each once on test, over several splits.

    Every model is searched on validation with the same number of trials, for every split anew. The
    same command with the same --name resumes where it stopped.

    Example:
        recsys compare --models als,ease,item-knn --trials 12 --seeds 3

    Args:
        models: Which. Without it: all that need no extra installation.
        seeds: How many splits.
        tune_once: Tune on the first split; the others take its winners.
        name: Resume this comparison, or give a new one its name.
    """
    request.check_paths()
    workspace = place.open(writes=True)
    config = request.experiment(reading)
    which = tuple(models.split(",")) if models else without_extras(config.split)
    which = tuple(check_model(model, "--models") for model in which)
    plays, profiles = request.files(workspace)
    check_files(plays, profiles, config)
    with prefect(workspace) as ready, progress(place):
        from flows.compare import CompareRequest, new_name
        from flows.compare import compare as run

        called = name or new_name()
        comparison = CompareRequest(
            plays, profiles, config, which, seeds, tune_once, called, request.top_items, adopt
        )
        resume = f"the same command with --name {called} resumes it"
        with ready(), advice_on_failure(lambda: resume):
            result = run(comparison, workspace.root)
    if as_json:
        print(json.dumps(result.as_json(), sort_keys=True))
        return
    from flows.cli import compare_tables

    out = console()
    for part in (
        compare_tables.models_table,
        compare_tables.user_groups_tables,
        compare_tables.item_groups_table,
    ):
        out.print(part(result))
    for line in compare_tables.notes(result, TYPED):
        out.print(line, soft_wrap=True)
