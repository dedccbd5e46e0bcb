"""Command line: parse, call a flow, print. Nothing heavy is imported before it is needed."""

import argparse
import errno
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import environment
from recsys.errors import InputError
from tasks.interfaces import (
    HOST,
    MLFLOW_PORT,
    OPTUNA_PORT,
    PREFECT_PORT,
    mlflow_ui,
    optuna_ui,
    prefect_ui,
)
from tasks.locking import locked
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from flows.result import Result
    from recsys.config import ExperimentConfig

STARTED = time.perf_counter()
CONFIGS = Path(__file__).parent / "configs"
INTERRUPTED = 130
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `recsys`; returns the exit code: 0, 2 for input that cannot be used."""
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        if args.storage:
            environment.use_storage(args.storage)
        workspace = environment.place(args.workspace)
        environment.prepare(workspace)
        run: Callable[[argparse.Namespace, Workspace], None] = args.run
        run(args, workspace)
    except InputError as error:
        print(f"recsys: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("recsys: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        print(f"recsys: {error}; make room, and repeat the command", file=sys.stderr)
        return 2
    return 0


def _as_interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recsys",
        description="From a listening log to a tuned, tracked, compared recommender.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add_to in (_add_sample, _add_experiment, _add_inspect, _add_fetch, _add_ui):
        _add_place(add_to(commands))
    study = commands.add_parser("study", help="work on, look at, export and delete studies")
    actions = study.add_subparsers(dest="action", required=True, metavar="ACTION")
    for add_action in (_add_list, _add_show, _add_resume, _add_work, _add_export, _add_delete):
        _add_place(add_action(actions))
    return parser


def _add_place(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--workspace",
        type=Path,
        default=Path("mlruns"),
        metavar="DIR",
        help="where all state lives (default: mlruns)",
    )
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
    add.set_defaults(run=_sample)
    return add


def _add_reading(add: argparse.ArgumentParser) -> None:
    add.add_argument("--format", metavar="NAME", help="default: found from the first lines")
    add.add_argument(
        "--columns",
        metavar="WHICH",
        help="user=uid,item=track,plays=n,time=ts by name, or "
        "user=0,item=1 by position (the file has no header)",
    )
    add.add_argument("--artist-key", metavar="KEY", help="mbid, name or mbid-else-name")
    add.add_argument("--strict", action="store_true", help="the first bad row ends it")


def _add_experiment(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "experiment", help="read, filter, split, search, judge, compare, track"
    )
    _add_asking(add)
    add.add_argument("--study", metavar="NAME", help="go on with a study, or name a new one")
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    add.set_defaults(run=_experiment)
    return add


def _add_asking(add: argparse.ArgumentParser) -> None:
    """What is to be done with what; `study work` takes it too."""
    add.add_argument(
        "--plays", type=Path, metavar="FILE", help="default: what `recsys sample` wrote"
    )
    add.add_argument("--profiles", type=Path, metavar="FILE", help="of the listeners")
    add.add_argument("--test", type=Path, metavar="FILE", help="a published test side")
    add.add_argument(
        "--config", default="default", metavar="NAME", help="default, paper, or a TOML file"
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


def _add_list(actions: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = actions.add_parser("list", help="every study, with its best")
    add.add_argument("--json", action="store_true", help="print one JSON array and nothing else")
    add.set_defaults(run=_study_list)
    return add


def _add_show(actions: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = actions.add_parser("show", help="every trial of a study")
    add.add_argument("name", metavar="NAME")
    add.set_defaults(run=_study_show)
    return add


def _add_resume(actions: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = actions.add_parser(
        "resume", help="go on with an experiment as it was asked for, to its end"
    )
    add.add_argument("name", metavar="NAME")
    add.add_argument("--trials", type=int, metavar="N", help="how many it is to have now")
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    add.set_defaults(run=_study_resume)
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
    add.set_defaults(run=_study_work)
    return add


def _add_export(actions: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = actions.add_parser(
        "export", help="the trials of a study as a table, .parquet or .csv by the file's name"
    )
    add.add_argument("name", metavar="NAME")
    add.add_argument("file", type=Path, metavar="FILE")
    add.set_defaults(run=_study_export)
    return add


def _add_delete(actions: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = actions.add_parser(
        "delete", help="a study, its runs in MLflow and their files; it cannot be undone"
    )
    add.add_argument("name", metavar="NAME")
    add.set_defaults(run=_study_delete)
    return add


def _add_inspect(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "inspect", help="numbers and distribution plots of a log"
    )
    add.add_argument("file", type=Path, metavar="FILE")
    add.add_argument("--profiles", type=Path, metavar="FILE", help="of the listeners")
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    _add_reading(add)
    add.set_defaults(run=_inspect)
    return add


def _add_fetch(commands: Any) -> argparse.ArgumentParser:
    add: argparse.ArgumentParser = commands.add_parser(
        "fetch", help="download a public data set; the same command resumes"
    )
    add.add_argument("dataset", metavar="NAME", help="lastfm-360k")
    add.add_argument("dir", type=Path, metavar="DIR")
    add.add_argument("--url", help="another place to get the same archive from")
    add.set_defaults(run=_fetch)
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
    add.set_defaults(run=_ui)
    return add


def _sample(args: argparse.Namespace, workspace: Workspace) -> None:
    from recsys.sources.sample import make_sample, write_sample

    folder = args.dir or workspace.sample
    plays, profiles = folder / workspace.sample_plays.name, folder / workspace.sample_profiles.name
    sample = make_sample(args.users, args.artists, args.seed)
    try:
        write_sample(sample, plays, profiles)
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror}; give a folder that you may write to"
        ) from error
    print(f"{args.users:,} listeners, {args.artists:,} artists, seed {args.seed}")
    print(f"plays     {plays}\nprofiles  {profiles}")


def _experiment(args: argparse.Namespace, workspace: Workspace) -> None:
    plays, profiles = _inputs(args, workspace)
    _run_experiment(args, workspace, plays, profiles, _config(args), args.study, args.sources)


def _study_resume(args: argparse.Namespace, workspace: Workspace) -> None:
    plays, profiles, config = _stored(workspace, args.name, args.trials)
    _run_experiment(args, workspace, plays, profiles, config, args.name, [])


def _run_experiment(
    args: argparse.Namespace,
    workspace: Workspace,
    plays: Path,
    profiles: Path | None,
    config: "ExperimentConfig",
    study: str | None,
    sources: Sequence[str],
) -> None:
    alone = not environment.has_prefect_server()
    with _prefect(workspace) as ready, _telling():
        _check_files(plays, profiles, config)
        from flows.experiment import experiment, new_study_name
        from tasks.telling import tell

        tell("starting Prefect", 0, None)
        ready()
        start = time.perf_counter() - STARTED
        name = study or new_study_name(config)
        with _without_heartbeat(alone), _resumable(workspace, name):
            result = experiment(plays, config, workspace.root, profiles, name, sources)
    _show(result, args.json, {"start": start})


@contextmanager
def _without_heartbeat(alone: bool) -> Iterator[None]:
    """In our own server nobody watches for it, and its thread would hold up the end of the flow."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None} if alone else {}):
        yield


