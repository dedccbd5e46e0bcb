import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest

from tasks.orchestration import artifacts
from tasks.orchestration.artifacts import ArtifactWriter, ShownArtifact, artifact_key
from tasks.study import live
from tasks.study.live import leaderboard, search_progress
from tasks.study.study import Study
from tasks.tuning import FinishedTrial, Search, TrialFacts

TABLE = ShownArtifact("leaderboard-a", "table", "[]", "")


def study_of(*finished: FinishedTrial, failed: dict[int, str], wanted: int) -> tuple[Study, Search]:
    metric = SimpleNamespace(study=SimpleNamespace(metric="ndcg@10"))
    study = SimpleNamespace(name="first", config=metric)
    done = [each for each in finished if each.values]
    pruned = [each for each in finished if not each.values]
    search = SimpleNamespace(
        finished=finished, done=done, pruned=pruned, failed=failed, wanted=wanted
    )
    return cast(Study, study), cast(Search, search)


def trial(slot: int, value: float | None, **params: Any) -> FinishedTrial:
    values = () if value is None else (value,)
    return FinishedTrial(slot, params, values, f"run{slot}", 1, TrialFacts(3, 4, 15))


def test_the_leaderboard_has_the_best_first_then_pruned_and_failed_trials() -> None:
    trials = trial(0, 0.25, k1=1.23456), trial(1, None, factors=8), trial(2, 0.375, k1=2.0)
    shown = leaderboard(*study_of(*trials, failed={3: "ValueError: no\nmore"}, wanted=5))

    rows = json.loads(shown.data)

    assert [row["trial"] for row in rows] == [2, 0, 1, 3]
    assert [row["ndcg@10"] for row in rows] == ["0.3750", "0.2500", "", ""]
    assert [row["note"] for row in rows][2:] == [
        "pruned after 3 iterations",
        "failed: ValueError: no",
    ]
    assert len({tuple(row) for row in rows}) == 1  # the page takes the columns of the first row
    assert list(rows[0]) == ["trial", "ndcg@10", "note", "k1", "factors", "run"]
    assert rows[1]["k1"] == 1.235


def test_rows_that_are_known_better_come_first_and_once() -> None:
    searched = study_of(trial(0, 0.25), trial(1, 0.5), trial(2, 0.375), failed={}, wanted=3)
    first = [{"trial": 2, "ndcg@10": "0.4000 [0.3, 0.5]", "note": "", "run": "run2"}]

    rows = json.loads(leaderboard(*searched, first).data)

    assert [row["trial"] for row in rows] == [2, 1, 0]
    assert rows[0]["ndcg@10"] == "0.4000 [0.3, 0.5]"


def test_a_long_leaderboard_says_how_many_it_leaves_out() -> None:
    searched = study_of(*(trial(n, n / 8) for n in range(4)), failed={}, wanted=4)
    shown = leaderboard(*searched, most=2)

    assert len(json.loads(shown.data)) == 2
    assert shown.description.endswith("The first 2 of 4.")


def test_progress_counts_what_ended_in_any_way() -> None:
    trials = trial(0, 0.25), trial(1, None), trial(2, 0.375)
    shown = search_progress(*study_of(*trials, failed={3: "no"}, wanted=5))

    assert shown.data == 80.0
    assert shown.description == (
        "4 of 5 trials of study first are done; best ndcg@10 0.3750 by trial 2; 1 pruned; 1 failed"
    )


def test_a_space_of_no_more_points_is_all_done() -> None:
    assert search_progress(*study_of(failed={}, wanted=0)).data == 100.0


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("hetrec-20261129", "leaderboard-hetrec-20261129"),
        ("First", "leaderboard-first-a151ce"),
        ("first!", "leaderboard-first-dc956b"),
        ("éé", "leaderboard-f13c00"),
    ],
)
def test_keys_are_as_prefect_takes_them_and_one_for_each_name(name: str, key: str) -> None:
    assert artifact_key("leaderboard", name) == key


def test_outside_of_a_flow_run_nothing_is_due_and_nothing_starts() -> None:
    writer = ArtifactWriter()
    writer.close([TABLE])

    assert (writer.is_live, writer.is_due, writer.error) == (False, False, None)


def test_what_cannot_be_written_is_logged_once_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines: list[str] = []

    def refuse(**_: Any) -> None:
        raise httpx.ConnectError("no server\nat all")

    def warning(text: str, *values: object) -> None:
        lines.append(text % values)

    monkeypatch.setattr(artifacts, "_flow_run", uuid4)
    monkeypatch.setattr(artifacts, "get_client", refuse)
    monkeypatch.setattr(artifacts, "get_run_logger", lambda: SimpleNamespace(warning=warning))
    writer = ArtifactWriter()
    for _ in range(2):
        writer._write([TABLE])
    writer.close([TABLE])

    assert writer.error == "ConnectError: no server"
    assert lines == ["artifacts are not up to date: ConnectError: no server"]


class Written:
    """A writer in place of that of a flow run: it is always due."""

    def __init__(self) -> None:
        self.error, self.is_live, self.is_due = None, True, True
        self.writes: list[Sequence[ShownArtifact]] = []

    def write(self, shown: Sequence[ShownArtifact]) -> None:
        self.writes.append(shown)

    def close(self, shown: Sequence[ShownArtifact] = ()) -> None:
        self.writes.append(shown)


def test_what_did_not_change_is_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Written()
    monkeypatch.setattr(live, "ArtifactWriter", lambda: writer)
    study, search = study_of(trial(0, 0.25), failed={}, wanted=3)
    with live.showing_search(study, search) as update:
        update("")
        vars(search)["failed"] = {1: "no"}
        update("")
        update("")

    assert [each[0].data for each in writer.writes] == [33.3, 66.7, 66.7]


def test_the_longer_a_search_the_rarer_are_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(artifacts, "_flow_run", uuid4)
    monkeypatch.setattr(ArtifactWriter, "_write", lambda *_: None)
    monkeypatch.setattr(artifacts.time, "monotonic", lambda: now[0])
    writer = ArtifactWriter()
    writer._begun = 1000.0
    due = []
    for now[0] in (1001.9, 1019.0, 1021.0):
        due.append(writer.is_due)
    writer.close()

    assert due == [False, False, True]


def test_writes_keep_their_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[ShownArtifact] = []
    monkeypatch.setattr(artifacts, "_flow_run", uuid4)
    monkeypatch.setattr(ArtifactWriter, "_put", lambda _, shown: written.append(shown))
    writer = ArtifactWriter()
    due = [writer.is_due]
    writer.write([TABLE])
    due.append(writer.is_due)
    writer.close([TABLE])

    assert due == [True, False]
    assert TABLE in written
    assert not writer.is_due
