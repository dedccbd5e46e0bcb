"""A published protocol: its data, its cut and its metrics; our rows beside the published ones."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from flows import environment
from flows.compare import CompareRequest, CompareResult, compare
from flows.experiment import prepared
from recsys.config import ExperimentConfig, load_config
from recsys.errors import InputError
from recsys.evaluation.exchange import Exchange, SidesAlike, sides_alike
from recsys.models import make_config
from recsys.protocols.protocol import Protocol
from recsys.protocols.standing import FoundCount, Row, found_counts, our_row, ranked, warnings_of
from recsys.seeds import seed_for
from recsys.splitting.split import Fold
from recsys.splitting.store import load_fold
from tasks.data.protocols import prepare
from tasks.data.stages import DataFiles
from tasks.progress import report_progress
from tasks.tracking.runs import Run
from tasks.workspace.cache import StageEntry
from tasks.workspace.layout import Workspace
from tasks.workspace.scratch import scratch

BASE = Path(__file__).parent / "configs" / "default.toml"
TABLE = "bench.json"  # in the folder "bench" of the comparison's run


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """What is run.

    Attributes:
        protocol: The protocol.
        data: The folder of its files, or its only file.
        models: Names.
        trials: Of each model.
        seed: Of the search, and of what the protocol leaves to a draw.
        name: Of the comparison, which resumes; a new one if empty.
        resamples: Of the intervals.
        adopt: Whether studies and stages that other code made are used.
    """

    protocol: Protocol
    data: Path
    models: tuple[str, ...]
    trials: int
    seed: int = 0
    name: str = ""
    resamples: int = 2000
    adopt: bool = False


@dataclass(frozen=True, slots=True)
class BenchResult:
    """A protocol as it is shown.

    Attributes:
        request: What was run.
        counts: What was counted beside what is published.
        rows: Ours and the published ones, the best first.
        alike: Whether validation and test look exchangeable.
        compared: The comparison of our models.
    """

    request: BenchRequest
    counts: tuple[FoundCount, ...]
    rows: tuple[Row, ...]
    alike: Exchange | SidesAlike
    compared: CompareResult

    @property
    def warnings(self) -> list[str]:
        """A line where the data is not the published data."""
        return warnings_of(self.counts)

    def as_json(self) -> dict[str, Any]:
        """One object."""
        protocol, compared = self.request.protocol, self.compared
        return {
            "protocol": {
                **{"name": protocol.name, "title": protocol.title, "paper": protocol.paper},
                **{"metrics": list(protocol.metrics), "objective": protocol.objective},
                **{"home": protocol.home, "notes": list(protocol.notes)},
            },
            "counts": [
                {"name": c.name, "ours": c.ours, "published": c.published, "note": c.note}
                for c in self.counts
            ],
            "warnings": self.warnings,
            "rows": [row.as_json(protocol.metrics) for row in self.rows],
            "exchangeable": self.alike.as_json(),
            "failed": dict(compared.failed),
            "config": compared.request.config.model_dump(mode="json"),
            "runs": {"compare": compared.run, "name": compared.request.name},
            "seconds": {part: round(value, 3) for part, value in compared.seconds.items()},
        }


def new_name(protocol: str) -> str:
    """A name for a run of a protocol, by the second, UTC."""
    return f"bench-{protocol}-{datetime.now(UTC):%Y%m%d-%H%M%S}"


def bench(request: BenchRequest, workspace: Path = Path("mlruns")) -> BenchResult:
    """Prepare the data, tune the models on validation, judge each once on test, and rank the rows.

    The models are tuned and judged by the flow `compare`, on one split, so the same name resumes.

    Args:
        request: What is run.
        workspace: Where state lives.

    Raises:
        InputError: a file is missing or cannot be used, there are too few users for the protocol,
            or fewer than two models can be used.
    """
    protocol = request.protocol
    request = replace(request, name=request.name or new_name(protocol.name))
    place = environment.place(workspace)
    files = protocol.found(request.data)
    with _advice(protocol):
        data = prepare(place, protocol, files, request.seed, request.adopt)
        protocol.check_users(data.facts["counts"]["users"])
        config = config_of(request, data)
        source = DataFiles(data.folder / f"{protocol.name}.parquet")
        stages = prepared(place, source, config, False, request.adopt)
    compared = compare(_comparison(request, source, config), place.root)
    validation, test = (load_fold(stages["split"].folder / n) for n in ("validation", "test"))
    counts = {**data.facts["counts"], **_of_split(validation, test, stages["split"].facts)}
    result = BenchResult(
        request,
        found_counts(protocol, counts),
        _rows(request, compared, test),
        compared.exchange or _alike(config, validation, test),
        compared,
    )
    _keep(place, result)
    return result


@contextmanager
def _advice(protocol: Protocol) -> Iterator[None]:
    """What is wrong with the data, with the files of the protocol as the advice.

    Readers and splits advise settings, which a protocol does not leave open.
    """
    try:
        yield
    except InputError as error:
        what = str(error).rpartition("; ")[0] or str(error)
        raise InputError(f"{what}; {protocol.reads}") from error


def config_of(request: BenchRequest, data: StageEntry) -> ExperimentConfig:
    """The configuration of a protocol.

    Args:
        request: What is run.
        data: The prepared files.
    """
    protocol = request.protocol
    sides = data.facts["sides"]
    given = {
        name: str(data.folder / f"{protocol.name}-{name}.parquet")
        for name in ("test", "validation")
        if f"-{name}" in sides
    }
    overrides: dict[str, Any] = {
        "name": f"bench-{protocol.name}",
        "seed": request.seed,
        "data": {"columns": data.facts["columns"]},
        "filter": {"min_items": 0, "min_users": 0},  # the data is filtered
        "split": {**protocol.split, **given},
        "study.trials": request.trials,
        "study.metric": protocol.objective,
        "judge.ks": list(protocol.ks),
        "judge.curve_metrics": [protocol.objective],
        "judge.resamples": request.resamples,
    }
    if protocol.validation_users is not None:
        overrides["judge.validation_users"] = protocol.validation_users
    return load_config(BASE, overrides)


def _comparison(
    request: BenchRequest, source: DataFiles, config: ExperimentConfig
) -> CompareRequest:
    return CompareRequest(
        source.plays, None, config, request.models, 1, False, request.name, None, request.adopt
    )


def _of_split(validation: Fold, test: Fold, facts: Mapping[str, Any]) -> dict[str, int]:
    """What was counted of the sides of a split."""
    sides = facts["sides"]
    return {
        "training users": len(test.train.users_with_cells()),
        "items of training users": int(np.count_nonzero(test.train.per_item())),
        "validation users judged": len(validation.judged),
        "validation pairs held out": len(validation.held_out),
        "test users judged": len(test.judged),
        "test pairs held out": len(test.held_out),
        "test pairs of items without a training user": test.unreachable,
        **({} if sides is None else {"test pairs left out, in train too": sides["pairs_dropped"]}),
    }


def _rows(request: BenchRequest, compared: CompareResult, test: Fold) -> tuple[Row, ...]:
    [split] = compared.comparison.splits
    seed = seed_for(request.seed, "judge", "bootstrap")
    ours = []
    for n, (model, found) in enumerate(split.results.items()):
        report_progress("models beside the published rows", n, len(split.results))
        row = our_row(request.protocol, model, found.lists, test, seed, request.resamples)
        ours.append(row)
    return ranked(request.protocol, ours)


def _alike(config: ExperimentConfig, validation: Fold, test: Fold) -> SidesAlike:
    report_progress("validation beside test", 0, None)
    return sides_alike(
        validation,
        test,
        make_config(config.judge.baseline, {}),
        config.study.metric,
        config.seed,
        config.judge.resamples,
        report_progress,
    )


def _keep(place: Workspace, result: BenchResult) -> None:
    """Put the table beside the comparison in MLflow."""
    with scratch(place) as folder:
        text = json.dumps(result.as_json(), indent=1)
        (folder / TABLE).write_text(text, encoding="utf-8")
        Run.of(place, result.compared.run).files(folder, "bench")
