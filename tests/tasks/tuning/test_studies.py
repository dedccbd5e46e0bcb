from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage

from recsys.config import ExperimentConfig
from recsys.errors import InputError
from recsys.search.space import Point
from tasks.tuning import (
    ADOPTED,
    Search,
    TrialFacts,
    deleting_study,
    find_search,
    has_study,
    list_studies,
    open_lock,
    open_search,
    stored_request,
)
from tasks.tuning.storage import open_storage
from tasks.workspace.code import id_of
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks
from tests.tasks.tuning.searching import (
    CODE,
    MIXED,
    SPLIT,
    claimed,
    config_of,
    measure,
    opened,
    report,
)

CONFIG = config_of(MIXED, trials=4)
WIDER = {"factors": {"low": 2, "high": 9}, "alpha": {"low": 1.0, "high": 30.0, "log": True}}


def opened_from(
    workspace: Workspace,
    split: str = SPLIT,
    code: Mapping[str, str] = CODE,
    config: ExperimentConfig = CONFIG,
    adopt: bool = False,
) -> Search:
    request = {"config": config.model_dump(mode="json"), "plays": "/data/plays.tsv"}
    return open_search(workspace, "study", config, split, code, request, adopt=adopt)


def test_optuna_calls_the_values_of_a_study_by_the_names_of_the_objectives(
    workspace: Workspace,
) -> None:
    opened(workspace, CONFIG)

    study = optuna.load_study(study_name="study", storage=open_storage(workspace))
    assert study.metric_names == ["ndcg@10"]


def test_a_study_is_made_and_then_resumed(workspace: Workspace) -> None:
    points = measure(opened(workspace, CONFIG), 2)

    again = opened(workspace, CONFIG)

    assert [slot for slot, _ in points] == [each.slot for each in again.finished] == [0, 1]
    assert [slot for slot, _ in measure(again)] == [2, 3]
    assert [each.name for each in list_studies(workspace)] == ["study"]


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"split": "other"}, "split"),
        ({"config": config_of(MIXED, trials=4, seed=1)}, "seed"),
        ({"config": config_of(MIXED, trials=4, metric="ndcg@5"), "split": "x"}, "split, .*metric"),
        ({"config": config_of(MIXED | {"factors": 8}, trials=4)}, "search.factors.*"),
    ],
)
@pytest.mark.parametrize("adopt", [False, True])
def test_a_study_made_from_something_else_is_refused_by_what_changed_and_stays(
    workspace: Workspace, other: dict[str, Any], named: str, adopt: bool
) -> None:
    measure(opened(workspace, CONFIG))
    before = workspace.studies.read_bytes()

    match = rf"'study' was made with another {named};.*--study name"
    with pytest.raises(InputError, match=match):
        opened_from(workspace, **other, adopt=adopt)

    assert workspace.studies.read_bytes() == before


OTHER_CODE: list[tuple[dict[str, str], str]] = [
    ({**CODE, "recsys/models": "5678"}, "recsys/models changed"),
    ({"recsys/models": "5678", "numpy": "2.1"}, "numpy is 2.1 and was 2.0, recsys/models changed"),
    ({**CODE, "recsys/kernels": "9"}, "recsys/kernels changed"),
]


@pytest.mark.parametrize(("code", "changes"), OTHER_CODE)
def test_other_code_is_refused_with_the_folders_that_changed_and_may_be_adopted(
    workspace: Workspace, code: dict[str, str], changes: str
) -> None:
    measure(opened_from(workspace), 1)
    before = workspace.studies.read_bytes()

    match = rf"'study' was made by other code: {changes}; --adopt .* --from study"
    with pytest.raises(InputError, match=match):
        opened_from(workspace, code=code)
    assert workspace.studies.read_bytes() == before
    adopted = opened_from(workspace, code=code, adopt=True)

    assert [slot for slot, _ in measure(adopted)] == [1, 2, 3]
    assert adopted.recall(ADOPTED) == [{"code": id_of(code), "changes": changes}]
    after = workspace.studies.read_bytes()
    opened_from(workspace, code=code)  # its code by now
    opened_from(workspace, code=code, adopt=True)
    assert workspace.studies.read_bytes() == after
    with pytest.raises(InputError, match="made by other code"):
        opened_from(workspace)


def test_a_study_of_an_earlier_version_says_so_and_may_be_adopted(workspace: Workspace) -> None:
    """Such a study has one fingerprint of all code, among all that it was made from."""
    opened_from(workspace).remember("code", None)

    with pytest.raises(InputError, match="an earlier version of recsys; --adopt"):
        opened_from(workspace)
    assert measure(opened_from(workspace, adopt=True))


