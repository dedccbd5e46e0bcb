"""Names that settings, models and parameters had before: the only place that knows them.

An old name that a user writes still works, with a warning. Stored old names (requests of studies,
parameters of runs, registered models) are read as the new ones without a word.
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

SettingsTable = Mapping[str, Any]  # TOML or JSON

SETTINGS = {
    "data.artist_key": "data.item_key",
    "filter.min_artists": "filter.min_items",
    "filter.min_listeners": "filter.min_users",
}
MODELS = {"popularity-listeners": "popularity-users"}
PARAMETERS = {"epochs": "iterations", "listener_regularization": "user_regularization"}
"""Of models: in `[search]`, in the points of `study.first` and in stored configurations."""


class RenamedWarning(FutureWarning):
    """A setting, a parameter or a model has its old name."""


def under_new_names(table: SettingsTable) -> dict[str, Any]:
    """The settings of an experiment that a user wrote, under the present names.

    Warns:
        RenamedWarning: of each old name, with the new one.
    """
    for old, new in _old_names(table):
        _warn(old, new)
    return current_config(table)


def new_setting(name: str) -> str:
    """The present dotted name of a setting.

    Warns:
        RenamedWarning: the name is an old one.
    """
    new = SETTINGS.get(name, name)
    if name.startswith("search."):
        new = ".".join(PARAMETERS.get(part, part) for part in name.split("."))
    if new != name:
        _warn(name, new)
    return new


def new_model(name: str) -> str:
    """The present name of a model.

    Warns:
        RenamedWarning: the name is an old one.
    """
    if name in MODELS:
        _warn(name, MODELS[name])
    return MODELS.get(name, name)


def _warn(old: str, new: str) -> None:
    text = f"{old} is now called {new}; the old name still works, change it soon"
    warnings.warn(text, RenamedWarning, stacklevel=3)


def _old_names(table: SettingsTable) -> Iterator[tuple[str, str]]:
    """Old name and new name of every setting, parameter and model that has its old name."""
    for old, new in SETTINGS.items():
        section, _, name = old.partition(".")
        if isinstance(part := table.get(section), Mapping) and name in part:
            yield old, new
    for where, part in _points(table):
        for name in PARAMETERS.keys() & part.keys():
            yield f"{where}.{name}", f"{where}.{PARAMETERS[name]}"
    judge = table.get("judge")
    baseline = judge.get("baseline") if isinstance(judge, Mapping) else None
    for model in (table.get("model"), baseline):
        if isinstance(model, str) and model in MODELS:
            yield model, MODELS[model]


def _points(table: SettingsTable) -> Iterator[tuple[str, SettingsTable]]:
    """The parts of an experiment that name parameters of a model, and where they are."""
    study = table.get("study")
    first = study.get("first", ()) if isinstance(study, Mapping) else ()
    points = first if isinstance(first, list | tuple) else ()
    for where, parts in (("search", [table.get("search")]), ("study.first", points)):
        yield from ((where, part) for part in parts if isinstance(part, Mapping))


def current_config(stored: SettingsTable) -> dict[str, Any]:
    """A stored experiment configuration under the present names."""
    table: dict[str, Any] = {
        name: dict(part) if isinstance(part, Mapping) else part for name, part in stored.items()
    }
    for old, new in SETTINGS.items():
        section, _, name = old.partition(".")
        if isinstance(table.get(section), dict) and name in table[section]:
            table[section][new.partition(".")[2]] = table[section].pop(name)
    if isinstance(table.get("model"), str):
        table["model"] = MODELS.get(table["model"], table["model"])
    if isinstance(table.get("search"), Mapping):
        table["search"] = current_params(table["search"])
    study, judge = table.get("study"), table.get("judge")
    if isinstance(study, dict) and isinstance(study.get("first"), list | tuple):
        study["first"] = [
            current_params(point) if isinstance(point, Mapping) else point
            for point in study["first"]
        ]
    if isinstance(judge, dict) and isinstance(judge.get("baseline"), str):
        judge["baseline"] = MODELS.get(judge["baseline"], judge["baseline"])
    return table


def current_params(stored: SettingsTable) -> dict[str, Any]:
    """Stored parameters of a model, or of the members of an ensemble, under the present names."""
    params = {PARAMETERS.get(name, name): value for name, value in stored.items()}
    if isinstance(params.get("kind"), str):
        params["kind"] = MODELS.get(params["kind"], params["kind"])
    if params.get("kind") == "mult-vae" and "epochs" in stored:
        params.setdefault("annealing", params["iterations"])  # it rose over the whole training
    if "members" in params:
        params["members"] = [current_params(member) for member in params["members"]]
    return params
