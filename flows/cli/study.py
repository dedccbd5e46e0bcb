"""`recsys study`: list, show, resume, work, export, delete."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.cli.experiment import All, Ending, run
from flows.cli.inputs import (
    NO_READING,
    NO_REQUEST,
    Adopt,
    Number,
    ReadingOptions,
    RequestOptions,
    check_files,
)
from flows.cli.outside import check_open_files
from flows.cli.session import (
    HERE,
    Json,
    Place,
    again,
    console,
    has_prefect_server,
    progress,
    short,
    show,
)

Name = Annotated[str, Parameter(help="Name of the study.")]


def study_list(*, as_json: Json = False, place: Place = HERE) -> None:
    """List every study, with its best value.

    Example:
        recsys study list
    """
    workspace = place.open()
    from flows import studies
    from flows.cli import study_tables

    listed = studies.listed(workspace) if as_json else None
    show(listed, as_json, lambda: study_tables.list_table(workspace))


def study_show(name: Name, /, *, place: Place = HERE) -> None:
    """Show every trial of a study.

    Example:
        recsys study show default-20260101-120000-ab12
    """
    workspace = place.open()
    from flows.cli import study_tables

    console().print(study_tables.show_table(workspace, name))


def study_resume(
    name: Name,
    /,
    *,
    trials: Number = None,
    adopt: Adopt = False,
    as_json: Json = False,
    every: All = False,
    place: Place = HERE,
) -> None:
    """Resume an experiment with its stored settings, to its end.

    Example:
        recsys study resume mine --trials 40

    Args:
        trials: How many the study is to have now.
    """
    workspace = place.open(writes=True)
    from flows.cli.resuming import stored

    plays, profiles, config = stored(workspace, name, trials)
    run(workspace, plays, profiles, config, name, [], Ending(place, adopt, as_json, every))


def study_work(
    name: Annotated[str, Parameter(validator=short, help="Name of the study.")],
    /,
    *,
    adopt: Adopt = False,
    request: RequestOptions = NO_REQUEST,
    reading: ReadingOptions = NO_READING,
    place: Place = HERE,
) -> None:
    """Join the search of a study, beside other workers, until its trials are done.

    Start as many processes as you like, on as many machines as share --storage. The options are
    those of `experiment`, and are needed where the study does not exist yet. `experiment --study
    NAME` or `study resume NAME` then judges the winner on test.

    Example:
        recsys study work mine --plays plays.tsv --trials 40
    """
    check_open_files()
    request.check_paths()
    workspace = place.open(writes=True)
    from flows.cli.resuming import resumable, stored
    from flows.studies import standing
    from tasks.tuning import has_study

    if request.names_nothing and reading == NO_READING and has_study(workspace, name):
        plays, profiles, config = stored(workspace, name, request.trials)
    else:
        plays, profiles = request.files(workspace)
        config = request.experiment(reading)
    check_files(plays, profiles, config)
    from flows.experiment import work as search
    from flows.experiment import work_in_prefect

    with progress(place), resumable(workspace, name):
        if has_prefect_server():
            work_in_prefect(plays, config, workspace.root, profiles, name, request.sources, adopt)
        else:
            search(plays, config, workspace, profiles, name, request.sources, False, adopt)
    print(f"study {name}: {standing(workspace, name)}")
    print(f"{again(workspace, 'study', 'resume', name)} judges the winner on test")


def study_export(
    name: Name,
    file: Annotated[Path, Parameter(help=".parquet or .csv.")],
    /,
    *,
    place: Place = HERE,
) -> None:
    """Write the trials of a study as a table.

    Example:
        recsys study export mine trials.csv
    """
    workspace = place.open()
    from flows import studies

    n_trials = studies.export(workspace, name, file)
    print(f"{n_trials} trials of study {name}: {file}")


def study_delete(name: Name, /, *, place: Place = HERE) -> None:
    """Delete a study, its runs in MLflow and their files; this cannot be undone.

    Example:
        recsys study delete mine
    """
    workspace = place.open(writes=True)
    from flows import studies

    n_runs = studies.delete(workspace, name)
    print(f"study {name} is deleted, with {n_runs} MLflow runs and their files")
