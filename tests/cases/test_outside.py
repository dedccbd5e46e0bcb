"""Full disks, few files, no home, other encodings, gone readers: as a shell gives them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cases.prepared import FAST, READING, Here
from tests.flows.processes import RECSYS

pytestmark = pytest.mark.slow

MODULE = " ".join(RECSYS)
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(prepared: Path, tmp_path: Path) -> Here:
    """The prepared folder in a new place."""
    shutil.copytree(prepared, tmp_path / "here", symlinks=True)
    return Here(tmp_path / "here")


def shell(here: Here, script: str, **environment: str) -> tuple[int, str, str]:
    """A script in which $R is `recsys`, $W the workspace and $X a search of two trials."""
    mine = {"R": MODULE, "W": str(here.folder / "runs"), "P": str(here.plays)}
    search = f"experiment --plays {here.plays} {' '.join((*READING, *FAST))} --fresh"
    mine["X"] = f"{MODULE} {search}".replace("--quiet ", "")
    return here.run(("bash", "-c", script), {**mine, **environment})


@pytest.mark.parametrize(
    "script",
    [
        "unset HOME TMPDIR; $X --workspace new",
        "HOME=/nonexistent TMPDIR=/nonexistent $X --workspace new",
        "ulimit -n 64; $X --workspace new",
        "$X --workspace new 2>/dev/full",
        "{ $X --workspace new 2>&1 >&3 | true; exit ${PIPESTATUS[0]}; } 3>&1",
        "$X --workspace new <&- 2>&-",
        "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 $X --workspace 音楽",
    ],
    ids=["unset", "missing", "files", "full stderr", "broken stderr", "closed", "locale"],
)
def test_a_search_goes_to_its_end(script: str, here: Here) -> None:
    code, out, err = shell(here, script)

    assert (code, "Traceback" in err) == (0, False), err
    assert "als finds" in out


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("$R study list --workspace $W | true; exit ${PIPESTATUS[0]}", (1, "")),
        ("$R recommend --user u1 --workspace $W --quiet --json | head -c 1", (0, "")),
        ("$R models --workspace $W >&-", (0, "")),
        (
            "$R models --workspace $W >/dev/full",
            (2, "recsys: no space left on device; make room, and repeat the command\n"),
        ),
    ],
)
def test_a_reader_that_has_gone_ends_a_command_without_a_riddle(
    script: str, expected: tuple[int, str], here: Here
) -> None:
    code, _, err = shell(here, script)

    assert (code, err) == expected


FULL = """
mount -t tmpfs -o size={size} tmpfs {disk} || exit 99
cp -r {source} {disk}/runs
left=$(df -k --output=avail {disk} | tail -1)
head -c $(( (left - {left}) * 1024 )) /dev/zero > {disk}/filled
$R {words} --workspace {disk}/runs --quiet
"""


@pytest.mark.parametrize("left", [0, 300])
@pytest.mark.parametrize(
    ("words", "works"),
    [
        ("experiment --study new --plays $P {reading} {fast} --fresh", False),
        ("compare --models als,popularity-users --plays $P {reading} {fast} --fresh", False),
        ("publish --again", True),
        ("publish --to {disk}/lists.parquet", True),
        ("retrain --plays $P {reading} --trials 0 --gate always", False),
        ("sample --users 3000", False),
        ("inspect $P {reading}", True),
        ("recommend --user u1", True),
    ],
    ids=lambda each: " ".join(each.split()[:2]) if isinstance(each, str) else "",
)
def test_a_full_disk_is_named_in_one_line(words: str, works: bool, left: int, here: Here) -> None:
    disk = here.folder / "disk"
    disk.mkdir()
    options = {
        "reading": " ".join(READING),
        "fast": " ".join(FAST).replace("--quiet ", ""),
        "disk": disk,
    }
    script = FULL.format(
        size="60m", disk=disk, source=here.folder / "runs", left=left, words=words.format(**options)
    )

    root = ("--map-root-user",) if os.geteuid() else ()
    words_ = ("unshare", "--mount", *root, "bash", "-c", script)
    code, out, err = here.run(words_, {"R": MODULE, "P": str(here.plays)})

    if code == 99 or "unshare:" in err:
        pytest.skip(f"this system does not allow it: {err.strip()}")
    assert "Traceback" not in err
    if works and code == 0:
        return
    assert code == 2, (out, err)
    last = err.splitlines()[-1]
    assert "no space left on" in last.lower(), err
    assert str(disk) in last, err
