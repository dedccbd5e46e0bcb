"""A study: its MLflow run, and the runs under it."""

import functools
import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.config import ExperimentConfig
from recsys.identity import Side, measured_key
from recsys.models import make_config
from recsys.models.config import ModelConfig
from recsys.search.config import FOUND
from recsys.seeds import seed_for
from recsys.splitting.split import Fold
from recsys.splitting.store import load_fold
from tasks.interrupts import INTERRUPTS
from tasks.tracking.experiments import experiment_id, tag_experiment
from tasks.tracking.queries import find_running_study, running_studies
from tasks.tracking.recorded import DataSet
from tasks.tracking.runs import ERROR, Run, describe_run, experiment_of, reopen_run, start_run
from tasks.tracking.view import view_of
from tasks.tuning import ADOPTED, Search, Trial
from tasks.workspace.code import MEASURING, code_id
from tasks.workspace.layout import Workspace, data_set_name
from tasks.workspace.locking import workspace_locks
from tasks.workspace.scratch import scratch


@dataclass(frozen=True, slots=True)
class Study:
    """What all runs of a study share.

    Attributes:
        workspace: Where things are.
        config: The experiment.
        name: Of the study.
        experiment: MLflow's id of the experiment.
        parent: Id of the MLflow run of the study.
        data: What MLflow shows as the data set.
        tags: Of every run: the fingerprints of data, split and code, and the worker.
        worker: This process.
    """

    workspace: Workspace
    config: ExperimentConfig
    name: str
    experiment: str
    parent: str
    data: DataSet
    tags: Mapping[str, str]
    worker: str

    def key(self, side: Side, model: ModelConfig) -> str:
        """The key of a model that is measured in this study, see `recsys.identity`."""
        return measured_key(side, self.config, model, self.tags["split"], self.tags["code"])

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder for files on their way, removed when the block ends."""
        return scratch(self.workspace)


def open_study(
    workspace: Workspace,
    config: ExperimentConfig,
    search: Search,
    plays: Path,
    facts: Mapping[str, Mapping[str, Any]],
    ids: Path,
    worker: str,
) -> Study:
    """Open the MLflow run of a study; a resumed study keeps its run.

    One experiment per data set: the name of the file and of the folder it is in. The run of the
    study keeps the ids and names behind the rows of all its factors.
    """
    path = plays.resolve()
    filtered = facts["filter"]
    data = DataSet(data_set_name(path), filtered["fingerprint"], str(path), filtered["matrix"])
    tags = {
        "data": filtered["fingerprint"],
        "split": facts["split"]["fingerprint"],
        "code": code_id(MEASURING, config.model),
        "format": facts["ingest"]["format"],
    }
    with workspace_locks(workspace).exclusive(f"parent-{search.name}"):
        known = search.recall("parent")
        # On another machine the same data may lie elsewhere: the study stays in its experiment.
        experiment = (
            experiment_id(workspace, path, _view(config, config.search))
            if known is None
            else experiment_of(workspace, known)
        )
        run = _parent(workspace, config, search, experiment, data, tags)
        every = {**tags, "worker": worker}
        study = Study(workspace, config, search.name, experiment, run.id, data, every, worker)
        try:
            if adopted := search.recall(ADOPTED):
                run.log({}, tags={ADOPTED: json.dumps(adopted)})
            _attach_ids(study, run, ids)
        except BaseException:
            run.end("KILLED")
            raise
    return study


@contextmanager
def not_left_running(workspace: Workspace, search: Search, worker: str) -> Iterator[None]:
    """Where an interrupt ends the block, the run of the study is not left RUNNING.

    `flows.searching.joined` ends the run otherwise. An interrupt can come before that begins.
    """
    try:
        yield
    except BaseException as error:
        interrupted = INTERRUPTS.came or not isinstance(error, Exception)
        if interrupted and not search.others(worker):
            for run in running_studies(workspace, search.name):
                Run.of(workspace, run).end("KILLED", {ERROR: "interrupted"})
        raise


def show_together(studies: Sequence[Study]) -> None:
    """Have MLflow's page of runs show the parameters of all studies, not of the last one alone.

    Args:
        studies: Of one experiment, by the same objectives.
    """
    params = dict.fromkeys(name for study in studies for name in study.config.search)
    first = studies[0]
    tag_experiment(first.workspace, first.experiment, _view(first.config, params))


def _view(config: ExperimentConfig, params: Iterable[str]) -> dict[str, str]:
    on_test = [f"test/{name}" for name in shown_metrics(config)]
    return view_of([*on_test, *(f"validation/{name}" for name in config.objectives)], params)


def shown_metrics(config: ExperimentConfig) -> list[str]:
    """What MLflow's page of runs shows: the objectives and the coverage."""
    k = config.study.metric.partition("@")[2]
    return list(dict.fromkeys([*config.objectives, f"coverage@{k}"]))


