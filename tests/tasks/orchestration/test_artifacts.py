"""The thread that writes the artifacts of a flow run."""

from collections.abc import Sequence
from threading import Event
from uuid import UUID

import pytest

from tasks.orchestration import artifacts
from tasks.orchestration.artifacts import ArtifactWriter, ShownArtifact

LIMIT = 60.0  # seconds; a failure of the test where they pass


def progress(share: float) -> tuple[ShownArtifact, ...]:
    return (ShownArtifact("progress-a", "progress", share, ""),)


def test_what_changes_during_a_write_is_written_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, may_end = Event(), Event()
    written: list[float] = []

    def write(self: ArtifactWriter, latest: Sequence[ShownArtifact]) -> None:
        begun.set()
        assert may_end.wait(LIMIT)
        written.append(latest[0].data)

    monkeypatch.setattr(artifacts, "_flow_run", lambda: UUID(int=1))
    monkeypatch.setattr(ArtifactWriter, "_write", write)
    writer = ArtifactWriter()
    assert writer.is_due
    writer.write(progress(0.0))
    assert begun.wait(LIMIT)
    assert not writer.is_due  # the first is on its way
    writer.write(progress(33.3))
    writer.write(progress(66.7))  # takes the place of the one that waits
    may_end.set()
    writer.close(progress(100.0))

    assert written[0] == 0.0
    assert written[-1] == 100.0
    assert 33.3 not in written


def test_outside_of_a_flow_run_nothing_is_written() -> None:
    writer = ArtifactWriter()

    assert not writer.is_live
    assert not writer.is_due
    writer.close(progress(100.0))
