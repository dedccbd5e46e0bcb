"""What a user may ask for. A typo in a config file is an error, not a default."""

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from recsys.errors import InputError
from recsys.evaluation.metrics import METRICS
from recsys.models.params import SEARCHED, named, whole
from recsys.search.pruning import Pruner
from recsys.search.space import Ints, Space, SpaceTable, Value, space_of
from recsys.sources.layout import ArtistKey, Format

Share = Annotated[float, Field(gt=0, lt=1)]
BEYOND = ("coverage", "gini", "novelty", "popularity")


def _listed(value: Any) -> Any:
    """A single value where a list is meant: --set filter.countries=Germany."""
    return value if isinstance(value, list | tuple) else [value]


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Cutoffs = Annotated[tuple[PositiveInt, ...], BeforeValidator(_listed), Field(min_length=1)]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(_Config):
    """How the plays are read."""

    format: Format = "auto"
    columns: dict[str, str | int] | None = None
    artist_key: ArtistKey = "mbid-else-name"
    strict: bool = False


class FilterConfig(_Config):
    """Which listeners and artists stay."""

    min_artists: NonNegativeInt = 5
    min_listeners: NonNegativeInt = 5
    mode: Literal["once", "core"] = "once"
    """once: users first, then artists; core: both until nothing changes."""
    count: Literal["cells", "rows"] = "cells"
    """What a minimum counts: distinct pairs, or rows of the file (as the reference study)."""
    top_users: PositiveInt | None = None
    genders: Texts = ()
    countries: Texts = ()
    age_min: float | None = None
    age_max: float | None = None
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _ages_in_order(self) -> Self:
        low, high = self.age_min, self.age_max
        if low is not None and high is not None and low > high:
            raise ValueError(f"age_min {low:g} is above age_max {high:g}")
        return self

    @property
    def has_cohort(self) -> bool:
        """Whether profiles decide who stays."""
        ages = (self.age_min, self.age_max)
        return bool(self.genders or self.countries) or any(age is not None for age in ages)

    @property
    def cohort_text(self) -> str:
        """The cohort in words."""
        low = "" if self.age_min is None else f"{self.age_min:g}"
        high = "" if self.age_max is None else f"{self.age_max:g}"
        ages = f"age {low}..{high}" if low or high else ""
        return "cohort: " + ", ".join(filter(None, [*self.genders, *self.countries, ages]))


class RandomSplit(_Config):
    """Per user at random."""

    kind: Literal["random"] = "random"
    fraction: Share = 0.2
    min_items: PositiveInt = 5
    """Users with fewer items keep all of them in training."""


class LastSplit(_Config):
    """Per user the last n artists by first listen."""

    kind: Literal["last"]
    n: PositiveInt = 5


class TimeSplit(_Config):
    """One moment for all users; a share of the events where no moment is given."""

    kind: Literal["time"]
    validation_at: AwareDatetime | int | None = None
    test_at: AwareDatetime | int | None = None
    """A moment with its offset, or seconds since 1970-01-01 UTC."""
    validation: Share = 0.1
    test: Share = 0.1
    """The last share of events, used where no moment is given."""


class UserSplit(_Config):
    """Whole users, judged by fold-in from a part of their items."""

    kind: Literal["users"]
    validation: Share = 0.1
    test: Share = 0.1
    history: Share = 0.8


class GivenSplit(_Config):
    """A test file as published; validation is cut from the rest, per user at random."""

    kind: Literal["given"]
    test: Path
    fraction: Share = 0.2
    min_items: PositiveInt = 5


SplitConfig = Annotated[
    RandomSplit | LastSplit | TimeSplit | UserSplit | GivenSplit, Field(discriminator="kind")
]


FOUND = "iterations"
"""Searched along the training where it is given as a range, not drawn for each trial."""


class StudyConfig(_Config):
    """How the space is searched."""

    sampler: Literal["random", "tpe", "grid"] = "tpe"
    trials: PositiveInt = 40
    metric: str = "ndcg@10"
    """What is maximised on validation; it picks the winner."""
    also: Texts = ()
    """Further objectives: the study then looks for the Pareto front, and nothing is pruned."""
    pruner: Pruner = "none"
    """What stops a trial whose curve is behind those of the trials before it."""
    patience: PositiveInt | None = None
    """Points of the curve without a new best after which the training ends."""
    prefer: Literal["best", "cheapest"] = "best"
    """Which of the trials that cannot be told from the best wins."""
    finalists: PositiveInt = 5
    """How many trials are judged again on all users where trials see a sample of them."""
    fresh: bool = False
    """Train also what was measured before on the same data, split and code."""
    timeout: PositiveFloat | None = None
    """Seconds after which no further trial starts."""
    default_first: bool = False
    """Try the model's default point first, so that a search never ends below it."""
    first: tuple[dict[str, Value], ...] = ()
    """Points to try next, before the sampler takes over: ones that were good elsewhere."""
    keep_factors: Literal["all", "best", "none"] = "all"


class JudgeConfig(_Config):
    """What is measured."""

    ks: Cutoffs = (1, 5, 10, 15, 20)
    validation_users: PositiveInt | None = None
    """A seeded sample of users that trials are judged on; all by default."""
    curve_users: PositiveInt = 500
    """Validation users, at most, that the curves along the training are measured on."""
    curve_every: PositiveInt = 1
    """Iterations from one point of a curve to the next."""
    curve_metrics: Texts = ("ndcg@10", "precision@10")
    resamples: PositiveInt = 2000
    baseline: Literal["popularity-plays", "popularity-listeners"] = "popularity-listeners"


