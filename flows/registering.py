"""Models that may serve: register, promote, roll back."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys.errors import InputError
from recsys.seeds import seed_for
from recsys.serving.answers import Served
from recsys.serving.package import check_portable, pack
from tasks.orchestration.interfaces import MODEL
from tasks.progress import report_progress
from tasks.serving.load import ServedRun, load_served
from tasks.serving.selection import SelectedRun, select_run
from tasks.tracking import registering, registry
from tasks.tracking.registering import Portable
from tasks.tracking.registry import Version, check_name
from tasks.workspace.layout import Workspace

_NUMBER = re.compile(r"\d{1,9}")  # longer is the id of a run
EXAMPLES = 2  # items in the history of the example


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of a model that was to be registered.

    Attributes:
        version: Which it is.
        new: Whether it was not one before.
        selected: The run, and why it is this one.
    """

    version: Version
    new: bool
    selected: SelectedRun


def register(workspace: Workspace, run: str | None, name: str = MODEL) -> Registered:
    """The version that is the model of a run on all its data, made now unless there is one.

    Args:
        workspace: Holds the runs and the registry.
        run: A study, or the run of one or of a final model; by default the winner that was best on
            validation, see `tasks.serving.selection.select_run`. The champion is registered.
        name: Of the registered model.

    Raises:
        InputError: there is no such run, it was not judged on test, or its model cannot be
            fitted again or not be taken elsewhere.
    """
    check_name(name)
    selected = select_run(workspace, run, champion_first=False)
    judged = selected.run
    if judged.tags.get("stage") != "final":
        raise InputError(
            f"run {judged.id!r} was not judged on test, and only what was is registered; pass the "
            "run of a final model, or of a study"
        )
    known = registering.find_version(workspace, judged, name)
    if known is not None:
        return Registered(known, False, selected)
    chosen = ServedRun.of(judged)
    check_portable(chosen.config)
    served = load_served(workspace, chosen)
    report_progress("registering", 0, None)
    seed = seed_for(chosen.seed, "train", chosen.config.kind)
    portable = Portable(judged, lambda folder: pack(served, seed, folder), example(served))
    return Registered(registering.add_version(workspace, portable, name), True, selected)


def promote(workspace: Workspace, which: str | None, name: str = MODEL) -> Version:
    """Let a version be the champion; the model of a run is registered first if it is not.

    Args:
        workspace: Holds the runs and the registry.
        which: Number of a version, or what `register` takes: a study, a run or nothing.
        name: Of the registered model.

    Raises:
        InputError: there is no such version or run, or it cannot be registered.
    """
    check_name(name)
    number = int(which) if which is not None and _NUMBER.fullmatch(which) else None
    if number is None:
        number = register(workspace, which, name).version.number
    return registry.promote(workspace, number, name)


def rollback(workspace: Workspace, name: str = MODEL) -> Version:
    """Let what served before be the champion again.

    Raises:
        InputError: nothing served before.
    """
    check_name(name)
    return registry.rollback(workspace, name)


def example(served: Served) -> pd.DataFrame:
    """A request that the model can answer: the history of a new user."""
    items = served.cells.items
    most = np.argsort(-served.users_per_item, kind="stable")[:EXAMPLES].tolist()
    plays = [float(len(most) - place) for place in range(len(most))]
    history = {"items": [items.id(item) for item in most], "plays": plays}
    return pd.DataFrame([{"user": "new user", **history}])
