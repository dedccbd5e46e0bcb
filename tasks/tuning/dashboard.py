"""Optuna's dashboard on the studies of a workspace. It needs no network: it ships its own pages.

    python -m tasks.tuning.dashboard ROOT HOST PORT NAMES [STORAGE]

NAMES are further names that it answers to, separated by commas, or empty. STORAGE is the address
of a PostgreSQL database without its password; libpq reads that from PGPASSWORD, because every user
of the machine can read arguments.
"""

import sys
from pathlib import Path

from tasks.orchestration.guard import Guard, guarded_wsgi
from tasks.tuning.storage import open_storage
from tasks.workspace.layout import Workspace


def serve_dashboard(workspace: Workspace, host: str, port: int, guard: Guard) -> None:
    """Answer at http://host:port until interrupted."""
    import bottle  # what the dashboard runs on
    import optuna_dashboard  # slow, and needed here alone

    app = optuna_dashboard.wsgi(open_storage(workspace))
    bottle.run(guarded_wsgi(app, guard), host=host, port=port)


def main(root: str, host: str, port: str, names: str = "", storage: str | None = None) -> None:
    """Serve the studies in `root`, or in `storage`, until interrupted."""
    workspace = Workspace.at(Path(root), storage)
    serve_dashboard(workspace, host, int(port), Guard.of(host, names))


if __name__ == "__main__":
    main(*sys.argv[1:])
