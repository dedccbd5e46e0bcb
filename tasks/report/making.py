"""Reports attached to runs of MLflow, and linked from Prefect."""

from pathlib import Path

from prefect import task
from prefect.artifacts import create_link_artifact
from prefect.cache_policies import NO_CACHE

from recsys.report import comparison_report, study_report
from tasks.report.comparison import comparison_tables
from tasks.report.facts import EndFacts
from tasks.report.study import StudySource, study_tables
from tasks.study.study import Study
from tasks.tracking.runs import Run, file_url
from tasks.workspace.layout import Workspace
from tasks.workspace.scratch import scratch

REPORT = "report.html"


@task(task_run_name="report", cache_policy=NO_CACHE)
def report_study(source: StudySource, experiment: str, facts: EndFacts) -> str:
    """Attach the report of a study that was just judged; the address of its page in MLflow.

    Args:
        source: The study.
        experiment: MLflow's id of its experiment.
        facts: What is known now and not later; attached first.
    """
    facts.save(Run.of(source.workspace, source.parent))
    html = study_report(study_tables(source))
    return attach(source.workspace, experiment, source.parent, html, source.search.name)


@task(task_run_name="report", cache_policy=NO_CACHE)
def report_comparison(workspace: Workspace, experiment: str, run: str, facts: EndFacts) -> str:
    """Attach the report of a comparison to its run; the address of its page in MLflow."""
    facts.save(Run.of(workspace, run))
    tables = comparison_tables(workspace, run)
    return attach(workspace, experiment, run, comparison_report(tables), tables.name)


def attach(workspace: Workspace, experiment: str, run: str, html: str, of: str) -> str:
    """Attach a report to a run and link it from Prefect; the address of its page in MLflow."""
    with scratch(workspace) as folder:
        write(html, folder / REPORT)
        Run.of(workspace, run).files(folder)
    link = file_url(workspace, experiment, run, REPORT)
    create_link_artifact(
        key="report",
        link=link,
        link_text=f"The report of {of}",
        description="Opens while `recsys ui` runs; `recsys report` writes it as a file.",
    )
    return link


def report_url(study: Study, run: str) -> str:
    """The address of the page of MLflow that shows the report of a run, such as of the study."""
    return file_url(study.workspace, study.experiment, run, REPORT)


def write(html: str, path: Path) -> None:
    """Write a report."""
    path.write_text(html, encoding="utf-8", newline="\n")
