"""What an experiment found, as the terminal shows it and as `--json` prints it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from recsys.config import ExperimentConfig
from recsys.evaluation.bootstrap import Estimate, PairedComparison
from recsys.evaluation.exchange import Exchange
from recsys.search.space import Point
from recsys.sources.layout import Nouns, nouns_of
from tasks.tuning import FinishedTrial

if TYPE_CHECKING:
    from tasks.study.choosing import SearchWinner  # Prefect, which is slow to load
    from tasks.study.cross_check import Checked


@dataclass(frozen=True, slots=True)
class Saved:
    """What pruning, patience and sharing have saved.

    Attributes:
        ran: Iterations that were trained.
        asked: Iterations that all trials would have had to their ends.
        pruned: Trials stopped as hopeless.
        stopped: Trials that ended early on a plateau.
        reused: Trials that were not trained, because the same was measured before.
    """

    ran: int
    asked: int
    pruned: int
    stopped: int
    reused: int

    @classmethod
    def of(cls, finished: Sequence[FinishedTrial]) -> "Saved":
        """Added up over all trials."""
        plateaus = [
            done
            for done in finished
            if done.values and done.facts.source is None and _reached(done) < done.facts.asked
        ]
        return cls(
            ran=sum(done.facts.ran for done in finished),
            asked=sum(done.facts.asked for done in finished),
            pruned=sum(not done.values for done in finished),
            stopped=len(plateaus),
            reused=sum(done.facts.source is not None for done in finished),
        )


def _reached(done: FinishedTrial) -> int:
    return done.curve[-1][0] if done.curve else done.facts.iterations


@dataclass(frozen=True, slots=True)
class Result:
    """An experiment from its data to its comparison.

    Attributes:
        study: Name of the study.
        config: The configuration.
        facts: The facts of each data stage: "ingest", "filter", "split".
        reused: Which data stages came from the cache.
        rejects: Where rejected rows are, None without any.
        test_rejects: Likewise, of a test file.
        validation_rejects: Likewise, of a validation file.
        profile_rejects: Likewise, of the profiles.
        trials: Measured trials by slot.
        pruned: Trials stopped as hopeless, by slot.
        failed: Error of each slot that failed.
        space_size: How many points the space has; None for too many to count.
        stopped: The number of trials after which `study.stop_after` ended the search; else None.
        best: The winner.
        chosen: The winner among its rivals, with intervals.
        checked: Cheap models beside the winner on validation, the best first; none where they were
            not tried.
        front: Trials on the Pareto front; none where there is one objective.
        saved: What was not trained.
        at_bound: Best parameters on the edge of their range, with the edge in words; not those
            that are at a limit of the model.
        wider: For each of them, the wider range, as `--set` takes it.
        models: Model to metric to estimate, on test.
        comparison: The baseline and the winner, paired.
        shown: Model to what it shows the sample user.
        exchange: A published test side beside a random cut; None for a cut of ours.
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
    validation_rejects: str | None
    profile_rejects: str | None
    trials: tuple[FinishedTrial, ...]
    pruned: tuple[FinishedTrial, ...]
    failed: Mapping[int, str]
    space_size: int | None
    stopped: int | None
    best: FinishedTrial
    chosen: "SearchWinner"
    checked: "tuple[Checked, ...]"
    front: tuple[FinishedTrial, ...]
    saved: Saved
    at_bound: Mapping[str, str]
    wider: Mapping[str, str]
    models: Mapping[str, Mapping[str, Estimate]]
    comparison: PairedComparison
    shown: Mapping[str, Mapping[str, Any]]
    exchange: Exchange | None
    runs: Mapping[str, str]
    compare_url: str
    seconds: Mapping[str, float]

    @property
    def nouns(self) -> Nouns:
        """What its source calls users and items."""
        return nouns_of(self.facts["ingest"]["format"])

    def as_json(self) -> dict[str, Any]:
        """One object; the same seed gives the same but for `seconds` and `runs`."""
        return {
            "config": self.config.model_dump(mode="json"),
            "data": self._data(),
            "split": self._split(),
            "best": {"params": self.best.params, "trial": self.best.slot, **self._validation()},
            "cross_check": [asdict(each) for each in self.checked],
            "trials": [self._trial(trial) for trial in self.trials],
            "pruned": [
                {"trial": t.slot, "params": t.params, "curve": [list(p) for p in t.curve]}
                for t in self.pruned
            ],
            "failed": {str(slot): error for slot, error in self.failed.items()},
            "models": {kind: {"test": _estimates(of)} for kind, of in self.models.items()},
            "seconds": {part: round(value, 3) for part, value in self.seconds.items()},
            "runs": {**self.runs, "name": self.study, **self._how()},
        }

    def _trial(self, trial: FinishedTrial) -> dict[str, Any]:
        ranked = {each.done.slot: each for each in self.chosen.ranked}.get(trial.slot)
        found: dict[str, Any] = {
            "trial": trial.slot,
            "params": trial.params,
            "value": trial.value,
            "interval": None if ranked is None else asdict(ranked.estimate),
            "tied": None if ranked is None else ranked.tied,
        }
        if self.config.study.also:
            found["objectives"] = dict(zip(self.config.objectives, trial.values, strict=True))
            found["front"] = any(each.slot == trial.slot for each in self.front)
        return found

    def _how(self) -> dict[str, Any]:
        """What depends on how the study went and on what was measured before it."""
        finished = [*self.trials, *self.pruned]
        sources = {str(t.slot): t.facts.source for t in finished if t.facts.source is not None}
        attempts = {str(t.slot): t.attempts for t in finished if t.attempts > 1}
        return {"attempts": attempts, "sources": sources, "saved": asdict(self.saved)}

    def _validation(self) -> dict[str, Any]:
        measured = {self.config.study.metric: self.best.value}
        found: dict[str, Any] = {"validation": measured, "at_bound": dict(self.at_bound)}
        if self.chosen.best_before is not None:
            sampled = self.config.judge.validation_users is not None
            found["best_on_sample" if sampled else "best_on_first_cut"] = self.chosen.best_before
        if self.chosen.finalists:
            means = {str(each.done.slot): asdict(each.estimate) for each in self.chosen.finalists}
            found["finalists"] = {"cuts": self.chosen.cuts, "means": means}
        return found

    def _split(self) -> dict[str, Any]:
        found = dict(self.facts["split"])
        if self.exchange is not None:
            found["random_cut"] = self.exchange.as_json()
        return found

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
