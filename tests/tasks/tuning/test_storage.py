import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from recsys.errors import InputError
from tasks.tuning import storage
from tasks.tuning.storage import mend, open_storage
from tasks.workspace.layout import Workspace
from tests.tasks.tuning.searching import MIXED, alive, claim, claimed, config_of, opened, report

CONFIG = config_of(MIXED, trials=9)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A study with a measured, a pruned and a cut-off trial."""
    workspace = Workspace.at(tmp_path_factory.mktemp("journal"))
    search = opened(workspace, CONFIG)
    report(search, claimed(search), 0.5)
    report(search, claimed(search))
    search.interrupt(claimed(search))
    return workspace.studies.read_bytes()


@pytest.fixture(scope="module")
def next_line(journal: bytes, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the next claim writes."""
    workspace = Workspace.at(tmp_path_factory.mktemp("next"))
    workspace.studies.write_bytes(journal)
    claimed(opened(workspace, CONFIG))
    return workspace.studies.read_bytes()[len(journal) :]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
@example(share=0.0)
@example(share=0.999_999)  # all but the end of the line: the JSON is whole, the line is not
def test_a_torn_last_line_is_cut_off_by_the_next_writer_and_nothing_else_is_lost(
    tmp_path_factory: pytest.TempPathFactory, journal: bytes, next_line: bytes, share: float
) -> None:
    workspace = Workspace.at(tmp_path_factory.mktemp("torn"))
    workspace.studies.write_bytes(journal)
    before = opened(workspace, CONFIG)
    expected = before.outcomes(), before.finished
    torn = next_line[: int(share * len(next_line))]
    with workspace.studies.open("ab") as file:
        file.write(torn)
    reader = opened(workspace, CONFIG)
    assert (reader.outcomes(), reader.finished) == expected

    trial = claimed(reader)

    written = workspace.studies.read_bytes()
    assert written.startswith(journal)
    assert [json.loads(line) for line in written.splitlines()]
    assert written.count(b"\n") == journal.count(b"\n") + 1
    assert (trial.slot, trial.attempt) == (2, 2)
    for each in (before, reader, opened(workspace, CONFIG)):
        assert each.outcomes() == {**expected[0], 3: ("running", None)}
        assert each.finished == expected[1]


@pytest.mark.parametrize("block", [1, 7, 1 << 16])
@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b"", b""),
        (b'{"a":1}\n', b'{"a":1}\n'),
        (b'{"a":1}\n{"b":', b'{"a":1}\n'),
        (b'{"a":1}\n{"b":2}', b'{"a":1}\n'),
        (b'{"a":1}\n{"b":2}\n', b'{"a":1}\n{"b":2}\n'),
        (b'{"never ended": "at all', b""),
        (b"\n", b"\n"),
    ],
)
def test_mending_keeps_every_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, kept: bytes, block: int
) -> None:
    monkeypatch.setattr(storage, "_BLOCK", block)
    (tmp_path / "journal").write_bytes(text)

    mend(tmp_path / "journal")

    assert (tmp_path / "journal").read_bytes() == kept


def test_what_is_cut_off_is_cut_off_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(descriptor))
    (tmp_path / "journal").write_bytes(b"whole\n")
    mend(tmp_path / "journal")
    assert synced == []
    (tmp_path / "journal").write_bytes(b"whole\ntorn")

    mend(tmp_path / "journal")

    assert len(synced) == 1


TEAR = """
import os, sys
from pathlib import Path
from tasks.tuning.storage import open_storage
from tasks.workspace.layout import Workspace
place = Workspace(Path(sys.argv[1]))
open_storage(place)._backend._lock.acquire()
with place.studies.open("ab") as journal:
    journal.write(b'{"op_code":4,"half')
print("holding", flush=True)
sys.stdin.read()
"""


def test_a_writer_that_is_killed_while_it_holds_the_lock_blocks_no_other(
    workspace: Workspace,
) -> None:
    report(search := opened(workspace, CONFIG), claimed(search), 0.5)
    before = workspace.studies.read_bytes()
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", TEAR, str(workspace.root)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "holding\n"
        assert is_locked(workspace.lock("optuna-journal"))
        writer.kill()

    assert not is_locked(workspace.lock("optuna-journal"))
    assert claimed(search).slot == 1
    written = workspace.studies.read_bytes()
    assert written.startswith(before)
    assert b"half" not in written
    assert opened(workspace, CONFIG).outcomes() == search.outcomes()


def is_locked(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_study_survives_a_kill_between_any_two_of_its_lines(
    workspace: Workspace, journal: bytes
) -> None:
    """Every beginning of the journal is one that a kill may leave; each can be gone on with."""
    lines = journal.splitlines(keepends=True)
    for n in range(len(lines) + 1):
        workspace.studies.write_bytes(b"".join(lines[:n]))
        search = opened(workspace, CONFIG)
        ended = search.ended

        while (trial := claim(search, "next")) is not None:
            report(search, trial, 0.5)

        assert [each.slot for each in search.finished] == list(range(9))
        assert ended <= 2
        assert all(state != "running" for state, _ in search.outcomes().values())


def test_two_workers_at_one_storage_see_each_others_trials(workspace: Workspace) -> None:
    one, other = opened(workspace, CONFIG), opened(workspace, CONFIG)
    with alive(one, "a"), alive(other, "b"):
        slots = [each.slot for n in range(3) for each in (claimed(one, "a"), claimed(other, "b"))]

    assert slots == [0, 1, 2, 3, 4, 5]
    assert one.outcomes() == other.outcomes()


@pytest.mark.parametrize(
    "address", ["postgresql://me:secret@127.0.0.1:1/none", "postgresql://me:secret@[/none"]
)
def test_a_database_that_cannot_be_used_is_an_error_without_its_password(
    workspace: Workspace, address: str
) -> None:
    with pytest.raises(InputError, match="none") as raised:
        open_storage(Workspace(workspace.root, storage=address))

    assert "secret" not in str(raised.value)


@pytest.mark.postgres
def test_studies_in_postgres_are_all_there_when_it_is_opened_again(
    workspace: Workspace, postgres: str
) -> None:
    place = Workspace(workspace.root, storage=postgres)
    search = opened(place, CONFIG)
    report(search, claimed(search), 0.1 + 0.2)
    report(search, claimed(search))

    found = opened(place, CONFIG)

    assert found.finished == search.finished
    assert found.done[0].values == (0.1 + 0.2,)
    states = [trial.state for trial in open_storage(place).get_all_trials(found._id)]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED]
    assert not workspace.studies.exists()
