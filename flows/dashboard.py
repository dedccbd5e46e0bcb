"""Optuna's dashboard as a process of its own: python -m flows.dashboard ROOT HOST PORT."""

import sys
from pathlib import Path

from flows import environment
from tasks.tuning import serve_dashboard


def main() -> None:
    """Serve until interrupted."""
    root, host, port = sys.argv[1:]
    serve_dashboard(environment.place(Path(root)), host, int(port))


if __name__ == "__main__":
    main()
