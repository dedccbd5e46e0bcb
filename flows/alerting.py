"""Who hears of a flow that failed: the webhook of a team, where the environment names one."""

from http.client import HTTPException
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import FlowStateHook
from prefect.logging.loggers import flow_run_logger
from prefect.utilities.urls import url_for

from flows import environment
from tasks.orchestration.webhook import post


def alert(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tell the webhook what became of a run; whatever becomes of that, the run stays as it is."""
    address = environment.webhook()
    if address is None:
        return
    message = {
        "flow": flow.name,
        "run": flow_run.name,
        "state": state.name,
        "message": state.message,
        "url": url_for(flow_run),
    }
    try:
        post(address, message)
    except (OSError, HTTPException, ValueError) as error:
        # Not the address: who knows it may write there.
        flow_run_logger(flow_run, flow).warning("the webhook was not reached: %s", error)


ALERTS: list[FlowStateHook[..., Any]] = [alert]
