"""Pages of other sites, and names of other machines, at the servers that recsys starts."""

import base64
import http.client
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flows.processes import RECSYS, ROOT
from tests.team.engine import free_port

pytestmark = pytest.mark.slow

EVIL = "http://evil.example"
COMMAND = '{"name": "evil", "flow_id": "x", "job_variables": {"command": "touch evil"}}'
PATHS = {
    ("ui",): "/ajax-api/2.0/mlflow/experiments/create",
    ("ui", "--prefect"): "/api/deployments/",
    ("ui", "--optuna"): "/api/studies",
}
QUESTION = '{"dataframe_records": [{"items": "%s"}], "params": {"k": 2}}'


@contextmanager
def interface(folder: Path, command: tuple[str, ...]) -> Iterator[int]:
    """The port of a server while it runs."""
    port = int(free_port())
    words = [*RECSYS, *command, "--workspace", str(folder), "--port", str(port)]
    with subprocess.Popen(
        words,
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert str(port) in process.stdout.readline()  # printed once it answers
            yield port
        finally:
            process.terminate()


def status(
    port: int, method: str, path: str, headers: Mapping[str, str], body: str | None = None
) -> int:
    """The status of an answer to a request with exactly these headers beside the usual Host."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body=body, headers=dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


def refused(port: int, path: str, body: str) -> list[int]:
    """The status of the answer to each attack."""
    attacks = [
        ("POST", {"Origin": EVIL, "Content-Type": "text/plain"}),  # no preflight
        ("POST", {"Origin": EVIL, "Content-Type": "application/json"}),
        ("POST", {"Origin": "null", "Content-Type": "text/plain"}),
        ("OPTIONS", {"Origin": EVIL, "Access-Control-Request-Method": "POST"}),
        ("GET", {"Host": f"evil.example:{port}"}),  # a name that leads here by its DNS
        ("POST", {"Host": f"evil.example:{port}", "Content-Type": "application/json"}),
        ("POST", {"Host": f"evil.example:{port}", "Origin": f"{EVIL}:{port}"}),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}),
        ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}),  # other port
    ]
    return [status(port, method, path, headers, body) for method, headers in attacks]


@pytest.mark.parametrize("command", PATHS, ids=["MLflow", "Prefect", "Optuna"])
def test_an_interface_refuses_foreign_pages_and_names_and_serves_its_own(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    with interface(tmp_path / "runs", command) as port:
        answers = refused(port, PATHS[command], COMMAND)
        own = [
            status(port, "GET", "/", {"Host": host, "Origin": f"http://{host}"})
            for host in (f"127.0.0.1:{port}", f"localhost:{port}")
        ]

    assert {*answers} == {403}
    assert all(code in (200, 302) for code in own)


def test_a_served_model_refuses_foreign_pages_and_names_and_answers_programs(
    tmp_path: Path,
) -> None:
    folder = str(tmp_path / "runs")
    small = ("--trials", "1", "--set", "search.factors=4", "--set", "judge.resamples=50")
    commands: list[tuple[str, ...]] = [
        ("sample", "--users", "300", "--items", "200"),
        ("experiment", *small, "--set", "search.iterations=2"),
        ("promote",),
    ]
    for words in commands:
        subprocess.run([*RECSYS, *words, "--workspace", folder, "--quiet"], cwd=ROOT, check=True)
    plays = tmp_path / "runs" / "sample" / "plays.tsv"
    body = QUESTION % plays.read_text(encoding="utf-8").splitlines()[0].split("\t")[2]
    with interface(tmp_path / "runs", ("serve",)) as port:
        answers = refused(port, "/invocations", body)
        program = status(port, "POST", "/invocations", {"Content-Type": "application/json"}, body)
        page = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{port}"}
        own = status(port, "POST", "/invocations", page, body)

    assert {*answers} == {403}
    assert (program, own) == (200, 200)


def test_only_who_knows_the_secret_of_the_workspace_can_give_prefect_commands(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "runs" / "prefect" / "auth-string"
    body = {"Content-Type": "application/json"}
    with interface(tmp_path / "runs", ("ui", "--prefect")) as port:
        secret = base64.b64encode(kept.read_bytes().strip()).decode()
        without = status(port, "POST", "/api/deployments/filter", body, "{}")
        with_it = {**body, "Authorization": f"Basic {secret}"}
        known = status(port, "POST", "/api/deployments/filter", with_it, "{}")

    assert (without, known) == (401, 200)
    assert kept.stat().st_mode & 0o077 == 0
