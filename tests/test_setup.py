"""The lock files hold what pyproject.toml asks for, by hash, from no particular place."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
DOCS = "requirements-docs.lock"
NEURAL = ("requirements-neural.lock", "requirements-neural-cpu.lock")
PYTHONS = ("3.11", "3.12", "3.13")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


class Pin(NamedTuple):
    requirement: Requirement
    hashes: list[str]

    @property
    def version(self) -> str:
        return str(self.requirement.specifier).removeprefix("==")


def pins(lock: str) -> list[Pin]:
    """The entries of a lock file; each is one logical line, continued by backslashes."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    return [
        Pin(Requirement(line.split(" --hash=")[0]), re.findall(r"--hash=(\S+)", line))
        for line in text.splitlines()
        if line.strip()
    ]


def versions(lock: str, python: str) -> dict[str, list[str]]:
    """What a lock installs on Linux under a Python version: versions by normalized name."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    chosen: dict[str, list[str]] = {}
    for pin in pins(lock):
        marker = pin.requirement.marker
        if marker is None or marker.evaluate(environment):
            chosen.setdefault(canonicalize_name(pin.requirement.name), []).append(pin.version)
    return chosen


def group(name: str) -> list[str]:
    """A dependency group with the groups it includes."""
    wanted: list[str] = []
    for entry in PYPROJECT["dependency-groups"][name]:
        wanted += group(entry["include-group"]) if isinstance(entry, dict) else [entry]
    return wanted


@pytest.mark.parametrize("lock", [*LOCKS, *NEURAL, DOCS])
def test_every_package_is_pinned_to_one_version_with_hashes(lock: str) -> None:
    loose = [
        str(pin.requirement)
        for pin in pins(lock)
        if not re.fullmatch(r"==[\w.!+]+", str(pin.requirement.specifier))
        or not pin.hashes
        or not all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in pin.hashes)
    ]

    assert pins(lock)
    assert loose == []


@pytest.mark.parametrize("lock", [*LOCKS, *NEURAL, DOCS])
def test_no_lock_names_a_host_or_a_path(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    options = [
        line for line in text.splitlines() if re.match(r"\s*-", line) and "--hash=" not in line
    ]

    assert not re.search(r"://|/|@", text)
    assert options == []


@pytest.mark.parametrize("python", PYTHONS)
def test_both_locks_agree_and_each_package_comes_once(python: str) -> None:
    run, dev = versions("requirements.lock", python), versions("requirements-dev.lock", python)

    assert {name: found for name, found in dev.items() if name in run} == run
    assert all(len(found) == 1 for found in dev.values())


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.lock", PYPROJECT["project"]["dependencies"]),
        ("requirements.lock", PYPROJECT["build-system"]["requires"]),
        ("requirements.lock", group("build")),
        ("requirements-dev.lock", group("dev")),
        (DOCS, group("docs")),
    ],
    ids=["run", "build backend", "build", "dev", "docs"],
)
def test_the_lock_satisfies_the_declared_requirements(
    lock: str, wanted: list[str], python: str
) -> None:
    locked = versions(lock, python)
    unmet = {
        text: locked.get(canonicalize_name(Requirement(text).name))
        for text in wanted
        if not any(
            Requirement(text).specifier.contains(version, prereleases=True)
            for version in locked.get(canonicalize_name(Requirement(text).name), [])
        )
    }

    assert wanted
    assert unmet == {}, "run `make lock`"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", NEURAL)
def test_pytorch_is_that_of_the_extra_and_its_packages_are_those_of_the_tests(
    lock: str, python: str
) -> None:
    locked, dev = versions(lock, python), versions("requirements-dev.lock", python)
    [wanted] = map(Requirement, PYPROJECT["project"]["optional-dependencies"]["neural"])

    assert wanted.name == "torch"
    assert all(wanted.specifier.contains(version) for version in locked["torch"])
    assert all(len(found) == 1 for found in locked.values())
    assert {name: found for name, found in locked.items() if name in dev} == {
        name: dev[name] for name in locked if name in dev
    }


def test_the_versions_with_which_prefect_does_not_run_are_excluded() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {
        Requirement(text).name: Requirement(text).specifier for text in project["dependencies"]
    }

    assert not declared["fastapi"].contains("0.151.0")
    assert not declared["sqlalchemy"].contains("2.1.0")


def test_ci_runs_the_quick_tests_first_and_then_all_others_through_make() -> None:
    script = ROOT / ".ci" / "run"
    lines = script.read_text(encoding="utf-8").splitlines()

    assert os.access(script, os.X_OK)
    assert [line for line in lines if line.startswith("make ")] == [
        *("make test", "make docs", "make test-slow", "make test-neural")
    ]


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=environment | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What make looks at, without a virtual environment."""
    for name in ("Makefile", "pyproject.toml", *LOCKS, *NEURAL):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def pretend_installed(checkout: Path, target: str) -> None:
    """Leave the stamps that an installation would leave, and a Python that answers."""
    planned = make(checkout, "-n", target).stdout
    (checkout / ".venv" / "bin").mkdir(parents=True, exist_ok=True)
    for stamp in re.findall(r"\.venv/made-[\d-]+", planned):
        (checkout / stamp).touch()
    if not (python := checkout / ".venv/bin/python").is_symlink():
        python.symlink_to(sys.executable)
    for stamp in re.findall(r"\.venv/installed-[\w-]*\d", planned):
        (checkout / stamp).touch()


