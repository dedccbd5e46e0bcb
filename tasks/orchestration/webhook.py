"""A message to an address on the web that takes JSON."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

SECONDS = 5.0  # for an answer
WAITS = (1.0, 4.0)  # before it is tried again


def post(address: str, message: Mapping[str, str | None], waits: Sequence[float] = WAITS) -> None:
    """Send `message` as JSON, with retries without an answer or after a fault of the server.

    Args:
        address: http or https.
        message: Becomes one object.
        waits: Seconds before each further attempt.

    Raises:
        OSError: it could not be delivered; also http.client.HTTPException, where no HTTP is spoken.
        ValueError: the address is none.
    """
    if not address.startswith(("http://", "https://")):
        raise ValueError("the address of a webhook begins with http:// or https://")
    request = urllib.request.Request(
        address,
        data=json.dumps(message).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    for wait in waits:
        try:
            return _send(request)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise
        except OSError:
            pass
        time.sleep(wait)
    _send(request)


def _send(request: urllib.request.Request) -> None:
    with urllib.request.urlopen(request, timeout=SECONDS):
        return
