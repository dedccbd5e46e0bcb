"""What a search over models is to do, and what it found."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.config import ExperimentConfig

if TYPE_CHECKING:
    from recsys.evaluation.bootstrap import Estimate, PairedComparison
    from recsys.evaluation.exchange import Exchange
    from recsys.models.config import ModelConfig
    from recsys.report.comparison import TriedRow
    from recsys.sources.layout import Nouns


@dataclass(frozen=True, slots=True)
class AutoRequest:
    """What is searched.

    Attributes:
        plays: The log.
        profiles: Of the users.
        config: Data, filter, split, budget of all models together, and judging.
        name: Of the search; a study of each model has a name with it, and existing ones are
            resumed. A new name if empty.
        top_items: Items that EASE learns and shows; all by default.
        adopt: Whether studies and stages that other code made are used.
    """

    plays: Path
    profiles: Path | None
    config: ExperimentConfig
    name: str = ""
    top_items: int | None = None
    adopt: bool = False

    def study(self, model: str) -> str:
        """The name of the study of a model."""
        return f"{self.name}-{model}"


@dataclass(frozen=True, slots=True)
class AutoResult:
    """A search over models as it is shown.

    Attributes:
        request: What was searched.
        facts: The facts of each data stage: "ingest", "filter", "split".
        rejects: Where rejected rows are, None without any.
        profile_rejects: Likewise, of the profiles.
        tried: Every model and ensemble on validation, the best first.
        winner: The model that was judged on test, an ensemble by the names of its members.
        config: Its parameters.
        ahead: By how much each ensemble is ahead of the best model on validation.
        comparison: Of the baseline (a) and the winner (b) on test.
        exchange: A published test side beside a random cut; None for a cut of ours.
        failed: Model to why it was not tried.
        nouns: What the source calls users and items.
        sample_user: A user of the test side, to ask the winner for.
        runs: MLflow ids: "compare" and "final".
        seconds: By part.
    """

    request: AutoRequest
    facts: Mapping[str, Mapping[str, Any]]
    rejects: str | None
    profile_rejects: str | None
    tried: "tuple[TriedRow, ...]"
    winner: str
    config: "ModelConfig"
    ahead: "Mapping[str, Estimate]"
    comparison: "PairedComparison"
    exchange: "Exchange | None"
    failed: Mapping[str, str]
    nouns: "Nouns"
    sample_user: str
    runs: Mapping[str, str]
    seconds: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """One object; the same seed gives the same but for `seconds` and `runs`."""
        metric = self.request.config.study.metric
        rows = {row.metric: row for row in self.comparison.rows}
        tried = [asdict(row) for row in self.tried]
        settings = self.request.config.model_dump(mode="json", exclude={"search"})
        spent = {row["model"]: round(row.pop("seconds"), 3) for row in tried}
        return {
            "config": {**settings, "model": "auto"},
            "metric": metric,
            "tried": tried,
            "ensembles": {name: asdict(ahead) for name, ahead in self.ahead.items()},
            "best": {"model": self.winner, **self.config.model_dump(mode="json")},
            "models": {
                self.request.config.judge.baseline: {n: asdict(r.a) for n, r in rows.items()},
                self.winner: {name: asdict(row.b) for name, row in rows.items()},
            },
            "failed": dict(self.failed),
            "runs": {**self.runs, "name": self.request.name},
            "seconds": {**{part: round(s, 3) for part, s in self.seconds.items()}, "models": spent},
        }
