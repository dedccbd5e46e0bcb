"""A workspace that may only be read: every command answers, or says in one line that it may not.

On a disk that is mounted for reading alone, and as a folder of another user. The table has every
command of the command line; a new one without a line fails a test.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cyclopts import App

from flows.cli.main import build
from tests.cases.prepared import FAST, READING, Here
from tests.cases.test_moved_workspace import seen
from tests.flows.processes import RECSYS, ROOT

PLAYS = ("--plays", "{plays}", *READING)
DAYS = ("--plays", "{days}", *READING, "--trials", "0")
ONLY_READ = "may only be read by you; pass --workspace with a folder that you may write"
READS: list[tuple[str, ...]] = [
    ("recommend", "--user", "u1"),
    ("recommend", "--items", "a3, a5:2"),
    ("recommend", "--user", "u1", "--run", "s2", "--json"),
    ("similar", "a5"),
    ("similar", "a5", "--run", "s2"),
    ("explain", "--user", "u1", "--item", "a5"),
    ("user", "u1"),
    ("diff", "s2", "s2", "--json"),
    ("report", "s2", "-o", "{out}/report.html"),
    ("lookup", "u1"),
    ("lookup", "--item", "a5", "--json"),
    ("models",),
    ("study", "list"),
    ("study", "list", "--json"),
    ("study", "show", "s1"),
    ("study", "export", "s1", "{out}/trials.csv"),
    ("clean", "--dry-run", "--days", "0"),
    ("sample", "{out}", "--users", "60", "--items", "30"),
    ("completion", "bash"),
]
WRITES: list[tuple[tuple[str, ...], str]] = [
    (("experiment", "--study", "new", *PLAYS, *FAST), ONLY_READ),
    (("compare", "--models", "als,popularity-users", "--seeds", "1", *PLAYS, *FAST), ONLY_READ),
    (("bench", "movielens-100k", "--data", "{plays}"), ONLY_READ),
    (("retrain", *DAYS, "--gate", "always"), ONLY_READ),
    (("register", "--run", "s2"), ONLY_READ),
    (("promote", "1"), ONLY_READ),
    (("promote", "s2"), ONLY_READ),
    (("rollback",), ONLY_READ),
    (("publish", "--again"), ONLY_READ),
    (("publish", "--to", "{out}/lists.parquet"), ONLY_READ),
    (("inspect", "{plays}", *READING), ONLY_READ),
    (("sample",), ONLY_READ),
    (("clean", "--days", "0"), ONLY_READ),
    (("split", "export", "{out}/cut", *PLAYS), ONLY_READ),
    (("study", "resume", "s1", "--trials", "3"), ONLY_READ),
    (("study", "work", "s1", "--trials", "3"), ONLY_READ),
    (("study", "work", "new", *PLAYS, *FAST), ONLY_READ),
    (("study", "delete", "s2"), ONLY_READ),
    (("study", "export", "s1", "{runs}/trials.csv"), "name a file that you may write"),
    (("sample", "{runs}/here"), "give a folder that you may write"),
    (("fetch", "lastfm-360k", "{runs}/here"), "choose another folder"),
    (("completion", "bash", "--install"), "set HOME to a folder that you may write"),
    (("ui", "--prefect"), "let its owner start the server"),
    (("serve-flows",), "no Prefect server to serve"),
]
SERVES: list[tuple[str, ...]] = [("ui",), ("ui", "--optuna"), ("serve",)]


def commands(app: App, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command as it is typed."""
    for name in app:
        if name.startswith("-"):
            continue
        inner = list(commands(app[name], (*before, name)))
        yield from inner or [(*before, name)]


def test_the_tables_have_every_command() -> None:
    rows = [*READS, *(words for words, _ in WRITES), *SERVES]

    missing = [
        each for each in commands(build([])) if not any(row[: len(each)] == each for row in rows)
    ]

    assert missing == []


