"""Proxies, odd names, servers that are away, full disks: a command works, or one line says why."""

import io
import os
import socket
import sqlite3
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flows import environment
from flows.cli import outside, session
from flows.cli.main import main
from tasks.orchestration.server import serving
from tasks.serving.published.parquet import ParquetStore
from tasks.serving.published.store import Published
from tasks.workspace.layout import Workspace

COLUMNS = "user=user,item=item,plays=plays"
PLAYS = "".join(f"u{user},a{item},{1 + user}\n" for user in range(8) for item in range(6))


@pytest.fixture(autouse=True)
def same_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands set variables of this process; afterwards they are as before."""
    known = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(known)


@pytest.fixture
def plays(tmp_path: Path) -> Path:
    path = tmp_path / "plays.csv"
    path.write_text("user,item,plays\n" + PLAYS, encoding="utf-8")
    return path


def closed_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def answering() -> Iterator[str]:
    """The address of a server that answers every request."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_this_machine_is_asked_without_the_proxy_of_the_user(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("no_proxy", "intranet.example")
    environment.prepare(Workspace.at(tmp_path / "runs"))

    with answering() as address, urllib.request.urlopen(address) as answer:
        status = answer.status

    assert status == 200
    assert "intranet.example" in os.environ["NO_PROXY"].split(",")


@pytest.mark.slow
def test_a_module_of_the_current_folder_is_not_imported_by_the_embedded_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tasks.py", "prefect.py", "flows.py"):
        (tmp_path / name).write_text("raise RuntimeError('not this one')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    environment.prepare(Workspace.at(tmp_path / "runs"))

    with serving(os.environ, tmp_path / "server.log") as server:
        server.wait()

    assert "not this one" not in (tmp_path / "server.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["with blank", "Ünïcødé 音楽", "it's", "50% done", "a#b"])
def test_a_workspace_of_any_other_name_works(name: str, tmp_path: Path) -> None:
    assert main(["study", "list", "--workspace", str(tmp_path / name)]) == 0


def test_what_a_terminal_cannot_show_is_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "Björk.csv"
    log.write_text("user,item,plays\n" + PLAYS, encoding="utf-8")
    shown = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(shown, encoding="ascii", write_through=True))

    code = main(["inspect", str(log), "--columns", COLUMNS, "--workspace", str(tmp_path / "runs")])

    assert code == 0
    assert b"Bj\\xf6rk.csv" in shown.getvalue()


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("PREFECT_API_URL", ["experiment", "--plays", "{plays}", "--columns", COLUMNS]),
        ("PREFECT_API_URL", ["study", "work", "mine", "--plays", "{plays}", "--columns", COLUMNS]),
        ("MLFLOW_TRACKING_URI", ["models"]),
    ],
)
def test_a_server_that_is_away_is_named_in_one_line(
    variable: str,
    words: list[str],
    plays: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv(variable, address)

    code = main([*(word.format(plays=plays) for word in words), "--workspace", str(tmp_path / "w")])

    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("recsys:")]
    assert code == 2
    assert address in line
    assert f"({variable})" in line


def test_a_full_disk_under_a_database_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def opened(place: session.Place, **_: object) -> Workspace:
        with closing(sqlite3.connect(tmp_path / "full.db")) as database:
            database.execute("pragma max_page_count = 4")
            database.execute("create table t (text)")
            try:
                database.execute("insert into t values (zeroblob(1000000))")
            except sqlite3.Error as error:  # as MLflow wraps it
                raise RuntimeError(f"({type(error).__name__}) {error}") from error
        raise AssertionError("there was room")

    monkeypatch.setattr(session.Place, "open", opened)

    code = main(["study", "list"])

    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert line.startswith("recsys: no space left on the disk of /")
    assert line.endswith(" MB free); make room, and repeat the command")


