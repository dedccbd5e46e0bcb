"""Prefect's page of an experiment while its trials run."""

import json
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.searching import search_all
from tasks.orchestration import artifacts
from tasks.orchestration.artifacts import ArtifactWriter
from tests.flows.conftest import Lab

pytestmark = [pytest.mark.flow, pytest.mark.slow]


def written(key: str) -> list[Any]:
    with get_client(sync_client=True) as client:
        chosen = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        return list(client.read_artifacts(artifact_filter=chosen))


def test_progress_and_leaderboard_grow_while_trials_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, int]] = []
    real = ArtifactWriter._write

    def noting(self: ArtifactWriter, latest: Any) -> None:
        seen.append((latest[0].data, len(json.loads(latest[1].data))))
        real(self, latest)

    monkeypatch.setattr(artifacts, "INTERVAL", 0.0)
    monkeypatch.setattr(ArtifactWriter, "_write", noting)
    monkeypatch.setattr(ArtifactWriter, "write", noting)  # at once: three trials outrun the thread
    result = lab.run("Grows")
    (progress,) = written(artifacts.artifact_key("progress", "Grows"))
    (board,) = written(artifacts.artifact_key("leaderboard", "Grows"))

    assert seen[0] == (0.0, 0)
    assert seen[-1] == (100.0, 3)
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert progress.data == 100.0
    assert "best ndcg@10" in progress.description
    rows = json.loads(board.data)
    ranked = sorted(result.trials, key=lambda each: -each.value)
    assert [row["trial"] for row in rows] == [each.slot for each in ranked]
    assert "[" in rows[0]["ndcg@10"]  # the intervals of the end took the place of the values
    assert progress.flow_run_id == board.flow_run_id is not None


def test_a_server_that_takes_no_artifacts_ends_no_search(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    def refuse(*_: Any, **__: Any) -> None:
        raise httpx.ConnectError("gone")

    def once(*given: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(SyncPrefectClient, "create_artifact", refuse)
            search_all(*given)

    monkeypatch.setattr(artifacts, "INTERVAL", 0.0)
    monkeypatch.setattr("tasks.study.live.report_result", lines.append)
    monkeypatch.setattr("flows.judging.search_all", once)
    result = lab.run("refused")

    assert len(result.trials) == 3
    assert lines == ["Prefect's page does not follow the search: ConnectError: gone"]
    (board,) = written("leaderboard-refused")  # made at the end
    assert len(json.loads(board.data)) == 3
