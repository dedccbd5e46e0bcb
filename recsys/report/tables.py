"""What the report of a study shows, as plain values; a part that is not known is None or empty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from recsys.data.filtering import Step
from recsys.evaluation.bootstrap import Estimate, MetricRow
from recsys.evaluation.groups import GroupRow, ItemGroupRow
from recsys.search.space import Point

Curve = Sequence[tuple[int, float]]  # (iteration, value)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How some numbers are distributed.

    Attributes:
        title: Of what.
        what: Label of the numbers, in the plural.
        of: What there is one number of, in the plural.
        edges: Of the bins, one more than there are counts.
        counts: By bin.
        median: Of all numbers.
        mean: Of all numbers.
        high: The largest.
    """

    title: str
    what: str
    of: str
    edges: Sequence[float]
    counts: Sequence[int]
    median: float
    mean: float
    high: float


@dataclass(frozen=True, slots=True)
class DataTables:
    """The data of a study.

    Attributes:
        source: The file.
        rows: Rows read.
        rejected: Those that could not be used, by reason.
        steps: What each filter left.
        histograms: Of what is trained and judged on.
        profiles: Field to group to the number of users.
    """

    source: str
    rows: int
    rejected: Mapping[str, int]
    steps: Sequence[Step]
    histograms: Sequence[Histogram] = ()
    profiles: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SplitSide:
    """A fold of a split.

    Attributes:
        name: "validation" or "test".
        trained: Pairs that models are fitted on.
        held_out: Pairs that they have to find.
        judged: Users with something held out.
        unreachable: Held-out pairs that no model can find.
    """

    name: str
    trained: int
    held_out: int
    judged: int
    unreachable: int


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial.

    Attributes:
        number: From 0.
        params: Its point.
        value: Of the objective on validation; None where it was pruned or failed.
        last: The last value along its training, where it was pruned.
        state: "measured", "reused", "pruned" or "failed".
        estimate: The objective with its interval; None where it was not compared.
        tied: Whether it cannot be told from the best.
        winner: Whether it was judged on test.
        beyond: Other metrics on validation, such as coverage@10.
    """

    number: int
    params: Point
    value: float | None
    last: float | None
    state: str
    estimate: Estimate | None = None
    tied: bool = False
    winner: bool = False
    beyond: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchTables:
    """A search.

    Attributes:
        trials: By number.
        logarithmic: Names of parameters on a log axis.
        importances: Parameter to its share and the standard deviation of that.
        validation: The objective on validation along the training of the winner.
        loss: The training loss along it.
        failed: Number of each trial that failed to its error.
        finalists: Number of each finalist to its mean over all validation cuts, the best first.
        cuts: Validation cuts that finalists were judged on.
    """

    trials: Sequence[TrialRow]
    logarithmic: Sequence[str] = ()
    importances: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    validation: Curve = ()
    loss: Curve = ()
    failed: Mapping[int, str] = field(default_factory=dict)
    finalists: Mapping[int, Estimate] = field(default_factory=dict)
    cuts: int = 1

    @property
    def measured(self) -> list[TrialRow]:
        """The trials that have a value."""
        return [trial for trial in self.trials if trial.value is not None]


@dataclass(frozen=True, slots=True)
class RankedItem:
    """An item of a list: its name and its score."""

    name: str
    score: float


class Ranks(NamedTuple):
    """A list of a user, as lists of the same length; there are thousands of them.

    Attributes:
        items: Places in `People.names`, best first.
        scores: What they are ranked by: plays in a history, else scores of the model.
        hits: Which of `items`, from 0, were held out.
    """

    items: list[int]
    scores: list[float]
    hits: list[int]


class ListedUser(NamedTuple):
    """A judged user.

    Attributes:
        user: External id.
        n_history: Items of the whole history.
        n_held_out: Items that had to be found.
        history: The items played most.
        lists: What each of `People.models` recommends.
    """

    user: str
    n_history: int
    n_held_out: int
    history: Ranks
    lists: tuple[Ranks, ...]


@dataclass(frozen=True, slots=True)
class People:
    """Judged users.

    Attributes:
        judged: How many there are.
        shown: How many of the first of `users` have a card of their own.
        models: Names.
        names: Of the items that the lists hold.
        users: Those that the page holds.
    """

    judged: int
    shown: int
    models: tuple[str, ...]
    names: Sequence[str]
    users: Sequence[ListedUser]


@dataclass(frozen=True, slots=True)
class MappedItem:
    """An item on the map: its name, its place, and its users in training."""

    name: str
    x: float
    y: float
    users: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a model makes of the items.

    Attributes:
        exposure: Model to the share of all shown items that each decile of popularity gets, the
            best known items first; "plays" is what the users play themselves.
        similar: Each of the best known items, and the items most similar to it.
        mapped: The map of the item factors.
        explained: The share of the variance that the map shows.
        n_items: All items.
        has_factors: Whether the map is of the factors of the model; otherwise of vectors by who
            plays an item.
    """

    n_items: int
    exposure: Mapping[str, Sequence[float]] = field(default_factory=dict)
    similar: Mapping[str, Sequence[RankedItem]] = field(default_factory=dict)
    mapped: Sequence[MappedItem] = ()
    explained: float = 0.0
    has_factors: bool = True


@dataclass(frozen=True, slots=True)
class Again:
    """How to run it again, and what it cost.

    Attributes:
        commands: What each does, to be typed; the first begins anew.
        facts: Fingerprints, versions, seed, by name.
        settings: The file that the first command reads; "" for none.
        seconds: By part; empty where it is not known.
        memory: Bytes at the peak; None where it is not known.
    """

    commands: Mapping[str, str]
    facts: Mapping[str, str]
    settings: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class StudyTables:
    """All that the report of a study shows.

    Attributes:
        name: Of the study.
        metric: The objective.
        model: The winner's.
        baseline: What it is compared with.
        rows: Metric by metric, the baseline (a) and the winner (b).
        models: Model to metric to its estimate on test, the baseline and the winner first.
        n_users: Judged on test.
        users: What users are called, in the plural.
        items: What items are called, in the plural.
        data: Its data.
        method: How it was split, in words.
        sides: The folds.
        search: Its trials.
        groups: Grouping of users to model to its groups.
        item_groups: Model to its recall by popularity of the item.
        catalogue: Its items.
        people: Its users.
        again: How to run it again.
    """

    name: str
    metric: str
    model: str
    baseline: str
    rows: Sequence[MetricRow]
    models: Mapping[str, Mapping[str, Estimate]]
    n_users: int
    users: str
    items: str
    again: Again
    data: DataTables | None = None
    method: str = ""
    sides: Sequence[SplitSide] = ()
    search: SearchTables | None = None
    groups: Mapping[str, Mapping[str, Sequence[GroupRow]]] = field(default_factory=dict)
    item_groups: Mapping[str, Sequence[ItemGroupRow]] = field(default_factory=dict)
    catalogue: Catalogue | None = None
    people: People | None = None

    @property
    def k(self) -> str:
        """The cut-off of the objective."""
        return self.metric.partition("@")[2]

    def row(self, metric: str) -> MetricRow | None:
        """The baseline and the winner in a metric; None where it was not measured."""
        return next((row for row in self.rows if row.metric == metric), None)
