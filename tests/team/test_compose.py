import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.team.described import COMPOSE, ROOT, Service, Unset, services

REQUIRED = ("POSTGRES_PASSWORD", "STUDIES_PASSWORD", "PREFECT_PASSWORD")
SECRETS = (*REQUIRED, "MLFLOW_ADMIN_PASSWORD", "MLFLOW_SECRET_KEY")  # the others for MLFLOW_AUTH=1
GIVEN = {name: secrets.token_hex(24) for name in SECRETS}
SERVERS = ("postgres", "mlflow", "prefect", "runner")
ONCE = ("init", "deploy")
SAID: Mapping[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))


@pytest.fixture(params=SAID["services"])
def service(request: pytest.FixtureRequest) -> Service:
    return services(GIVEN)[request.param]


@pytest.mark.parametrize("missing", REQUIRED)
@pytest.mark.parametrize("value", ["", None])
def test_without_a_password_nothing_starts(missing: str, value: str | None) -> None:
    given = {name: secret for name, secret in GIVEN.items() if name != missing}
    with pytest.raises(Unset, match=f"^{missing} is not set"):
        services(given if value is None else given | {missing: value})


def test_no_secret_has_a_default_or_stands_in_the_file() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    words = re.findall(r"^\s+(\w*(?:PASSWORD|SECRET|AUTH_STRING|ACCESS_KEY)\w*):(.*)$", text, re.M)

    assert len(words) > len(SECRETS)
    for name, value in words:
        assert re.fullmatch(r"(\s(recsys:)?\$\{\w+:(\?[^}]*|-|-\$\{\w+:-\})\})?", value), name
    assert not re.search(r"://[^\s/]*:[^\s/]*@", text)


def test_every_port_is_published_on_the_loopback_interface_alone(service: Service) -> None:
    published = service.said.get("ports", [])

    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert "network_mode" not in service.said


def test_no_service_has_rights_it_does_not_need(service: Service) -> None:
    assert service.said["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"} & {*service.said}
    if service.name != "postgres":  # which changes its user itself
        assert service.said["cap_drop"] == ["ALL"]
        assert "user" not in service.said


def test_servers_have_a_health_check_and_restart(service: Service) -> None:
    asked = "HEALTH_URL" in service.environment or "test" in service.said.get("healthcheck", {})

    assert asked == (service.name in SERVERS)
    assert asked != (service.said.get("healthcheck") == {"disable": True})
    assert (service.said["restart"] == "unless-stopped") == asked


def test_dependencies_can_be_waited_for(service: Service) -> None:
    """`up --wait` fails on a service that ends, unless another one waits for that end."""
    expected = dict.fromkeys(SERVERS, "service_healthy")
    expected |= dict.fromkeys(ONCE, "service_completed_successfully")
    waits = {name: how["condition"] for name, how in service.said.get("depends_on", {}).items()}
    awaited = {
        name for each in services(GIVEN).values() for name in each.said.get("depends_on", {})
    }

    assert waits == {name: expected[name] for name in waits}
    assert service.name in awaited or service.name in ("runner", "worker")


def test_a_worker_gets_its_study_and_its_options() -> None:
    asked = {"STUDY": "mine", "WORK": "--plays '/data/my plays.tsv' --trials 40"}

    assert services(GIVEN | asked)["worker"].command == [
        *("recsys", "study", "work", "mine"),
        *("--plays", "/data/my plays.tsv", "--trials", "40"),
    ]


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "MLFLOW_S3_ENDPOINT_URL"])
def test_settings_of_s3_are_passed_on_where_they_are_set(name: str) -> None:
    asked = services(GIVEN | {"ARTIFACTS": "s3://bucket/runs", name: "told"})["mlflow"].environment

    assert services(GIVEN)["mlflow"].environment["MLFLOW_ARTIFACTS_DESTINATION"] == "/artifacts"
    assert name not in services(GIVEN)["mlflow"].environment
    assert asked["MLFLOW_ARTIFACTS_DESTINATION"] == "s3://bucket/runs"
    assert asked[name] == "told"


def test_prefect_asks_everybody_for_what_all_services_know() -> None:
    """A client of it can start commands in the runner."""
    expected = f"recsys:{GIVEN['PREFECT_PASSWORD']}"
    found = {name: each.environment for name, each in services(GIVEN).items()}

    assert found["prefect"]["PREFECT_SERVER_API_AUTH_STRING"] == expected
    assert {
        name: each["PREFECT_API_AUTH_STRING"]
        for name, each in found.items()
        if "PREFECT_API_URL" in each
    } == dict.fromkeys(("deploy", "runner", "worker"), expected)


def test_servers_answer_to_their_own_names_and_those_in_the_file_of_secrets() -> None:
    named = {"MLFLOW_HOSTS": "mlflow.example.org", "PREFECT_HOSTS": "prefect.example.org"}
    before, after = services(GIVEN), services(GIVEN | named)
    hosts = {"mlflow": "MLFLOW_SERVER_ALLOWED_HOSTS", "prefect": "RECSYS_ALLOWED_HOSTS"}

    for name, variable in hosts.items():
        few, more = (each[name].environment[variable] for each in (before, after))
        assert few.split(",")[0] == f"{name}:{each_port(before[name])}"
        assert more == f"{few},{name}.example.org"
        assert "*" not in few


