"""MLflow's server behind our guard: python -m tasks.tracking.server OPTIONS OF `mlflow server`.

MLflow checks Host, and Origin below /api; the guard checks both for everything. Both take the names
of the server from MLFLOW_SERVER_ALLOWED_HOSTS.
"""

import sys
from pathlib import Path
from typing import Any

from mlflow import server
from mlflow.environment_variables import (
    MLFLOW_SERVER_ALLOWED_HOSTS,
    MLFLOW_SERVER_CORS_ALLOWED_ORIGINS,
)

from tasks.orchestration.guard import Guard, GuardedAsgi, origin_patterns
from tasks.tracking.first_visit import VisitedAsgi

GUARDED = {
    "mlflow.server.fastapi_app:app": "tasks.tracking.server:pages",
    "mlflow.server.auth:create_app": "tasks.tracking.server:pages_with_accounts",
}


def pages() -> GuardedAsgi:
    """MLflow's server; called by uvicorn in each process that answers."""
    from mlflow.server.fastapi_app import app

    return _guarded(app)


def pages_with_accounts() -> GuardedAsgi:
    """MLflow's server that requires a name and a password; likewise."""
    from mlflow.server.auth import create_app

    return _guarded(create_app())


def _guarded(app: Any) -> GuardedAsgi:
    return GuardedAsgi(VisitedAsgi(app), _guard())


def _guard() -> Guard:
    known: Any = MLFLOW_SERVER_ALLOWED_HOSTS  # untyped
    return Guard.of("", known.get() or "")


def main(arguments: list[str]) -> None:
    """Start it and answer until interrupted."""
    from mlflow.cli import cli

    # It would refuse what its own pages send under a name that the user gave.
    pages_of: Any = MLFLOW_SERVER_CORS_ALLOWED_ORIGINS  # untyped
    pages_of.set(",".join(origin_patterns(_guard())))
    # MLflow 3.17 has no other way to put something before its server.
    module: Any = server
    build = module._build_uvicorn_command

    def guarded(options: Any, host: Any, port: Any, workers: Any, app: str, *rest: Any) -> Any:
        *command, name = build(options, host, port, workers, GUARDED[app], *rest)
        factory = [] if "--factory" in command else ["--factory"]
        # Without a folder uvicorn would look in the current one first, for all that is imported.
        return [*command, *factory, "--app-dir", str(Path(__file__).parents[2]), name]

    module._build_uvicorn_command = guarded
    cli(["server", *arguments], prog_name="mlflow")


if __name__ == "__main__":
    main(sys.argv[1:])
