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
from recsys.renames import current_config, current_params
from recsys.search.space import Point
from tasks.tuning.sampling import key_of
from tasks.tuning.search import Search
from tasks.tuning.storage import open_storage
from tasks.workspace.layout import Workspace
from tasks.workspace.locking import workspace_locks

SEEDS = 5  # points that a study hands on to one that starts from it

_REQUEST, _MADE_FROM, _EARLIER = "request", "made_from", "earlier"

Request = Mapping[str, Any]  # what an experiment was asked for, as JSON values


@dataclass(frozen=True, slots=True)
class Listed:
    """A study in a list.

    Attributes:
        name: Of the study.
        wanted: Trials asked for.
        complete: Trials measured.
        pruned: Trials stopped by their curve.
        failed: Trials that failed by themselves.
        running: Trials some worker that lives is at.
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
    made_from: Mapping[str, str],
    request: Request,
    sources: Sequence[str] = (),
    renews: bool = True,
) -> Search:
    """Create the study, or continue it.

    Args:
        workspace: Holds the storage.
        name: Of the study.
        config: What is searched, and how.
        made_from: What its values depend on; a study is continued only with the same.
        request: Kept with the study, so that its name is enough to go on.
        sources: Studies whose best points a new study begins with.
        renews: Whether the request takes the place of the one that is kept with the study; not
            for one who only helps, perhaps from a machine where the data lies elsewhere.

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
            # The last of the facts: a study without it is one whose maker died.
            storage.set_study_user_attr(study_id, _MADE_FROM, dict(made_from))
        known = storage.get_study_user_attrs(study_id)
        _refuse_other(name, known[_MADE_FROM], made_from)
        if renews and known[_REQUEST] != dict(request):
            storage.set_study_user_attr(study_id, _REQUEST, dict(request))
    return Search(storage, study_id, name, config, locks, known[_EARLIER])


def _find(storage: BaseStorage, name: str) -> int | None:
    """The key of a study that was made to its end."""
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        return None
    if _MADE_FROM not in storage.get_study_user_attrs(study_id):
        storage.delete_study(study_id)  # its maker died between two writes; nothing is in it
        return None
    return study_id


def _create(storage: BaseStorage, name: str, config: ExperimentConfig) -> int:
    directions = [
        StudyDirection.MINIMIZE if lower_is_better(metric) else StudyDirection.MAXIMIZE
        for metric in config.objectives
    ]
    return storage.create_new_study(directions, name)


def _refuse_other(name: str, known: Mapping[str, str], made_from: Mapping[str, str]) -> None:
    if known != dict(made_from):
        changed = sorted(
            key for key in known.keys() | made_from.keys() if known.get(key) != made_from.get(key)
        )
        raise InputError(
            f"study {name!r} was made with another {', '.join(changed)}; "
            "its trials cannot be compared with new ones: choose another --study name"
        )


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
    """A study to look at, and what was asked of it.

    Raises:
        InputError: there is no such study.
    """
    request = stored_request(workspace, name)
    return _existing(workspace, name), checked(dict(request["config"]), f"of study {name}")


def stored_request(workspace: Workspace, name: str) -> Request:
    """What a study was asked for.

    Raises:
        InputError: there is no such study.
    """
    storage = open_storage(workspace)
    known = {study.study_name: study for study in storage.get_all_studies()}
    if name not in known or _REQUEST not in known[name].user_attrs:
        names = ", ".join(sorted(known)) or "none"
        raise InputError(f"study {name!r} is not there; known are: {names}")
    request = dict(known[name].user_attrs[_REQUEST])
    return request | {"config": current_config(request["config"])}


def has_study(workspace: Workspace, name: str) -> bool:
    """Whether a study of this name was made to its end."""
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


@contextmanager
def deleting_study(workspace: Workspace, name: str) -> Iterator[None]:
    """Take a study out of the storage after the block, in which nobody can claim its trials.

    Raises:
        InputError: there is no such study, or a worker is at it.
    """
    search = _existing(workspace, name)
    storage = open_storage(workspace)
    locks = workspace_locks(workspace)
    # Whoever judges its winner holds the first, whoever claims a trial the second.
    with locks.exclusive(f"judge-{name}"), locks.exclusive(f"study-{name}"):
        if busy := search.others(""):
            raise InputError(
                f"study {name!r} is being worked on (trials {', '.join(map(str, busy))}); "
                "stop its workers first"
            )
        yield
        storage.delete_study(storage.get_study_id_from_name(name))
