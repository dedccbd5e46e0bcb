"""The command as a user starts it: its own process, its own servers, an empty home."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICK = (
    *("--trials", "2", "--set", "search.factors=4,8", "--set", "search.iterations=2,3"),
    *("--set", "judge.resamples=50"),
)


def environment(home: Path) -> dict[str, str]:
    """As after login on a machine of one's own, with an empty home."""
    passed = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONDONTWRITEBYTECODE")
    return {
        **{name: os.environ[name] for name in passed if name in os.environ},
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
    }


COMMAND = [sys.executable, "-m", "flows.cli"]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answer(url: str, process: subprocess.Popen[str], seconds: float = 120) -> str:
    """What an address answers, as soon as it does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as response:
                return str(response.read().decode())
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)  # nobody listens yet
    raise AssertionError(f"{url} does not answer; exit code {process.poll()}")


@pytest.mark.flow
def test_json_is_one_object_on_standard_output_and_the_home_stays_empty(
    sample: tuple[Path, Path], tmp_path: Path
) -> None:
    """The one run of the whole command as a user starts it, with a server of its own."""
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [*COMMAND, "experiment", "--json", "--plays", str(sample[0]), *QUICK, "--seed", "4"],
        cwd=tmp_path,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    found = json.loads(done.stdout)
    wanted = {"rows", "users", "items", "cells", "rejected", "fingerprint"}
    assert wanted <= found["data"].keys()
    assert found["split"]["method"]
    assert found["best"]["params"]["factors"] in (4, 8)
    assert set(found["models"]) == {"popularity-plays", "popularity-listeners", "als"}
    for model in found["models"].values():
        ndcg, coverage = model["test"]["ndcg@10"], model["test"]["coverage@10"]
        assert ndcg["low"] <= ndcg["mean"] <= ndcg["high"]
        assert (coverage["low"], coverage["high"]) == (None, None)
    assert found["seconds"]["total"] > 0
    assert {"study", "final"} <= found["runs"].keys()
    assert "Traceback" not in done.stderr
    assert list(home.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir() if path != home] == ["mlruns"]


@dataclass(frozen=True)
class Interface:
    """A started `recsys ui`."""

    process: subprocess.Popen[str]
    home: Path
    port: int


@pytest.fixture(scope="module")
def interfaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Interface]]:
    """Both at once: each takes seconds to start."""
    started: dict[str, Interface] = {}
    for name, options in (("mlflow", []), ("prefect", ["--prefect"])):
        place, port = tmp_path_factory.mktemp(name), free_port()
        (place / "home").mkdir()
        process = subprocess.Popen(
            [*COMMAND, "ui", *options, "--port", str(port)],
            cwd=place,
            env=environment(place / "home"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        started[name] = Interface(process, place / "home", port)
    yield started
    for each in started.values():
        with suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.communicate()


@pytest.mark.flow
@pytest.mark.parametrize(
    ("name", "path", "expected"), [("mlflow", "health", "OK"), ("prefect", "api/health", "true")]
)
def test_the_interfaces_answer_on_loopback_and_end_when_told(
    interfaces: dict[str, Interface], name: str, path: str, expected: str
) -> None:
    ui = interfaces[name]
    assert ui.process.stdout is not None
    assert ui.process.stdout.readline().startswith(f"http://127.0.0.1:{ui.port} ")
    assert answer(f"http://127.0.0.1:{ui.port}/{path}", ui.process) == expected

    ui.process.terminate()
    ui.process.communicate(timeout=60)

    with socket.socket() as gone:
        assert gone.connect_ex(("127.0.0.1", ui.port)) != 0
    assert list(ui.home.iterdir()) == []
