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
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import environment
from flows.cli.options import WORKSPACE, parser
from recsys.errors import InputError
from tasks.orchestration.interfaces import (
    MLFLOW_PORT,
    MODEL,
    OPTUNA_PORT,
    PREFECT_PORT,
    mlflow_ui,
    optuna_ui,
    prefect_ui,
)
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import locked

if TYPE_CHECKING:
    from rich.console import Console

    from flows.cli.ask import Alike, Explained, Recommended
    from flows.cli.lookup import Looked
    from flows.result import Result
    from recsys.config import ExperimentConfig

STARTED = time.perf_counter()
CONFIGS = Path(__file__).parents[1] / "configs"
INTERRUPTED = 130
RETRAIN_TRIALS = 12  # the search begins where the last one ended
# What `study work` takes that does not say what is to be done: a study that exists knows it.
NOT_ASKED = {"command", "action", "run", "study", "trials", "workspace", "storage"}
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `recsys`; returns the exit code: 0, 2 for input that cannot be used."""
    args = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        if args.storage:
            environment.use_storage(args.storage)
        workspace = environment.place(args.workspace)
        environment.prepare(workspace)
        HANDLERS[args.run](args, workspace)
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


def _compare(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.model_config import without_extras

    plays, profiles = _inputs(args, workspace)
    config = _config(args)
    models = tuple(args.models.split(",")) if args.models else without_extras()
    with _prefect(workspace) as ready, _telling(args.quiet):
        _check_files(plays, profiles, config)
        from flows.compare import CompareRequest, compare, new_name

        name = args.name or new_name()
        asked = CompareRequest(
            plays, profiles, config, models, args.seeds, args.tune_once, name, args.top_items
        )
        with ready(), _going_on(lambda: f"the same command with --name {name} goes on"):
            result = compare(asked, workspace.root)
    if args.json:
        print(json.dumps(result.as_json(), sort_keys=True))
        return
    from flows.cli import compare_tables

    console = _console()
    for part in (
        compare_tables.models_table,
        compare_tables.user_groups_tables,
        compare_tables.item_groups_table,
    ):
        console.print(part(result))
    for line in compare_tables.notes(result):
        console.print(line, soft_wrap=True)


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
    with _prefect(workspace) as ready, _telling(args.quiet):
        _check_files(plays, profiles, config)
        from flows.experiment import experiment, new_study_name

        name = study or new_study_name(config)
        with ready(), _resumable(workspace, name):
            start = time.perf_counter() - STARTED
            result = experiment(plays, config, workspace.root, profiles, name, sources)
    _show(result, args, workspace, {"start": start})


@contextmanager
def _without_heartbeat() -> Iterator[None]:
    """In our own server nobody watches for it, and its thread would hold up the end of the flow."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@contextmanager
def _going_on(how: Callable[[], str]) -> Iterator[None]:
    """Say on the way out how to go on, unless what was asked for cannot be used."""
    try:
        yield
    except InputError:
        raise
    except BaseException as error:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
        print(f"\nrecsys: {why}; {how()}", file=sys.stderr)
        raise


def _resumable(workspace: Workspace, study: str) -> AbstractContextManager[None]:
    """Say on the way out how far the study is and how to go on."""

    def how() -> str:
        from flows.cli.study import standing

        same = ", with the same storage," if workspace.storage else ""
        command = _again(workspace, "study", "resume", study)
        return f"{standing(workspace, study)}\nrecsys: {command}{same} goes on"

    return _going_on(how)


