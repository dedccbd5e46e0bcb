"""Optuna's dashboard on the studies of a workspace. It needs no network: it ships its own pages.

    python -m tasks.tuning.dashboard ROOT HOST PORT [STORAGE]

STORAGE is the address of a PostgreSQL database without its password; libpq reads that from
PGPASSWORD, because every user of the machine can read arguments.
"""

import sys
from pathlib import Path

from tasks.tuning.storage import open_storage
from tasks.workspace.layout import Workspace


def serve_dashboard(workspace: Workspace, host: str, port: int) -> None:
    """Answer at http://host:port until interrupted."""
    from optuna_dashboard import run_server  # slow, and needed here alone

    run_server(open_storage(workspace), host=host, port=port)


def main(root: str, host: str, port: str, storage: str | None = None) -> None:
    """Serve the studies in `root`, or in `storage`, until interrupted."""
    serve_dashboard(Workspace.at(Path(root), storage), host, int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
