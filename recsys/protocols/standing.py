"""Our rows beside the published ones, and what was counted beside what is published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.evaluation.bootstrap import Estimate, column_intervals
from recsys.evaluation.metrics import parsed
from recsys.evaluation.protocol import scored
from recsys.models.recommender import Recommendations
from recsys.protocols.protocol import Protocol
from recsys.splitting.split import Fold

OURS = "recsys"


@dataclass(frozen=True, slots=True)
class FoundCount:
    """A number of rows, users, items or pairs.

    Attributes:
        name: Of what.
        ours: What was counted.
        published: What is published; None where nothing is.
        exact: Whether the two must be the same.
    """

    name: str
    ours: int
    published: int | None
    exact: bool

    @property
    def differs(self) -> bool:
        """Whether this cannot be the published data."""
        return self.exact and self.published is not None and self.ours != self.published

    @property
    def note(self) -> str:
        """How the two numbers stand to each other."""
        if self.published is None:
            return ""
        if self.ours == self.published:
            return "as published"
        return "differs" if self.exact else "another draw or data"


def warnings_of(counts: Sequence[FoundCount]) -> list[str]:
    """A line where the data is not the published data; none where all counts are."""
    names = [count.name for count in counts if count.differs]
    if not names:
        return []
    return [
        f"{', '.join(names)} differ from what is published: this is not the data of the "
        "published rows, which do not compare"
    ]


def found_counts(protocol: Protocol, counts: Mapping[str, int]) -> tuple[FoundCount, ...]:
    """What was counted, in its order, beside what the protocol knows."""
    return tuple(
        FoundCount(name, ours, known.published if known else None, known is None or known.exact)
        for name, ours in counts.items()
        for known in [protocol.counts.get(name)]
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A model in the table of a protocol.

    Attributes:
        model: Its name.
        values: Of the metrics of the protocol, in their order; ours with intervals.
        source: Who measured it.
    """

    model: str
    values: tuple[Estimate, ...]
    source: str

    @property
    def is_ours(self) -> bool:
        """Whether it was measured here."""
        return self.source == OURS

    def as_json(self, metrics: Sequence[str]) -> dict[str, Any]:
        """One object."""
        pairs = zip(metrics, self.values, strict=True)
        found = {name: {"mean": e.mean, "low": e.low, "high": e.high} for name, e in pairs}
        return {"model": self.model, "source": self.source, "ours": self.is_ours, **found}


def our_row(
    protocol: Protocol, model: str, lists: Recommendations, fold: Fold, seed: int, n_resamples: int
) -> Row:
    """The metrics of the protocol of the lists of a model, with 95 % intervals over users.

    Args:
        protocol: Its metrics count.
        model: Name of the model.
        lists: Of the judged users of `fold`, at least as long as the largest cut-off.
        fold: The test side.
        seed: Of the bootstrap.
        n_resamples: Of the intervals.
    """
    names = tuple(dict.fromkeys(parsed(metric)[0] for metric in protocol.metrics))
    report = scored(lists, fold, protocol.ks, names)
    values = report.per_user[list(protocol.metrics)].to_numpy(np.float64)
    return Row(model, tuple(column_intervals(values, seed, n_resamples)), OURS)


def ranked(protocol: Protocol, ours: Sequence[Row]) -> tuple[Row, ...]:
    """Our rows and the published ones, the best on the objective first."""
    theirs = (
        Row(row.model, tuple(Estimate(v, None, None) for v in row.values), row.source)
        for row in protocol.published
    )
    at = protocol.metrics.index(protocol.objective)
    return tuple(sorted([*ours, *theirs], key=lambda row: -row.values[at].mean))
