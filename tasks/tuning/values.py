"""A trial, before and after it is measured."""

from dataclasses import dataclass, field

from recsys.search.space import Point


class TakenOver(Exception):
    """Another worker took this one for dead and repeats the trial: this attempt does not count."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A point to measure.

    Attributes:
        slot: Its place in the study, from 0.
        number: Optuna's own number of this attempt.
        key: Optuna's key of it in its storage.
        params: The parameters that are searched.
        attempt: 1, or more where earlier ones were cut off.
        worker: That claimed it.
    """

    slot: int
    number: int
    key: int
    params: Point
    attempt: int
    worker: str


@dataclass(frozen=True, slots=True)
class TrialFacts:
    """Facts of a finished trial besides its values.

    Attributes:
        iterations: Of the model that was judged.
        ran: Iterations that were trained for it, also those beyond the best; not those of a
            checkpoint that it began from.
        asked: Iterations it would have had without pruning and patience.
        source: MLflow id of the run it was copied from; None where it was trained.
    """

    iterations: int
    ran: int
    asked: int
    source: str | None = None


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """A trial that is finished, to its end or pruned.

    Attributes:
        slot: Its place in the study.
        params: Its point, with the iterations that its training found.
        values: Of the objectives; empty where it was pruned.
        run: Id of its MLflow run.
        attempts: How many it took.
        facts: More about it.
        curve: (iteration, value of the first objective) along its training.
    """

    slot: int
    params: Point
    values: tuple[float, ...]
    run: str
    attempts: int = 1
    facts: TrialFacts = field(default_factory=lambda: TrialFacts(0, 0, 0))
    curve: tuple[tuple[int, float], ...] = ()

    @property
    def value(self) -> float:
        """Of the objective that picks the winner.

        Raises:
            ValueError: the trial was pruned and has none.
        """
        if not self.values:
            raise ValueError(f"trial {self.slot} was pruned and has no value")
        return self.values[0]
