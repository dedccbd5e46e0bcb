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
        except (urllib.error.URLError, ConnectionError):  # the server does not listen yet
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"{url}: the process ended with {process.wait(0.1)}")
    raise AssertionError(f"{url} does not answer in {seconds} s")


@dataclass(frozen=True)
class Started:
    """One command, started so many times at the same moment where there is no workspace yet."""

    home: Path
    codes: list[int]
    out: list[str]
    errors: list[str]


def start(n: int, plays: Path, place: Path) -> Started:
    (place / "home").mkdir()
    command = [*COMMAND, "experiment", "--json", "--plays", str(plays), *QUICK, "--seed", "4"]
    started = [
        subprocess.Popen(
            command,
            cwd=place,
            env=environment(place / "home"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(n)
    ]
    texts = [process.communicate() for process in started]
    codes = [process.returncode for process in started]
    return Started(place / "home", codes, [out for out, _ in texts], [error for _, error in texts])


@pytest.fixture(scope="module")
def once(sample: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Started:
    return start(1, sample[0], tmp_path_factory.mktemp("once"))


@pytest.mark.flow
@pytest.mark.slow
def test_two_first_starts_at_once_end_well_and_alike_but_for_seconds_and_ids(
    sample: tuple[Path, Path], tmp_path: Path
) -> None:
    twice = start(2, sample[0], tmp_path)

    assert twice.codes == [0, 0], twice.errors
    assert not any("Traceback" in error for error in twice.errors)
    one, other = ({**json.loads(out), "seconds": 0, "runs": 0} for out in twice.out)
    assert one == other


@pytest.mark.slow
@pytest.mark.flow
def test_nothing_is_written_but_the_workspace(once: Started) -> None:
    assert once.codes == [0], once.errors
    assert "Traceback" not in once.errors[0]
    assert list(once.home.iterdir()) == []
    assert sorted(path.name for path in once.home.parent.iterdir()) == ["home", "mlruns"]


@pytest.mark.slow
@pytest.mark.flow
def test_json_is_one_object_on_standard_output(once: Started) -> None:
    out = once.out[0]

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


@pytest.mark.flow
@pytest.mark.parametrize(
    ("options", "path", "expected"),
    [
        pytest.param([], "health", "OK", marks=pytest.mark.slow, id="mlflow"),
        pytest.param(["--prefect"], "api/health", "true", marks=pytest.mark.slow, id="prefect"),
        pytest.param(["--optuna"], "api/studies", '{"study_summaries": []}', id="optuna"),
    ],
)
def test_an_interface_answers_on_loopback_and_ends_when_told(
    tmp_path: Path, options: list[str], path: str, expected: str
) -> None:
    port, home = free_port(), tmp_path / "home"
    home.mkdir()
    ui = subprocess.Popen(
        [*COMMAND, "ui", *options, "--port", str(port)],
        cwd=tmp_path,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that runs tests in the background has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert ui.stdout is not None
        assert ui.stdout.readline().startswith(f"http://127.0.0.1:{port} ")
        assert answer(f"http://127.0.0.1:{port}/{path}", ui) == expected

        ui.send_signal(signal.SIGINT)
        out, err = ui.communicate(timeout=60)

        assert (ui.returncode, out, err) == (0, "", "")  # quietly
        with socket.socket() as gone:
            assert gone.connect_ex(("127.0.0.1", port)) != 0
        assert list(home.iterdir()) == []
    finally:
        with suppress(ProcessLookupError):
            os.killpg(ui.pid, signal.SIGKILL)
        ui.communicate()
