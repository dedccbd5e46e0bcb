"""When a Prefect task is retried: where a database was lost."""

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from tasks.workspace.postgres import DatabaseLost

SECONDS = [1.0, 4.0, 16.0]  # before each further attempt
Again = dict[str, Any]  # settings of a task


def was_lost(task: "Task[..., Any]", run: TaskRun, state: State[Any]) -> bool:
    """Whether a retry may succeed; errors that the user has to correct stay."""
    return isinstance(state.result(raise_on_failure=False), DatabaseLost)


WHEN_LOST: Again = {
    "retries": len(SECONDS),
    "retry_delay_seconds": SECONDS,
    "retry_condition_fn": was_lost,
}
