"""Studies by name: opened, listed, deleted."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from recsys.config import ExperimentConfig, checked
from recsys.errors import InputError
from recsys.evaluation.objectives import lower_is_better
from recsys.identity import study_settings
from recsys.renames import current_config, current_params
from recsys.search.space import Point
from tasks.tuning.sampling import key_of
from tasks.tuning.search import Search
from tasks.tuning.storage import open_storage
from tasks.workspace.code import Parts, differences, id_of
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks
from tasks.workspace.places import found_request

SEEDS = 5  # points that a study gives to one that begins from it

_REQUEST, _MADE_FROM, _EARLIER, _CODE = "request", "made_from", "earlier", "code"
_METRIC_NAMES = "study:metric_names"
ADOPTED = "adopted"
"""Of a study that other code resumed: each time the new code and what had changed."""

Request = Mapping[str, Any]  # configuration, plays and profiles of an experiment, JSON values


@dataclass(frozen=True, slots=True)
class Listed:
    """A study in a list.

    Attributes:
        name: Of the study.
        wanted: Trials that the study wants.
        complete: Trials measured.
        pruned: Trials stopped by their curve.
        failed: Trials that failed by themselves.
        running: Trials of living workers.
        metric: The objective that picks the winner.
        best: Its best value; None without any.
        began: When the first trial began; None without any.
    """

    name: str
    wanted: int
    complete: int
    pruned: int
    failed: int
    running: int
    metric: str
    best: float | None
    began: datetime | None


def open_search(
    workspace: Workspace,
    name: str,
    config: ExperimentConfig,
    split: str,
    code: Parts,
    request: Request,
    sources: Sequence[str] = (),
    renews: bool = True,
    adopt: bool = False,
) -> Search:
    """Create the study, or resume it.

    A study is resumed only with the settings that count (`recsys.identity`), the split and the
    code that it was made with.

    Args:
        workspace: Holds the storage.
        name: Of the study.
        config: The experiment.
        split: Fingerprint of the data and of how they are cut.
        code: Parts of the code that measures, see `tasks.workspace.code`.
        request: Stored with the study, so its name is enough to resume it; its "config" is the
            experiment.
        sources: Studies whose best points a new study begins with.
        renews: Whether the request takes the place of the stored one; not for a worker that only
            helps, perhaps from a machine where the data lies elsewhere.
        adopt: Whether a study that other code made is resumed; the study records that it was.

    Raises:
        InputError: the study exists and was made from something else, or a source is missing.
    """
    storage = open_storage(workspace)
    locks = workspace_locks(workspace)
    with locks.exclusive(f"study-{name}"):
        study_id = _find(storage, name)
        if study_id is None:
            best = [point for source in sources for point in _best_points(workspace, source)]
            earlier = list({key_of(point): point for point in best}.values())
            study_id = _create(storage, name, config)
            storage.set_study_user_attr(study_id, _EARLIER, earlier)
            storage.set_study_user_attr(study_id, _REQUEST, dict(request))
            storage.set_study_user_attr(study_id, _CODE, dict(code))
            # The last of the facts: without it the process that made the study died.
            storage.set_study_user_attr(study_id, _MADE_FROM, {"split": split})
        known = storage.get_study_user_attrs(study_id)
        _refuse_other(name, known, config, split)
        if changes := differences(known.get(_CODE), code):
            if not adopt:
                raise InputError(
                    f"study {name!r} was made by other code: {changes}; --adopt resumes it and "
                    f"records the new code on each trial, or begin a new study with --from {name}"
                )
            _adopt(storage, study_id, known, code, changes)
        if renews and known[_REQUEST] != dict(request):
            storage.set_study_user_attr(study_id, _REQUEST, dict(request))
    return Search(storage, study_id, name, config, locks, known[_EARLIER])


def _find(storage: BaseStorage, name: str) -> int | None:
    """The key of a study that is complete; one that a crash left incomplete is removed."""
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        return None
    if _MADE_FROM not in storage.get_study_user_attrs(study_id):
        storage.delete_study(study_id)  # a crash came between two writes; it has no trials
        return None
    return study_id


def _create(storage: BaseStorage, name: str, config: ExperimentConfig) -> int:
    directions = [
        StudyDirection.MINIMIZE if lower_is_better(metric) else StudyDirection.MAXIMIZE
        for metric in config.objectives
    ]
    study_id = storage.create_new_study(directions, name)
    # What `Study.set_metric_names` writes, which is experimental: the dashboard's label of values.
    storage.set_study_system_attr(study_id, _METRIC_NAMES, list(config.objectives))
    return study_id


def _refuse_other(
    name: str, known: Mapping[str, Any], config: ExperimentConfig, split: str
) -> None:
    """Compare what points and values depend on with the stored request, which holds all of it."""
    stored = checked(current_config(known[_REQUEST]["config"]), f"of study {name}")
    before = {**study_settings(stored), "split": known[_MADE_FROM]["split"]}
    now = {**study_settings(config), "split": split}
    if before != now:
        changed = sorted(
            key for key in before.keys() | now.keys() if before.get(key) != now.get(key)
        )
        raise InputError(
            f"study {name!r} was made with another {', '.join(changed)}; "
            "its trials cannot be compared with new ones: choose another --study name"
        )


def _adopt(
    storage: BaseStorage, study_id: int, known: Mapping[str, Any], code: Parts, changes: str
) -> None:
    """Record that other code resumes a study. Idempotent: a retry after a crash adds nothing."""
    entry = {"code": id_of(code), "changes": changes}
    adopted = known.get(ADOPTED, [])
    if adopted[-1:] != [entry]:
        storage.set_study_user_attr(study_id, ADOPTED, [*adopted, entry])
    storage.set_study_user_attr(study_id, _CODE, dict(code))


def _best_points(workspace: Workspace, name: str) -> list[Point]:
    """The best points of a study, best first, as far as each parameter goes."""
    search = _existing(workspace, name)
    ranked = sorted(search.done, key=lambda done: (-done.value, done.slot))
    return [current_params(done.params) for done in ranked[:SEEDS]]


def _existing(workspace: Workspace, name: str) -> Search:
    storage = open_storage(workspace)
    request = stored_request(workspace, name)
    config = checked(dict(request["config"]), f"of study {name}")
    study_id = storage.get_study_id_from_name(name)
    return Search(storage, study_id, name, config, workspace_locks(workspace))


def find_search(workspace: Workspace, name: str) -> tuple[Search, ExperimentConfig]:
    """A study to look at, and its experiment.

    Raises:
        InputError: there is no such study.
    """
    request = stored_request(workspace, name)
    return _existing(workspace, name), checked(dict(request["config"]), f"of study {name}")


def stored_request(workspace: Workspace, name: str) -> Request:
    """The request that a study stores.

    Raises:
        InputError: there is no such study.
    """
    storage = open_storage(workspace)
    known = {study.study_name: study for study in storage.get_all_studies()}
    if name not in known or _REQUEST not in known[name].user_attrs:
        names = ", ".join(sorted(known)) or "none"
        raise InputError(f"study {name!r} is not there; known are: {names}")
    request = found_request(workspace, known[name].user_attrs[_REQUEST])
    return request | {"config": current_config(request["config"])}


def has_study(workspace: Workspace, name: str) -> bool:
    """Whether a complete study has this name."""
    storage = open_storage(workspace)
    return any(
        study.study_name == name and _MADE_FROM in study.user_attrs
        for study in storage.get_all_studies()
    )


def list_studies(workspace: Workspace) -> list[Listed]:
    """Every study by name."""
    storage = open_storage(workspace)
    names = sorted(
        study.study_name for study in storage.get_all_studies() if _REQUEST in study.user_attrs
    )
    return [_listed(workspace, storage, name) for name in names]


def _listed(workspace: Workspace, storage: BaseStorage, name: str) -> Listed:
    search = _existing(workspace, name)
    trials = storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False)
    began = [trial.datetime_start for trial in trials if trial.datetime_start is not None]
    request = stored_request(workspace, name)
    return Listed(
        name=name,
        wanted=search.wanted,
        complete=len(search.done),
        pruned=len(search.pruned),
        failed=len(search.failed),
        running=len(search.others("")),
        metric=str(request["config"]["study"]["metric"]),
        best=search.best.value if search.done else None,
        began=min(began, default=None),
    )


def open_lock(name: str) -> str:
    """The lock that every process shares that has a study open."""
    return f"open-{name}"


@contextmanager
def deleting_study(workspace: Workspace, name: str) -> Iterator[Search]:
    """The study, which is deleted after the block; in the block no process can open it.

    Raises:
        InputError: there is no such study, or a worker is at it.
    """
    _existing(workspace, name)
    storage = open_storage(workspace)
    locks = workspace_locks(workspace)
    busy = f"study {name!r} is being worked on%s; stop its workers first"
    # A worker has it open from before it makes its run until it has closed it.
    with locks.exclusive(open_lock(name), busy % ""), locks.exclusive(f"study-{name}"):
        search = _existing(workspace, name)  # as the last worker left it
        if trials := search.others(""):
            raise InputError(busy % f" (trials {', '.join(map(str, trials))})")
        yield search
        storage.delete_study(storage.get_study_id_from_name(name))