@contextmanager
def _resumable(workspace: Workspace, study: str) -> Iterator[None]:
    """Say on the way out how far the study is and how to go on."""
    try:
        yield
    except InputError:
        raise
    except BaseException as error:
        from flows.studies import standing

        why = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
        print(f"\nrecsys: {why}; {standing(workspace, study)}", file=sys.stderr)
        print(f"recsys: {_again('study', 'resume', study)} goes on", file=sys.stderr)
        raise


def _again(*words: str) -> str:
    """A command on the same workspace."""
    given = sys.argv[1:]
    more: list[str] = []
    if "--workspace" in given:
        more = ["--workspace", given[given.index("--workspace") + 1]]
    return shlex.join(["recsys", *words, *more])


def _stored(
    workspace: Workspace, name: str, trials: int | None
) -> tuple[Path, Path | None, "ExperimentConfig"]:
    """What a study was asked for: its plays, profiles and configuration."""
    from recsys.config import checked
    from tasks.tuning import stored_request

    request = stored_request(workspace, name)
    table = dict(request["config"])
    if trials is not None:
        table["study"] = {**table["study"], "trials": trials}
    profiles = request["profiles"]
    config = checked(table, f"of study {name}")
    return Path(request["plays"]), None if profiles is None else Path(profiles), config