def installs(checkout: Path, target: str) -> bool:
    return "--require-hashes" in make(checkout, "-n", target).stdout


def test_make_alone_lists_its_commands(checkout: Path) -> None:
    listed = make(checkout).stdout

    for command in ("run", "test", "test-slow", "test-neural", "test-all", "check", "lock"):
        assert f"make {command} " in listed


def test_a_fresh_checkout_installs_before_it_runs(checkout: Path) -> None:
    planned = make(checkout, "-n", "run").stdout

    assert planned.index("-m venv") < planned.index("requirements.lock")
    assert planned.index("requirements.lock") < planned.index("bin/recsys sample")


def test_installed_packages_are_not_installed_again(checkout: Path) -> None:
    pretend_installed(checkout, "test")

    assert not installs(checkout, "test")
    assert not installs(checkout, "run")  # the tests' packages include those of a run


@pytest.mark.parametrize("changed", ["pyproject.toml", *LOCKS])
def test_a_changed_lock_is_installed_and_a_restored_one_is_known(
    checkout: Path, changed: str
) -> None:
    pretend_installed(checkout, "test")
    before = (checkout / changed).read_text(encoding="utf-8")
    (checkout / changed).write_text(before + "\n", encoding="utf-8")
    after_change = installs(checkout, "test")
    (checkout / changed).write_text(before, encoding="utf-8")

    assert after_change
    assert not installs(checkout, "test")


def test_a_checkout_that_was_moved_is_installed_again(checkout: Path) -> None:
    pretend_installed(checkout, "test")
    moved = checkout.rename(checkout.with_name("moved"))

    assert installs(moved, "test")


def test_an_environment_whose_python_is_gone_is_made_again(checkout: Path) -> None:
    pretend_installed(checkout, "test")
    python = checkout / ".venv/bin/python"
    python.unlink()
    python.symlink_to(checkout / "no-such-python")

    assert "-m venv" in make(checkout, "-n", "test").stdout


def test_another_python_asked_for_by_name_makes_the_environment_again(checkout: Path) -> None:
    pretend_installed(checkout, "test")

    assert "-m venv" in make(checkout, "-n", "test", "PYTHON=echo").stdout


def test_without_a_usable_python_make_says_what_to_install(checkout: Path) -> None:
    done = make(checkout, "run", "PYTHON=false")

    assert done.returncode != 0
    assert "No Python 3.11 or newer" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (checkout / ".venv").exists()
