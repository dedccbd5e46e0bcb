"""The model of a run, fitted on all the data of its study, made on first use and kept.

    run in MLflow        its model, parameters and seed; its study; fingerprints of data and split
    stage "everything"   all cells, ids and profiles, once per data
    stage "served"       what the model learned, plain arrays: see `recsys.models.arrays`

What a run was measured on is held against what is read now: plays that changed since are refused.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from recsys.config import checked
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.data.store import load_data, save_data
from recsys.errors import InputError
from recsys.models import build
from recsys.models.arrays import StoredArrays, save_arrays
from recsys.models.iterative import Iteration
from recsys.models.params import ModelConfig
from recsys.renames import current_params
from recsys.seeds import seed_for
from recsys.serving.answers import Served
from tasks.progress import report_progress
from tasks.tracking.registry import champion
from tasks.tracking.runs import Recorded, finals, read_run
from tasks.workspace.cache import stage
from tasks.workspace.layout import Workspace

BASELINE = "popularity"  # what their names begin with
LIBRARIES = ("implicit", "numpy", "scipy", "torch")  # that what is learned depends on


@dataclass(frozen=True, slots=True)
class ServedRun:
    """Whose model is served.

    Attributes:
        run: Id of its run in MLflow.
        study: Name of the study.
        config: The model with its parameters.
        seed: Of the experiment.
        made_from: Fingerprints of "data" and "split".
    """

    run: str
    study: str
    config: ModelConfig
    seed: int
    made_from: dict[str, str]

    @classmethod
    def of(cls, run: Recorded) -> "ServedRun":
        """What a run of a model says about itself.

        Raises:
            InputError: it has parameters that its model does not have, or lacks something.
        """
        params = {name: _value(text) for name, text in run.params.items()}
        given = {name: value for name, value in params.items() if value is not None}
        try:
            seed = int(given.pop("seed"))
            config: ModelConfig = TypeAdapter(ModelConfig).validate_python(current_params(given))
            made_from = {name: run.tags[name] for name in ("data", "split")}
        except (KeyError, ValidationError) as error:
            why = " ".join(str(error).split())
            raise InputError(
                f"run {run.id!r} cannot be fitted again, another version made it ({why[:200]}); "
                "run the experiment again"
            ) from error
        return cls(run.id, run.tags["study"], config, seed, made_from)


def _value(text: str) -> Any:  # a parameter has any type
    """What MLflow keeps as the text of a Python value."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def find_served_run(workspace: Workspace, run_id: str | None = None) -> ServedRun:
    """The run that is to serve.

    Args:
        workspace: Holds the runs.
        run_id: Of a trial, of a final model, or of a study, whose winner is meant. By default the
            champion, or else the final model that was begun last and is no baseline.

    Raises:
        InputError: there is no such run, or it did not finish.
    """
    serving = champion(workspace) if run_id is None else None
    return ServedRun.of(find_model(workspace, run_id if serving is None else serving.run))


def find_model(workspace: Workspace, run_id: str | None) -> Recorded:
    """The run of a model.

    Args:
        workspace: Holds the runs.
        run_id: Of a trial, of a final model, or of a study, whose winner is meant; without one
            the final model that was begun last and is no baseline.

    Raises:
        InputError: there is no such run, or it did not finish.
    """
    if run_id is None:
        return _winner(finals(workspace), "no experiment was finished")
    run = read_run(workspace, run_id)
    if run.tags.get("stage") == "study":
        nothing = f"study {run.tags['study']!r} has no winner"
        return _winner(finals(workspace, run.id), nothing)
    if run.status != "FINISHED" or "model" not in run.tags:
        raise InputError(
            f"run {run_id!r} is {run.status}, model {run.tags.get('model', 'unknown')}; pass one "
            "of a trial, a final model or a study that is FINISHED"
        )
    return run


def _winner(runs: Iterator[Recorded], nothing: str) -> Recorded:
    for run in runs:
        if not run.tags["model"].startswith(BASELINE):
            return run
    raise InputError(f"{nothing}; `recsys experiment` makes one, `recsys study resume` ends one")


def load_served(workspace: Workspace, chosen: ServedRun) -> Served:
    """The model of a run on all the data of its study, from the cache or made now.

    Raises:
        InputError: its study is gone, or its plays cannot be read or have changed.
    """
    entry = stage(
        workspace,
        "everything",
        chosen.made_from,
        lambda folder: _gather(workspace, chosen, folder),
    )
    report_progress("loading", 0, None)
    cells, profiles = load_data(entry.folder)
    config, seed = chosen.config, seed_for(chosen.seed, "train", chosen.config.kind)
    inputs = {
        "of": entry.key,
        "model": config.model_dump(mode="json"),
        "seed": seed,
        "libraries": {name: _version(name) for name in LIBRARIES},
    }
    learned = stage(
        workspace, "served", inputs, lambda folder: _fit(folder, config, seed, cells, profiles)
    )
    model = build(config, seed, profiles=profiles).restore(cells, StoredArrays(learned.folder))
    return Served(config, model, cells, profiles)


def _gather(workspace: Workspace, chosen: ServedRun, folder: Path) -> dict[str, Any]:
    from tasks.data.stages import Plays, everything  # Prefect, which is slow to load
    from tasks.tuning import stored_request

    request = stored_request(workspace, chosen.study)
    config = checked(dict(request["config"]), f"of study {chosen.study}")
    profiles = request["profiles"]
    source = Plays(Path(request["plays"]), None if profiles is None else Path(profiles))
    found = everything(workspace, source, config)
    for name, fingerprint in found.made_from.items():
        if fingerprint != chosen.made_from[name]:
            raise InputError(
                f"{source.plays}: its {name} is {fingerprint} now, and was "
                f"{chosen.made_from[name]} when run {chosen.run} was measured; run the experiment "
                "again, or bring the plays back"
            )
    save_data(found.cells, found.profiles, folder)
    return {"cells": len(found.cells)}


def _version(name: str) -> str | None:
    """Of a library; None where it is not installed, as PyTorch need not be."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _fit(
    folder: Path, config: ModelConfig, seed: int, cells: Interactions, profiles: Profiles | None
) -> dict[str, Any]:
    total = getattr(config, "iterations", None)

    def on_iteration(step: Iteration) -> None:
        report_progress("fitting on all the data, iterations", step.number, total)

    report_progress(f"fitting {config.kind} on all the data", 0, None)
    save_arrays(build(config, seed, on_iteration, profiles).fit(cells).learned(), folder)
    return {}
