"""Prefect's notification blocks: Slack, mail, Teams and others, configured in Prefect's pages."""

from typing import Any


class NotSentError(Exception):
    """The message was not sent."""


def notify(name: str, subject: str, body: str) -> None:
    """Send a message by a notification block.

    Args:
        name: Slug of its type and its name, as in slack-webhook/recsys.
        subject: One line.
        body: Text.

    Raises:
        NotSentError: there is no such block, or it failed.
    """
    import prefect.blocks.notifications  # noqa: F401 - the types of blocks
    from prefect.blocks.core import Block

    try:
        block: Any = Block.load(name)  # Any: sync here, a coroutine elsewhere
        with block.raise_on_failure():
            block.notify(body, subject)
    except Exception as error:  # each type of block has its own errors
        raise NotSentError(f"{type(error).__name__}: {error}") from error
