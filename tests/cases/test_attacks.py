"""Pages of other sites, and names of other machines, at the interfaces that `recsys ui` starts."""

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
    (): "/ajax-api/2.0/mlflow/experiments/create",
    ("--prefect",): "/api/deployments/",
    ("--optuna",): "/api/studies",
}


@contextmanager
def interface(folder: Path, options: tuple[str, ...]) -> Iterator[int]:
    """The port of an interface while it runs."""
    port = int(free_port())
    words = [*RECSYS, "ui", *options, "--workspace", str(folder), "--port", str(port)]
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


@pytest.mark.parametrize("options", PATHS, ids=["MLflow", "Prefect", "Optuna"])
def test_an_interface_refuses_foreign_pages_and_names_and_serves_its_own(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    path = PATHS[options]
    with interface(tmp_path / "runs", options) as port:
        attacks = [
            ("POST", {"Origin": EVIL, "Content-Type": "text/plain"}),  # no preflight
            ("POST", {"Origin": EVIL, "Content-Type": "application/json"}),
            ("POST", {"Origin": "null", "Content-Type": "text/plain"}),
            ("OPTIONS", {"Origin": EVIL, "Access-Control-Request-Method": "POST"}),
            ("GET", {"Host": f"evil.example:{port}"}),  # a name that leads here by its DNS
            ("POST", {"Host": f"evil.example:{port}", "Origin": f"{EVIL}:{port}"}),
            ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}),
            ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}),  # other port
        ]
        refused = [status(port, method, path, headers, COMMAND) for method, headers in attacks]
        own = [
            status(port, "GET", "/", {"Host": host, "Origin": f"http://{host}"})
            for host in (f"127.0.0.1:{port}", f"localhost:{port}")
        ]

    assert refused == [403] * len(attacks)
    assert all(code in (200, 302) for code in own)


def test_only_who_knows_the_secret_of_the_workspace_can_give_prefect_commands(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "runs" / "prefect" / "auth-string"
    body = {"Content-Type": "application/json"}
    with interface(tmp_path / "runs", ("--prefect",)) as port:
        secret = base64.b64encode(kept.read_bytes().strip()).decode()
        without = status(port, "POST", "/api/deployments/filter", body, "{}")
        with_it = {**body, "Authorization": f"Basic {secret}"}
        known = status(port, "POST", "/api/deployments/filter", with_it, "{}")

    assert (without, known) == (401, 200)
    assert kept.stat().st_mode & 0o077 == 0