@dataclass(frozen=True)
class Locked:
    """The workspace of `here` as commands find it that begin with `prefix`.

    Attributes:
        here: Its folder, and what lies around it.
        prefix: Words before a command.
        answers: Exit code and output of each reading command while it could be written.
        out: A folder that may be written.
    """

    here: Here
    prefix: tuple[str, ...]
    answers: dict[tuple[str, ...], tuple[int, str]]
    out: Path

    @property
    def runs(self) -> Path:
        return self.here.folder / "runs"

    def words(self, row: tuple[str, ...], prefix: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A row of a table as a command."""
        places = {"plays": self.here.plays, "days": self.here.days, "runs": self.runs}
        typed = [word.format(out=self.out, **places) if "{" in word else word for word in row]
        where = [] if row[0] == "completion" else ["--workspace", str(self.runs)]
        return (*prefix, *RECSYS, *typed, *where)

    def run(self, row: tuple[str, ...]) -> tuple[int, str, str]:
        """A command with a home that may not be written either."""
        return self.here.run(self.words(row, self.prefix), {"HOME": str(self.runs)})


def read_only_disk(folder: Path) -> tuple[str, ...]:
    """Words that make a folder a disk that is mounted for reading, for the command after them."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    root = ("--map-root-user",) if os.geteuid() else ()
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    return ("unshare", "--mount", *root, "sh", "-c", mount, str(folder))


def of_another_user(folder: Path) -> tuple[str, ...]:
    """Words that run a command as one who does not own the folder; root is no other user."""
    inside = [folder, *folder.rglob("*")]
    if os.geteuid():
        for path in inside:
            path.chmod(path.stat().st_mode & ~0o222)
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    for path in inside:
        os.chown(path, 65534, 65534)
        path.chmod(0o755 if path.is_dir() else 0o644)
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown")


MODES = {"mounted for reading": read_only_disk, "of another user": of_another_user}


@pytest.fixture(scope="module", params=list(MODES))
def locked(request: pytest.FixtureRequest, prepared: Path) -> Iterator[Locked]:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder, out = Path(place) / "here", Path(place) / "out"
        out.mkdir()
        shutil.copytree(prepared, folder, symlinks=True)
        here = Here(folder)
        here.recsys(folder / "runs", "clean")  # it was moved, which is said once
        writable = Locked(here, (), {}, out)
        for row in READS:
            code, said, _ = here.run(writable.words(row), {})
            writable.answers[row] = code, said
        prefix = MODES[request.param](writable.runs)
        tried = subprocess.run([*prefix, "true"], capture_output=True, text=True)
        if tried.returncode:
            pytest.skip(f"this system does not allow it: {tried.stderr.strip()}")
        assert subprocess.run(
            [*prefix, "touch", writable.runs / "x"], capture_output=True
        ).returncode
        yield Locked(here, prefix, writable.answers, out)


def title(row: object) -> str:
    return " ".join(row) if isinstance(row, tuple) else ""


@pytest.mark.slow
@pytest.mark.parametrize("row", READS, ids=title)
def test_what_only_reads_answers_as_ever(locked: Locked, row: tuple[str, ...]) -> None:
    before = seen(locked.runs, locked.out)

    code, out, err = locked.run(row)

    assert (code, out) == locked.answers[row], err
    assert code == 0
    assert seen(locked.runs, locked.out) == before


@pytest.mark.slow
@pytest.mark.parametrize(("row", "words"), WRITES, ids=title)
def test_what_must_write_says_so_in_one_line(
    locked: Locked, row: tuple[str, ...], words: str
) -> None:
    before = seen(locked.here.folder, locked.out)

    code, out, err = locked.run(row)

    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert err.startswith("recsys: ")
    assert words in err
    assert seen(locked.here.folder, locked.out) == before


@pytest.mark.slow
@pytest.mark.parametrize("row", SERVES, ids=title)
def test_pages_are_served(locked: Locked, row: tuple[str, ...]) -> None:
    before = seen(locked.runs, locked.out)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]

    with subprocess.Popen(
        locked.words((*row, "--port", str(port)), locked.prefix),
        cwd=locked.here.current,
        env={**os.environ, "HOME": str(locked.runs), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        # A shell that runs tests in the background has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as served:
        assert served.stdout is not None
        assert f"http://127.0.0.1:{port}" in served.stdout.readline()
        path = "ping" if row[0] == "serve" else ""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as page:
            assert page.status == 200
        served.send_signal(signal.SIGINT)

    assert served.returncode == 0
    assert seen(locked.runs, locked.out) == before
