"""Studies for the tests of `tasks.tuning`: spaces, a landscape, and a worker that measures."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from recsys.config import ExperimentConfig
from recsys.search.config import FOUND, Sampler
from recsys.search.space import Point, Value
from tasks.tuning import Search, Trial, TrialFacts, open_search
from tasks.workspace.layout import Workspace

SAMPLERS: tuple[Any, ...] = (
    *("random", "tpe", "grid", "qmc", "cma-es"),
    pytest.param("gp", marks=pytest.mark.slow),  # 0.2 s a point
)

MIXED: dict[str, Any] = {
    "factors": {"low": 8, "high": 512, "log": True},
    "regularization": {"low": 0.01, "high": 1000.0, "log": True},
    "weighting": ["share", "log", "linear"],
    "power": {"low": 0.2, "high": 1.5, "when": {"weighting": "share"}},
    "epsilon": {"low": 0.1, "high": 1000.0, "log": True, "when": {"weighting": "log"}},
}
LISTS: dict[str, Any] = {
    "factors": [8, 16, 32],
    "alpha": [0.5, 1.0],
    "weighting": ["share", "linear"],
    "power": {"options": [0.5, 0.8], "when": {"weighting": "share"}},
}
N_LISTS = 3 * 2 + 3 * 2 * 2  # with linear, and with share and its power
SPLIT, CODE = "abcd", {"recsys/models": "1234", "numpy": "2.0"}
ME = "me"


def table_for(sampler: Sampler) -> dict[str, Any]:
    return LISTS if sampler == "grid" else MIXED


def config_of(
    table: dict[str, Any] | None = None, sampler: Sampler = "random", *, seed: int = 0, **study: Any
) -> ExperimentConfig:
    """An experiment that asks for 12 trials unless `study` says otherwise."""
    how = {"sampler": sampler, "trials": 12, **study}
    space = table_for(sampler) if table is None else table
    return ExperimentConfig.model_validate({"seed": seed, "search": space, "study": how})


def opened(
    workspace: Workspace,
    config: ExperimentConfig,
    name: str = "study",
    *,
    sources: tuple[str, ...] = (),
) -> Search:
    request = {"config": config.model_dump(mode="json"), "plays": "/data/plays.tsv"}
    return open_search(workspace, name, config, SPLIT, CODE, request, sources)


def value_of(point: Point) -> float:
    """Any landscape will do that depends on every parameter."""

    def number(value: Value) -> float:
        return float(len(value)) if isinstance(value, str) else float(value) % 7.3

    return sum(number(value) * (n + 1) for n, value in enumerate(point.values()))


def alive(search: Search, worker: str) -> AbstractContextManager[None]:
    """Within the block the worker lives; where it did not before, it is dead afterwards."""
    locks = search._locks
    return nullcontext() if locks.lives(worker) else locks.living(worker)


def claim(search: Search, worker: str = ME) -> Trial | None:
    with alive(search, worker):
        return search.claim(worker)


def claimed(search: Search, worker: str = ME) -> Trial:
    trial = claim(search, worker)
    assert trial is not None
    return trial


def facts_of(trial: Trial) -> TrialFacts:
    return TrialFacts(iterations=int(trial.params.get(FOUND, 7)), ran=9, asked=12)


def report(search: Search, trial: Trial, *values: float) -> None:
    """Measure a trial as a worker does: a run, a curve, an outcome; pruned without values."""
    search.started(trial, f"run-{trial.slot}-{trial.attempt}")
    level = values[0] if values else value_of(trial.params)
    for iteration in (1, 2):
        search.point(trial, iteration, level * iteration / 2)
    if values:
        search.complete(trial, values, facts_of(trial))
    else:
        search.prune(trial, facts_of(trial))


def measure(search: Search, n: int | None = None, worker: str = ME) -> list[tuple[int, Point]]:
    """Measure the free points, at most `n`; every fifth is pruned."""
    found: list[tuple[int, Point]] = []
    with alive(search, worker):
        while (n is None or len(found) < n) and (trial := search.claim(worker)) is not None:
            pruned = trial.slot % 5 == 4
            report(search, trial, *([] if pruned else [value_of(trial.params)]))
            found.append((trial.slot, trial.params))
    return found
