"""A web interface for as long as it is wanted: quiet, and it says where it is when it answers."""

import ctypes
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from recsys.errors import InputError
from tasks.interrupts import INTERRUPTS
from tasks.orchestration.interfaces import Command

START_SECONDS = 120.0
STOP_SECONDS = 15.0
LOOK_AGAIN = 0.1  # seconds between two looks whether it answers
_PR_SET_PDEATHSIG = 1  # of Linux's prctl


def serve_interface(
    command: Command, host: str, port: int, log: Path, ready: Callable[[str], None]
) -> None:
    """Run a web interface until this process is interrupted, which ends it.

    Args:
        command: How it is started, and its whole environment.
        host: Address that it listens on.
        port: Likewise.
        log: Gets all that it prints.
        ready: Called with its address when it answers.

    Raises:
        InputError: the port is in use, or it ends by itself or does not answer; with the end of
            its log.
    """
    with suppress(OSError), socket.create_connection((host, port), 1.0):
        raise InputError(f"port {port} of {host} is in use; pass another with --port")
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    log.parent.mkdir(parents=True, exist_ok=True)
    words, variables = command
    with log.open("wb") as output:
        process = subprocess.Popen(
            words,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    try:
        if _answers(process, address):
            ready(address)
            process.wait()
    except KeyboardInterrupt:
        INTERRUPTS.forget()
        return  # it was wanted until now
    finally:
        _stop(process)
    last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])
    raise InputError(f"it ended by itself with {process.returncode}; its log {log} ends:\n{last}")


def _answers(process: subprocess.Popen[bytes], address: str) -> bool:
    """Whether it answers; False when it has ended, or after a while."""
    deadline = time.monotonic() + START_SECONDS
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with directly.open(address, timeout=START_SECONDS):
                return True
        except urllib.error.HTTPError:
            return True  # an answer, too
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(LOOK_AGAIN)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_with_parent() -> None:
    """Have the system end this process with its parent, also where that is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
