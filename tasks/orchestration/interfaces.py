"""How the web interfaces are started. Commands, not calls: each replaces our process."""

import sys
from collections.abc import Mapping

from tasks.orchestration.guard import Guard, host_names, page_origins
from tasks.workspace.layout import Workspace
from tasks.workspace.postgres import split_password
from tasks.workspace.readable import copied_database, is_writable

HOST = "127.0.0.1"
MLFLOW_PORT = 5000
PREFECT_PORT = 4200
OPTUNA_PORT = 8080
MODEL_PORT = 5001  # of a registered model; MLflow's own default is that of its pages
UNUSED_DAYS = 30  # after which what can be made again may go
MODEL = "recsys"  # name of the registered model whose champion `recsys recommend` asks

Command = tuple[list[str], Mapping[str, str]]


def mlflow_ui(workspace: Workspace, host: str, port: int, names: str = "") -> Command:
    """MLflow on the workspace's database, and what the environment has to add.

    Args:
        workspace: Of the runs.
        host: Address to listen on.
        port: Likewise.
        names: Further names that the server answers to, separated by commas.
    """
    options = ["--default-artifact-root", workspace.artifacts.as_uri()]
    options += ["--host", host, "--port", str(port), "--workers", "1"]
    # Its job runners, for judging language models, would double the memory and outlive a kill.
    lean = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # Not among the arguments, which all users of the machine can read: it may hold a password.
    store = {"MLFLOW_BACKEND_STORE_URI": _served_database(workspace)}
    known = {"MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(host_names(Guard.of(host, names), port))}
    return [sys.executable, "-m", "tasks.tracking.server", *options], {**lean, **store, **known}


def _served_database(workspace: Workspace) -> str:
    """The address of the database, or of a copy where the workspace may only be read."""
    if workspace.tracking is not None or is_writable(workspace.tracking_database):
        return workspace.tracking_uri
    return f"sqlite:///{copied_database(workspace.tracking_database)}"


def prefect_ui(host: str, port: int, names: str, secret: str) -> Command:
    """A Prefect server on the workspace's database, and what the environment has to add.

    Args:
        host: Address to listen on.
        port: Likewise.
        names: Further names that the server answers to, separated by commas.
        secret: What its clients log in with.
    """
    at = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    more = {
        # Without the address of its API the page would look for it on port 4200.
        "PREFECT_SERVER_UI_API_URL": f"http://{at}:{port}/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(page_origins(Guard.of(host, names), port)),
        "PREFECT_SERVER_API_AUTH_STRING": secret,
        "PREFECT_API_AUTH_STRING": secret,
    }
    return [
        sys.executable,
        "-m",
        "tasks.orchestration.prefect_server",
        host,
        str(port),
        names,
    ], more


def optuna_ui(workspace: Workspace, host: str, port: int, names: str = "") -> Command:
    """Optuna's dashboard on the studies, and what the environment has to add.

    The password of a database is not among the arguments: every user of the machine can read them.

    Args:
        workspace: Of the studies.
        host: Address to listen on.
        port: Likewise.
        names: Further names that the server answers to, separated by commas.
    """
    place = [str(workspace.root), host, str(port), names]
    command = [sys.executable, "-m", "tasks.tuning.dashboard", *place]
    if workspace.storage is None:
        return command, {}
    storage, secret = split_password(workspace.storage)
    return [*command, storage], secret


def model_server(
    workspace: Workspace, model: str, host: str, port: int, names: str = ""
) -> Command:
    """A registered model over HTTP, and what the environment has to add.

    Args:
        workspace: Of the registry.
        model: Its address, models:/NAME/VERSION.
        host: Address to listen on.
        port: Likewise.
        names: Further names that the server answers to, separated by commas.
    """
    place = {"MLFLOW_TRACKING_URI": _served_database(workspace)}  # it may hold a password
    command = [sys.executable, "-m", "tasks.tracking.model_server", model, host, str(port), names]
    return command, place
