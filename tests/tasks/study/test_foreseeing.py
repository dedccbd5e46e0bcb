from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recsys.config import ExperimentConfig
from recsys.errors import InputError
from recsys.models import make_config
from tasks.progress import reporting_to
from tasks.study.foreseeing import foresee, largest

EASE = {"model": "ease", "search": {"top_items": [10, 20, 15]}}


class Kept:
    """Lines that stay."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Nothing."""

    def stage(self, level: str, stage: object) -> None:
        """Nothing."""

    def keep(self, line: str) -> None:
        self.lines.append(line)


def said(folds: Path, table: dict[str, Any]) -> list[str]:
    kept = Kept()
    study: Any = SimpleNamespace(config=ExperimentConfig.model_validate(table))
    with reporting_to(kept):
        foresee(study, folds / "validation")
    return kept.lines


def test_the_largest_model_of_the_space_counts() -> None:
    config = ExperimentConfig.model_validate(EASE)

    assert largest(config) == make_config("ease", {"top_items": 20})


def test_one_line_says_what_a_training_needs(folds: Path) -> None:
    (line,) = said(folds, EASE)

    assert line.startswith("ease: the links between 20 items need 0.0 GiB, ")
    assert line.endswith("a training takes about a second on this machine")


def test_nothing_is_said_of_a_model_without_a_dense_matrix(folds: Path) -> None:
    assert said(folds, {"model": "als", "search": {"factors": [8]}}) == []


def test_no_trial_begins_where_there_is_no_room(
    folds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.study.foreseeing.available_memory", lambda: 1 << 10)

    with pytest.raises(InputError, match=r"ease needs .* 20 items; 0\.0 GiB"):
        said(folds, EASE)