def test_the_request_is_stored_with_the_study_and_renewed(workspace: Workspace) -> None:
    opened(workspace, CONFIG)
    assert stored_request(workspace, "study") == {
        "config": CONFIG.model_dump(mode="json"),
        "plays": "/data/plays.tsv",
    }
    more = config_of(MIXED, trials=9)

    opened(workspace, more)

    search, config = find_search(workspace, "study")
    assert config == more
    assert search.wanted == 9


def test_opening_an_unchanged_study_writes_nothing(workspace: Workspace) -> None:
    opened(workspace, CONFIG)
    before = workspace.studies.read_bytes()

    opened(workspace, CONFIG)

    assert workspace.studies.read_bytes() == before


def ran(workspace: Workspace, name: str, values: list[float], seed: int = 0) -> list[Point]:
    """A study of trials with these values; their points, by slot."""
    search = opened(workspace, config_of(WIDER, trials=len(values), seed=seed), name)
    points = []
    for value in values:
        trial = claimed(search)
        report(search, trial, value)
        points.append(trial.params)
    return points


def begun(search: Search, n: int) -> list[Point]:
    return [point for _, point in measure(search, n)]


def test_the_best_points_of_other_studies_come_first_best_first(workspace: Workspace) -> None:
    one = ran(workspace, "one", [0.1, 0.7, 0.3, 0.5, 0.2, 0.6, 0.4])
    two = ran(workspace, "two", [0.9, 0.8], seed=1)
    config = config_of(WIDER, "tpe", trials=12, default_first=True)

    points = begun(opened(workspace, config, sources=("one", "two")), 8)

    assert points[:5] == [one[n] for n in (1, 5, 3, 6, 2)]  # the best five
    assert points[5:7] == two
    assert points[7] == {"factors": 9, "alpha": 10.0}  # then the default, as far as it goes


def test_points_of_other_studies_are_brought_inside_the_new_space(workspace: Workspace) -> None:
    search = opened(
        workspace, config_of(WIDER, trials=1, first=[{"factors": 3, "alpha": 2}]), "old"
    )
    trial = claimed(search)
    search.started(trial, "run")
    search.complete(trial, [0.5], TrialFacts(13, 13, 13))
    narrower = {"factors": [16, 32], "alpha": {"low": 5.0, "high": 9.0}, "iterations": [10, 12, 20]}

    (point,) = begun(opened(workspace, config_of(narrower), sources=("old",)), 1)

    assert point == {"factors": 16, "alpha": 5.0, "iterations": 12}


def test_a_study_keeps_its_first_points_when_its_source_is_deleted(workspace: Workspace) -> None:
    best = ran(workspace, "old", [0.1, 0.7])[1]
    config = config_of(WIDER, "tpe", trials=5)
    opened(workspace, config, sources=("old",))
    delete_study(workspace, "old")

    assert begun(opened(workspace, config), 1) == [best]


def test_a_worker_that_only_helps_leaves_the_request_as_it_is(workspace: Workspace) -> None:
    opened(workspace, CONFIG)
    asked = stored_request(workspace, "study")
    helper = {**asked, "plays": "/elsewhere/plays.tsv"}

    open_search(workspace, "study", CONFIG, SPLIT, CODE, helper, renews=False)
    assert stored_request(workspace, "study") == asked

    open_search(workspace, "study", CONFIG, SPLIT, CODE, helper)
    assert stored_request(workspace, "study") == helper


def test_a_pruned_trial_is_no_point_to_begin_with(workspace: Workspace) -> None:
    search = opened(workspace, config_of(WIDER, trials=2), "old")
    report(search, claimed(search))
    measured = claimed(search)
    report(search, measured, 0.5)
    config = config_of(WIDER, trials=5, seed=3)

    points = begun(opened(workspace, config, sources=("old",)), 2)

    assert points[0] == measured.params
    assert points[1] == begun(opened(workspace, config, "alone"), 2)[1]


def test_a_source_that_is_not_there_is_refused_and_nothing_is_made(workspace: Workspace) -> None:
    opened(workspace, CONFIG, "there")

    with pytest.raises(InputError, match="'absent' is not there; known are: there"):
        opened(workspace, CONFIG, sources=("absent",))

    assert not has_study(workspace, "study")
    assert [each.name for each in list_studies(workspace)] == ["there"]


