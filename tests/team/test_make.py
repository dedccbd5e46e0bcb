import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from tests.team.described import ROOT
from tests.team.test_compose import SECRETS, installed_beside

BEGIN = "compose --env-file docker/.env --file docker/compose.yaml"
RECORD = 'echo "${STUDY:+STUDY=$STUDY WORK=$WORK }$*" >> calls'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What make looks at, and a `docker` that writes down what it is called with."""
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    (tmp_path / "docker").mkdir()
    (tmp_path / "bin").mkdir()
    installed_beside(tmp_path / "bin", "docker", RECORD)
    return tmp_path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    ours = {"MAKEFLAGS", "STUDY", "WORKERS", "ARGS"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env=environment | {"PATH": f"{checkout / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def called(checkout: Path, *arguments: str) -> list[str]:
    """Every call of docker so far."""
    done = make(checkout, *arguments)
    assert done.returncode == 0, done.stderr
    return (checkout / "calls").read_text(encoding="utf-8").splitlines()


def test_up_starts_and_waits_and_down_keeps_the_volumes(checkout: Path) -> None:
    called(checkout, "up")

    assert called(checkout, "down") == [
        f"{BEGIN} up --detach --build --wait",
        f"{BEGIN} --profile study down",
    ]


def test_secrets_are_made_once_and_for_their_owner_alone(checkout: Path) -> None:
    called(checkout, "up")
    file = checkout / "docker" / ".env"
    first = file.read_text(encoding="utf-8")
    called(checkout, "up")
    secrets = dict(line.split("=") for line in first.splitlines())

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [*secrets] == [*SECRETS]
    assert all(re.fullmatch("[0-9a-f]{48}", secret) for secret in secrets.values())
    assert len({*secrets.values()}) == len(SECRETS)
    assert file.read_text(encoding="utf-8") == first


def test_a_secret_that_an_older_file_lacks_is_added_and_the_others_stay(checkout: Path) -> None:
    called(checkout, "up")
    file = checkout / "docker" / ".env"
    old = "".join(
        line for line in file.read_text().splitlines(True) if not line.startswith("PREFECT")
    )
    file.write_text(old + "MLFLOW_AUTH=1\n", encoding="utf-8")
    called(checkout, "up")
    found = file.read_text(encoding="utf-8")

    assert found.startswith(old + "MLFLOW_AUTH=1\n")
    assert re.fullmatch(
        "PREFECT_PASSWORD=[0-9a-f]{48}\n", found.removeprefix(old + "MLFLOW_AUTH=1\n")
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [".env"]


def test_work_is_given_to_so_many_workers(checkout: Path) -> None:
    [call] = called(
        checkout, "work", "STUDY=mine", "WORKERS=4", "ARGS=--plays '/data/my plays.tsv' --trials 9"
    )

    assert call == (
        "STUDY=mine WORK=--plays '/data/my plays.tsv' --trials 9 "
        f"{BEGIN} --profile study up --detach --no-deps --scale worker=4 worker"
    )


def test_work_without_a_study_says_what_is_missing(checkout: Path) -> None:
    done = make(checkout, "work")

    assert done.returncode != 0
    assert "make work STUDY=name" in done.stderr
