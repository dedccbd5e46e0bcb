"""`recsys experiment --model auto`."""

import json
from dataclasses import replace

from flows.auto_request import AutoRequest
from flows.cli.inputs import check_files
from flows.cli.session import WORKSPACE, Place, advice_on_failure, console, prefect, progress
from tasks.workspace.layout import Workspace


def run_several(workspace: Workspace, request: AutoRequest, as_json: bool, place: Place) -> None:
    """A search over several models to its end, printed."""
    check_files(request.plays, request.profiles, request.config)
    with prefect(workspace) as ready, progress(place):
        from flows.auto import auto, new_name

        request = replace(request, name=request.name or new_name())
        resume = f"the same command with --study {request.name} resumes it"
        with ready(), advice_on_failure(lambda: resume):
            result = auto(request, workspace.root)
    if as_json:
        print(json.dumps(result.as_json(), sort_keys=True))
        return
    from flows.cli import auto_tables, experiment_tables

    out = console()
    for part in auto_tables.parts(result):
        out.print(part)
    words = experiment_tables.place_words(workspace.root, WORKSPACE)
    for line in auto_tables.lines(result, words):
        out.print(line, soft_wrap=True)
