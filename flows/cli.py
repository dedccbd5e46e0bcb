"""Command line: parse, call a flow, print. Nothing heavy is imported before it is needed."""

import argparse
import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import environment
from recsys.errors import InputError
from tasks.interfaces import HOST, MLFLOW_PORT, PREFECT_PORT, mlflow_ui, prefect_ui
from tasks.locking import locked
from tasks.workspace import Workspace

if TYPE_CHECKING:
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
        workspace = Workspace.at(args.workspace)
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
    for add in (_add_sample, _add_experiment, _add_inspect, _add_fetch, _add_ui):
        command = add(commands)
        command.add_argument(
            "--workspace",
            type=Path,
            default=Path("mlruns"),
            metavar="DIR",
            help="where all state lives (default: mlruns)",
        )
    return parser


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
    add.add_argument("--study", metavar="NAME", help="go on with a study, or name a new one")
    add.add_argument("--keep-factors", metavar="WHICH", help="all, best or none")
    add.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="search.factors=16,32"
    )
    add.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    _add_reading(add)
    add.set_defaults(run=_experiment)
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
    add.add_argument("--prefect", action="store_true", help="Prefect instead of MLflow")
    add.add_argument("--host", default=HOST)
    add.add_argument("--port", type=int, help=f"default: {MLFLOW_PORT}, Prefect {PREFECT_PORT}")
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
    config = _config(args)
    alone = not environment.has_prefect_server()
    with _prefect(workspace) as ready, _telling():
        _check_files(plays, profiles, config)
        from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        from flows.experiment import experiment, new_study_name
        from tasks.telling import tell

        tell("starting Prefect", 0, None)
        ready()
        start = time.perf_counter() - STARTED
        study = args.study or new_study_name(config)
        # In our own server nobody watches for the heartbeat, whose thread would hold up the end
        # of the flow by up to a second.
        ours = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None} if alone else {}
        with temporary_settings(ours), _resumable(study):
            result = experiment(plays, config, workspace.root, profiles, study)
    _show(result, args.json, {"start": start})


@contextmanager
def _resumable(study: str) -> Iterator[None]:
    """Say on the way out of an interrupt how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        print(
            f"\nrecsys: interrupted; the same command with --study {study} goes on", file=sys.stderr
        )
        raise


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
    from rich.console import Console

    from flows import terminal

    width = None if sys.stdout.isatty() else 120
    console = Console(width=width, highlight=False, markup=False)
    for part in (
        terminal.data_table,
        terminal.leaderboard,
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
    port = args.port or (PREFECT_PORT if args.prefect else MLFLOW_PORT)
    command, more = (prefect_ui if args.prefect else mlflow_ui)(workspace, args.host, port)
    print(f"http://{args.host}:{port}  (Ctrl-C ends it)", flush=True)
    os.environ.update(more)
    os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