def _parent(
    workspace: Workspace,
    config: ExperimentConfig,
    search: Search,
    experiment: str,
    data: DataSet,
    tags: Mapping[str, str],
) -> Run:
    """The run that the study knows, or one that a crash kept from it, or a new one."""
    known = search.recall("parent")
    if known is not None:
        return reopen_run(workspace, known)
    params = flat(config.model_dump(mode="json", exclude_none=True))
    begun = find_running_study(workspace, experiment, search.name)
    if begun is None:
        every = {**tags, "study": search.name, "stage": "study"}
        run = start_run(workspace, experiment, search.name, params, every, data)
    else:
        run = Run.of(workspace, begun)
        describe_run(workspace, run, params, data)
    try:
        search.remember("parent", run.id)
    except BaseException:
        run.end("KILLED")
        raise
    return run


def _attach_ids(study: Study, run: Run, folder: Path) -> None:
    """Idempotent: a retry after a crash attaches what is missing."""
    names = ("users.parquet", "items.parquet")
    if not all(run.has(f"ids/{name}") for name in names):
        with study.scratch() as copies:
            for name in names:
                shutil.copy(folder / name, copies / name)
            run.files(copies, "ids")


def flat(table: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """A nested table as dotted names to text, as `--set` takes them."""
    texts: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            texts |= flat(value, f"{above}{name}.")
        else:
            texts[above + name] = str(value)
    return texts


def start_child(
    study: Study,
    name: str,
    config: ModelConfig,
    tags: Mapping[str, str],
    without: Collection[str] = (),
) -> Run:
    """Open a run of a model under that of the study, with every parameter, searched or not.

    Args:
        study: Its parent.
        name: Of the run.
        config: The model with its parameters.
        tags: Besides those of every run of the study.
        without: Parameters that are not known yet.
    """
    every = {**study.tags, **tags, "study": study.name, "model": config.kind}
    params = {**config.model_dump(exclude=set(without)), "seed": study.config.seed}
    return start_run(
        study.workspace, study.experiment, name, params, every, study.data, study.parent
    )


@functools.lru_cache(maxsize=2)
def fold_at(folder: Path) -> Fold:
    """The fold in a folder of the cache, kept in memory: entries never change."""
    return load_fold(folder)


def train_seed(study: Study, kind: str) -> int:
    """The same for every trial of a model, so that trials differ in their point alone."""
    return seed_for(study.config.seed, "train", kind)


def trial_params(config: ExperimentConfig, trial: Trial) -> ModelConfig:
    """The parameters of a trial: its point, with the most iterations where they are found."""
    most = {} if config.found is None else {FOUND: config.found.high}
    return make_config(config.model, {**trial.params, **most})


def tuning_fold(config: ExperimentConfig, validation: Path) -> Fold:
    """The validation fold, with the sample of users that `judge.validation_users` asks for."""
    fold = fold_at(validation)
    n_users = config.judge.validation_users
    if n_users is None:
        return fold
    return sampled(fold, n_users, seed_for(config.seed, "judge", "validation"))


@functools.lru_cache(maxsize=4)
def sampled(fold: Fold, n_users: int, seed: int) -> Fold:
    """`Fold.sample`, drawn once for all trials."""
    return fold.sample(n_users, seed)
