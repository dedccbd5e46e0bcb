"""A Prefect server that stays, as `prefect server start` runs it, behind our guard.

    python -m tasks.orchestration.prefect_server HOST PORT [NAMES]

NAMES are further names that it answers to, separated by commas. Everything else comes from
Prefect's own settings; with PREFECT_SERVER_API_AUTH_STRING in the environment its clients log in.
"""

import sys

from tasks.orchestration.guard import Guard, GuardedAsgi
from tasks.orchestration.server import make_prefect_database


def main(host: str, port: str, names: str = "") -> None:
    """Answer at http://host:port until interrupted."""
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    settings = get_current_settings().server
    make_prefect_database()
    uvicorn.run(
        GuardedAsgi(create_app(final=True), Guard.of(host, names)),
        host=host,
        port=int(port),
        log_level=settings.logging_level.lower(),
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        workers=1,  # whatever WEB_CONCURRENCY says
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
