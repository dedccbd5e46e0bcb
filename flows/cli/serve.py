"""`recsys serve`: a registered model over HTTP."""

from typing import Annotated

from cyclopts import Parameter

from flows import environment
from flows.cli.session import HERE, Model, Place, again, between, named
from recsys.errors import InputError
from tasks.orchestration.guard import LOOPBACK
from tasks.orchestration.interfaces import HOST, MODEL, MODEL_PORT, model_server
from tasks.workspace.layout import Workspace
from tasks.workspace.readable import if_allowed, is_writable, substitute


def serve(
    version: Annotated[int | None, Parameter(name="VERSION")] = None,
    /,
    *,
    host: str = HOST,
    port: Annotated[int, Parameter(metavar="N", validator=between(1, 65_535))] = MODEL_PORT,
    model_name: Model = MODEL,
    place: Place = HERE,
) -> None:
    """Answer over HTTP with a registered model, for users and histories in no list.

    Takes what `mlflow models serve` takes, at /invocations, and refuses the pages of other sites
    and names that are not its own.

    Example:
        recsys serve --port 5002

    Args:
        version: Without it: the champion, the version that is one when it starts.
        host: Address to listen on.
        port: Likewise.
    """
    workspace = place.open()
    from tasks.orchestration.web import serve_interface
    from tasks.tracking.moving import update_alone

    number = _number(workspace, version, model_name)
    with if_allowed():
        update_alone(workspace)
    words, more = model_server(
        workspace, f"models:/{model_name}/{number}", host, port, environment.allowed_hosts()
    )
    log = workspace.libraries / "model_server.log"
    if not is_writable(log):
        log = substitute() / log.name

    def ready(address: str) -> None:
        print(f"{model_name} version {number}: {address}/invocations  (Ctrl-C ends it)", flush=True)
        if host not in LOOPBACK:
            print(
                "it answers only to names it knows: for others set "
                f"{environment.HOSTS}=NAME:{port} before this command",
                flush=True,
            )

    serve_interface((words, environment.with_variables(more)), host, port, log, ready)


def _number(workspace: Workspace, version: int | None, name: str) -> int:
    from tasks.tracking import registry

    registry.check_name(name)
    if version is not None:
        return registry.get_version(workspace, version, name).number
    champion = registry.champion(workspace, name)
    if champion is None:
        command = again(workspace, "promote", *named(name))
        raise InputError(f"{name} has no champion; `{command}` makes one")
    return champion.number
