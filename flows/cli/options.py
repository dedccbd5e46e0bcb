"""What can be written on the command line."""

import argparse
from pathlib import Path
from typing import Any

from tasks.orchestration.interfaces import (
    HOST,
    MLFLOW_PORT,
    MODEL,
    OPTUNA_PORT,
    PREFECT_PORT,
    UNUSED_DAYS,
)

WORKSPACE = Path("mlruns")
DEPLOYMENTS = Path("prefect.yaml")
_PUBLISHED = (
    "PATH.parquet, a folder, sqlite:///FILE or postgresql://..., also from RECSYS_PUBLISHED, where "
    "a password is safer (default: WORKSPACE/published.db, SQLite)"
)


def parser() -> argparse.ArgumentParser:
    """Of all commands; `run` in what it parses names the one that was given."""
    made = argparse.ArgumentParser(
        prog="recsys",
        description="From a listening log to a tuned, tracked, compared recommender.",
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add_to in (_add_sample, _add_experiment, _add_compare, _add_inspect, _add_fetch, _add_ui):
        _add_place(add_to(commands))
    for add_to in (_add_recommend, _add_similar, _add_explain):
        _add_place(add_to(commands))
    for add_to in (_add_register, _add_promote, _add_rollback, _add_models, _add_retrain):
        _add_place(add_to(commands))
    for add_to in (_add_publish, _add_lookup, _add_clean):
        _add_place(add_to(commands))
    _add_place(_add_serve_flows(commands))
    study = commands.add_parser("study", help="work on, look at, export and delete studies")
    actions = study.add_subparsers(dest="action", required=True, metavar="ACTION")
    for add_action in (_add_list, _add_show, _add_resume, _add_work, _add_export, _add_delete):
        _add_place(add_action(actions))
    return made


def _add_place(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--workspace",
        type=Path,
        default=WORKSPACE,
        metavar="DIR",
        help=f"where all state lives (default: {WORKSPACE})",
    )
    command.add_argument("--quiet", action="store_true", help="show no progress")
    command.add_argument(
        "--storage",
        metavar="URL",
        help="postgresql://... that holds the studies, also from RECSYS_STORAGE, where its "
        "password is safer (default: a journal in the workspace)",
    )


def _add_sample(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "sample", help="write invented plays and profiles in the Last.fm 360K format"
    )
    add.add_argument("dir", type=Path, nargs="?", metavar="DIR", help="default: WORKSPACE/sample")
    add.add_argument("--users", type=int, default=5000, metavar="N")
    add.add_argument("--artists", type=int, default=3000, metavar="N")
    add.add_argument("--seed", type=int, default=0, metavar="S")
    add.set_defaults(run="sample")
    return add


def _add_reading(add: argparse.ArgumentParser) -> None:
    add.add_argument("--format", metavar="NAME", help="default: found from the first lines")
    add.add_argument(
        "--columns",
        metavar="WHICH",
        help="user=uid,item=track,plays=n,time=ts by name, or "
        "user=0,item=1 by position (the file has no header)",
    )
    add.add_argument("--item-key", metavar="KEY", help="mbid, name or mbid-else-name")
    add.add_argument("--strict", action="store_true", help="the first bad row ends it")


def _add_experiment(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "experiment", help="read, filter, split, search, judge, compare, track"
    )
    _add_asking(add)
    add.add_argument("--study", metavar="NAME", help="go on with a study, or name a new one")
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    add.add_argument("--all", action="store_true", help="show everything, not one screen")
    add.set_defaults(run="experiment")
    return add


def _add_compare(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "compare",
        help="tune many models alike, judge each once on test, over several splits",
        description="Every model is searched on validation with the same number of trials, for "
        "every split anew. The same command with the same --name goes on where it stopped.",
    )
    _add_asking(add)
    add.add_argument(
        "--models", metavar="NAME,...", help="default: all that need no extra installation"
    )
    add.add_argument("--seeds", type=int, default=5, metavar="N", help="splits (default: 5)")
    add.add_argument(
        "--tune-once", action="store_true", help="tune on the first split; others take the winners"
    )
    add.add_argument("--name", metavar="NAME", help="go on with a comparison, or name a new one")
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    add.set_defaults(run="compare")
    return add


def _add_asking(add: argparse.ArgumentParser) -> None:
    """What is to be done with what; `study work` takes it too."""
    add.add_argument(
        "--plays", type=Path, metavar="FILE", help="default: what `recsys sample` wrote"
    )
    add.add_argument("--profiles", type=Path, metavar="FILE", help="of the listeners")
    add.add_argument("--test", type=Path, metavar="FILE", help="a published test side")
    add.add_argument("--config", metavar="NAME", help="default (without it), paper, or a TOML file")
    add.add_argument("--model", metavar="NAME", help="whose parameters are searched (default: als)")
    add.add_argument(
        "--top-items", type=int, metavar="N", help="ease learns and shows only so many artists"
    )
    add.add_argument("--trials", type=int, metavar="N", help="how many the study is to have")
    add.add_argument("--timeout", type=float, metavar="S", help="no trial starts after S seconds")
    add.add_argument("--seed", type=int, metavar="N")
    _add_searching(add)
    _add_reading(add)


def _add_searching(add: argparse.ArgumentParser) -> None:
    add.add_argument("--keep-factors", metavar="WHICH", help="all, best or none")
    add.add_argument(
        "--validation-users",
        type=int,
        metavar="N",
        help="judge trials on a sample of N users, the best few again on all",
    )
    add.add_argument("--prefer", metavar="WHICH", help="best, or cheapest of those tied with it")
    add.add_argument(
        "--fresh", action="store_true", help="train also what was measured before, by any study"
    )
    add.add_argument(
        "--from",
        dest="sources",
        action="append",
        default=[],
        metavar="NAME",
        help="begin a new study with the best points of this one; may be repeated",
    )
    add.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="search.factors=16,32"
    )


