"""The model of a run, fitted on all the data of its study, made on first use and kept.

    run in MLflow        its model, parameters and seed; its study; fingerprints of data and split
    stage "everything"   all cells, ids and profiles, once per data
    stage "served"       what the model learned, plain arrays: see `recsys.models.arrays`

What a run was measured on is held against what is read now: plays that changed since are refused.
"""

import ast
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from recsys.config import checked
from recsys.data.interactions import Interactions
from recsys.data.profiles import Profiles
from recsys.data.store import load_data, save_data
from recsys.errors import InputError
from recsys.evaluation.fitting import fit
from recsys.models import build, read_config
from recsys.models.arrays import StoredArrays, save_arrays
from recsys.models.config import ModelConfig
from recsys.seeds import seed_for
from recsys.serving.answers import Served
from tasks.progress import report_progress
from tasks.serving.selection import SelectedRun, select_run
from tasks.tracking.recorded import Recorded
from tasks.workspace.cache import stage
from tasks.workspace.layout import Workspace

LIBRARIES = ("implicit", "numba", "numpy", "scipy", "torch")  # that what is learned depends on


@dataclass(frozen=True, slots=True)
class ServedRun:
    """Whose model is served.

    Attributes:
        run: Id of its run in MLflow.
        study: Name of the study.
        config: The model with its parameters.
        seed: Of the experiment.
        made_from: Fingerprints of "data" and "split".
        selection: Why it is this run; None where it was not looked for.
    """

    run: str
    study: str
    config: ModelConfig
    seed: int
    made_from: dict[str, str]
    selection: SelectedRun | None = field(default=None, compare=False)

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
            config = read_config(given)
            made_from = {name: run.tags[name] for name in ("data", "split")}
        except (KeyError, ValueError) as error:
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


def find_served_run(workspace: Workspace, name: str | None = None) -> ServedRun:
    """The run that answers, see `tasks.serving.selection.select_run`.

    Raises:
        InputError: there is no such run, or it did not finish.
    """
    selected = select_run(workspace, name)
    return replace(ServedRun.of(selected.run), selection=selected)


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
    model = build(config, seed, profiles).restore(cells, StoredArrays(learned.folder))
    return Served(config, model, cells, profiles)


def _gather(workspace: Workspace, chosen: ServedRun, folder: Path) -> dict[str, Any]:
    from tasks.data.stages import DataFiles, everything  # Prefect, which is slow to load
    from tasks.tuning import stored_request

    request = stored_request(workspace, chosen.study)
    config = checked(dict(request["config"]), f"of study {chosen.study}")
    profiles = request["profiles"]
    source = DataFiles(Path(request["plays"]), None if profiles is None else Path(profiles))
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
    fitted = fit(config, seed, cells, profiles, progress=report_progress)
    save_arrays(fitted.model.arrays(), folder)
    return {}
