"""The configuration of each model: its own space, the budget and the judging of the experiment."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.config import ExperimentConfig, checked
from recsys.errors import InputError
from recsys.models import MODELS, config_class, default_point, make_config
from recsys.models.config import ModelConfig
from recsys.renames import new_model
from recsys.settings import hint
from recsys.splitting.config import ColdUserSplit, LastSplit, SplitConfig, TimeSplit

AUTO = "auto"
"""In place of the name of a model: several within one budget, see `flows.auto`."""
SPACES = Path(__file__).parent / "configs" / "models"
"""A TOML file per model, called after it: its search space, and how that is searched."""


def without_extras(split: SplitConfig) -> tuple[str, ...]:
    """The models that need no library beyond those that are always installed.

    Args:
        split: Of users of whom only profiles are known: only the models that know profiles.
    """
    cold = isinstance(split, ColdUserSplit)
    configs = {name: config_class(name) for name in MODELS}
    return tuple(
        name
        for name, config in configs.items()
        if config.library is None and (config.knows_profiles or not cold)
    )


def check_model(model: str, option: str = "model") -> str:
    """The present name of a model.

    Args:
        model: Its name.
        option: Where it was written, for the message.

    Raises:
        InputError: there is none.
    """
    model = new_model(model)
    if model not in MODELS:
        raise InputError(
            f"{option} {model}: no such model{hint(model, MODELS)}; there are {', '.join(MODELS)}"
        )
    return model


def model_config(
    base: ExperimentConfig,
    model: str,
    seed: int,
    has_profiles: bool,
    top_items: int | None = None,
) -> ExperimentConfig:
    """The experiment of one model on one split.

    A model without a file in `SPACES` is measured at its default point alone.

    Args:
        base: Data, filter, split, number of trials and judging; also the search, of its model.
        model: Name of the model.
        seed: Root seed, of the split too.
        has_profiles: Whether parameters that need profiles are searched.
        top_items: Items that a model learns and shows that can be cut, as EASE; all by default.

    Raises:
        InputError: no model has this name.
    """
    fields = config_class(model).model_fields
    table = base.model_dump(mode="json", exclude_none=True) | {"model": model, "seed": seed}
    if model != base.model:
        table |= {"name": model, **_own(model, table["study"], has_profiles, base.split.kind)}
    if "top_items" in fields and top_items is not None:
        table["search"] = {**table["search"], "top_items": top_items}
    return checked(table, f"of {model}")


def _own(model: str, study: dict[str, Any], has_profiles: bool, split: str) -> dict[str, Any]:
    own = _table(model)
    search = own["search"] | own.get(split, {})
    if not has_profiles:
        defaults = default_point(model)
        for name in search.keys() & set(config_class(model).profile_parameters):
            search[name] = [defaults[name]]
    plain = {"first": [], "default_first": True}
    return {"search": search, "study": {**study, **plain, **own.get("study", {})}}


def _table(model: str) -> dict[str, Any]:
    """The TOML file of a model; nothing is searched without one."""
    path = SPACES / f"{model}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"search": {}}


def first_points(model: str) -> list[ModelConfig]:
    """The default point of a model, then the points of `first` in its TOML file."""
    first = _table(model).get("study", {}).get("first", [])
    return [make_config(model, point) for point in ({}, *first)]


def check_answers(config: ExperimentConfig, has_profiles: bool) -> None:
    """Refuse a model that cannot answer the users of a split.

    Raises:
        InputError: only profiles are known of them, and there are none, or the model knows users
            by their plays alone; or the model learns from the order of plays, and the split does
            not keep it.
    """
    if config_class(config.model).knows_order and not isinstance(
        config.split, LastSplit | TimeSplit
    ):
        raise InputError(
            f"{config.model} learns from the order of plays, and split.kind = "
            f'"{config.split.kind}" does not keep it; use "last" or "time", as in '
            "--set split.kind=last"
        )
    if not isinstance(config.split, ColdUserSplit):
        return
    if not has_profiles:
        raise InputError(
            'split.kind = "cold-users" needs the profiles of the users; pass --profiles FILE'
        )
    if not config_class(config.model).knows_profiles:
        able = ", ".join(name for name in MODELS if config_class(name).knows_profiles)
        raise InputError(
            f"{config.model} knows users by their plays alone, and with split.kind = "
            f'"cold-users" there are none; use one of {able}'
        )


def pinned(config: ExperimentConfig, winner: ModelConfig) -> ExperimentConfig:
    """The experiment whose only point is a winner of another one."""
    table = config.model_dump(mode="json", exclude_none=True)
    study = {"trials": 1, "sampler": "grid", "default_first": False, "first": []}
    table |= {"search": {name: [value] for name, value in winner.point().items()}}
    table["study"] |= study
    return checked(table, f"of {config.model}, tuned before")


def ensemble_of(winners: Sequence[ModelConfig]) -> ModelConfig:
    """The models that won, merged."""
    return make_config("ensemble", {"members": tuple(winners)})