def test_words_and_streams_of_a_terminal_that_knows_no_utf8_or_has_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["inspect", "Bj\udcf6rk.csv", "--workspace", str(tmp_path)])

    assert code == 2
    assert capsys.readouterr().err == (
        r"recsys: 'Bj\udcf6rk.csv' is not written in UTF-8; rename what it names" + "\n"
    )
    with Path("/dev/full").open("w", encoding="utf-8") as gone:
        outside.write_line(gone, "progress")  # which is lost, and nothing else
        gone.write("more")


def test_few_files_at_once_are_refused_before_a_search(
    plays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (40, 40))
    words = ["experiment", "--plays", str(plays), "--columns", COLUMNS]

    code = main([*words, "--workspace", str(tmp_path / "w")])

    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert "only 40 files may be open at once, and this command needs 64" in line


def test_a_fault_of_ours_ends_with_what_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(place: session.Place, **_: object) -> Workspace:
        raise KeyError("postgresql://me:secret@host/db")

    monkeypatch.setattr(session.Place, "open", broken)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    words = ["study", "list", "--storage", "postgresql://me:secret@host/db"]

    with pytest.raises(KeyError) as fault:
        main(words)
    sys.excepthook(fault.type, fault.value, fault.tb)

    err = capsys.readouterr().err
    (file,) = tmp_path.glob("recsys-fault-*.txt")
    report = file.read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in err
    last = err.splitlines()[-1]
    assert last.startswith(
        f"recsys: this is a fault of recsys; please report it, and attach {file}"
    )
    assert "recsys study list --storage" in report
    assert "recsys    0." in report
    assert "Traceback (most recent call last)" in report
    assert "KeyError" in report
    assert "secret" not in last + report


@pytest.mark.parametrize(
    "words",
    [
        ["experiment", "--study", "{long}", "--plays", "{plays}"],
        ["compare", "--name", "{long}", "--plays", "{plays}"],
        ["study", "work", "{long}", "--plays", "{plays}"],
        ["register", "--name", "{long}"],
        ["retrain", "--name", "音楽{long}", "--plays", "{plays}"],
        ["publish", "--to", "{long}.parquet"],
        ["publish", "--to", "sqlite:///{long}.db"],
        ["lookup", "u1", "--from", "{long}/{long}.parquet"],
        ["study", "list", "--workspace", "{long}"],
        ["inspect", "{long}.csv"],
        ["experiment", "--plays", "{long}.csv"],
        ["experiment", "--config", "{long}", "--plays", "{plays}"],
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_a_name_that_is_too_long_is_refused_before_anything_is_trained(
    words: list[str], plays: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [word.format(long="n" * 300, plays=plays) for word in words]
    place = [] if "--workspace" in words else ["--workspace", str(tmp_path / "w")]

    code = main([*typed, *place])

    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert any(text in line for text in ("use a name of at most 150", "File name too long")), line


def test_long_lists_of_a_parquet_file_are_read_back_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.serving.published.parquet.ROWS", 25)
    n_users, k = 7, 11
    users = [f"u{user}" for user in range(n_users) for _ in range(k)]
    ranks = [rank for _ in range(n_users) for rank in range(1, k + 1)]
    texts = dict.fromkeys(("subject", "subject_name", "key", "item_id", "name"), users)
    block = pa.table(
        {
            **texts,
            "rank": pa.array(ranks, pa.int32()),
            "score": pa.array([1.0] * len(ranks)),
        }
    )
    at = datetime(2026, 1, 1, tzinfo=UTC)
    store = ParquetStore(tmp_path / "lists.parquet")

    store.replace(
        Published("1", "run", "als", "study", "hash", k, n_users, 0, at), [("user", block)], False
    )

    lists = [store.user(f"u{user}") for user in range(n_users)]
    assert [len(each.entries) for each in lists if each is not None] == [k] * n_users


def test_a_stream_is_broken_once_its_reader_has_gone() -> None:
    """What did not fit into the pipe is lost with the error, so a flush alone finds nothing."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        assert not outside.is_broken(stream)
        os.close(reader)
        assert outside.is_broken(stream)
    assert not outside.is_broken(StringIO())
