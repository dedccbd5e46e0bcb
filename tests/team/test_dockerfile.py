import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.team.described import (
    DOCKERFILE,
    ROOT,
    image_environment,
    instructions,
    of_image,
    services,
    stages,
)
from tests.test_setup import pins, versions

LOCKS = ("requirements.lock", "docker/requirements.lock")


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    linted = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)

    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_image_runs_as_an_unprivileged_user() -> None:
    assert [*of_image("USER")] == ["1000:1000"]
    words = [word for word, _ in stages()[-1]]
    assert words.index("USER") > max(n for n, word in enumerate(words) if word in ("RUN", "COPY"))


def test_packages_are_installed_by_hash_from_the_locks_and_no_package_runs_code() -> None:
    [install] = [g for word, g in instructions() if word == "RUN" and "--requirement" in g]

    assert re.findall(r"--requirement (\S+)", install) == [*LOCKS]
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:"):
        assert option in install


def test_the_locks_of_the_image_agree() -> None:
    image, dev = versions(LOCKS[1], "3.11"), versions("requirements-dev.lock", "3.11")

    assert {"boto3", "flask-wtf"} <= image.keys()
    assert {name: found for name, found in image.items() if name in dev} == {
        name: dev[name] for name in image if name in dev
    }
    assert all(pin.hashes for pin in pins(LOCKS[1]))
    assert "://" not in (ROOT / LOCKS[1]).read_text(encoding="utf-8")


def test_no_secret_is_in_the_image() -> None:
    assert "ARG" not in {word for word, _ in instructions()}
    assert not [name for name in image_environment() if re.search("PASS|SECRET|KEY|TOKEN", name)]
    assert not [g for word, g in instructions() if word == "COPY" and g.startswith(". ")]


def test_the_files_of_the_image_are_named() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    sources = {
        source.replace("prefect.yam[l]", "prefect.yaml")
        for word, given in stages()[0]
        if word == "COPY"
        for source in given.split()[:-1]
    }

    assert rules[0] == "*"
    assert {rule.removeprefix("!").split("/*")[0] for rule in rules[1:-1]} == sources
    assert rules[-1] == "**/__pycache__"


def test_secrets_are_ignored_by_git_and_docker() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "--quiet", "docker/.env"], cwd=ROOT, check=False
    )

    assert ignored.returncode == 0
    assert "!docker\n" not in (ROOT / ".dockerignore").read_text(encoding="utf-8")


@pytest.mark.parametrize("service", ["init", "mlflow", "prefect", "deploy", "runner"])
def test_the_command_of_a_service_is_in_the_image(service: str) -> None:
    given = {"POSTGRES_PASSWORD": "a", "STUDIES_PASSWORD": "b", "PREFECT_PASSWORD": "c"}
    command = services(given)[service].command
    files = [word for word in command if word.startswith("docker/")]

    assert command[0] in ("python", "sh") if files else command[0] == "prefect"
    assert [file for file in files if not (ROOT / file).exists()] == []
