"""What an experiment found, as the terminal shows it and as `--json` prints it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from recsys.compare import Comparison, Estimate
from recsys.config import ExperimentConfig
from recsys.space import Point
from tasks.tuning import Done


@dataclass(frozen=True, slots=True)
class Result:
    """An experiment from its data to its comparison.

    Attributes:
        study: Name of the study.
        config: What was asked.
        facts: What each data stage told: "ingest", "filter", "split".
        reused: Which data stages came from the cache.
        rejects: Where rejected rows are, None without any.
        test_rejects: Likewise, of a test file.
        trials: Measured trials by slot.
        failed: Error of each slot that failed.
        best: The winner.
        at_bound: Best parameters on the edge of their range, with the edge in words.
        models: Model to metric to estimate, on test.
        comparison: The baseline and the winner, paired.
        listeners: Model to what it shows the sample listener.
        runs: MLflow ids: "study" and "final".
        compare_url: Of MLflow's page that compares the trials.
        seconds: By part.
    """

    study: str
    config: ExperimentConfig
    facts: Mapping[str, Mapping[str, Any]]
    reused: Mapping[str, bool]
    rejects: str | None
    test_rejects: str | None
    trials: tuple[Done, ...]
    failed: Mapping[int, str]
    best: Done
    at_bound: Mapping[str, str]
    models: Mapping[str, Mapping[str, Estimate]]
    comparison: Comparison
    listeners: Mapping[str, Mapping[str, Any]]
    runs: Mapping[str, str]
    compare_url: str
    seconds: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """One object; the same seed gives the same but for `seconds` and `runs`."""
        return {
            "config": self.config.model_dump(mode="json"),
            "data": self._data(),
            "split": dict(self.facts["split"]),
            "best": {"params": self.best.params, "trial": self.best.slot, **self._validation()},
            "trials": [
                {"trial": t.slot, "params": t.params, "value": t.value} for t in self.trials
            ],
            "failed": {str(slot): error for slot, error in self.failed.items()},
            "models": {kind: {"test": _estimates(of)} for kind, of in self.models.items()},
            "seconds": {part: round(value, 3) for part, value in self.seconds.items()},
            "runs": {**self.runs, "name": self.study},
        }

    def _validation(self) -> dict[str, Any]:
        measured = {self.config.study.metric: self.best.value}
        return {"validation": measured, "at_bound": dict(self.at_bound)}

    def _data(self) -> dict[str, Any]:
        ingested, filtered = self.facts["ingest"], self.facts["filter"]
        last: Point = filtered["steps"][-1]
        return {
            "rows": last["rows"],
            "users": last["users"],
            "items": last["items"],
            "cells": last["cells"],
            "rejected": ingested["rejected"],
            "fingerprint": filtered["fingerprint"],
            "read": dict(ingested),
            "steps": filtered["steps"],
        }


def _estimates(of: Mapping[str, Estimate]) -> dict[str, Any]:
    return {metric: asdict(estimate) for metric, estimate in of.items()}
