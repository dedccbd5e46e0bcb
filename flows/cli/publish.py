"""`recsys publish`."""

import json
from typing import Annotated

from cyclopts import Parameter

from flows import environment
from flows.cli.session import (
    HERE,
    PUBLISHED,
    Json,
    Model,
    Place,
    PublishedOption,
    RunOption,
    between,
    prefect,
    progress,
)
from recsys.bounds import LIST
from recsys.errors import InputError
from tasks.orchestration.interfaces import MODEL
from tasks.serving.published import check_place


def publish(
    *,
    run: RunOption = None,
    version: Annotated[int | None, Parameter(metavar="N")] = None,
    k: Annotated[int | None, Parameter(metavar="N", validator=between(1, LIST))] = None,
    model_name: Model = MODEL,
    to: Annotated[PublishedOption, Parameter(help=PUBLISHED)] = None,
    again: bool = False,
    as_json: Json = False,
    place: Place = HERE,
) -> None:
    """Write the lists of all users and items where others read them.

    Readers see the old lists until all the new ones are there. What is published already stays.

    Example:
        recsys publish --to lists.parquet --k 50

    Args:
        version: Of the registered model, in place of --run.
        k: Longest list. Without it: as long as what is published, or 20.
        again: Replace even what is published already.
    """
    if run is not None and version is not None:
        raise InputError("--run and --version: give one of them")
    if to:
        environment.use_published(to)
    workspace = place.open(writes=True)
    check_place(environment.published(workspace))
    with prefect(workspace) as ready, progress(place):
        from flows.publish import publish as write

        with ready():
            result = write(workspace.root, run, version, k, again, model_name)
    print(json.dumps(result.as_json(), sort_keys=True) if as_json else "\n".join(result.lines()))
