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

ROOT = Path(__file__).parents[3]
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


COMMAND = [sys.executable, "-m", "flows.cli.main"]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answer(url: str, process: subprocess.Popen[str], seconds: float = 120) -> str:
    """What an address answers, as soon as it does; the process has to live until then."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as response:
                return str(response.read().decode())
        except (urllib.error.URLError, ConnectionError):  # nobody listens yet
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"{url}: the process ended with {process.wait(0.1)}")
    raise AssertionError(f"{url} does not answer in {seconds} s")


@dataclass(frozen=True)
class Twice:
    """One command, started twice at the same moment in a workspace that is not there yet."""

    home: Path
    codes: list[int]
    out: list[str]
    errors: list[str]


@pytest.fixture(scope="module")
def twice(sample: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Twice:
    place = tmp_path_factory.mktemp("twice")
    (place / "home").mkdir()
    command = [*COMMAND, "experiment", "--json", "--plays", str(sample[0]), *QUICK, "--seed", "4"]
    started = [
        subprocess.Popen(
            command,
            cwd=place,
            env=environment(place / "home"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate() for process in started]
    codes = [process.returncode for process in started]
    return Twice(place / "home", codes, [out for out, _ in said], [error for _, error in said])


@pytest.mark.flow
def test_two_first_starts_at_once_both_end_well(twice: Twice) -> None:
    assert twice.codes == [0, 0], twice.errors
    assert not any("Traceback" in error for error in twice.errors)


@pytest.mark.flow
def test_the_same_seed_gives_the_same_object_but_for_seconds_and_ids(twice: Twice) -> None:
    one, other = ({**json.loads(out), "seconds": 0, "runs": 0} for out in twice.out)

    assert one == other


@pytest.mark.flow
def test_nothing_is_written_but_the_workspace(twice: Twice) -> None:
    assert list(twice.home.iterdir()) == []
    assert sorted(path.name for path in twice.home.parent.iterdir()) == ["home", "mlruns"]


@pytest.mark.flow
def test_json_is_one_object_on_standard_output(twice: Twice) -> None:
    out = twice.out[0]

    assert out.count("\n") == 1
    found = json.loads(out)
    wanted = {"rows", "users", "items", "cells", "rejected", "fingerprint"}
    assert wanted <= found["data"].keys()
    assert found["split"]["method"]
    assert found["best"]["params"]["factors"] in (4, 8)
    assert set(found["models"]) == {"popularity-plays", "popularity-users", "als"}
    for model in found["models"].values():
        ndcg, coverage = model["test"]["ndcg@10"], model["test"]["coverage@10"]
        assert ndcg["low"] <= ndcg["mean"] <= ndcg["high"]
        assert (coverage["low"], coverage["high"]) == (None, None)
    assert found["seconds"]["total"] > 0
    assert {"study", "final"} <= found["runs"].keys()


@dataclass(frozen=True)
class Interface:
    """A started `recsys ui`."""

    process: subprocess.Popen[str]
    home: Path
    port: int


@pytest.fixture(scope="module")
def interfaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Interface]]:
    """All at once: each takes seconds to start."""
    started: dict[str, Interface] = {}
    options: dict[str, list[str]] = {"mlflow": [], "prefect": ["--prefect"], "optuna": ["--optuna"]}
    for name, more in options.items():
        place, port = tmp_path_factory.mktemp(name), free_port()
        (place / "home").mkdir()
        process = subprocess.Popen(
            [*COMMAND, "ui", *more, "--port", str(port)],
            cwd=place,
            env=environment(place / "home"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
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
    ("name", "path", "expected"),
    [
        ("mlflow", "health", "OK"),
        ("prefect", "api/health", "true"),
        ("optuna", "api/studies", '{"study_summaries": []}'),
    ],
)
def test_the_interfaces_answer_on_loopback_and_end_when_told(
    interfaces: dict[str, Interface], name: str, path: str, expected: str
) -> None:
    ui = interfaces[name]
    assert ui.process.stdout is not None
    assert ui.process.stdout.readline().startswith(f"http://127.0.0.1:{ui.port} ")
    assert answer(f"http://127.0.0.1:{ui.port}/{path}", ui.process) == expected

    ui.process.send_signal(signal.SIGINT)
    out, err = ui.process.communicate(timeout=60)

    assert (ui.process.returncode, out, err) == (0, "", "")  # quietly
    with socket.socket() as gone:
        assert gone.connect_ex(("127.0.0.1", ui.port)) != 0
    assert list(ui.home.iterdir()) == []