def _again(workspace: Workspace, *words: str) -> str:
    """A command on the same workspace, as it is to be typed."""
    usual = workspace.root == WORKSPACE.resolve()
    return shlex.join(["recsys", *words, *([] if usual else ["--workspace", str(workspace.root)])])


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

    asked = [value for name, value in vars(args).items() if name not in NOT_ASKED]
    nothing = all(value is None or value is False or value == [] for value in asked)
    if nothing and has_study(workspace, args.study):
        plays, profiles, config = _stored(workspace, args.study, args.trials)
    else:
        plays, profiles = _inputs(args, workspace)
        config = _config(args)
    _check_files(plays, profiles, config)
    with _telling(args.quiet), _resumable(workspace, args.study):
        if environment.has_prefect_server():
            work_in_prefect(plays, config, workspace.root, profiles, args.study, args.sources)
        else:
            work(plays, config, workspace, profiles, args.study, args.sources, False)
    from flows.cli.study import standing

    print(f"study {args.study}: {standing(workspace, args.study)}")
    print(f"{_again(workspace, 'study', 'resume', args.study)} judges the winner on test")


def _study_list(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli import study

    if args.json:
        print(json.dumps(study.listed(workspace), sort_keys=True))
        return
    _console().print(study.list_table(workspace))


def _study_show(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli import study

    _console().print(study.show_table(workspace, args.name))


def _study_export(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli import study

    n_trials = study.export(workspace, args.name, args.file)
    print(f"{n_trials} trials of study {args.name}: {args.file}")


def _study_delete(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli import study

    n_runs = study.delete(workspace, args.name)
    print(f"study {args.name} is deleted, with {n_runs} MLflow runs and their files")


def _clean(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cleaning import clean

    with _telling(args.quiet):
        cleaned = clean(workspace, args.days, args.dry_run)
    print(json.dumps(cleaned.as_json(), sort_keys=True) if args.json else cleaned.line)


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
    from recsys.sources import check_file, detect
    from recsys.splitting.config import GivenSplit

    others = [profiles, config.split.test if isinstance(config.split, GivenSplit) else None]
    for path in filter(None, [plays, *others]):
        check_file(path)
    if config.data.format == "auto" and config.data.columns is None:
        detect(plays)


def _config(args: argparse.Namespace) -> "ExperimentConfig":
    from recsys.config import changed, load_config

    name = args.config or "default"
    built_in = CONFIGS / f"{name}.toml"
    path = built_in if built_in.is_file() else Path(name)
    if not path.is_file():
        names = ", ".join(sorted(each.stem for each in CONFIGS.glob("*.toml")))
        raise InputError(f"config {name}: no such file; pass one, or one of {names}")
    settings = {**_options(args), **_settings(args.set)}
    model = args.model
    if model is None:
        return load_config(path, settings)
    from flows.model_config import model_config

    searched = {name: value for name, value in settings.items() if name.startswith("search.")}
    base = load_config(path, {n: value for n, value in settings.items() if n not in searched})
    has_profiles = args.profiles is not None
    config = model_config(base, model, base.seed, has_profiles, args.top_items)
    return changed(config, searched)


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
        given |= {"filter": {"min_items": 0, "min_users": 0}}
    return {name: value for name, value in given.items() if value is not None}


def _reading(args: argparse.Namespace) -> dict[str, Any]:
    from recsys.sources import parse_columns

    return {
        "data.format": args.format,
        "data.columns": dict(parse_columns(args.columns)) if args.columns else None,
        "data.item_key": args.item_key,
        "data.strict": args.strict or None,
    }


def _settings(texts: Sequence[str]) -> dict[str, Any]:
    from recsys.settings import parse_value

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"--set {text}: write NAME=VALUE, such as search.factors=16,32")
        found[name] = parse_value(value)
    return found


@contextmanager
def _prefect(workspace: Workspace) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """The user's Prefect server, or one of our own that starts while we go on importing.

    Gives the block in which flows can run; it begins when the server answers.
    """
    if environment.has_prefect_server():
        yield nullcontext
        return
    from tasks.orchestration.server import serving

    # Of two processes that make the same fresh database at once, one would die.
    with ExitStack() as fresh:
        fresh.enter_context(locked(workspace.lock("prefect")))
        with serving(os.environ, workspace.prefect_home / "server.log") as server:
            environment.use_prefect_server(server.api)

            @contextmanager
            def ready() -> Iterator[None]:
                from tasks.progress import report_progress

                report_progress("starting Prefect", 0, None)
                server.wait()
                fresh.close()  # the next process may start its own now
                with _without_heartbeat():
                    yield

            yield ready


@contextmanager
def _telling(quiet: bool) -> Iterator[None]:
    from flows.cli.progress import showing_progress

    with showing_progress(sys.stderr, quiet):
        yield


def _show(
    result: "Result",
    args: argparse.Namespace,
    workspace: Workspace,
    more_seconds: dict[str, float],
) -> None:
    seconds = {**more_seconds, **result.seconds}
    if args.json:
        print(json.dumps({**result.as_json(), "seconds": seconds}, sort_keys=True))
        return
    from flows.cli import experiment_tables

    place = experiment_tables.place_words(workspace.root, WORKSPACE)
    command = sys.argv[1:] if args.run == "experiment" else []
    experiment_tables.show(_console(), result, command, place, args.all)
    if args.all:
        _console().print(experiment_tables.seconds_line(seconds), soft_wrap=True)


def _inspect(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli.inspect import inspect

    with _telling(args.quiet):
        found = inspect(workspace, args.file, args.profiles, _reading(args))
    if args.json:
        print(json.dumps(found.as_json(), sort_keys=True))
        return
    print("\n".join(found.lines()))


def _recommend(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli import ask

    listener = ask.Listener(args.user, args.artists, args.country, args.age, args.gender)
    with _telling(args.quiet):
        found = ask.recommend(workspace, args.of_run, listener, args.k, args.include_heard)
    _answer(found, args.json)


def _similar(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli import ask

    with _telling(args.quiet):
        found = ask.similar(workspace, args.of_run, args.artist, args.k)
    _answer(found, args.json)


def _explain(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli import ask

    with _telling(args.quiet):
        listener = ask.Listener(args.user, args.artists)
        found = ask.explain(workspace, args.of_run, listener, args.artist)
    _answer(found, args.json)


def _answer(found: "Recommended | Alike | Explained | Looked", as_json: bool) -> None:
    if as_json:
        print(json.dumps(found.as_json(), sort_keys=True))
        return
    _console().print(found.shown())


def _register(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli import registry

    with _telling(args.quiet):
        made = registry.register(workspace, args.of_run, args.name)
    print(registry.line(made.version))
    if not made.new:
        print("it was registered before: same run, data and code")
    if not made.version.aliases:
        command = _again(workspace, "promote", str(made.version.number), *_named(args))
        print(f"{command} lets it serve")
    print(f"over HTTP: {registry.how_to_serve(workspace, made.version)}")


def _promote(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli import registry

    with _telling(args.quiet):
        promoted = registry.promote(workspace, args.which, args.name)
    print(registry.line(promoted))
    print(f"over HTTP: {registry.how_to_serve(workspace, promoted)}")


def _rollback(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli import registry

    print(registry.line(registry.rollback(workspace, args.name)))


def _retrain(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.retrain_request import RetrainRequest, conditions

    gate, limits = conditions(args.gate, args.margin, args.coverage, args.drift)
    if args.published:
        environment.use_published(args.published)
    if args.database:
        if args.query is None:
            raise InputError("--database without --query: say what it is to be asked")
        environment.use_database(args.database)
    refit, follows = args.trials == 0, args.model is None
    args.trials = 1 if refit else args.trials or RETRAIN_TRIALS
    plays, profiles = args.plays, args.profiles
    if args.query is None:
        plays, profiles = _inputs(args, workspace)
    asked = RetrainRequest(
        plays,
        profiles,
        _config(args),
        gate,
        limits,
        accept_drift=args.accept_drift,
        refit=refit,
        follows=follows,
        name=args.name,
        sources=tuple(args.sources),
        query=args.query,
        publish=args.publish,
    )
    asked.check()
    goes_on = _going_on(lambda: "the same command goes on")
    with _prefect(workspace) as ready, _telling(args.quiet), goes_on:
        from flows.retrain import retrain

        with ready():
            done = retrain(asked, workspace.root)
    if args.json:
        print(json.dumps(done.as_json(), sort_keys=True))
        return
    print("\n".join(done.lines()))


def _named(args: argparse.Namespace) -> list[str]:
    return [] if args.name == MODEL else ["--name", args.name]


def _models(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli import registry

    if args.json:
        print(json.dumps(registry.listed(workspace, args.name), sort_keys=True))
        return
    _console().print(registry.table(workspace, args.name))


def _publish(args: argparse.Namespace, workspace: Workspace) -> None:
    if args.published:
        environment.use_published(args.published)
    with _prefect(workspace) as ready, _telling(args.quiet):
        from flows.publish import publish

        with ready():
            outcome = publish(
                workspace.root, args.of_run, args.of_version, args.k, args.again, args.name
            )
    if args.json:
        print(json.dumps(outcome.as_json(), sort_keys=True))
        return
    print("\n".join(outcome.lines()))


def _lookup(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows.cli import lookup

    address = args.published or environment.published(workspace)
    found = (
        lookup.listener(address, args.user)
        if args.artist is None
        else lookup.artist(address, args.artist)
    )
    _answer(found, args.json)


def _fetch(args: argparse.Namespace, workspace: Workspace) -> None:
    from tasks.data.fetching import fetch
    from tasks.progress import report_progress

    with _telling(args.quiet):
        fetched = fetch(args.dataset, args.dir, url=args.url, progress=report_progress)
    if not fetched.new:
        print("already there, checksum verified:")
    print("\n".join(str(path) for path in fetched.files))


def _serve_flows(args: argparse.Namespace, workspace: Workspace) -> None:
    from flows import deploying

    if not environment.has_prefect_server():
        raise InputError(
            "no Prefect server to serve; start one, and export "
            f"PREFECT_API_URL=http://127.0.0.1:{PREFECT_PORT}/api (docs/operations.md)"
        )
    deployments = deploying.deployment_specs(args.file)
    environment.use_for_jobs(deploying.job_environment(deployments))
    deploying.serve(deployments)


def _ui(args: argparse.Namespace, workspace: Workspace) -> None:
    opened, usual = mlflow_ui, MLFLOW_PORT
    if args.prefect:
        opened, usual = prefect_ui, PREFECT_PORT
    if args.optuna:
        opened, usual = optuna_ui, OPTUNA_PORT
    if opened is mlflow_ui and workspace.tracking_server is not None:
        raise InputError(
            f"MLflow is at {workspace.tracking_server} (MLFLOW_TRACKING_URI): open that address"
        )
    port = args.port or usual
    from tasks.orchestration.web import serve_interface

    def ready(address: str) -> None:
        print(f"{address}  (Ctrl-C ends it)", flush=True)

    log = workspace.libraries / f"{opened.__name__}.log"
    serve_interface(opened(workspace, args.host, port), args.host, port, log, ready)


HANDLERS: dict[str, Callable[[argparse.Namespace, Workspace], None]] = {
    "sample": _sample,
    "experiment": _experiment,
    "compare": _compare,
    "study_list": _study_list,
    "study_show": _study_show,
    "study_resume": _study_resume,
    "study_work": _study_work,
    "study_export": _study_export,
    "study_delete": _study_delete,
    "clean": _clean,
    "inspect": _inspect,
    "recommend": _recommend,
    "similar": _similar,
    "explain": _explain,
    "register": _register,
    "promote": _promote,
    "rollback": _rollback,
    "models": _models,
    "retrain": _retrain,
    "publish": _publish,
    "lookup": _lookup,
    "fetch": _fetch,
    "serve-flows": _serve_flows,
    "ui": _ui,
}

if __name__ == "__main__":
    sys.exit(main())
