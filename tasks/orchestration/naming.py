"""The name of a flow run, as Prefect's pages list it."""

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger


def name_run(name: str) -> None:
    """Name the flow run that this is; without effect outside of one.

    For what is known only while it runs, such as the study that it makes.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.name == name:
        return
    try:
        get_client(sync_client=True).set_flow_run_name(context.flow_run.id, name)
    except httpx.HTTPError as error:
        get_run_logger().warning("the run is not renamed to %s: %s", name, error)
        return
    context.flow_run.name = name