class Killed(BaseException):
    """Ends a process as far as these tests go."""


@pytest.mark.parametrize("write", range(5))
def test_a_study_that_a_crash_left_incomplete_is_made_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """The process died before one of its writes, and had another request."""
    points = ran(workspace, "old", [0.1, 0.7])
    writes = iter(range(10))
    real = JournalStorage._write_log

    def dying(self: JournalStorage, *said: Any) -> None:
        if next(writes) == write:
            raise Killed
        real(self, *said)

    with monkeypatch.context() as patch:
        patch.setattr(JournalStorage, "_write_log", dying)
        with pytest.raises(Killed):
            opened(workspace, config_of(MIXED, trials=2, also=["coverage@10"]))
    assert not has_study(workspace, "study")

    config = config_of(WIDER, "tpe", trials=5)
    search = opened(workspace, config, sources=("old",))

    assert begun(search, 1) == [points[1]]
    assert has_study(workspace, "study")
    assert find_search(workspace, "study")[1] == config
    assert len(search.best.values) == 1


def test_a_study_is_deleted_and_its_name_is_free(workspace: Workspace) -> None:
    measure(opened(workspace, CONFIG))
    measure(opened(workspace, CONFIG, "other"))

    delete_study(workspace, "study")

    assert not has_study(workspace, "study")
    assert has_study(workspace, "other")
    assert opened_from(workspace, "another").finished == []


def test_a_study_with_a_living_worker_is_not_deleted(workspace: Workspace) -> None:
    search = opened(workspace, CONFIG)
    with workspace_locks(workspace).living("other"):
        claimed(search, "other")
        claimed(search, "dead")

        with pytest.raises(InputError, match=r"'study' is being worked on \(trials 0\); stop"):
            delete_study(workspace, "study")

        assert has_study(workspace, "study")
    delete_study(workspace, "study")  # now the worker is dead
    assert list_studies(workspace) == []


def test_a_study_that_a_process_has_open_is_not_deleted(workspace: Workspace) -> None:
    """It may be about to make its run in MLflow, which then would be RUNNING for ever."""
    opened(workspace, CONFIG)
    with workspace_locks(workspace).shared(open_lock("study")):
        with pytest.raises(InputError, match="'study' is being worked on; stop its workers first"):
            delete_study(workspace, "study")

        assert has_study(workspace, "study")
    delete_study(workspace, "study")
    assert not has_study(workspace, "study")


def delete_study(workspace: Workspace, name: str) -> None:
    with deleting_study(workspace, name):
        pass


@pytest.mark.parametrize("act", [delete_study, find_search, stored_request])
def test_a_study_that_is_not_there_is_an_error_that_names_those_that_are(
    workspace: Workspace, act: Any
) -> None:
    with pytest.raises(InputError, match="study 'nobody' is not there; known are: none"):
        act(workspace, "nobody")
    for name in ("b", "a"):
        opened(workspace, CONFIG, name)

    with pytest.raises(InputError, match="study 'nobody' is not there; known are: a, b"):
        act(workspace, "nobody")


def test_the_list_counts_the_trials_of_every_study(workspace: Workspace) -> None:
    assert list_studies(workspace) == []
    search = opened(workspace, config_of(MIXED, trials=9, metric="precision@5"), "b")
    opened(workspace, CONFIG, "a")
    with workspace_locks(workspace).living("other"):
        for value in (0.25, 0.5):
            report(search, claimed(search), value)
        report(search, claimed(search))
        search.fail(claimed(search), "error")
        claimed(search, "other")
        claimed(search, "dead")

        empty, found = list_studies(workspace)

    assert (found.name, found.wanted, found.metric, found.best) == ("b", 9, "precision@5", 0.5)
    assert (found.complete, found.pruned, found.failed, found.running) == (2, 1, 1, 1)
    assert found.began is not None
    assert (empty.name, empty.wanted, empty.best, empty.began) == ("a", 4, None, None)


@pytest.mark.postgres
def test_studies_in_postgres_are_made_listed_and_deleted(
    workspace: Workspace, postgres: str
) -> None:
    place = replace(workspace, storage=postgres)
    measure(opened(place, CONFIG))
    opened(place, config_of(WIDER, trials=3), "new", sources=("study",))

    assert [(each.name, each.wanted, each.running) for each in list_studies(place)] == [
        ("new", 3, 0),
        ("study", 4, 0),
    ]
    delete_study(place, "study")
    assert [each.name for each in list_studies(place)] == ["new"]
