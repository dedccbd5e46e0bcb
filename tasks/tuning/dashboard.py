"""Optuna's dashboard on the studies of a workspace. It needs no network: it ships its own pages."""

from tasks.tuning.storage import open_storage
from tasks.workspace.layout import Workspace


def serve_dashboard(workspace: Workspace, host: str, port: int) -> None:
    """Answer at http://host:port until interrupted."""
    from optuna_dashboard import run_server  # slow, and nobody else needs it

    run_server(open_storage(workspace), host=host, port=port)
