"""One file over HTTP, resumed over as many connections as it takes."""

import http.client
import json
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from recsys.errors import InputError
from recsys.files import atomic_file
from recsys.progress import Progress, silent

BLOCK = 1 << 18
TIMEOUT_SECONDS = 30.0
_RETRIED = {408, 425, 429}  # status codes, as 500 to 599 are; any other is an error at once


@dataclass(frozen=True)
class Patience:
    """How many failures in a row, without a new byte, end it; how to wait after each (seconds)."""

    failures: int = 6
    wait: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class _Source:
    """Where the bytes of the part file are from; stored beside it."""

    url: str
    validator: str | None  # a strong ETag, else Last-Modified: for If-Range
    total: int | None


class _InterruptedError(Exception):
    """The transfer failed; a retry may succeed."""


def download(
    url: str,
    part: Path,
    *,
    room: int = 0,
    progress: Progress = silent,
    patience: Patience | None = None,
) -> None:
    """Complete the file part with the bytes behind url, continuing what is already there.

    A resumed transfer requests the rest of the same version (RFC 9110, If-Range); where the server
    has another version, or cannot resume, it starts again. `room` bytes more must fit on the disk.

    Raises:
        InputError: the server refuses, the disk is too small, or the transfer keeps failing.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise InputError(f"the address {url!r} is not one of HTTP: give one that begins https://")
    patience = patience or Patience()
    best, failures = 0, 0
    while True:
        try:
            return _attempt(url, part, room, progress)
        except _InterruptedError as error:
            failures = 0 if _size(part) > best else failures + 1
            best = max(best, _size(part))
            if failures >= patience.failures:
                raise InputError(_given_up(url, part, error)) from error
        patience.wait(min(60.0, 2.0**failures))


def forget(part: Path) -> None:
    """Remove a part file, and the file about its source."""
    _beside(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _attempt(url: str, part: Path, room: int, progress: Progress) -> None:
    known = _read_source(part, url)
    done = _size(part) if known else 0
    if known and known.total == done:
        return
    with _open(url, part, done, known) as response:
        start, total = _place(response)
        fresh = _Source(url, _validator(response), total)
        if start and not (start == done and _continues(known, fresh)):
            forget(part)
            raise _InterruptedError("the server answered with bytes of another version")
        if start == 0:
            forget(part)
        _check_room(part, (total or start) - start + room)
        _write_source(part, fresh)
        end = _transfer(response, part, start, total, progress)
    if total is not None and end != total:
        raise _InterruptedError(f"the connection closed at byte {end:,} of {total:,}")
    _write_source(part, _Source(url, fresh.validator, end))


def _open(url: str, part: Path, done: int, known: _Source | None) -> http.client.HTTPResponse:
    headers = {"User-Agent": "recsys"}
    if done and known:
        headers["Range"] = f"bytes={done}-"
        if known.validator:
            headers["If-Range"] = known.validator
    request = urllib.request.Request(url, headers=headers)
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(
            request, timeout=TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            forget(part)
        elif error.code < 500 and error.code not in _RETRIED:
            raise InputError(
                f"{url} answers {error.code} {error.reason}: check the address, or give another "
                "one that serves the same file"
            ) from error
        raise _InterruptedError(f"the server answers {error.code} {error.reason}") from error
    except (http.client.HTTPException, OSError) as error:
        _refuse_untrusted(url, error)
        raise _InterruptedError(str(error)) from error
    return response


def _refuse_untrusted(url: str, error: Exception) -> None:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise InputError(
            f"the certificate of {url} cannot be verified ({reason.verify_message}): install the "
            "root certificates of this machine, or check its clock"
        ) from error


def _continues(known: _Source | None, fresh: _Source) -> bool:
    """Whether two answers are of the same version; a field that one of them lacks may be equal."""
    return known is not None and all(
        before is None or now is None or before == now
        for before, now in ((known.validator, fresh.validator), (known.total, fresh.total))
    )


def _place(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Where the body begins in the file, and the size of the file, in bytes."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    first = span.partition("-")[0]
    if not first.isdigit():
        raise _InterruptedError("the server sends a part of the file without saying which")
    return int(first), int(total) if total.isdigit() else None


def _validator(response: http.client.HTTPResponse) -> str | None:
    etag: str | None = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):  # a weak one does not guarantee the same bytes
        return etag
    modified: str | None = response.headers.get("Last-Modified")
    return modified


def _transfer(
    response: http.client.HTTPResponse,
    part: Path,
    start: int,
    total: int | None,
    progress: Progress,
) -> int:
    done = start
    with part.open("ab") as file:
        progress("downloading", done, total)
        while block := _read(response):
            file.write(block)
            done += len(block)
            progress("downloading", done, total)
    return done


def _read(response: http.client.HTTPResponse) -> bytes:
    # Apart from the writing, because a full disk is an OSError too and no reason to retry.
    try:
        return response.read1(BLOCK)
    except (http.client.HTTPException, OSError) as error:
        raise _InterruptedError(f"the connection dropped: {error}") from error


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise InputError(
            f"{part.parent} has {free:,} bytes free and {needed:,} are needed: free some space, "
            "or choose a folder on another disk"
        )


def _given_up(url: str, part: Path, error: Exception) -> str:
    known = _read_source(part, url)
    total = f" of {known.total:,}" if known and known.total else ""
    return (
        f"{url} cannot be fetched ({error}); {_size(part):,} bytes{total} are in {part}, "
        "run the same command again to continue from there"
    )


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _beside(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_source(part: Path, url: str) -> _Source | None:
    """The source of part, or None where its bytes may be of another address than url."""
    try:
        known = _Source(**json.loads(_beside(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return known if known.url == url else None


def _write_source(part: Path, known: _Source) -> None:
    with atomic_file(_beside(part)) as new:
        new.write_text(json.dumps(asdict(known)), encoding="utf-8")
