"""What the libraries read from the environment, set before any of them is imported."""

import os
from collections.abc import Mapping
from pathlib import Path

from recsys.errors import InputError
from tasks.workspace.layout import Workspace

STORAGE = "RECSYS_STORAGE"  # a PostgreSQL address, for studies that several machines work on
TRACKING = "MLFLOW_TRACKING_URI"  # an MLflow server, as everything of MLflow reads it
NOTIFY = "RECSYS_NOTIFY"  # a notification block of Prefect: failures and verdicts
WEBHOOK = "RECSYS_WEBHOOK"  # an address that takes the failures of flows, without a block
PUBLISHED = "RECSYS_PUBLISHED"  # where lists are published to, and looked up
DATABASE = "RECSYS_DATABASE"  # where a retraining with a query reads plays


def prepare(workspace: Workspace) -> None:
    """Keep every library inside the workspace, quiet, and away from the network.

    Places of files and telemetry are always set; other settings of the user stay, so a team's
    PREFECT_API_URL is used as it is.
    """
    os.environ.update(_ours(workspace) | _loopback_without_proxy())
    for name, value in _settings(workspace).items():
        os.environ.setdefault(name, value)


def _ours(workspace: Workspace) -> dict[str, str]:
    home = str(workspace.libraries)
    return {
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MPLCONFIGDIR": home,
        "XDG_CACHE_HOME": home,
        "XDG_CONFIG_HOME": home,
    }


def _loopback_without_proxy() -> dict[str, str]:
    """Addresses of this machine are asked directly, whatever proxy the user has set."""
    known = [os.environ[name] for name in ("NO_PROXY", "no_proxy") if os.environ.get(name)]
    names = [each.strip() for text in known for each in text.split(",")]
    direct = ",".join(dict.fromkeys([*filter(None, names), "127.0.0.1", "localhost", "::1"]))
    return {"NO_PROXY": direct, "no_proxy": direct}


def _settings(workspace: Workspace) -> Mapping[str, str]:
    return {
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        # With a server it would print addresses among our output, and a bar per file.
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "PREFECT_HOME": str(workspace.prefect_home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_CLI_PROMPT": "false",
        # The command line prints an error once; the run keeps the traceback.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",  # else a line for each event that is not sent
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }


def place(root: Path) -> Workspace:
    """The workspace in `root`, with the databases that the environment names.

    They are not parameters of flows: Prefect would store them, and they may hold passwords.

    Raises:
        InputError: the folder cannot be made.
    """
    storage, tracking = (os.environ.get(name) for name in (STORAGE, TRACKING))
    return Workspace.at(root, storage or None, tracking or None)


def use_storage(address: str) -> None:
    """Keep the studies of this process at `address`."""
    os.environ[STORAGE] = address


def published(workspace: Workspace) -> str:
    """Where lists are published: the address in the environment, or a database in the workspace.

    Not a parameter of flows either: it may hold a password.
    """
    return os.environ.get(PUBLISHED) or f"sqlite:///{workspace.published}"


def use_published(address: str) -> None:
    """Set the store of published lists of this process."""
    os.environ[PUBLISHED] = address


def database() -> str:
    """The database that holds new plays. Not a parameter of flows: it may hold a password.

    Raises:
        InputError: none is named.
    """
    address = os.environ.get(DATABASE)
    if not address:
        raise InputError(
            f"a query needs a database: pass --database URL, or set {DATABASE} where flows run"
        )
    return address


def use_database(address: str) -> None:
    """Set the database of new plays of this process."""
    os.environ[DATABASE] = address


def webhook() -> str | None:
    """The address that gets failures. It is a secret: with it everyone can write there."""
    return os.environ.get(WEBHOOK) or None


def notification_block() -> str | None:
    """The block of Prefect that gets failures and verdicts, such as slack-webhook/recsys."""
    return os.environ.get(NOTIFY) or None


def use_for_jobs(settings: Mapping[str, str]) -> None:
    """Set variables for runs of deployments, where the user has not."""
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def with_variables(more: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of this process with more variables, for a process that it starts.

    Nothing of the current folder is imported there.
    """
    return {**os.environ, "PYTHONSAFEPATH": "1", **more}


def has_prefect_server() -> bool:
    """Whether the user named a Prefect server to use."""
    return bool(os.environ.get("PREFECT_API_URL"))


def prefect_api() -> str:
    """The address of the user's Prefect server; only where `has_prefect_server`."""
    return os.environ["PREFECT_API_URL"]


def use_prefect_server(api: str) -> None:
    """Use the Prefect server at `api`."""
    os.environ["PREFECT_API_URL"] = api