def each_port(service: Service) -> str:
    """The port of a server in its container."""
    [inside] = service.ports
    return inside


@pytest.mark.parametrize("auth", ["", None])
def test_prefect_does_not_start_without_a_password(tmp_path: Path, auth: str | None) -> None:
    environment = installed_beside(tmp_path, "python", 'echo "$@"')
    given = {} if auth is None else {"PREFECT_SERVER_API_AUTH_STRING": auth}
    done = run_script(tmp_path, "prefect.sh", environment | given)

    assert done.returncode != 0
    assert "PREFECT_PASSWORD in docker/.env" in done.stderr


def test_the_specification_of_compose_takes_the_file(tmp_path: Path) -> None:
    misspelt = tmp_path / "compose.yaml"
    text = COMPOSE.read_text(encoding="utf-8")
    misspelt.write_text(text.replace("healthcheck:", "healthchek:"), encoding="utf-8")
    schema = ("--builtin-schema", "vendor.compose-spec")  # comes with the checker, for no network
    command = (sys.executable, "-m", "check_jsonschema", *schema)
    good, bad = (
        subprocess.run([*command, file], capture_output=True, text=True, check=False)
        for file in (COMPOSE, misspelt)
    )

    assert (good.returncode, good.stderr) == (0, "")
    assert "'healthchek' was unexpected" in bad.stdout


def test_docker_takes_the_file() -> None:
    docker = shutil.which("docker")
    known = (
        docker and subprocess.run([docker, "compose", "version"], capture_output=True).returncode
    )
    if known != 0:
        pytest.skip("Docker's plugin compose is not installed")
    checked = subprocess.run(
        [str(docker), "compose", "--file", COMPOSE, "--profile", "study", "config", "--quiet"],
        env=GIVEN,
        capture_output=True,
        text=True,
    )

    assert (checked.returncode, checked.stderr) == (0, "")


def installed_beside(folder: Path, name: str, script: str) -> dict[str, str]:
    """An environment in which a program is what `script` says."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def run_script(
    folder: Path, script: str, environment: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", ROOT / "docker" / script, *arguments],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("auth", "code", "said"),
    [
        ({}, 0, "-m tasks.tracking.server --x\n"),
        ({"MLFLOW_AUTH": "0"}, 0, "-m tasks.tracking.server --x\n"),
        ({"MLFLOW_AUTH": "yes"}, 2, "must be 0 or 1"),
        ({"MLFLOW_AUTH": "1"}, 2, "needs MLFLOW_ADMIN_PASSWORD"),
        ({"MLFLOW_AUTH": "1", "MLFLOW_AUTH_ADMIN_PASSWORD": "a"}, 2, "needs MLFLOW_SECRET_KEY"),
        (
            {
                "MLFLOW_AUTH": "1",
                "MLFLOW_AUTH_ADMIN_PASSWORD": "a",
                "MLFLOW_FLASK_SERVER_SECRET_KEY": "b",
            },
            0,
            "-m tasks.tracking.server --app-name basic-auth --x\n",
        ),
    ],
)
def test_mlflow_needs_passwords_where_that_is_set(
    tmp_path: Path, auth: dict[str, str], code: int, said: str
) -> None:
    environment = installed_beside(tmp_path, "python", 'echo "$@"') | auth
    done = run_script(tmp_path, "mlflow.sh", environment, "--x")

    assert done.returncode == code
    assert said in (done.stdout or done.stderr)


@pytest.mark.parametrize("has_file", [True, False])
@pytest.mark.parametrize("has_pool", [True, False])
def test_deployments_are_made_where_there_are_any(
    tmp_path: Path, has_pool: bool, has_file: bool
) -> None:
    """The stand-in has a pool and the automation, or neither."""
    environment = installed_beside(
        tmp_path, "prefect", f'echo "$@" >> calls; [ "$2" != inspect ] || {str(has_pool).lower()}'
    )
    if has_file:
        (tmp_path / "prefect.yaml").touch()
    done = run_script(tmp_path, "deploy.sh", environment, "pool")
    calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()

    assert done.returncode == 0
    assert calls == [
        "work-pool inspect pool",
        *(["work-pool create --type process pool"] if not has_pool else []),
        "automation inspect recsys-crash-silent-runs",
        *(["automation create --from-file flows/automations.yaml"] if not has_pool else []),
        *(["--no-prompt deploy --all"] if has_file else []),
    ]
    assert ("nothing to deploy" in done.stdout) != has_file


def test_a_server_that_prefect_does_not_reach_fails_the_deployment(tmp_path: Path) -> None:
    done = run_script(tmp_path, "deploy.sh", installed_beside(tmp_path, "prefect", "exit 1"), "p")

    assert done.returncode != 0
