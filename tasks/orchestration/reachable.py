"""Whether a server that the user named is there, before anything slow begins."""

import urllib.error
import urllib.request

from recsys.errors import InputError
from tasks.workspace.postgres import masked

ANSWER_SECONDS = 20.0


def check_answers(address: str, path: str, variable: str, what: str) -> None:
    """Check that a server of the user is there; an error of HTTP is an answer, too.

    Args:
        address: Its address; a password in it is not shown.
        path: Of the request, below the address.
        variable: The environment variable that holds the address.
        what: The server, in words.

    Raises:
        InputError: nothing answers.
    """
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}{path}", timeout=ANSWER_SECONDS):
            return
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        raise InputError(
            f"no {what} answers at {masked(address)} ({variable}): {why}; start it, or change "
            f"{variable}"
        ) from error
