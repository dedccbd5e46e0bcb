"""`recsys clean`, `serve-flows` and `ui`."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows import environment
from flows.cli.session import HERE, Json, Place, between, has_prefect_server, progress, say
from recsys.bounds import DAYS
from recsys.errors import InputError
from tasks.interrupts import INTERRUPTS
from tasks.orchestration.interfaces import (
    HOST,
    MLFLOW_PORT,
    OPTUNA_PORT,
    PREFECT_PORT,
    UNUSED_DAYS,
    Command,
    mlflow_ui,
    optuna_ui,
    prefect_ui,
)
from tasks.workspace.layout import Workspace
from tasks.workspace.readable import if_allowed, is_writable, substitute

DEPLOYMENTS = Path("prefect.yaml")


def clean(
    *,
    days: Annotated[float, Parameter(metavar="D", validator=between(0, DAYS))] = UNUSED_DAYS,
    dry_run: bool = False,
    as_json: Json = False,
    place: Place = HERE,
) -> None:
    """Make room: remove what can be made again and was not used for long.

    Prepared data, plays that a retraining put together unless their model serves, and what killed
    processes left. Runs, studies, models and what is published stay.

    Example:
        recsys clean --days 7 --dry-run

    Args:
        days: Remove what was unused for D days.
        dry_run: Only print how much it would be.
    """
    workspace = place.open(writes=not dry_run)
    from flows.cleaning import clean as remove

    with progress(place):
        cleaned = remove(workspace, days, dry_run)
    print(json.dumps(cleaned.as_json(), sort_keys=True) if as_json else cleaned.line)


def serve_flows(
    *,
    file: Annotated[Path, Parameter(metavar="FILE")] = DEPLOYMENTS,
    pool: bool = False,
    place: Place = HERE,
) -> None:
    """Run scheduled and requested flows of Prefect, by itself or in a work pool.

    Deploys what prefect.yaml lists into the server at PREFECT_API_URL and runs it from this
    process, one at a time, until interrupted. Then its schedules pause; with --pool, what is due
    waits for the next worker.

    Example:
        recsys serve-flows --pool

    Args:
        file: What to deploy; paths in it begin in the current folder.
        pool: Create the work pool of the deployments, and be a worker of it; others may help.
    """
    place.open()
    from flows import deploying

    if not environment.has_prefect_server():
        raise InputError(
            "no Prefect server to serve; start one, and export "
            f"PREFECT_API_URL=http://127.0.0.1:{PREFECT_PORT}/api (docs/operations.md)"
        )
    deployments = deploying.deployment_specs(file)
    has_prefect_server()  # it has to answer
    environment.use_for_jobs(deploying.job_environment(deployments))
    INTERRUPTS.leave_to_others()  # Prefect ends its runs and pauses their schedules
    if pool:
        environment.use_this_python()
        deploying.work(file, deployments)
    else:
        deploying.serve(deployments, say)


LOOPBACK = (HOST, "localhost", "::1")


def ui(
    *,
    prefect: bool = False,
    optuna: bool = False,
    host: str = HOST,
    port: Annotated[int | None, Parameter(metavar="N", validator=between(1, 65_535))] = None,
    place: Place = HERE,
) -> None:
    """Open the pages of MLflow, Prefect or Optuna.

    Example:
        recsys ui
        recsys ui --optuna --port 8081

    Args:
        prefect: Prefect in place of MLflow.
        optuna: Optuna's dashboard of the studies.
        host: Address to listen on.
        port: Without it: 5000, Prefect 4200, Optuna 8080.
    """
    if prefect and optuna:
        raise InputError("--prefect and --optuna: give one of them")
    workspace = place.open()
    if workspace.tracking_server is not None and not (prefect or optuna):
        raise InputError(
            f"MLflow is at {workspace.tracking_server} (MLFLOW_TRACKING_URI): open that address"
        )
    name, started, port = _interface(workspace, prefect, optuna, host, port)
    variable = environment.MLFLOW_HOSTS if name == "mlflow_ui" else environment.HOSTS
    page = _first_page(workspace) if name == "mlflow_ui" else ""
    from tasks.orchestration.web import serve_interface

    def ready(address: str) -> None:
        login = f"; log in with the text in {workspace.prefect_secret}" if prefect else ""
        print(f"{address}{page}  (Ctrl-C ends it{login})", flush=True)
        if host not in LOOPBACK:
            print(
                f"{NAMES[name]} answers only to names it knows: for others set "
                f"{variable}=NAME:{port} before this command",
                flush=True,
            )

    words, more = started
    log = workspace.libraries / f"{name}.log"
    if not is_writable(log):
        log = substitute() / log.name
    serve_interface((words, environment.with_variables(more)), host, port, log, ready)


def _first_page(workspace: Workspace) -> str:
    """Where MLflow opens; its database knows afterwards if the workspace has moved."""
    from tasks.tracking.moving import update_alone
    from tasks.tracking.view import first_page

    with if_allowed():
        update_alone(workspace)
    return first_page(workspace)


NAMES = {"mlflow_ui": "MLflow", "prefect_ui": "Prefect", "optuna_ui": "Optuna's dashboard"}


def _interface(
    workspace: Workspace, prefect: bool, optuna: bool, host: str, port: int | None
) -> tuple[str, Command, int]:
    """The name of an interface, how it starts, and its port."""
    if prefect:
        port = port or PREFECT_PORT
        secret = environment.prefect_secret(workspace)
        names = environment.allowed_hosts()
        return "prefect_ui", prefect_ui(host, port, names, secret), port
    if optuna:
        port, names = port or OPTUNA_PORT, environment.allowed_hosts()
        return "optuna_ui", optuna_ui(workspace, host, port, names), port
    port, names = port or MLFLOW_PORT, environment.allowed_hosts(environment.MLFLOW_HOSTS)
    return "mlflow_ui", mlflow_ui(workspace, host, port, names), port
