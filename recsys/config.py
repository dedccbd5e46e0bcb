"""What a user may ask for. A typo in a config file is an error, not a default."""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import (
    NonNegativeInt,
    ValidationError,
    field_validator,
    model_validator,
)

from recsys.data.config import FilterConfig
from recsys.errors import InputError
from recsys.evaluation.config import BEYOND, JudgeConfig
from recsys.evaluation.metrics import METRICS
from recsys.models import (
    COMPOSITES,
    MODELS,
    config_class,
    make_config,
    parameters,
    whole_parameters,
)
from recsys.renames import new_setting, under_new_names
from recsys.search.config import FOUND, ONE_OBJECTIVE, StudyConfig
from recsys.search.pruning import Pruner
from recsys.search.space import IntRange, Space, SpaceTable, space_of
from recsys.settings import (
    Config,
    Origin,
    Overrides,
    SettingError,
    allowed,
    faults,
    hint,
    setting,
    setting_lines,
)
from recsys.sources.config import DataConfig
from recsys.splitting.config import RandomSplit, SplitConfig


class ExperimentConfig(Config):
    """One experiment, from raw plays to a report."""

    name: str = setting("default", identity=False)
    """Of this configuration; the names of studies begin with it."""
    seed: NonNegativeInt = 0
    """Of all that is random: the same one gives the same results."""
    model: str = "als"
    """Whose parameters are searched."""
    # These three count by the fingerprint of the split that they lead to.
    data: DataConfig = setting(DataConfig(), identity=False)
    """How the plays are read."""
    filter: FilterConfig = setting(FilterConfig(), identity=False)
    """Which users and items stay."""
    split: SplitConfig = setting(RandomSplit(), identity=False)
    """How the plays are split into training, validation and test."""
    search: SpaceTable = setting({}, identity="points")
    """Parameter of the model to a value, a list of values, or a range with low and high."""
    study: StudyConfig = StudyConfig()
    """How the parameters are searched: the trials, the objective, when a trial ends early."""
    judge: JudgeConfig = JudgeConfig()
    """What is measured, and what the winner is compared with."""

    @property
    def whole_space(self) -> Space:
        """The space of the parameters of the model as it was given."""
        return space_of(self.search, whole_parameters(self.model))

    @property
    def space(self) -> Space:
        """What is drawn for each trial: all but iterations that are found along the training."""
        found = {FOUND} if self.found is not None else set()
        return {name: spec for name, spec in self.whole_space.items() if name not in found}

    @property
    def found(self) -> IntRange | None:
        """The range in which the number of iterations is found along the training.

        None where the space pins it, and for models that are not judged along the way.
        """
        spec = self.whole_space.get(FOUND) if config_class(self.model).iterative else None
        return spec if isinstance(spec, IntRange) and not spec.when else None

    @property
    def objectives(self) -> tuple[str, ...]:
        """What the search looks at, the metric that picks the winner first."""
        return (self.study.metric, *self.study.also)

    @property
    def pruner(self) -> Pruner:
        """The pruner in force: none where there are several objectives."""
        return "none" if self.study.also else self.study.pruner

    @field_validator("model")
    @classmethod
    def _is_searched(cls, model: str) -> str:
        if model in COMPOSITES:
            raise SettingError("model", model, "made of other models; search those")
        if model not in MODELS:
            reason = f"no such model{hint(model, MODELS)}; there are {', '.join(MODELS)}"
            raise SettingError("model", model, reason)
        return model

    @model_validator(mode="before")
    @classmethod
    def _new_names(cls, table: Any) -> Any:
        return under_new_names(table) if isinstance(table, dict) else table

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name, entry in self.search.items():
            self._check_parameter(name, entry)
        for name, spec in self.whole_space.items():
            for value in spec.ends:
                self._check_point(f"search.{name}", {name: value, **spec.when}, value)
        for point in self.study.first:
            self._check_point("study.first", point, point)
        self._check_metric("study.metric", self.study.metric, METRICS)
        for metric in self.judge.curve_metrics:
            self._check_metric("judge.curve_metrics", metric, METRICS)
        for metric in self.study.also:
            self._check_metric("study.also", metric, [*METRICS, *BEYOND])
        if len(set(self.objectives)) < len(self.objectives):
            raise SettingError("study.also", list(self.study.also), "name each objective once")
        if self.study.also and self.study.sampler in ONE_OBJECTIVE:
            reason = "it looks at one objective, and study.also names more; use tpe, random or qmc"
            raise SettingError("study.sampler", self.study.sampler, reason)
        if self.study.also and self.study.stop_after is not None:
            reason = "study.also names further objectives, which have no best; leave it out"
            raise SettingError("study.stop_after", self.study.stop_after, reason)
        if self.study.cuts not in (1, "auto") and not self.split.redrawable:
            reason = "only split.kind = random, or given without a validation file, has several"
            raise SettingError("study.cuts", self.study.cuts, reason)
        return self

    def _check_parameter(self, name: str, entry: object) -> None:
        names = sorted(parameters(self.model))
        if name not in names:
            reason = f"no parameter of {self.model}{hint(name, names)}; it has {', '.join(names)}"
            raise SettingError(f"search.{name}", entry, reason)

    def _check_point(self, setting: str, point: Mapping[str, object], value: object) -> None:
        try:
            make_config(self.model, point)
        except ValidationError as error:
            raise SettingError(setting, value, allowed(error)) from error

    def _check_metric(self, setting: str, metric: str, offered: Collection[str]) -> None:
        choices = [f"{each}@{k}" for each in sorted(offered) for k in self.judge.ks]
        if metric not in choices:
            names, ks = ", ".join(sorted(offered)), ", ".join(map(str, self.judge.ks))
            reason = f"use one of {names} @ one of {ks}{hint(metric, choices)}"
            raise SettingError(setting, metric, reason)


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a file.

    Raises:
        InputError: there is no such file, or it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"config {path}: {error.strerror}; pass an existing TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"config {path}: {error}; correct the TOML") from error