def _add_serve_flows(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "serve-flows",
        help="run what is scheduled or asked for in Prefect, from one process without a work pool",
        description="Deploys what prefect.yaml lists into the server at PREFECT_API_URL and runs "
        "it there, one at a time, until interrupted. Its schedules pause when it ends.",
    )
    add.add_argument(
        "--file",
        type=Path,
        default=DEPLOYMENTS,
        metavar="FILE",
        help=f"what to deploy; paths in it begin where you are (default: {DEPLOYMENTS})",
    )
    add.set_defaults(run="serve-flows")
    return add


def _add_list(actions: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = actions.add_parser("list", help="every study, with its best")
    add.add_argument("--json", action="store_true", help="print one JSON array and nothing else")
    add.set_defaults(run="study_list")
    return add


def _add_show(actions: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = actions.add_parser("show", help="every trial of a study")
    add.add_argument("name", metavar="NAME")
    add.set_defaults(run="study_show")
    return add


def _add_resume(actions: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = actions.add_parser(
        "resume", help="go on with an experiment as it was asked for, to its end"
    )
    add.add_argument("name", metavar="NAME")
    add.add_argument("--trials", type=int, metavar="N", help="how many it is to have now")
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    add.add_argument("--all", action="store_true", help="show everything, not one screen")
    add.set_defaults(run="study_resume")
    return add


def _add_work(actions: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = actions.add_parser(
        "work",
        help="join the search of a study, beside other workers, until its trials are done",
        description="Measures trials of a study until all are done; as many processes as you "
        "like, on as many machines as share --storage. The options are those of `experiment`, and "
        "are needed where the study does not exist yet; `experiment --study NAME` or `study "
        "resume NAME` then judges the winner.",
    )
    add.add_argument("study", metavar="NAME")
    _add_asking(add)
    add.set_defaults(run="study_work")
    return add


def _add_export(actions: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = actions.add_parser(
        "export", help="the trials of a study as a table, .parquet or .csv by the file's name"
    )
    add.add_argument("name", metavar="NAME")
    add.add_argument("file", type=Path, metavar="FILE")
    add.set_defaults(run="study_export")
    return add


def _add_delete(actions: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = actions.add_parser(
        "delete", help="a study, its runs in MLflow and their files; it cannot be undone"
    )
    add.add_argument("name", metavar="NAME")
    add.set_defaults(run="study_delete")
    return add


def _add_inspect(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "inspect", help="numbers and distribution plots of a log"
    )
    add.add_argument("file", type=Path, metavar="FILE")
    add.add_argument("--profiles", type=Path, metavar="FILE", help="of the listeners")
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    _add_reading(add)
    add.set_defaults(run="inspect")
    return add


def _add_clean(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "clean",
        help="make room: remove what can be made again and nobody has used for long",
        description="Prepared data, plays that a retraining put together unless their model "
        "serves, and what killed processes left. Runs, studies, models and what is published stay.",
    )
    add.add_argument(
        "--days",
        type=float,
        default=UNUSED_DAYS,
        metavar="D",
        help=f"unused for D days (default: {UNUSED_DAYS})",
    )
    add.add_argument("--dry-run", action="store_true", help="only say how much it would be")
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    add.set_defaults(run="clean")
    return add


def _add_fetch(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "fetch", help="download a public data set; the same command resumes"
    )
    add.add_argument("dataset", metavar="NAME", help="lastfm-360k")
    add.add_argument("dir", type=Path, metavar="DIR")
    add.add_argument("--url", help="another place to get the same archive from")
    add.set_defaults(run="fetch")
    return add


def _add_ui(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser("ui", help="open MLflow, or Prefect")
    which = add.add_mutually_exclusive_group()
    which.add_argument("--prefect", action="store_true", help="Prefect instead of MLflow")
    which.add_argument("--optuna", action="store_true", help="Optuna's dashboard of the studies")
    add.add_argument("--host", default=HOST)
    add.add_argument(
        "--port",
        type=int,
        help=f"default: {MLFLOW_PORT}, Prefect {PREFECT_PORT}, Optuna {OPTUNA_PORT}",
    )
    add.set_defaults(run="ui")
    return add


def _add_recommend(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "recommend",
        help="what somebody should play next",
        description="For a listener of the data, for a history the model has not met, or for "
        "somebody of whom only the profile is known, or nothing.",
    )
    _add_listener(add)
    add.add_argument("--country", metavar="NAME", help="of a listener who is not in the data")
    add.add_argument("--age", type=float, metavar="YEARS")
    add.add_argument("--gender", metavar="WHICH", help="as in the data: m or f")
    add.add_argument(
        "--include-heard", action="store_true", help="rank what was heard among the rest"
    )
    _add_answer(add)
    add.set_defaults(run="recommend")
    return add


def _add_similar(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser("similar", help="artists like one")
    add.add_argument("artist", metavar="ARTIST", help="name or id")
    _add_answer(add)
    add.set_defaults(run="similar")
    return add


def _add_explain(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "explain",
        help="which artists of a history carry a recommendation",
        description="The score is a sum over the history: what each artist adds to it. For ALS "
        "it is the score of the listener solved exactly, which `recommend` ranks by.",
    )
    _add_listener(add)
    add.add_argument("--artist", required=True, metavar="ARTIST", help="name or id")
    _add_answer(add, ranked=False)
    add.set_defaults(run="explain")
    return add


def _add_listener(add: argparse.ArgumentParser) -> None:
    add.add_argument("--user", metavar="ID", help="a listener of the data")
    add.add_argument(
        "--artists",
        metavar="LIST",
        help='a history: names or ids with plays, 1 by default: "radiohead, muse:3"',
    )


def _add_answer(add: argparse.ArgumentParser, ranked: bool = True) -> None:
    add.add_argument(
        "--run",
        dest="of_run",
        metavar="ID",
        help="MLflow run of a final model, a trial or a study (default: the champion, or else the "
        "last final model that is no baseline)",
    )
    if ranked:
        add.add_argument("--k", type=int, default=10, metavar="N", help="how many (default: 10)")
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _add_register(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "register",
        help="put a final model into MLflow's registry, fitted on all its data",
        description="What is registered can be served anywhere by MLflow. The same model, of the "
        "same run, data and code, is the same version.",
    )
    add.add_argument(
        "--run",
        dest="of_run",
        metavar="ID",
        help="MLflow run of a final model or a study (default: the last final model that is no "
        "baseline)",
    )
    _add_name(add)
    add.set_defaults(run="register")
    return add


def _add_promote(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "promote",
        help="let a model serve: it becomes the champion, the champion the previous one",
        description="`recsys recommend` asks the champion.",
    )
    add.add_argument(
        "which",
        metavar="RUN|VERSION",
        help="a version, or the run of a model, which is registered if it is not",
    )
    _add_name(add)
    add.set_defaults(run="promote")
    return add


def _add_rollback(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "rollback", help="let the previous champion serve again; once more takes it back"
    )
    _add_name(add)
    add.set_defaults(run="rollback")
    return add


def _add_models(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "models", help="every version of the registered model, and which one serves"
    )
    _add_name(add)
    add.add_argument("--json", action="store_true", help="print one JSON array and nothing else")
    add.set_defaults(run="models")
    return add


def _add_retrain(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "retrain",
        help="from new plays to a challenger, which serves if it passes the gate",
        description="--plays is a file, or a folder whose files, by name, are one log. The search "
        "begins at the champion's parameters. The same command goes on after an interruption, and "
        "on plays that were retrained before changes nothing.",
    )
    _add_asking(add)
    add.add_argument(
        "--query", metavar="SQL", help="plays from a database: select user, artist, plays ..."
    )
    add.add_argument(
        "--database",
        metavar="URL",
        help="that --query asks: sqlite:///FILE or postgresql://..., also from RECSYS_DATABASE, "
        "where a password is safer",
    )
    add.add_argument(
        "--gate",
        default="not-worse",
        metavar="WHICH",
        help="always, better, not-worse (default) or never lets the challenger serve",
    )
    add.add_argument(
        "--margin",
        type=float,
        default=0.01,
        metavar="X",
        help="share of the champion's value that may be lost (default: 0.01)",
    )
    add.add_argument(
        "--coverage",
        type=float,
        default=0.8,
        metavar="X",
        help="share of the champion's coverage that has to be kept (default: 0.8)",
    )
    add.add_argument(
        "--drift",
        action="append",
        default=[],
        metavar="NAME=X",
        help="what new plays may differ by from the last: shrink (0.5) and grow (3), in times; "
        "rejects (0.05) and shift (0.1); may be repeated",
    )
    add.add_argument(
        "--accept-drift", action="store_true", help="go on where the plays are not as they were"
    )
    _add_name(add)
    add.add_argument(
        "--publish",
        action=argparse.BooleanOptionalAction,
        help=f"the lists of a new champion (default: those of {MODEL}, and of no other --name)",
    )
    add.add_argument("--to", dest="published", metavar="PLACE", help=_PUBLISHED)
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    add.set_defaults(run="retrain")
    return add


def _add_name(add: argparse.ArgumentParser) -> None:
    add.add_argument(
        "--name",
        default=MODEL,
        metavar="NAME",
        help=f"of the registered model (default: {MODEL}, which `recsys recommend` asks)",
    )


def _add_publish(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "publish",
        help="write the lists of all listeners and artists where others read them",
        description="Readers see the old lists until all the new ones are there. What is published "
        "already stays as it is.",
    )
    which = add.add_mutually_exclusive_group()
    which.add_argument(
        "--run",
        dest="of_run",
        metavar="ID",
        help="MLflow run of a final model, a trial or a study (default: the champion, or else the "
        "last final model that is no baseline)",
    )
    which.add_argument(
        "--version", dest="of_version", type=int, metavar="V", help="of the registered model"
    )
    add.add_argument(
        "--k", type=int, metavar="N", help="how many (default: as many as are published, or 20)"
    )
    _add_name(add)
    add.add_argument("--to", dest="published", metavar="PLACE", help=_PUBLISHED)
    add.add_argument("--again", action="store_true", help="even what is published already")
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    add.set_defaults(run="publish")
    return add


def _add_lookup(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "lookup", help="what `recsys publish` wrote for a listener, or for an artist"
    )
    who = add.add_mutually_exclusive_group(required=True)
    who.add_argument("user", nargs="?", metavar="USER", help="id of a listener")
    who.add_argument("--artist", metavar="ARTIST", help="name or id: what is like it")
    add.add_argument("--from", dest="published", metavar="PLACE", help=_PUBLISHED)
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    add.set_defaults(run="lookup")
    return add
