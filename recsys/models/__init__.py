"""One file per model, and the one table that names them all.

A model file holds its configuration class as `CONFIG`, the model, and

    create(config, seed, profiles) -> Recommender    the untrained model

It is imported when it is first used. Everything else follows from its line in `MODELS`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from recsys.errors import InputError
from recsys.renames import MODELS as RENAMED
from recsys.renames import current_params

if TYPE_CHECKING:
    from recsys.data.profiles import Profiles
    from recsys.models.config import ModelConfig
    from recsys.models.recommender import Recommender

Device = Literal["cpu", "gpu"]

MODELS: dict[str, str] = {
    "popularity-plays": "recsys.models.popularity",
    "popularity-users": "recsys.models.popularity",
    "random": "recsys.models.random_order",
    "als": "recsys.models.als",
    "item-knn": "recsys.models.item_knn",
    "user-knn": "recsys.models.user_knn",
    "fm": "recsys.models.fm",
    "ease": "recsys.models.ease",
    "sparse-ease": "recsys.models.sparse_ease",
    "pair-ease": "recsys.models.pair_ease",
    "slim": "recsys.models.slim",
    "rp3beta": "recsys.models.rp3beta",
    "gf-cf": "recsys.models.gf_cf",
    "turbo-cf": "recsys.models.turbo_cf",
    "puresvd": "recsys.models.puresvd",
    "bpr": "recsys.models.bpr",
    "ncf": "recsys.models.ncf",
    "mult-vae": "recsys.models.mult_vae",
    "recvae": "recsys.models.recvae",
    "sasrec": "recsys.models.sasrec",
}
"""Name of a model to its module; a search can tune each of them."""

COMPOSITES: dict[str, str] = {"ensemble": "recsys.models.ensemble"}
"""Likewise of models that are made of tuned ones and are never searched themselves."""


_OUTSIDE = f"{__name__}.outside."  # what modules of models that came as a file are called


def config_class(kind: str) -> type[ModelConfig]:
    """The configuration class of a model.

    Raises:
        InputError: no model has this name.
    """
    config: type[ModelConfig] = _module(kind).CONFIG
    return config


def make_config(kind: str, values: Mapping[str, object]) -> ModelConfig:
    """The parameters of a model; those that are not given are the defaults.

    Raises:
        ValueError: a value is out of bounds, or the model has no such parameter.
    """
    return config_class(kind).model_validate({"kind": kind, **values})


def read_config(stored: Mapping[str, Any]) -> ModelConfig:
    """The configuration that was written by this version or an earlier one; old names are mapped.

    Raises:
        ValueError: it has no `kind`, or parameters that its model does not have.
    """
    values = current_params(stored)
    return make_config(str(values.pop("kind", None)), values)


def default_point(kind: str) -> dict[str, str | int | float | bool]:
    """The default of every parameter of a model that has one."""
    return make_config(kind, {}).point()


def parameters(kind: str) -> list[str]:
    """The names of the parameters of a model, in their order."""
    return [name for name in config_class(kind).model_fields if name != "kind"]


def whole_parameters(kind: str) -> set[str]:
    """Which parameters of a model are whole numbers."""
    fields = config_class(kind).model_fields
    return {name for name, field in fields.items() if int in _types(field.annotation)}


def _types(annotation: object) -> set[object]:
    inner = get_args(annotation)
    return set().union(*map(_types, inner)) if inner else {annotation}


def baselines() -> list[str]:
    """The names of the models that every winner has to beat."""
    return [name for name in MODELS if config_class(name).baseline]


def check_baseline(kind: str) -> str:
    """The name of a baseline as it is.

    Raises:
        ValueError: it is none.
    """
    if kind not in MODELS or not is_baseline(kind):
        raise ValueError(f"{kind!r} is no baseline; use one of {', '.join(baselines())}")
    return kind


def is_baseline(kind: str) -> bool:
    """Whether a model, also one of an earlier version, is a baseline."""
    name = RENAMED.get(kind, kind)
    return name in MODELS and config_class(name).baseline


def build(
    config: ModelConfig,
    seed: int,
    profiles: Profiles | None = None,
) -> Recommender:
    """The untrained model that `config` describes.

    Args:
        config: Which model, with its parameters.
        seed: Of everything random in it.
        profiles: Of the users of the training data, aligned with them, for models that use them.

    Raises:
        InputError: the model needs a library that is not installed.
    """
    model: Recommender = _module(config.kind).create(config, seed, profiles)
    return model


def outside_file(kind: str) -> Path | None:
    """The file of a model that lies outside this package; None for one that lies within."""
    name = {**MODELS, **COMPOSITES}.get(kind, "")
    if name.startswith(f"{__name__}.") and not name.startswith(_OUTSIDE):
        return None
    return Path(_module(kind).__file__)


def use_file(kind: str, path: Path) -> None:
    """Let a name stand for the model in a file, unless a model has this name."""
    if kind in MODELS:
        return
    name = f"{_OUTSIDE}{kind}"
    spec = spec_from_loader(name, _NothingCompiled(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    MODELS[kind] = name


class _NothingCompiled(SourceFileLoader):
    """Loads a file and writes no compiled one beside it."""

    def set_data(self, path: str, data: object, *, _mode: int = 0o666) -> None:
        """Nothing."""


def _module(kind: str) -> Any:
    """The module of a model; each has the same two names."""
    name = {**MODELS, **COMPOSITES}.get(kind)
    if name is None:
        hint = f"; it is now called {RENAMED[kind]}" if kind in RENAMED else ""
        raise InputError(f"no model is called {kind!r}{hint}; there are {', '.join(MODELS)}")
    return import_module(name)
