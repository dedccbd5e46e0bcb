"""The table of cases: what is typed, the exit code, and the right counts and words."""

import os
import shlex
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from flows.cli.main import main
from recsys import plots
from tests.cases.table import READING, SHORT, Case, Step
from tests.cases.table_neighbours import NEIGHBOURS
from tests.cases.table_running import MOUNTING, POSTGRES, RUNNING, SERVING
from tests.cases.typed import ROOT, Shell, figures
from tests.team.engine import free_port

NUMBERS = [
    *("01", "02", "05", "07", "10", "12", "15", "17", "18", "20", "22", "23", "25", "28", "30"),
    *("31", "33", "34", "36", "37", "39", "41", "42", "44", "46", "48", "49", "51", "53", "54"),
    *("57", "58"),
]
FOLDERS = Path(os.environ.get("RECSYS_CASES") or ROOT.parent / "shared" / "cases")


def rows(cases: Sequence[Case]) -> list[object]:
    return [pytest.param(case, id=f"{case.number}-{case.name}") for case in cases]


def check(step: Step, code: int, said: str) -> None:
    assert code == step.code, said
    assert [word for word in step.words if word not in said] == [], said
    shown = figures(said)
    assert {name: shown.get(name) for name in step.figures} == dict(step.figures), said
    assert "Traceback" not in said


def expanded(line: str) -> str:
    for name, words in SHORT.items():
        line = line.replace(name, words)
    return line


def test_each_case_is_in_the_table() -> None:
    known = [*READING, *RUNNING, *POSTGRES, *MOUNTING, *SERVING]

    assert sorted(case.number for case in known) == NUMBERS
    if FOLDERS.is_dir():
        assert sorted(f"{each.number}-{each.name}" for each in known) == sorted(
            folder.name for folder in FOLDERS.iterdir() if folder.is_dir()
        )


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder; the environment that commands set is as before afterwards."""
    known = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(plots, "save", lambda *_: None)
    yield tmp_path
    os.environ.clear()
    os.environ.update(known)


@pytest.mark.parametrize("case", rows([*READING, *NEIGHBOURS]))
def test_a_file_is_read_or_refused(
    case: Case, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case.make(in_folder)
    made = sorted(each.name for each in in_folder.iterdir())

    for step in case.steps:
        program, *words = shlex.split(expanded(step.line))
        assert program == "recsys"
        code = main(words)
        shown = capsys.readouterr()
        check(step, code, shown.out + shown.err)

    if case.left is not None:
        assert sorted(each.name for each in in_folder.iterdir()) == sorted([*made, *case.left])


def typed(case: Case, folder: Path, **environment: str) -> None:
    """Type the commands of a case; what is started below the folder ends with them."""
    place, programs = folder / "here", folder / "programs"
    place.mkdir()
    programs.mkdir()
    case.make(place)
    made = sorted(each.name for each in place.iterdir())
    shell = Shell(place, programs, environment)
    for step in case.steps:
        check(step, *shell.type(expanded(step.line)))
    if case.left is not None:
        assert sorted(each.name for each in place.iterdir()) == sorted([*made, *case.left])


@pytest.mark.slow
@pytest.mark.parametrize("case", rows(RUNNING))
def test_a_program_is_typed(case: Case, tmp_path: Path) -> None:
    typed(case, tmp_path)


@pytest.mark.postgres
@pytest.mark.parametrize("case", rows(POSTGRES))
def test_a_program_is_typed_beside_postgres(
    case: Case, tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_DATABASE", postgres)
    typed(case, tmp_path, RECSYS_DATABASE=postgres)


@pytest.mark.slow
@pytest.mark.parametrize("case", rows(SERVING))
def test_a_server_is_typed(case: Case, tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        typed(case, tmp_path, BUSY=str(busy.getsockname()[1]), FREE=free_port())


@pytest.mark.slow
@pytest.mark.parametrize("case", rows(MOUNTING))
def test_a_small_disk_is_mounted(case: Case, tmp_path: Path) -> None:
    tried = tmp_path / "tried"
    tried.mkdir()
    if os.geteuid() != 0 or _mount("mount", "-t", "tmpfs", "tmpfs", tried) != 0:
        pytest.skip("nothing can be mounted here: that needs root, and a kernel that lets it")
    _mount("umount", tried)
    try:
        typed(case, tmp_path)
    finally:
        _mount("umount", tmp_path / "here" / "small")


def _mount(*words: object) -> int:
    return subprocess.run(list(map(str, words)), capture_output=True, check=False).returncode