class ExperimentConfig(_Config):
    """One experiment, from raw plays to a report."""

    name: str = "default"
    seed: NonNegativeInt = 0
    model: Literal[
        "popularity-plays",
        "popularity-listeners",
        "als",
        "item-knn",
        "user-knn",
        "fm",
        "ease",
        "slim",
        "rp3beta",
        "bpr",
        "ncf",
        "mult-vae",
    ] = "als"
    """Whose parameters are searched."""
    data: DataConfig = DataConfig()
    filter: FilterConfig = FilterConfig()
    split: SplitConfig = RandomSplit()
    search: SpaceTable = {}
    study: StudyConfig = StudyConfig()
    judge: JudgeConfig = JudgeConfig()

    @property
    def whole_space(self) -> Space:
        """The space of the parameters of the model as it was given."""
        return space_of(self.search, whole(self.model))

    @property
    def space(self) -> Space:
        """What is drawn for each trial: all but iterations that are found along the training."""
        found = {FOUND} if self.found is not None else set()
        return {name: spec for name, spec in self.whole_space.items() if name not in found}

    @property
    def found(self) -> Ints | None:
        """The range in which the number of iterations of ALS is found.

        None where the space pins it, and for other models, which are not judged along the way.
        """
        spec = self.whole_space.get(FOUND) if self.model == "als" else None
        return spec if isinstance(spec, Ints) and not spec.when else None

    @property
    def objectives(self) -> tuple[str, ...]:
        """What the search looks at, the metric that picks the winner first."""
        return (self.study.metric, *self.study.also)

    @property
    def pruner(self) -> Pruner:
        """The pruner in force: none where there are several objectives."""
        return "none" if self.study.also else self.study.pruner

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = SEARCHED[self.model].model_fields.keys() - {"kind"}
        if unknown := sorted(self.search.keys() - names):
            raise ValueError(
                f"search.{unknown[0]} is no parameter of {self.model}; it has {sorted(names)}"
            )
        for name, spec in self.whole_space.items():
            for value in spec.ends:
                named(self.model, {name: value, **spec.when})
        for point in self.study.first:
            named(self.model, point)
        for metric in (self.study.metric, *self.judge.curve_metrics):
            _check_metric(metric, METRICS, self.judge.ks)
        for metric in self.study.also:
            _check_metric(metric, [*METRICS, *BEYOND], self.judge.ks)
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError(f"objectives {list(self.objectives)}: name each once")
        return self


def _check_metric(metric: str, offered: Collection[str], ks: tuple[int, ...]) -> None:
    name, _, k = metric.partition("@")
    if name not in offered or k not in {str(each) for each in ks}:
        raise ValueError(f"metric {metric!r}: use one of {sorted(offered)} @ one of {list(ks)}")


Overrides = dict[str, Any]


def load_config(path: Path, overrides: Overrides | None = None) -> ExperimentConfig:
    """Read and check a TOML file, with single settings replaced.

    Args:
        path: The file.
        overrides: Dotted name to value, for example {"search.factors": [16, 32]}.

    Raises:
        InputError: the file or a setting cannot be used; the message names the setting.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"config {path}: {error.strerror}; pass an existing TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"config {path}: {error}; correct the TOML") from error
    given = dict(overrides or {})
    _cut_otherwise(table, given)
    for name, value in given.items():
        _put(table, name.split("."), value)
    return checked(table, str(path))


def changed(config: ExperimentConfig, overrides: Overrides) -> ExperimentConfig:
    """The same with single settings replaced, by dotted name as in `load_config`.

    Raises:
        InputError: a setting cannot be used.
    """
    table = config.model_dump(mode="json", exclude_none=True)
    for name, value in overrides.items():
        _put(table, name.split("."), value)
    return checked(table, f"of {config.model}")


def _cut_otherwise(table: dict[str, Any], given: Overrides) -> None:
    """Another kind of split begins with its own defaults: each kind has settings of its own."""
    kind = given.get("split.kind")
    split = given.get("split", table.get("split"))
    known = split.get("kind", RandomSplit().kind) if isinstance(split, dict) else None
    if kind is not None and kind != known:
        given.pop("split", None)
        table["split"] = {"kind": kind}


def checked(table: dict[str, Any], source: str) -> ExperimentConfig:
    """The configuration in `table`.

    Raises:
        InputError: naming every setting that is wrong.
    """
    try:
        return ExperimentConfig.model_validate(table)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'config'}: {fault['msg']} "
            f"(got {str(fault['input'])[:60]!r})"
            for fault in error.errors()
        )
        raise InputError(f"config {source}: {faults}; correct the setting") from error


def parse_value(text: str) -> Any:  # a TOML value has any type
    """What `text` says: a TOML value, a list of them by commas, or the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if "," in text and not text.startswith(("{", "[")):
            return [parse_value(part.strip()) for part in text.split(",") if part.strip()]
        return text


def _put(table: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InputError(
                f"--set {'.'.join(path)}: {part} is a value, not a table; drop the dot"
            )
        table = inner
    table[path[-1]] = value
