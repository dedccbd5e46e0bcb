"""A model that was tuned on a split and judged on its test side, beside others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.evaluation.comparison import SplitResult
from recsys.models.config import ModelConfig
from tasks.study.comparison_report import judge_split
from tasks.study.measuring import Measured
from tasks.study.study import Study


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A tuned model on a split.

    Attributes:
        study: That tuned it, or that holds the runs of a model that was not searched.
        config: Its parameters.
        validation: Its objective on validation.
        trials: How many were measured.
        search_seconds: Of training and judging them.
        measured: On test.
        folder: Holds its report and lists.
        folds: Holds the folds of the split.
    """

    study: Study
    config: ModelConfig
    validation: float
    trials: int
    search_seconds: float
    measured: Measured
    folder: Path
    folds: Path

    @property
    def result(self) -> dict[str, Any]:
        """What a comparison keeps of it besides its lists."""
        return {
            "params": self.config.model_dump(mode="json", exclude={"kind"}, exclude_none=True),
            "validation": self.validation,
            "trials": self.trials,
            "search_seconds": self.search_seconds,
        }


def judged_split(seed: int, entries: Mapping[str, TunedModel], metric: str) -> SplitResult:
    """All that is measured on the lists of the models of a split.

    Args:
        seed: Of the split.
        entries: By model, at least one.
        metric: The objective; its cut-off counts.
    """
    folds = next(iter(entries.values())).folds
    k = int(metric.partition("@")[2])
    judged = {name: (each.measured, each.result, each.folder) for name, each in entries.items()}
    return judge_split(folds / "test", seed, judged, k)