def load_config(
    path: Path, overrides: Overrides | None = None, options: Mapping[str, str] | None = None
) -> ExperimentConfig:
    """The configuration of a TOML file, with single settings replaced.

    Args:
        path: The file. Its `space`, a path from where it lies, names a TOML file with the
            `[search]` and `[study]` settings that are missing here.
        overrides: Dotted name to value, for example {"search.factors": [16, 32]}.
        options: Dotted name to what the user wrote, for error messages: {"seed": "--seed -1"}.

    Raises:
        InputError: the file or a setting cannot be used; the message names the option or the
            line, the value and what is allowed.
    """
    table = read_toml(path)
    _add_space(table, path.parent)
    table = under_new_names(table)
    given = {new_setting(name): value for name, value in (overrides or {}).items()}
    _cut_otherwise(table, given)
    for name, value in given.items():
        _put(table, name.split("."), value)
    origin = Origin(str(path), setting_lines(path.read_text(encoding="utf-8")), options or {})
    return checked(table, origin)


def _add_space(table: dict[str, Any], folder: Path) -> None:
    """Put the search of the file that `space` names below that of the table itself.

    Args:
        table: Changed in place.
        folder: Where the path of `space` begins.
    """
    if "space" in table:
        other = read_toml(folder / str(table.pop("space")))
        for name in ("search", "study"):
            table[name] = {**other.get(name, {}), **table.get(name, {})}


def changed(
    config: ExperimentConfig, overrides: Overrides, options: Mapping[str, str] | None = None
) -> ExperimentConfig:
    """The same with single settings replaced, by dotted name as in `load_config`.

    Raises:
        InputError: a setting cannot be used.
    """
    table = config.model_dump(mode="json", exclude_none=True)
    for name, value in overrides.items():
        _put(table, new_setting(name).split("."), value)
    origin = Origin(f"config of {config.model}", options=options or {})
    return checked(table, origin)


def _cut_otherwise(table: dict[str, Any], given: Overrides) -> None:
    """Another kind of split begins with its own defaults: each kind has different settings."""
    kind = given.get("split.kind")
    split = given.get("split", table.get("split"))
    known = split.get("kind", RandomSplit().kind) if isinstance(split, dict) else None
    if kind is not None and kind != known:
        given.pop("split", None)
        table["split"] = {"kind": kind}


def checked(table: dict[str, Any], source: str | Origin) -> ExperimentConfig:
    """The configuration in `table`.

    Args:
        table: Settings by name, tables within.
        source: Where they come from, for error messages.

    Raises:
        InputError: naming every setting that is wrong, its value and what is allowed.
    """
    try:
        return ExperimentConfig.model_validate(table)
    except ValidationError as error:
        origin = source if isinstance(source, Origin) else Origin(f"config {source}")
        raise InputError(faults(error, ExperimentConfig, origin)) from error


def _put(table: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InputError(
                f"--set {'.'.join(path)}: {part} is a value, not a table; drop the dot"
            )
        table = inner
    table[path[-1]] = value
