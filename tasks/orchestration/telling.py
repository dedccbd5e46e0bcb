"""A line in the logs of a flow run, which its page shows."""

from prefect.context import FlowRunContext
from prefect.logging import get_run_logger


def tell(line: str) -> None:
    """Log a line of the flow run that this is; without effect outside of one."""
    if FlowRunContext.get() is not None:
        get_run_logger().info(line)