def _study_work(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.experiment import work, work_in_prefect
    from tasks.tuning import has_study

    if args.plays is None and has_study(workspace, args.study):
        plays, profiles, config = _stored(workspace, args.study, args.trials)
    else:
        plays, profiles = _inputs(args, workspace)
        config = _config(args)
    _check_files(plays, profiles, config)
    with _telling(), _resumable(workspace, args.study):
        if environment.has_prefect_server():
            work_in_prefect(plays, config, workspace.root, profiles, args.study, args.sources)
        else:
            work(plays, config, workspace, profiles, args.study, args.sources, False)
    from flows.studies import standing

    print(f"study {args.study}: {standing(workspace, args.study)}")
    print(f"{_again('study', 'resume', args.study)} judges the winner on test")


def _study_list(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows import studies

    if args.json:
        print(json.dumps(studies.listed(workspace), sort_keys=True))
        return
    _console().print(studies.list_table(workspace))


def _study_show(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows import studies

    _console().print(studies.show_table(workspace, args.name))


def _study_export(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows import studies

    n_trials = studies.export(workspace, args.name, args.file)
    print(f"{n_trials} trials of study {args.name}: {args.file}")


def _study_delete(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows import studies

    n_runs = studies.delete(workspace, args.name)
    print(f"study {args.name} is deleted, with {n_runs} MLflow runs and their files")


def _console() -> "Console":
    from rich.console import Console

    width = None if sys.stdout.isatty() else 140
    return Console(width=width, highlight=False, markup=False)


def _inputs(args: argparse.Namespace, workspace: Workspace) -> tuple[Path, Path | None]:
    if args.plays is not None:
        return args.plays, args.profiles
    if not workspace.sample_plays.is_file():
        raise InputError(
            f"no plays: {workspace.sample_plays} is not there; run `recsys sample` first, "
            "or pass --plays FILE"
        )
    return workspace.sample_plays, args.profiles or workspace.sample_profiles


def _check_files(plays: Path, profiles: Path | None, config: "ExperimentConfig") -> None:
    """Refuse a file that cannot be what it is given as, before anything slow is waited for."""
    from recsys.config import GivenSplit
    from recsys.sources import check_file, detect

    others = [profiles, config.split.test if isinstance(config.split, GivenSplit) else None]
    for path in filter(None, [plays, *others]):
        check_file(path)
    if config.data.format == "auto" and config.data.columns is None:
        detect(plays)


def _config(args: argparse.Namespace) -> "ExperimentConfig":
    from recsys.config import load_config

    built_in = CONFIGS / f"{args.config}.toml"
    path = built_in if built_in.is_file() else Path(args.config)
    if not path.is_file():
        names = ", ".join(sorted(each.stem for each in CONFIGS.glob("*.toml")))
        raise InputError(f"config {args.config}: no such file; pass one, or one of {names}")
    return load_config(path, {**_options(args), **_settings(args.set)})


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """The options that are settings under another name; --set wins over them."""
    given = {
        "study.trials": args.trials,
        "study.timeout": args.timeout,
        "study.keep_factors": args.keep_factors,
        "study.prefer": args.prefer,
        "study.fresh": args.fresh or None,
        "judge.validation_users": args.validation_users,
        "seed": args.seed,
        **_reading(args),
    }
    if args.test is not None:
        # A published split is used as it is, unless filters are asked for.
        given |= {"split": {"kind": "given", "test": str(args.test)}}
        given |= {"filter": {"min_artists": 0, "min_listeners": 0}}
    return {name: value for name, value in given.items() if value is not None}


def _reading(args: argparse.Namespace) -> dict[str, Any]:
    from recsys.sources import parse_columns

    return {
        "data.format": args.format,
        "data.columns": dict(parse_columns(args.columns)) if args.columns else None,
        "data.artist_key": args.artist_key,
        "data.strict": args.strict or None,
    }


def _settings(texts: Sequence[str]) -> dict[str, Any]:
    from recsys.config import parse_value

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"--set {text}: write NAME=VALUE, such as search.factors=16,32")
        found[name] = parse_value(value)
    return found


@contextmanager
def _prefect(workspace: Workspace) -> Iterator[Callable[[], None]]:
    """The user's Prefect server, or one of our own that starts while we go on importing.

    Gives what returns when the server answers.
    """
    if environment.has_prefect_server():
        yield lambda: None
        return
    from tasks.server import serving

    # Of two processes that make the same fresh database at once, one would die.
    with ExitStack() as fresh:
        fresh.enter_context(locked(workspace.lock("prefect")))
        with serving(os.environ, workspace.prefect_home / "server.log") as server:
            environment.use_prefect_server(server.api)

            def ready() -> None:
                server.wait()
                fresh.close()  # the next process may start its own now

            yield ready


@contextmanager
def _telling() -> Iterator[None]:
    from flows.terminal import teller
    from tasks.telling import told_to

    with teller(sys.stderr) as told, told_to(told):
        yield


def _show(result: "Result", as_json: bool, more_seconds: dict[str, float]) -> None:
    seconds = {**more_seconds, **result.seconds}
    if as_json:
        print(json.dumps({**result.as_json(), "seconds": seconds}, sort_keys=True))
        return
    from flows import terminal

    console = _console()
    front = [terminal.front_table] * bool(result.front)
    for part in (
        terminal.data_table,
        terminal.leaderboard,
        *front,
        terminal.search_summary,
        terminal.comparison_table,
        terminal.listener_table,
    ):
        console.print(part(result))
    console.print(terminal.seconds_line(seconds), soft_wrap=True)
    console.print(
        f"study {result.study}: `recsys ui` opens MLflow; its trials side by side: "
        f"{result.compare_url}",
        soft_wrap=True,
    )


def _inspect(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.inspection import inspect

    with _telling():
        found = inspect(workspace, args.file, args.profiles, _reading(args))
    if args.json:
        print(json.dumps(found.as_json(), sort_keys=True))
        return
    print("\n".join(found.lines()))


def _fetch(args: argparse.Namespace, workspace: Workspace) -> None:
    from tasks.fetching import fetch
    from tasks.telling import tell

    with _telling():
        fetched = fetch(args.dataset, args.dir, url=args.url, progress=tell)
    if not fetched.new:
        print("already there, checksum verified:")
    print("\n".join(str(path) for path in fetched.files))


def _ui(args: argparse.Namespace, workspace: Workspace) -> None:
    opened, usual = mlflow_ui, MLFLOW_PORT
    if args.prefect:
        opened, usual = prefect_ui, PREFECT_PORT
    if args.optuna:
        opened, usual = optuna_ui, OPTUNA_PORT
    port = args.port or usual
    command, more = opened(workspace, args.host, port)
    print(f"http://{args.host}:{port}  (Ctrl-C ends it)", flush=True)
    os.environ.update(more)
    os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
