"""A result of an experiment that no flow has made: what a user of the sample sees."""

from dataclasses import replace
from typing import Any

from flows.result import Result, Saved
from recsys.config import ExperimentConfig
from recsys.evaluation.bootstrap import Estimate, MetricRow, PairedComparison
from recsys.search.space import Point
from tasks.study.choosing import Ranked, SearchWinner
from tasks.tuning import FinishedTrial
from tasks.tuning.values import TrialFacts

STUDY, FINAL = "default-20261129-003815-ab12", "0123456789abcdef0123456789abcdef"
USER = "306b13f7b4f56e80af78cd37d76e20f1f3816290"
SAME: Point = {"weighting": "share", "power": 0.9}
POINTS: list[Point] = [
    {"factors": 512, "regularization": 40.0, "alpha": 10.0, "nu": 0.4484, **SAME, "iterations": 3},
    {"factors": 128, "regularization": 50.0, "alpha": 10.0, "nu": 0.0, **SAME, "iterations": 5},
    {"factors": 32, "regularization": 50.0, "alpha": 1.0, "nu": 0.9759, **SAME, "iterations": 14},
    {"factors": 232, "regularization": 0.3145, "alpha": 0.002, "nu": 0.61, **SAME, "iterations": 3},
    {"factors": 10, "regularization": 1.231, "alpha": 1.028, "nu": 0.616, **SAME, "iterations": 7},
]


def ranked() -> tuple[Ranked, ...]:
    """Five trials; the first two may be equally good."""
    values = (0.1717, 0.1701, 0.1367, 0.0265, 0.0111)
    return tuple(
        Ranked(
            FinishedTrial(slot, point, (value,), f"run{slot}", facts=TrialFacts(3, 4, 15)),
            Estimate(value, value - 0.0045, value + 0.0044),
            slot < 2,
            1.0,
        )
        for slot, (point, value) in enumerate(zip(POINTS, values, strict=True))
    )


def row(metric: str, a: float, b: float, interval: bool = True) -> MetricRow:
    def estimate(mean: float) -> Estimate:
        half = 0.02 * abs(b)
        return Estimate(mean, mean - half, mean + half) if interval else Estimate(mean)

    return MetricRow(metric, estimate(a), estimate(b), estimate(b - a), b / a - 1)


ROWS = (
    row("precision@10", 0.0808, 0.1859),
    row("recall@10", 0.0846, 0.1919),
    row("ndcg@5", 0.0922, 0.2602),
    row("ndcg@10", 0.0954, 0.2423),
    row("coverage@10", 0.0090, 0.1480, interval=False),
    row("gini@10", 0.9907, 0.9008, interval=False),
    row("novelty@10", 2.0244, 3.0208),
    row("popularity@10", 245.4, 146.9),
)


def facts() -> dict[str, Any]:
    train = {"nonzeros": 30_917, "idle_users": 0, "idle_items": 2}
    fold = {"judged_users": 4_938, "held_out": 45_000, "unreachable": 7, "train": train}
    steps = [
        {"name": "as read", "users": 5_000, "items": 3_000, "rows": 250_370, "cells": 250_323},
        {"name": "users >= 5", "users": 4_961, "items": 2_999, "rows": 250_349, "cells": 250_302},
    ]
    matrix = {
        **{"users": 4_961, "items": 2_999, "nonzeros": 250_302},
        **{"density": 0.0168, "sparsity": 0.9832, "memory": 2_000_000},
    }
    reading = {"rows": 250_370, "rejected": 0, "reasons": {}, "format": "lastfm-360k"}
    return {
        "ingest": {**reading, "profiles": None},
        "filter": {"steps": steps, "matrix": matrix},
        "split": {
            **{"method": "20% of the items of each user", "test_file": None, "sides": None},
            **{"validation": fold, "test": fold},
        },
    }


def result(**changed: Any) -> Result:
    """The result, with some of its fields replaced."""
    config = ExperimentConfig.model_validate({"search": {"factors": [8, 512]}})
    first = ranked()
    shown = {
        "user": USER,
        "history": [("雨の灯台", 659.0), ('Humble 7" Beacon', 292.0)],
        "recommended": [("Rosalind Quill", True), ("Winter Avalanche", False)],
        "held_out": [("Rosalind Quill", 3.0)],
    }
    made = Result(
        study=STUDY,
        config=config,
        facts=facts(),
        reused={},
        rejects=None,
        validation_rejects=None,
        test_rejects=None,
        profile_rejects=None,
        trials=tuple(each.done for each in first),
        pruned=(),
        failed={},
        space_size=None,
        stopped=None,
        best=first[0].done,
        chosen=SearchWinner(first[0].done, first, None, 0.0),
        checked=(),
        front=(),
        saved=Saved(58, 180, 7, 5, 0),
        at_bound={},
        wider={},
        models={},
        comparison=PairedComparison(ROWS, 4_938, 2_000, 0),
        shown={config.judge.baseline: shown, "als": shown},
        exchange=None,
        runs={"study": "parent", "final": FINAL},
        compare_url="http://127.0.0.1:5000/#/compare-runs",
        seconds={"total": 1.0},
    )
    return replace(made, **changed)
