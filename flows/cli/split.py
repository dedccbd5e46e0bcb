"""`recsys split export`."""

import json
from pathlib import Path
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
from flows.cli.session import HERE, Json, Place, console, progress


def split_export(
    folder: Annotated[Path, Parameter(help="Gets the files.")],
    /,
    *,
    adopt: Adopt = False,
    as_json: Json = False,
    request: RequestOptions = NO_REQUEST,
    reading: ReadingOptions = NO_READING,
    place: Place = HERE,
) -> None:
    """Write train, validation and test as Parquet files, as an experiment cuts them.

    The options are those of `experiment`: the same data, filter, split and seed give the same
    pairs. A row is a user, an item, its name and the plays.

    Example:
        recsys split export cut --plays plays.tsv --seed 1
    """
    request.check_paths()
    workspace = place.open(writes=True)
    config = request.experiment(reading)
    plays, profiles = request.files(workspace)
    check_files(plays, profiles, config)
    with progress(place):
        from flows.splitting import export
        from tasks.data.stages import DataFiles

        written = export(workspace, DataFiles(plays, profiles), config, folder, adopt)
    if as_json:
        sides = [
            {"file": str(w.file), "users": w.users, "items": w.items, "pairs": w.pairs}
            for w in written
        ]
        print(json.dumps({"split": config.split.model_dump(mode="json"), "sides": sides}))
        return
    for each in written:
        line = f"{each.pairs:,} pairs of {each.users:,} users and {each.items:,} items"
        console().print(f"{each.file}: {line}", soft_wrap=True)
