"""Messages about flow runs: to a notification block of Prefect, or to a webhook without one.

In the logs of a run, errors that say it all are one line each.

RECSYS_NOTIFY    a notification block, as slack-webhook/recsys: failures and verdicts
RECSYS_WEBHOOK   an address that takes JSON: failures, where no block is named or it fails
"""

from http.client import HTTPException
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import FlowStateHook
from prefect.logging.loggers import flow_run_logger
from prefect.utilities.urls import url_for

from flows import environment
from recsys.errors import InputError
from tasks.orchestration.notification import NotSentError, notify
from tasks.orchestration.one_line import log_in_one_line
from tasks.orchestration.webhook import post
from tasks.study.attempt import TrialFailed


def alert(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Send the failure of a run. Errors of sending are logged, and never change the run."""
    if _notified(flow, flow_run, f"{flow.name}: {state.name}", str(state.message)):
        return
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
        # Without the address: to know it is to be allowed to write there.
        flow_run_logger(flow_run, flow).warning("the webhook was not reached: %s", error)


def send_verdict(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Send the verdict of a retraining to the notification block, if one is named."""
    retrained = state.result()
    subject = f"{flow.name}: {retrained.name} {retrained.verdict}"
    _notified(flow, flow_run, subject, "\n".join(retrained.reasons))


def _notified(flow: Flow[..., Any], flow_run: FlowRun, subject: str, body: str) -> bool:
    """Whether a block is named and has sent the message."""
    block = environment.notification_block()
    if block is None:
        return False
    try:
        notify(block, subject, f"{body}\n{flow_run.name}: {url_for(flow_run)}")
    except NotSentError as error:
        flow_run_logger(flow_run, flow).warning("%s was not notified: %s", block, error)
        return False
    return True


ALERTS: list[FlowStateHook[..., Any]] = [alert]
log_in_one_line(InputError, TrialFailed)
