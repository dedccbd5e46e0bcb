"""What the libraries read from the environment, set before any of them is imported."""

import logging
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from ipaddress import IPv6Address
from pathlib import Path
from urllib.parse import urlsplit

from recsys.errors import InputError
from tasks.orchestration.guard import LOOPBACK, Guard
from tasks.orchestration.secret import kept_secret
from tasks.workspace.layout import Workspace

STORAGE = "RECSYS_STORAGE"  # a PostgreSQL address, for studies that several machines work on
TRACKING = "MLFLOW_TRACKING_URI"  # an MLflow server, as everything of MLflow reads it
NOTIFY = "RECSYS_NOTIFY"  # a notification block of Prefect: failures and verdicts
WEBHOOK = "RECSYS_WEBHOOK"  # an address that takes the failures of flows, without a block
PUBLISHED = "RECSYS_PUBLISHED"  # where lists are published to, and looked up
DATABASE = "RECSYS_DATABASE"  # where a retraining with a query reads plays
HOSTS = "RECSYS_ALLOWED_HOSTS"  # further names of the servers that we start
MLFLOW_HOSTS = (
    "MLFLOW_SERVER_ALLOWED_HOSTS"  # the same for MLflow, as everything of MLflow reads it
)
API_SECRET, CLIENT_SECRET = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
USERS = ("PREFECT_SERVER_UI_API_URL", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def prepare(workspace: Workspace) -> None:
    """Keep every library inside the workspace, quiet, and away from the network.

    Places of files and telemetry are always set; other settings of the user stay, so a team's
    PREFECT_API_URL is used as it is.
    """
    logging.raiseExceptions = False  # a log that cannot be sent or written is no news
    os.environ.update(_ours(workspace) | _loopback_without_proxy())
    for name in _unusable():
        del os.environ[name]
    for name, value in _settings(workspace).items():
        os.environ.setdefault(name, value)
    _log_in(workspace)


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
    usable = [each for each in names if each and _is_exception(each)]
    direct = ",".join(dict.fromkeys([*usable, "127.0.0.1", "localhost", "::1"]))
    return {"NO_PROXY": direct, "no_proxy": direct}


def _is_exception(name: str) -> bool:
    """Whether Prefect's client can read a name of NO_PROXY: no [::1] and no ::1/128."""
    if name.count(":") < 2:
        return True
    try:
        return bool(IPv6Address(name))
    except ValueError:
        return False


def _unusable() -> list[str]:
    """Variables with which Prefect's client would not start, not even for this machine.

    A proxy that it cannot speak to, and certificates that are not there.
    """
    known = {"http", "https", *({"socks5", "socks5h"} if find_spec("socksio") else ())}
    names = [each for name in PROXIES for each in (name, name.upper())]
    proxies = {name: os.environ.get(name, "").partition("://") for name in names}
    files = ("SSL_CERT_FILE", "SSL_CERT_DIR")
    return [
        *(
            name
            for name, (scheme, end, _) in proxies.items()
            if end and scheme.lower() not in known
        ),
        *(name for name in files if name in os.environ and not Path(os.environ[name]).exists()),
    ]


def _log_in(workspace: Workspace) -> None:
    """Use the secret of this workspace's Prefect server, where the user named a server here."""
    file = workspace.prefect_secret
    local = has_prefect_server() and (urlsplit(prefect_api()).hostname or "") in LOOPBACK
    if local and not os.environ.get(CLIENT_SECRET) and os.access(file, os.R_OK):
        os.environ[CLIENT_SECRET] = file.read_text(encoding="utf-8").strip()


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
        "PREFECT_LOGGING_LOGGERS_PREFECT_FLOW_RUNS_LEVEL": "INFO",  # the results of trials
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


def use_this_python() -> None:
    """Let `python` be the interpreter of this process for what it starts."""
    here = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([here, os.environ.get("PATH", os.defpath)])


def with_variables(more: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of this process with more variables, for a process that it starts.

    Nothing of the current folder is imported there. Where the page of Prefect is, the user may say.
    """
    said = {name: os.environ[name] for name in USERS if os.environ.get(name)}
    return {**os.environ, "PYTHONSAFEPATH": "1", **more, **said}


def has_prefect_server() -> bool:
    """Whether the user named a Prefect server to use."""
    return bool(os.environ.get("PREFECT_API_URL"))


def prefect_api() -> str:
    """The address of the user's Prefect server; only where `has_prefect_server`."""
    return os.environ["PREFECT_API_URL"]


def client_secret() -> str | None:
    """What clients log in with at the user's Prefect server; None where no text is set."""
    return os.environ.get(CLIENT_SECRET) or None


def use_prefect_server(api: str, secret: str | None = None) -> None:
    """Use the Prefect server at `api`, which asks for `secret`."""
    os.environ["PREFECT_API_URL"] = api
    if secret is not None:
        os.environ[CLIENT_SECRET] = secret


def with_secret(secret: str) -> Mapping[str, str]:
    """The environment of this process for a Prefect server that asks for `secret`."""
    return {**os.environ, API_SECRET: secret}


def prefect_secret(workspace: Workspace) -> str:
    """What clients of the workspace's Prefect server log in with: the user's text, or a kept one.

    Raises:
        InputError: its file cannot be used.
    """
    return os.environ.get(API_SECRET) or kept_secret(workspace.prefect_secret)


def allowed_hosts(*more: str) -> str:
    """Further names of a server that we start, as the variables say, separated by commas.

    Args:
        more: Variables that count too.

    Raises:
        InputError: one is no name of a host.
    """
    known = {name: os.environ.get(name, "") for name in (HOSTS, *more)}
    for name, text in known.items():
        try:
            Guard.of("", text)
        except ValueError as error:
            raise InputError(f"{name}: {error}") from error
    return ",".join(filter(None, known.values()))
