"""Whether a server that the user named is there, before anything slow begins."""

import urllib.error
import urllib.request
from base64 import b64encode
from http import HTTPStatus

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


def check_login(address: str, path: str, secret: str | None, variable: str) -> None:
    """Check that a server takes what we log in with; whatever else it answers is fine.

    Args:
        address: Its address; a password in it is not shown.
        path: Of the request, below the address.
        secret: `name:password`, None for none.
        variable: The environment variable that holds the secret.

    Raises:
        InputError: it refuses us.
    """
    login = {"Authorization": f"Basic {b64encode(secret.encode()).decode()}"} if secret else {}
    asked = urllib.request.Request(f"{address.rstrip('/')}{path}", headers=login)
    try:
        urllib.request.urlopen(asked, timeout=ANSWER_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            said = "not the one" if secret else "not set"
            raise InputError(
                f"{masked(address)} refuses us: {variable} is {said}; set it to the text that its "
                "server was started with, in prefect/auth-string of the workspace of `recsys ui`"
            ) from error
    except OSError:
        return  # it is gone: what comes next says so
