"""The report of a study or a comparison: found by name, made, written."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from recsys.config import ExperimentConfig
from recsys.errors import InputError
from recsys.report import comparison_report, study_report
from tasks.data.stages import DataFiles, ingest, narrow, split
from tasks.progress import report_progress
from tasks.report.comparison import comparison_tables
from tasks.report.study import StudySource, study_tables
from tasks.study.study import Study
from tasks.tracking.queries import find_comparison, read_run, read_runs
from tasks.tuning import Search, find_search, has_study, stored_request
from tasks.workspace.cache import StageEntry
from tasks.workspace.layout import Workspace, data_set_name

USUAL = Path("mlruns")  # the workspace that commands use by themselves


def report_of(workspace: Workspace, name: str) -> str:
    """The report of a study by its name, or by the id of any of its runs.

    Raises:
        InputError: there is no such study, run or comparison, or it was not judged on test.
    """
    if has_study(workspace, name):
        return study_report(study_tables(_stored_source(workspace, name)))
    if (comparison := find_comparison(workspace, name)) is not None:
        return comparison_report(comparison_tables(workspace, comparison))
    tags = next((run.tags for run in read_runs(workspace, [name]).values()), {})
    if tags.get("stage") == "compare":
        return comparison_report(comparison_tables(workspace, name))
    study = tags.get("study")
    if study is None or not has_study(workspace, study):
        raise InputError(
            f"{name!r} is no study, nor a run of one, nor a comparison; `recsys study list` "
            "lists the studies"
        )
    return study_report(study_tables(_stored_source(workspace, study)))


def source_of(study: Study, search: Search, stages: Mapping[str, StageEntry]) -> StudySource:
    """Where the report of a study comes from that was just judged."""
    files = _files(study.workspace, search.name)
    return _source(study.workspace, search, study.config, study.parent, files, stages)


def _stored_source(workspace: Workspace, name: str) -> StudySource:
    search, config = find_search(workspace, name)
    parent = search.recall("parent")
    if parent is None:
        raise InputError(
            f"study {name} has no run in MLflow yet; `recsys study resume {name}` finishes it"
        )
    files = _files(workspace, name)
    stages = _stages(workspace, files, config, read_run(workspace, parent).tags)
    return _source(workspace, search, config, parent, files, stages)


def _files(workspace: Workspace, name: str) -> DataFiles:
    request = stored_request(workspace, name)
    profiles = request["profiles"]
    return DataFiles(Path(request["plays"]), None if profiles is None else Path(profiles))


def _source(
    workspace: Workspace,
    search: Search,
    config: ExperimentConfig,
    parent: str,
    files: DataFiles,
    stages: Mapping[str, StageEntry] | None,
) -> StudySource:
    commands = {
        f"Anew, with the settings below as {search.name}.toml": command(
            workspace,
            *("experiment", "--plays", str(files.plays)),
            *(() if files.profiles is None else ("--profiles", str(files.profiles))),
            *("--config", f"{search.name}.toml"),
        ),
        "The same study, from where it is": command(workspace, "study", "resume", search.name),
    }
    plays = data_set_name(files.plays.resolve())
    return StudySource(workspace, search, config, parent, plays, stages, commands)


def _stages(
    workspace: Workspace, files: DataFiles, config: ExperimentConfig, tags: Mapping[str, str]
) -> dict[str, StageEntry] | None:
    """The data of a study, from the cache or made again; None where it is not what it was."""
    try:
        ingested = ingest.fn(workspace, files, config.data, True)
        filtered = narrow.fn(workspace, ingested, config.filter, config.seed, True)
        cut = split.fn(workspace, filtered, config, True)
    except (InputError, OSError) as error:
        report_progress(f"without its data ({error})", 0, None)
        return None
    if cut.facts["fingerprint"] != tags.get("split"):
        report_progress(f"without its data: {files.plays} has changed", 0, None)
        return None
    return {"ingest": ingested, "filter": filtered, "split": cut}


def command(workspace: Workspace, *words: str) -> str:
    """A command on a workspace, as it is to be typed."""
    usual = workspace.root == USUAL.resolve()
    return shlex.join(["recsys", *words, *([] if usual else ["--workspace", str(workspace.root)])])
